"""Odoo's example data, key functions and settings, without a server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.core.errors import Finding, HarnessError, UsageError
from harness.core.node import Address
from harness.core.service import S3, Answer, Place, Sql
from harness.services.odoo import shop
from harness.services.odoo.app import Odoo
from harness.services.odoo.contain import _parse
from harness.services.odoo.example import KNOWN
from harness.services.odoo.program import mail_sink
from harness.substrate.embedded.substrate import Embedded

SECRETS = {"odoo-db": "env:ODOO_DB", "odoo-admin": "env:ODOO_ADMIN"}
SERVER = Address("127.0.0.1", 5432)


def place(home: Path, sinks: Mapping[str, str]) -> Place:
    sql, s3 = Sql(SERVER, SERVER, "postgres", "env:PG"), S3(SERVER, SERVER, "env:A", "env:B")
    return Place(Embedded(home, home).site("dr"), sql, s3, SECRETS, {}, sinks)


@dataclass
class ScriptedDoor:
    """A public door with given answers: path -> status and body."""

    answers: Mapping[str, tuple[int, bytes]]
    asked: list[str] = field(default_factory=list)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        self.asked.append(f"{method} {path}")
        status, body = self.answers[path]
        return Answer(status, body, {})


def result(value: object) -> tuple[int, bytes]:
    return 200, json.dumps({"jsonrpc": "2.0", "id": None, "result": value}).encode()


def check(name: str, answers: Mapping[str, tuple[int, bytes]]) -> str:
    functions = {f.name: f for f in Odoo().key_functions({"odoo-admin": "env:ODOO_ADMIN"})}
    return functions[name].check(ScriptedDoor(answers))


def test_the_example_data_are_deterministic() -> None:
    documents = shop.documents()
    assert len(documents) == shop.ATTACHMENTS == len({name for _, name, _ in documents})
    assert all(2_000 <= len(data) <= 60_000 for _, _, data in documents)
    digest = hashlib.sha256(b"".join(data for _, _, data in documents)).hexdigest()
    assert digest == "6da68b7c2c41efaf61c9d7f059b02ee215a24e35f8ed246f1b2b355e5b4305e7"
    assert shop.reference(0) == KNOWN.order
    assert KNOWN.amount == pytest.approx(2629.50)


def test_the_filestore_is_named_after_the_database() -> None:
    tree, _addons = Odoo("odoo", ("shop",), volume="files").sources().trees
    assert (tree.folder, tree.database, tree.volume, tree.sha1_named) == ("filestore/shop", "shop", "files", True)


def test_a_sink_with_another_scheme_is_refused(tmp_path: Path) -> None:
    assert mail_sink(place(tmp_path, {})) is None
    assert mail_sink(place(tmp_path, {"smtp": "smtp://127.0.0.1:2525"})) == Address("127.0.0.1", 2525)
    with pytest.raises(UsageError, match="smtp://HOST:PORT"):
        mail_sink(place(tmp_path, {"smtp": "http://127.0.0.1:2525"}))


@pytest.mark.parametrize("action", ["cron:", "cron:1;2", "user:1", "cron"])
def test_an_unknown_action_is_not_released(action: str) -> None:
    assert _parse(["cron:3,5", "mail_server:1"]) == {"cron": [3, 5], "mail_server": [1]}
    with pytest.raises(HarnessError, match="unknown to Odoo's release"):
        _parse([action])


def test_an_error_page_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODOO_ADMIN", "secret")
    with pytest.raises(Finding, match="answered 502 instead of 200"):
        check("log in", {"/web/session/authenticate": (502, b"Bad Gateway")})
    with pytest.raises(Finding, match="answer is not JSON"):
        check("log in", {"/web/session/authenticate": (200, b"<html>")})
    denied = json.dumps({"error": {"code": 0, "message": "x", "data": {"message": "Access\nDenied"}}}).encode()
    with pytest.raises(Finding, match=r"database odoo: Access Denied$"):
        check("log in", {"/web/session/authenticate": (200, denied)})


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"", "0 bytes instead of 24576"),
        (200, bytes(KNOWN.size), "SHA-256"),
        (500, b"Internal Server Error", "answered 500 instead of its 24576 bytes"),
    ],
)
def test_an_attachment_is_compared_by_its_bytes(status: int, body: bytes, reason: str) -> None:
    answers = {
        "/web/dataset/call_kw/sale.order/search_read": result([{"id": 21, "partner_id": [9, "Mill"]}]),
        "/web/dataset/call_kw/ir.attachment/search_read": result([{"id": 7}]),
    }
    good = {**answers, "/web/content/7?download=1": (200, shop.letter(KNOWN.attachment, KNOWN.size))}
    assert "24576 bytes" in check("open a known attachment", good)
    with pytest.raises(Finding, match=f'attachment "terms.txt" of order {KNOWN.order}: .*{reason}'):
        check("open a known attachment", {**answers, "/web/content/7?download=1": (status, body)})


def test_a_login_page_without_assets_is_a_finding() -> None:
    page = b'<link href="/web/assets/1/a.css"/><script src="/web/assets/2/b.js"></script>'
    answers = {"/web/login": (200, page), "/web/assets/1/a.css": (200, b"x"), "/web/assets/2/b.js": (200, b"yz")}
    assert "2 assets of 3 bytes" in check("show the login page", answers)
    with pytest.raises(Finding, match=r"/web/assets/2/b\.js of the login page: answered 500"):
        check("show the login page", {**answers, "/web/assets/2/b.js": (500, b"oops")})
    with pytest.raises(Finding, match="no links to /web/assets"):
        check("show the login page", {"/web/login": (200, b"<html>")})


def test_an_installed_module_that_odoo_has_not_loaded_is_named() -> None:
    of_modules = "/web/dataset/call_kw/ir.module.module"

    def answers(loaded: object, **more: object) -> dict[str, tuple[int, bytes]]:
        rows = [{"id": number, "name": name} for number, name in enumerate(("base", "sale", "own_letters"))]
        return {
            f"{of_modules}/fields_get": result({}),
            f"{of_modules}/search_read": result(rows),
            "/web/session/modules": result(loaded),
            **more,  # type: ignore[dict-item]
        }

    name = "load every installed module"
    assert check(name, answers(["base", "sale", "own_letters", "web"])) == "all 3 installed modules are loaded"
    with pytest.raises(Finding, match=r"^1 of 3 installed modules are not loaded: own_letters; put their files"):
        check(name, answers(["base", "sale"]))
    with pytest.raises(Finding, match="database odoo has no installed module"):
        check(name, answers([], **{f"{of_modules}/search_read": result([])}))
    denied = (200, json.dumps({"error": {"code": 0, "message": "denied"}}).encode())
    with pytest.raises(Finding, match="modules of database odoo: denied"):
        check(name, answers([], **{"/web/session/modules": denied}))


def test_an_order_with_another_amount_is_a_finding() -> None:
    order = {"id": 21, "name": "S00021", "amount_total": 1.0, "order_line": [], "partner_id": [9, "Mill"]}
    path = "/web/dataset/call_kw/sale.order/search_read"
    with pytest.raises(Finding, match=f"order {KNOWN.order}: amount 1.0 instead of 2629.5"):
        check("read a known order", {path: result([order])})
    with pytest.raises(Finding, match="0 with that reference instead of 1"):
        check("read a known order", {path: result([])})


def test_a_missing_secret_is_named() -> None:
    with pytest.raises(UsageError, match="no secret odoo-admin"):
        Odoo().key_functions({})


def test_each_of_several_databases_has_its_filestore_its_key_functions_and_its_actions(tmp_path: Path) -> None:
    odoo = Odoo("odoo", ("shop", "shop-2"), volume="files")
    trees = {tree.name: (tree.folder, tree.database) for tree in odoo.sources().trees}
    assert trees == {
        "odoo-filestore/shop": ("filestore/shop", "shop"),
        "odoo-filestore/shop-2": ("filestore/shop-2", "shop-2"),
        "odoo-addons": ("addons", ""),
    }
    names = [function.name for function in odoo.key_functions({"odoo-admin": "env:ODOO_ADMIN"})]
    assert len(set(names)) == len(names) == 2 * len(Odoo().key_functions({"odoo-admin": "env:ODOO_ADMIN"}))
    assert "log in (shop-2)" in names
    settings = odoo.program.server_settings(place(tmp_path, {}))
    assert "\ndb_name = shop,shop-2\n" in settings
    assert "\ndbfilter = ^(shop|shop\\-2)$\n" in settings
    assert "\ndb_name = shop-2\n" in odoo.program.on("shop-2").server_settings(place(tmp_path, {}))

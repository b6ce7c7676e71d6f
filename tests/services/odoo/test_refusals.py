"""What Odoo's key functions find, each answer scripted, and what a containment refuses, on a real database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from harness.core.errors import Finding, HarnessError, Refused
from harness.core.service import Answer, Contained, Place
from harness.services.odoo import contain, example, shop
from harness.services.odoo.app import Odoo
from harness.services.odoo.example import KNOWN
from harness.services.odoo.keys import Clerk, opens_newest
from harness.services.odoo.program import Program
from harness.substrate.embedded.substrate import Embedded
from tests.servers import DatabaseServer, start_database

CODE, QUANTITY, PRICE = KNOWN.lines[0]
DRAFT = "the order that the key function writes"
TABLES = (
    "CREATE TABLE ir_cron (id int, active bool)",
    "CREATE TABLE ir_model_data (model text, module text, name text, res_id int)",
    "CREATE TABLE ir_mail_server (id int GENERATED ALWAYS AS IDENTITY, name text, smtp_host text, smtp_port int,"
    " smtp_encryption text, smtp_authentication text, sequence int, active bool)",
    "CREATE TABLE ir_config_parameter (key text PRIMARY KEY, value text)",
    "CREATE TABLE payment_provider (id int, state text)",
    "CREATE TABLE res_partner (ref text)",
    "CREATE TABLE sale_order (client_order_ref text)",
    "CREATE TABLE ir_attachment (res_model text, store_fname text)",
    "INSERT INTO ir_cron VALUES (7, true)",
)


class Shop:
    """A public door to an Odoo with the known order. `changed`: model.method -> the result that it gives instead."""

    def __init__(self, changed: Mapping[str, Any]) -> None:
        self.changed, self.written = changed, ""

    def request(self, _method: str, path: str, *, json: Any = None, **_more: object) -> Answer:
        params = json["params"] if json else {}
        name = f"{params['model']}.{params['method']}" if "model" in params else path
        found = self.changed[name] if name in self.changed else self.result(name, params)
        return found if isinstance(found, Answer) else answer({"result": found})

    def result(self, name: str, params: Mapping[str, Any]) -> object:
        if name == "sale.order.search_read":
            wanted = params["args"][0][0][2]
            whole = wanted == KNOWN.order
            amount, lines = (KNOWN.amount, list(range(len(KNOWN.lines)))) if whole else (QUANTITY * PRICE, [0])
            order = {"name": "S1", "amount_total": amount, "order_line": lines, "partner_id": [9, "Mill"]}
            return [{"id": 1 if whole else 2, **order}]
        if name == "sale.order.line.read":
            return [
                {"product_id": [at, ""], "product_uom_qty": KNOWN.lines[at][1], "price_unit": KNOWN.lines[at][2]}
                for at in params["args"][0]
            ]
        if name == "product.product.read":
            return [{"id": at, "default_code": KNOWN.lines[at][0]} for at in params["args"][0]]
        return {"product.product.search_read": [{"id": 0}], "sale.order.create": [2], "sale.order.unlink": True}[name]


def answer(reply: object) -> Answer:
    return Answer(200, json.dumps(reply).encode(), {})


def check(name: str, **changed: Any) -> str:
    functions = {one.name: one for one in Odoo().key_functions({"odoo-admin": "env:ODOO_ADMIN"})}
    return functions[name].check(Shop({name.replace("__", "."): value for name, value in changed.items()}))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODOO_ADMIN", "secret")


def test_a_known_order_is_read_and_a_new_one_written() -> None:
    assert check("read a known order").startswith(f"order S1 ({KNOWN.order}): {len(KNOWN.lines)} lines")
    assert check("write a new order") == "order S1 created, read back, deleted"


@pytest.mark.parametrize(
    ("key", "changed", "said"),
    [
        ("log in", {"/web/session/authenticate": {"uid": None}}, "/web/session/authenticate returned no user"),
        ("log in", {"/web/session/authenticate": {"uid": False}}, "/web/session/authenticate returned no user"),
        ("log in", {"/web/session/authenticate": answer([1])}, "answer is not JSON-RPC"),
        ("log in", {"/web/session/authenticate": answer({"jsonrpc": "2.0"})}, "answer is not JSON-RPC"),
        (
            "read a known order",
            {"sale__order__search_read": answer({"error": {"code": 0, "message": "denied"}})},
            "sale.order.search_read: denied",
        ),
        ("read a known order", {"sale__order__line__read": []}, rf"order {KNOWN.order}: lines \(\) instead of"),
        ("open a known attachment", {"ir__attachment__search_read": []}, "0 with that name instead of 1"),
        ("open a known attachment", {"ir__attachment__search_read": [{"id": 1}, {"id": 2}]}, "2 with that name"),
        ("show the login page", {"/web/login": Answer(503, b'"/web/assets/a.css"', {})}, "/web/login answered 503"),
        ("write a new order", {"product__product__search_read": []}, f"product {CODE} is missing"),
        ("write a new order", {"sale__order__create": [3]}, "order BLACKSTART-DRILL-.*: written"),
    ],
)
def test_an_answer_that_is_not_that_of_the_shop_is_a_finding(key: str, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(Finding, match=said):
        check(key, **changed)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"a scan", "the newest 1 attachments, 6 bytes, have their SHA-1"),
        (404, b"a scan", "attachment 5 (a.pdf): answered 404 instead of its 6 bytes"),
        (200, b"a scam", "attachment 5 (a.pdf): 6 bytes with SHA-1 "),
        (200, b"", "attachment 5 (a.pdf): 0 bytes with SHA-1 "),
    ],
)
def test_an_attachment_of_ones_own_has_its_sha1(status: int, body: bytes, said: str) -> None:
    row = {"id": 5, "name": "a.pdf", "checksum": hashlib.sha1(b"a scan", usedforsecurity=False).hexdigest()}
    door = Shop(
        {
            "ir.attachment.search_read": [{**row, "file_size": 6}],
            "/web/content/5?download=1": Answer(status, body, {}),
        }
    )
    clerk = Clerk("odoo", "shop", "env:ODOO_ADMIN", door)  # type: ignore[arg-type]
    try:
        found = opens_newest(clerk)
    except Finding as error:
        found = str(error)
    assert found.startswith(said)


class Searched(Shop):
    """A shop without attachments, which keeps what was searched for."""

    domain: tuple[object, ...] = ()

    def result(self, name: str, params: Mapping[str, Any]) -> object:
        assert name == "ir.attachment.search_read"
        self.domain = tuple(params["args"][0])
        return []


def test_the_newest_attachments_are_those_with_a_file_of_fields_too() -> None:
    """An attachment in the database needs no file, and a search without `res_field` leaves out all pictures."""
    door = Searched({})
    clerk = Clerk("odoo", "shop", "env:ODOO_ADMIN", door)  # type: ignore[arg-type]
    assert opens_newest(clerk) == "there is no attachment with a file"
    assert ["store_fname", "!=", False] in door.domain
    at = door.domain.index("|")
    assert door.domain[at + 1 : at + 3] == (["res_field", "=", False], ["res_field", "!=", False])


@pytest.fixture(scope="module")
def server(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))


@pytest.fixture
def place(server: DatabaseServer) -> Iterator[Place]:
    """A site whose database `shop` has the tables of Odoo that a containment changes."""
    server.execute("postgres", "CREATE DATABASE shop")
    server.execute("shop", *TABLES)
    yield Place(server.site, server.sql, None, {}, {}, {})  # type: ignore[arg-type]
    server.execute("postgres", "DROP DATABASE shop WITH (FORCE)")


def keep_active(server: DatabaseServer, table: str = "ir_cron", column: str = "active", value: str = "true") -> None:
    """Have the database put a schedule back to active, as a module's trigger would."""
    server.execute(
        "shop",
        f"CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.{column} := {value}; RETURN NEW; END'",
        f"CREATE TRIGGER again BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION again()",
    )


def active(server: DatabaseServer) -> object:
    """Return the numbers of the active schedules, None without any."""
    return server.one("shop", "SELECT array_agg(id ORDER BY id) FROM ir_cron WHERE active")


def neutralize(place: Place, monkeypatch: pytest.MonkeyPatch) -> Contained:
    """Neutralise the shop; Odoo's own program was run before."""
    monkeypatch.setattr(contain, "run", lambda *_words, **_more: None)
    monkeypatch.setattr(Program, "task", lambda *_words, **_more: None)
    return contain.neutralize(Program("odoo", ("shop",), "files"), place)


@pytest.mark.programs
def test_a_copy_with_an_active_schedule_is_not_contained(
    server: DatabaseServer, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cron:7" in contain.hold("odoo", "shop", place).actions
    server.execute("shop", "UPDATE ir_cron SET active = true")
    keep_active(server)
    with pytest.raises(HarnessError, match="database shop: ir_cron 7 still active after containment"):
        contain.hold("odoo", "shop", place)
    with pytest.raises(HarnessError, match="database shop: ir_cron 7 still active after containment"):
        neutralize(place, monkeypatch)


@pytest.mark.programs
def test_the_schedule_that_deletes_rows_is_held_as_well(
    server: DatabaseServer, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Odoo's `neutralize` leaves it active; it deletes the personal mail servers that a containment deactivated."""
    server.execute(
        "shop",
        "INSERT INTO ir_cron VALUES (1, true)",
        "INSERT INTO ir_model_data VALUES ('ir.cron', 'base', 'autovacuum_job', 1)",
        "INSERT INTO ir_config_parameter VALUES ('database.is_neutralized', 'true')",
    )
    held = contain.hold("odoo", "shop", place)
    assert "cron:1,7" in held.actions
    assert active(server) is None
    assert contain.release("shop", place, held) == ()
    assert active(server) == [1, 7]
    neutralize(place, monkeypatch)
    assert active(server) is None


@pytest.mark.programs
def test_a_copy_that_odoo_did_not_neutralize_is_not_contained(
    server: DatabaseServer, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HarnessError, match="is_neutralized is not set"):
        neutralize(place, monkeypatch)
    server.execute("shop", "INSERT INTO ir_config_parameter VALUES ('database.is_neutralized', 'true')")
    assert neutralize(place, monkeypatch).actions[0] == "neutralized"
    server.execute("shop", "INSERT INTO payment_provider VALUES (3, 'enabled')")
    keep_active(server, "payment_provider", "state", "''enabled''")
    with pytest.raises(HarnessError, match="payment_provider 3 still active after containment"):
        neutralize(place, monkeypatch)


@pytest.mark.programs
def test_a_neutralized_copy_is_not_released(place: Place) -> None:
    with pytest.raises(Refused, match="database shop was neutralised irreversibly"):
        contain.release("shop", place, Contained("odoo", ("neutralized",)))


@pytest.mark.programs
def test_a_shop_that_was_not_filled_is_no_example(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "make_database", lambda *_words: None)
    monkeypatch.setattr(example, "run", lambda *_words, **_more: None)
    monkeypatch.setattr(Program, "task", lambda *_words, **_more: None)
    with_secret = Place(place.site, place.sql, place.s3, {"odoo-db": "env:ODOO_ADMIN"}, {}, {})
    said = rf"customers, orders, attachments: \(0, 0, 0\) instead of \({shop.CUSTOMERS}, "
    with pytest.raises(HarnessError, match=said):
        example.seed(Program("odoo", ("shop",), "files"), with_secret)

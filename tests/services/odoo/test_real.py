"""A real Odoo on a real PostgreSQL: seeded, used through HTTP, contained, bereft of its files."""

from __future__ import annotations

import json as codec
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError

import psycopg.sql
import pytest

from harness.core.errors import Finding, HarnessError, Refused
from harness.core.node import Address, Node
from harness.core.service import Answer, Place
from harness.postgres.server import connect
from harness.services.odoo.app import Odoo, forget_filestore
from harness.services.odoo.shop import CRON_NAME, MAIL_HOST
from tests.seeded import seeded

pytestmark = [pytest.mark.programs, pytest.mark.apps]


@dataclass
class DirectDoor:
    """A client that goes straight to one node."""

    address: Address
    jars: dict[str, CookieJar] = field(default_factory=dict)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        jar = self.jars.setdefault(session, CookieJar()) if session else CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        data = None if json is None else codec.dumps(json).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with opener.open(request, timeout=patience) as response:
                assert isinstance(response, HTTPResponse)
                return Answer(response.status, response.read(), {})
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read(), {})


@dataclass(frozen=True)
class Shop:
    """A seeded site. Each test works on a copy of the database and of its files, under another name."""

    place: Place

    def copy(self, name: str, *, files: bool = True) -> Odoo:
        statement = psycopg.sql.SQL("create database {} template odoo owner odoo").format(psycopg.sql.Identifier(name))
        with connect(self.place.sql) as connection:
            connection.execute(statement)
        volume = self.place.site.volume("odoo")
        for path in [p for p in volume.walk() if files and p.startswith("filestore/odoo/")]:
            with volume.open(path, "rb") as source, volume.open(path.replace("/odoo/", f"/{name}/", 1), "wb") as target:
                target.write(source.read())
        return Odoo(name, database=name)

    def rows(self, odoo: Odoo, query: str) -> list[tuple[object, ...]]:
        with connect(self.place.sql, odoo.database) as connection:
            return connection.execute(query.encode()).fetchall()

    def outward(self, odoo: Odoo) -> list[list[tuple[object, ...]]]:
        queries = (
            "select id, active from ir_cron order by id",
            "select id, smtp_host, active from ir_mail_server order by id",
            "select id, active from fetchmail_server order by id",
            "select key, value from ir_config_parameter order by key",
        )
        return [self.rows(odoo, query) for query in queries]

    @contextmanager
    def running(self, odoo: Odoo) -> Iterator[DirectDoor]:
        (spec,) = odoo.nodes(self.place)
        node: Node = self.place.site.launch(spec)
        try:
            yield DirectDoor(node.endpoint("http").outside)
        finally:
            node.kill()

    def verdicts(self, odoo: Odoo, door: DirectDoor) -> dict[str, str]:
        """Return `passed` or the finding of each key function."""
        found = {}
        for function in odoo.key_functions(self.place.secrets):
            try:
                found[function.name] = "passed" if function.check(door) else ""
            except Finding as finding:
                found[function.name] = str(finding)
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with seeded("shop", tmp_path_factory.mktemp("odoo")) as place:
        yield Shop(place)


def values_of(place: Place) -> list[str]:
    return [Path(reference.removeprefix("file:")).read_text() for reference in place.secrets.values()]


def test_no_password_is_in_the_command_or_the_environment(shop: Shop) -> None:
    odoo = Odoo()
    (spec,) = odoo.nodes(shop.place)
    task = odoo.program.task(shop.place, "fill", "shell", admin="odoo-admin")
    for words, env in ((spec.argv, spec.env), (task.argv, task.env)):
        text = " ".join([*words, *env.values()])
        assert "@{secret:" not in text
        assert not any(value in text for value in values_of(shop.place))
    assert "db_password = @{secret:odoo-db}" in spec.files["odoo.conf"]
    assert "list_db = False" in spec.files["odoo.conf"]
    assert "smtp_server" not in spec.files["odoo.conf"]


def test_mail_goes_to_the_sink_of_the_place(shop: Shop) -> None:
    (spec,) = Odoo().nodes(replace(shop.place, sinks={"smtp": "smtp://127.0.0.1:2525"}))
    assert "smtp_server = 127.0.0.1\nsmtp_port = 2525\n" in spec.files["odoo.conf"]


def test_a_seeded_shop_serves_its_clients(shop: Shop) -> None:
    odoo = shop.copy("whole")
    with shop.running(odoo) as door:
        assert set(shop.verdicts(odoo, door).values()) == {"passed"}
        stray = replace(shop.place, secrets={**shop.place.secrets, "odoo-admin": shop.place.secrets["odoo-db"]})
        log_in = next(f for f in odoo.key_functions(stray.secrets) if f.name == "log in")
        with pytest.raises(Finding, match="Access Denied"):
            log_in.check(door)
    missing = {name for (name,) in shop.rows(odoo, odoo.sources().trees[0].referenced)} - {
        path.removeprefix("filestore/whole/") for path in shop.place.site.volume("odoo").walk()
    }
    assert not missing
    assert not shop.rows(odoo, "select 1 from sale_order where client_order_ref like 'BLACKSTART-DRILL-%'")


def test_without_its_filestore_it_is_found_out(shop: Shop) -> None:
    odoo = shop.copy("bare", files=False)
    with shop.running(odoo) as door:
        found = shop.verdicts(odoo, door)
    assert found.pop("open a known attachment").startswith('attachment "terms.txt" of order BLACKSTART-KNOWN-1: ')
    assert "/web/assets/" in found.pop("show the login page")
    assert set(found.values()) == {"passed"}


def test_what_is_held_is_released_to_the_letter(shop: Shop) -> None:
    odoo = shop.copy("held")
    before = shop.outward(odoo)
    held = odoo.contain(shop.place, "reversible")
    assert odoo.contain(shop.place, "reversible") == held, "a second call forgets nothing"
    assert not shop.rows(odoo, "select 1 from ir_mail_server where active and smtp_host <> 'invalid'")
    assert not shop.rows(odoo, "select 1 from ir_cron where active and id <> 1")
    odoo.release(shop.place, held)
    assert shop.outward(odoo) == before
    assert shop.rows(odoo, f"select 1 from ir_mail_server where active and smtp_host = '{MAIL_HOST}'")  # noqa: S608
    assert shop.rows(odoo, f"select 1 from ir_cron where active and cron_name = '{CRON_NAME}'")  # noqa: S608


def test_a_release_names_what_is_gone(shop: Shop) -> None:
    odoo = shop.copy("gone")
    held = odoo.contain(shop.place, "reversible")
    assert shop.rows(odoo, "delete from ir_mail_server where smtp_host = 'mail.invalid' returning id")
    with pytest.raises(HarnessError, match="mail_server 1 is missing"):
        odoo.release(shop.place, held)
    assert shop.rows(odoo, "select 1 from ir_cron where active and id <> 1")


def test_a_rehearsal_is_neutralised_for_good(shop: Shop) -> None:
    odoo = shop.copy("tame")
    place = replace(shop.place, sinks={"smtp": "smtp://127.0.0.1:2525"})
    held = odoo.contain(place, "disposable")
    servers = shop.rows(odoo, "select smtp_host, smtp_port from ir_mail_server where active")
    assert servers == [("127.0.0.1", 2525)]
    assert shop.rows(odoo, "select id from ir_cron where active") == [(1,)]
    with pytest.raises(Refused, match="neutralised irreversibly"):
        odoo.release(place, held)
    with shop.running(odoo) as door:
        assert set(shop.verdicts(odoo, door).values()) == {"passed"}


def test_the_filestore_can_be_lost(shop: Shop) -> None:
    volume = shop.place.site.volume("lost")
    with volume.open("filestore/odoo/ab/abc", "wb") as file:
        file.write(b"x")
    forget_filestore(shop.place.site, "lost")
    assert list(volume.walk()) == []

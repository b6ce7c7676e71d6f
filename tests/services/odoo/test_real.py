"""A real Odoo on a real PostgreSQL: seeded, used through HTTP, contained, bereft of its files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.core.errors import Finding, Refused
from harness.services.odoo.app import Odoo
from harness.services.odoo.keys import Clerk
from harness.services.odoo.load import store_clients
from harness.services.odoo.shop import CRON_NAME, MAIL_HOST
from harness.traffic.declared import KeyTable
from harness.vault import read_text_secret
from tests.example_estates import seeded_primary
from tests.services.odoo.running_shop import Shop

NEWEST = """select store_fname from ir_attachment where type = 'binary' and res_field is null
    and coalesce(url, '') = '' and file_size between 1 and 32 << 20 order by id desc limit 1"""

pytestmark = [pytest.mark.night, pytest.mark.programs, pytest.mark.apps]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with seeded_primary("shop", tmp_path_factory.mktemp("odoo")) as place:
        yield Shop(place)


def test_arguments_and_environment_contain_no_password(shop: Shop) -> None:
    odoo = Odoo()
    (spec,) = odoo.nodes(shop.place)
    task = odoo.program.task(shop.place, "fill", "shell", admin="odoo-admin")
    for words, env in ((spec.argv, spec.env), (task.argv, task.env)):
        text = " ".join([*words, *env.values()])
        assert "@{secret:" not in text
        assert not any(read_text_secret(reference) in text for reference in shop.place.secrets.values())
    assert "db_password = @{secret:odoo-db}" in spec.files["odoo.conf"]
    assert "list_db = False" in spec.files["odoo.conf"]
    assert "smtp_server" not in spec.files["odoo.conf"]


def test_mail_is_sent_to_the_sink_of_the_place(shop: Shop) -> None:
    (spec,) = Odoo().nodes(replace(shop.place, sinks={"smtp": "smtp://127.0.0.1:2525"}))
    assert "smtp_server = 127.0.0.1\nsmtp_port = 2525\n" in spec.files["odoo.conf"]


def test_key_functions_pass_on_a_seeded_shop(shop: Shop) -> None:
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


def test_an_odoo_with_data_of_its_own_is_tested_without_the_example_shop(shop: Shop) -> None:
    """Nothing of the shop is asked for; what Odoo itself says of its attachments is compared with their bytes."""
    login = KeyTable.model_validate({"name": "home", "path": "/web/login", "contains": "csrf_token"})
    odoo = replace(shop.copy("own"), login="boss", own_keys=(login,))
    shop.rows(odoo, "update res_users set login = 'boss' where login = 'admin' returning id")
    shop.rows(odoo, "update sale_order set client_order_ref = null returning id")
    opened = next(f for f in odoo.key_functions(shop.place.secrets) if f.name == "open the newest attachments")
    with shop.running(odoo) as door:
        assert shop.verdicts(odoo, door) == dict.fromkeys(
            (
                "log in", "load every installed module", "open the newest attachments", "show the login page", "home"
            ),
            "passed",
        )  # fmt: skip
        assert re.fullmatch(r"the newest 3 attachments, [1-9]\d* bytes, have their SHA-1", opened.check(door))
        (path,) = shop.rows(odoo, NEWEST)[0]
        with shop.place.site.volume("odoo").open(f"filestore/own/{path}", "wb") as file:
            file.write(b"something else")
        with pytest.raises(Finding, match=r"^attachment \d+ \(.+\): 14 bytes with SHA-1 \w{12} instead of \w{12}$"):
            opened.check(door)
        shop.place.site.volume("odoo").remove(f"filestore/own/{path}")
        with pytest.raises(Finding, match=r"^attachment \d+ \(.+\): (answered|0 bytes)"):
            opened.check(door)


def test_orders_of_the_ledger_are_acknowledged_once_they_are_stored(shop: Shop) -> None:
    odoo = shop.copy("ledger")
    (clients,) = store_clients(odoo.name, odoo.databases)
    assert clients.name == "ledger orders"
    with shop.running(odoo) as door:
        send = clients.sender(door, shop.place.secrets)
        assert [send(number) for number in (1, 2, 3)] == [True] * 3
        stored = shop.rows(odoo, "select client_order_ref from sale_order where client_order_ref like 'LEDGER-%'")
        assert sorted(stored) == [("LEDGER-1",), ("LEDGER-2",), ("LEDGER-3",)]
        shop.rows(odoo, "update sale_order set client_order_ref = 'x' where client_order_ref = 'LEDGER-2' returning id")
        assert clients.survivors(door, shop.place.secrets, shop.place) == {1, 3}
        stray = {**shop.place.secrets, "odoo-admin": shop.place.secrets["odoo-db"]}
        assert not clients.sender(door, stray)(4), "acknowledged without a login"
        with pytest.raises(Finding, match="Access Denied"):
            clients.survivors(door, stray, shop.place)


def test_a_missing_filestore_is_a_finding(shop: Shop) -> None:
    odoo = shop.copy("bare", files=False)
    with shop.running(odoo) as door:
        found = shop.verdicts(odoo, door)
    assert found.pop("open a known attachment").startswith('attachment "terms.txt" of order BLACKSTART-KNOWN-1: ')
    assert "/web/assets/" in found.pop("show the login page")
    assert set(found.values()) == {"passed"}


def test_release_restores_exactly_what_was_contained(shop: Shop) -> None:
    odoo = shop.copy("held")
    before = shop.outward(odoo)
    held = odoo.contain(shop.place, "reversible")
    assert odoo.contain(shop.place, "reversible") == held, "a second call must return the same actions"
    assert not shop.rows(odoo, "select 1 from ir_mail_server where active and smtp_host <> 'invalid'")
    assert not shop.rows(odoo, "select 1 from ir_cron where active")
    assert not odoo.release(shop.place, held)
    assert shop.outward(odoo) == before
    assert shop.rows(odoo, f"select 1 from ir_mail_server where active and smtp_host = '{MAIL_HOST}'")  # noqa: S608
    assert shop.rows(odoo, f"select 1 from ir_cron where active and cron_name = '{CRON_NAME}'")  # noqa: S608


def test_mail_that_a_contained_odoo_could_not_send_is_in_its_queue_after_the_release(shop: Shop) -> None:
    odoo = shop.copy("mail")
    held = odoo.contain(shop.place, "reversible")
    with shop.running(odoo) as door:
        clerk = Clerk("odoo", "mail", shop.place.secrets["odoo-admin"], door)
        words = {"subject": "hello", "email_to": "someone@example.org", "body_html": "hello", "auto_delete": True}
        made = clerk.call("mail.mail", "create", [words])
        clerk.call("mail.mail", "action_send_and_close", made)  # `send` has no result
    mails = f"select state, failure_reason is null from mail_mail where id = {made[0]}"  # noqa: S608 - a number
    assert shop.rows(odoo, mails) == [("exception", False)]
    (line,) = odoo.release(shop.place, held)
    assert line == "database mail: 1 mails that could not be sent while it was contained are in its queue again"
    assert shop.rows(odoo, mails) == [("outgoing", True)]


def test_a_release_names_missing_rows(shop: Shop) -> None:
    odoo = shop.copy("gone")
    held = odoo.contain(shop.place, "reversible")
    assert shop.rows(odoo, "delete from ir_mail_server where smtp_host = 'mail.invalid' returning id")
    (line,) = odoo.release(shop.place, held)
    assert "mail_server 1 was removed since" in line
    assert shop.rows(odoo, "select 1 from ir_cron where active and id = 1")


def test_disposable_containment_is_irreversible(shop: Shop) -> None:
    odoo = shop.copy("tame")
    place = replace(shop.place, sinks={"smtp": "smtp://127.0.0.1:2525"})
    held = odoo.contain(place, "disposable")
    servers = shop.rows(odoo, "select smtp_host, smtp_port from ir_mail_server where active")
    assert servers == [("127.0.0.1", 2525)]
    assert not shop.rows(odoo, "select id from ir_cron where active")
    with pytest.raises(Refused, match="neutralised irreversibly"):
        odoo.release(place, held)
    with shop.running(odoo) as door:
        assert set(shop.verdicts(odoo, door).values()) == {"passed"}

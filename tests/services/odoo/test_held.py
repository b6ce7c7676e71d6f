"""What a reversible containment of an Odoo holds in its database, and how a release gives it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.core.errors import HarnessError
from harness.core.service import Place
from harness.services.odoo import contain
from harness.substrate.embedded.substrate import Embedded
from tests.servers import DatabaseServer, start_database

pytestmark = pytest.mark.programs
TABLES = (
    "CREATE TABLE ir_cron (id int, active bool)",
    "CREATE TABLE ir_mail_server (id int GENERATED ALWAYS AS IDENTITY, name text, smtp_host text, smtp_port int,"
    " smtp_encryption text, smtp_authentication text, sequence int, active bool)",
    "CREATE TABLE ir_config_parameter (id serial, key varchar UNIQUE, value text)",
)
MODULES = (
    "CREATE TABLE payment_provider (id int, state varchar)",
    "INSERT INTO payment_provider VALUES (1, 'enabled'), (2, 'test'), (3, 'disabled'), (4, 'enabled')",
    "CREATE TABLE ir_act_server (id int, state varchar, webhook_url varchar)",
    """INSERT INTO ir_act_server VALUES (5, 'webhook', 'https://one.example/?a=%25&b="c"'),
        (6, 'code', 'https://old.example/'), (7, 'webhook', NULL), (8, 'webhook', 'https://two.example/')""",
    "CREATE TABLE queue_job (id int, state varchar)",
    """INSERT INTO queue_job VALUES (1, 'pending'), (2, 'enqueued'), (3, 'started'), (4, 'wait_dependencies'),
        (5, 'done'), (6, 'failed'), (7, 'cancelled')""",
)
MAIL = "CREATE TABLE mail_mail (id int, state varchar, failure_reason text)"
MAILS = "SELECT string_agg(concat_ws(' ', id, state, failure_reason), '; ' ORDER BY id) FROM mail_mail"
PROVIDERS = "SELECT string_agg(state, ' ' ORDER BY id) FROM payment_provider"
URLS = "SELECT string_agg(coalesce(webhook_url, 'none'), ' ' ORDER BY id) FROM ir_act_server"
JOBS = "SELECT string_agg(state, ' ' ORDER BY id) FROM queue_job"
PARAMETERS = "SELECT count(*) FROM ir_config_parameter"


@pytest.fixture(scope="module")
def server(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))


@pytest.fixture
def place(server: DatabaseServer) -> Iterator[Place]:
    """A site whose database `shop` has what every Odoo has."""
    server.execute("postgres", "CREATE DATABASE shop")
    server.execute("shop", *TABLES)
    yield Place(server.site, server.sql, None, {}, {}, {})  # type: ignore[arg-type]
    server.execute("postgres", "DROP DATABASE shop WITH (FORCE)")


def test_payments_webhooks_and_jobs_are_held_until_their_release(server: DatabaseServer, place: Place) -> None:
    server.execute("shop", *MODULES)
    before = [server.one("shop", query) for query in (PROVIDERS, URLS, JOBS, PARAMETERS)]
    held = contain.hold("odoo", "shop", place)
    assert {"payment_provider:1,4", "webhook:5,8", "queue_job:4"} <= {*held.actions}
    assert server.one("shop", PROVIDERS) == "disabled test disabled disabled"
    assert server.one("shop", URLS) == "http://invalid/ https://old.example/ none http://invalid/"
    assert server.one("shop", JOBS) == "cancelled cancelled cancelled cancelled done failed cancelled"
    assert contain.hold("odoo", "shop", place) == held, "a second call must return the same actions"
    assert contain.release("shop", place, held) == ()
    assert [server.one("shop", query) for query in (PROVIDERS, URLS, JOBS, PARAMETERS)] == before
    assert contain.release("shop", place, held) == (), "a release can be repeated"
    assert [server.one("shop", query) for query in (PROVIDERS, URLS, JOBS, PARAMETERS)] == before


def test_what_began_since_is_held_by_a_second_call_and_given_back(server: DatabaseServer, place: Place) -> None:
    server.execute("shop", *MODULES)
    contain.hold("odoo", "shop", place)
    server.execute(
        "shop",
        "INSERT INTO ir_act_server VALUES (9, 'webhook', 'https://three.example/')",
        "INSERT INTO queue_job VALUES (8, 'pending')",
    )
    held = contain.hold("odoo", "shop", place)
    assert {"webhook:5,8,9", "queue_job:5"} <= {*held.actions}
    assert contain.release("shop", place, held) == ()
    assert str(server.one("shop", URLS)).endswith(" none https://two.example/ https://three.example/")
    assert server.one("shop", JOBS) == "pending enqueued started wait_dependencies done failed cancelled pending"


def test_what_was_changed_since_stays_and_what_was_removed_is_named(server: DatabaseServer, place: Place) -> None:
    server.execute("shop", *MODULES)
    held = contain.hold("odoo", "shop", place)
    server.execute(
        "shop",
        "UPDATE payment_provider SET state = 'test' WHERE id = 1",
        "UPDATE ir_act_server SET webhook_url = 'https://new.example/' WHERE id = 5",
        "UPDATE queue_job SET state = 'done' WHERE id = 1",
        "DELETE FROM payment_provider WHERE id = 4",
        "DELETE FROM ir_act_server WHERE id = 8",
        "DELETE FROM queue_job WHERE id IN (2, 3)",
    )
    (line,) = contain.release("shop", place, held)
    assert "database shop: payment_provider 4, webhook 8, 2 of queue_job was removed since" in line
    assert server.one("shop", PROVIDERS) == "test test disabled"
    assert server.one("shop", URLS) == "https://new.example/ https://old.example/ none"
    assert server.one("shop", JOBS) == "done wait_dependencies done failed cancelled"


def test_tables_that_a_module_drops_or_lacks_are_passed_over(server: DatabaseServer, place: Place) -> None:
    server.execute("shop", *MODULES, "ALTER TABLE ir_act_server DROP COLUMN webhook_url")
    held = contain.hold("odoo", "shop", place)
    assert not [action for action in held.actions if action.startswith("webhook")]
    server.execute("shop", "DROP TABLE payment_provider")
    (line,) = contain.release("shop", place, held)
    assert "payment_provider 1, payment_provider 4 was removed since" in line
    assert str(server.one("shop", JOBS)).startswith("pending enqueued started wait_dependencies ")


def test_mail_that_could_not_be_sent_meanwhile_is_sent_once(server: DatabaseServer, place: Place) -> None:
    server.execute("shop", MAIL, "INSERT INTO mail_mail VALUES (3, 'exception', 'no such host'), (4, 'outgoing', NULL)")
    held = contain.hold("odoo", "shop", place)
    server.execute(
        "shop",
        "INSERT INTO mail_mail VALUES (5, 'exception', 'no connection'), (6, 'cancel', 'by hand'),"
        " (7, 'outgoing', NULL), (8, 'exception', NULL)",
    )
    assert contain.hold("odoo", "shop", place) == held, "mail since the first call counts"
    said = "database shop: 2 mails that could not be sent while it was contained are in its queue again"
    assert contain.release("shop", place, held) == (said,)
    assert server.one("shop", MAILS) == (
        "3 exception no such host; 4 outgoing; 5 outgoing; 6 cancel by hand; 7 outgoing; 8 outgoing"
    )
    server.execute("shop", "UPDATE mail_mail SET state = 'exception' WHERE id = 5")
    assert contain.release("shop", place, held) == (), "what failed after the release is Odoo's"
    assert str(server.one("shop", MAILS)).count("exception") == 2


def test_an_odoo_that_never_sent_mail_sends_its_first(server: DatabaseServer, place: Place) -> None:
    server.execute("shop", MAIL)
    held = contain.hold("odoo", "shop", place)
    assert "newest_mail:0" in held.actions
    server.execute("shop", "INSERT INTO mail_mail VALUES (1, 'exception', 'no connection')")
    (line,) = contain.release("shop", place, held)
    assert " 1 mails " in line


@pytest.mark.parametrize(
    ("table", "column", "said"),
    [
        ("payment_provider", "state", "payment_provider 1,4 still active"),
        ("ir_act_server", "webhook_url", "ir_act_server 5,8 still active"),
        ("queue_job", "state", "queue_job 1,2,3,4 still active"),
    ],
)
def test_a_copy_that_undoes_it_is_not_contained(
    server: DatabaseServer, place: Place, table: str, column: str, said: str
) -> None:
    server.execute(
        "shop",
        *MODULES,
        f"CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN NEW.{column} := OLD.{column}; RETURN NEW; END'",
        f"CREATE TRIGGER again BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION again()",
    )
    with pytest.raises(HarnessError, match=said):
        contain.hold("odoo", "shop", place)
    assert server.one("shop", PROVIDERS) == "enabled test disabled enabled"
    assert server.one("shop", PARAMETERS) == 0

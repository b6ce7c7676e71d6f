"""The notification service on a real database server and a real object store."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import psycopg
import pytest
import requests

from harness.alerts.receiver import Receiver
from harness.core.clock import SYSTEM, wait_until
from harness.core.node import Ready
from harness.core.service import Answer, Place
from harness.postgres.server import connect
from harness.services.notification.client import Client, Message
from harness.substrate.embedded.node import ProcessNode
from harness.vault import read_text_secret
from tests.servers import DatabaseServer, Store
from tests.services.doors import DirectDoor, ask
from tests.services.notification.conftest import Launch

pytestmark = pytest.mark.programs


def message(reference: str, content: bytes | None = None) -> dict[str, object]:
    row: dict[str, object] = {"reference": reference, "to": "a@shop.test", "subject": "s", "body": "b"}
    if content is not None:
        row["attachment"] = {"name": "invoice.pdf", "content_base64": base64.b64encode(content).decode()}
    return row


def post(node: ProcessNode, row: object) -> Answer:
    return ask(node, "POST", "/messages", row)


def rows(place: Place, query: str) -> list[tuple[object, ...]]:
    with connect(place.sql, "notification") as connection:
        return connection.execute(query).fetchall()


def until(probe: Callable[[], None], patience: float = 15.0) -> None:
    wait_until(probe, patience=patience, on=AssertionError, what="the condition of the test")


def delivered(receiver: Receiver, reference: str) -> Callable[[], None]:
    def probe() -> None:
        assert receiver.seen(reference), f"{reference} is not delivered"

    return probe


def test_a_message_is_delivered_with_the_key_of_its_acceptance(
    service: ProcessNode, receiver: Receiver, door: DirectDoor
) -> None:
    answer = post(service, message("one"))
    assert answer.status == 202
    until(delivered(receiver, "one"))
    (delivery,) = receiver.seen("one")
    assert delivery.key in answer.body.decode()

    def marked() -> None:
        assert Client(door, {}).outbox("one").messages == (Message("one", delivery.key, delivered=True),)

    door.key = ""
    until(marked)


def test_a_repeated_reference_is_the_same_message(service: ProcessNode, seeded: Place) -> None:
    first, again = post(service, message("one")), post(service, message("one"))
    assert (first.status, again.status) == (202, 200)
    assert first.body == again.body
    assert rows(seeded, "SELECT count(*) FROM outbox WHERE reference = 'one'") == [(1,)]


def test_an_accepted_message_survives_a_crash(
    service: ProcessNode, receiver: Receiver, seeded: Place, launch: Launch
) -> None:
    with receiver.away():
        accepted = post(service, message("one", b"file"))
        service.kill()
    assert accepted.status == 202
    assert not receiver.seen("one")
    after = launch(seeded)
    until(delivered(receiver, "one"))
    assert receiver.seen("one")[0].key in accepted.body.decode()
    assert ask(after, "GET", "/messages/one/attachment").body == b"file"


def test_a_repeated_delivery_has_the_same_key(
    service: ProcessNode, receiver: Receiver, seeded: Place, launch: Launch
) -> None:
    post(service, message("one"))
    until(delivered(receiver, "one"))
    service.kill()
    # As after a restore, when the message was delivered after the snapshot.
    with connect(seeded.sql, "notification") as connection:
        connection.execute("UPDATE outbox SET delivered_at = NULL WHERE reference = 'one'")
    launch(seeded)

    def twice() -> None:
        assert len(receiver.seen("one")) == 2

    until(twice)
    first, second = receiver.seen("one")
    assert first.key == second.key
    assert first.key in receiver.repeats()


def test_a_message_whose_attachment_cannot_be_stored_is_refused(
    service: ProcessNode, seeded: Place, store: Store
) -> None:
    store.node.kill()
    try:
        refused = post(service, message("one", b"file"))
        plain = post(service, message("two"))
        ready = ask(service, "GET", "/ready")
        assert rows(seeded, "SELECT reference FROM outbox WHERE reference IN ('one', 'two')") == [("two",)]
    finally:
        store.node.start()

    def accepted() -> None:
        try:
            assert post(service, message("one", b"file")).status == 202
        except requests.Timeout:  # a store that was killed lists its buckets before it takes an object
            raise AssertionError("the service still waits for its store") from None

    until(accepted, patience=60)
    assert (refused.status, ready.status) == (503, 503)
    assert refused.body.startswith(b"object store: ")
    assert b"\n" not in refused.body
    assert b"object store" in ready.body
    assert b"database" not in ready.body
    assert plain.status == 202


def test_messages_are_queued_while_the_target_is_down(service: ProcessNode, receiver: Receiver, seeded: Place) -> None:
    with receiver.away():
        for number in range(20):
            assert post(service, message(f"queued-{number}")).status == 202

        def tried() -> None:
            assert rows(seeded, "SELECT 1 FROM outbox WHERE attempts > 0")

        until(tried)
    for number in range(20):
        until(delivered(receiver, f"queued-{number}"))
    assert receiver.repeats() == ()


def test_a_backlog_is_delivered_in_order(seeded: Place, launch: Launch, receiver: Receiver) -> None:
    with connect(seeded.sql, "notification") as connection:
        connection.execute(
            "INSERT INTO outbox (reference, recipient, subject, body, attempts) "
            "SELECT 'ledger-' || n, 'a@shop.test', 's', 'b', 300 - n FROM generate_series(1, 300) n"
        )  # one that failed before is not overtaken: as long as new ones came, it was never tried again
    launch(seeded)
    until(delivered(receiver, "ledger-300"), patience=45)  # 3 s on an idle machine, 60 s with one message a poll
    mine = [d for d in receiver.deliveries if d.reference.startswith("ledger-")]
    assert [d.reference for d in mine] == [f"ledger-{n}" for n in range(1, 301)]


def test_ten_thousand_messages_are_listed(seeded: Place, launch: Launch) -> None:
    with connect(seeded.sql, "notification") as connection:
        connection.execute(
            "INSERT INTO outbox (reference, recipient, subject, body, delivered_at) "
            "SELECT 'ledger-' || n, 'a@shop.test', 's', 'b', now() FROM generate_series(1, 10000) n"
        )
    door = DirectDoor(launch(seeded), "/notify")
    found = Client(door, {}).outbox("ledger-")
    assert [m.reference for m in found.messages] == [f"ledger-{n}" for n in range(1, 10001)]


def test_delivery_is_on_hold_while_the_control_table_says_so(seeded: Place, launch: Launch, receiver: Receiver) -> None:
    with connect(seeded.sql, "notification") as connection:
        connection.execute("INSERT INTO control VALUES ('delivery', 'held')")
        node = launch(seeded)
        assert post(node, message("one")).status == 202
        assert Client(DirectDoor(node, "/notify"), {}).outbox("").held
        with pytest.raises(AssertionError, match="is not delivered"):
            delivered_within(receiver, "one", 0.6)
        assert receiver.deliveries == ()
        connection.execute("DELETE FROM control")
    until(delivered(receiver, "one"))


def delivered_within(receiver: Receiver, reference: str, seconds: float) -> None:
    SYSTEM.sleep(seconds)
    delivered(receiver, reference)()


def test_a_missing_or_altered_attachment_is_not_served(service: ProcessNode, seeded: Place) -> None:
    post(service, message("one", b"file"))
    good = ask(service, "GET", "/messages/one/attachment")
    digest = base64.b64encode(hashlib.sha256(b"file").digest()).decode()
    assert (good.status, good.body, good.headers["repr-digest"]) == (200, b"file", f"sha-256=:{digest}:")
    with connect(seeded.sql, "notification") as connection:
        connection.execute("UPDATE outbox SET attachment_sha256 = repeat('0', 64) WHERE reference = 'one'")
        altered = ask(service, "GET", "/messages/one/attachment")
        connection.execute("UPDATE outbox SET attachment_key = 'attachments/gone' WHERE reference = 'one'")
        missing = ask(service, "GET", "/messages/one/attachment")
    assert (altered.status, missing.status) == (502, 502)
    assert b"SHA-256 differs" in altered.body
    assert missing.body == b"notifications/attachments/gone: the object is missing"
    assert ask(service, "GET", "/messages/none/attachment").status == 404


def test_the_service_survives_a_restart_of_its_database(
    service: ProcessNode, receiver: Receiver, database: DatabaseServer
) -> None:
    assert post(service, message("before")).status == 202
    database.node.kill()
    try:
        refused, ready = post(service, message("during")), ask(service, "GET", "/ready")
    finally:
        database.node.start()
    assert (refused.status, ready.status) == (503, 503)
    assert refused.body.startswith(b"database: ")
    assert b"object store" not in ready.body
    assert post(service, message("after")).status == 202
    until(delivered(receiver, "after"))
    assert service.alive


def test_sigterm_ends_it_with_exit_code_0_and_no_secret_is_logged(
    service: ProcessNode, secrets: Mapping[str, str]
) -> None:
    post(service, b"{")
    assert service.child is not None
    service.child.terminate()
    assert service.child.wait(20) == 0
    assert not any(read_text_secret(reference) in service.log.read_text() for reference in secrets.values())


def test_bad_input_is_refused_in_one_line(service: ProcessNode) -> None:
    for bad, expected in (
        (b"{", "the body is not JSON"),
        ({"reference": "x"}, "to: is missing"),
        (message("a/b"), "reference: must start with a letter"),
        ({**message("x"), "cc": "y"}, "unknown field 'cc'"),
    ):
        answer = post(service, bad)
        text = answer.body.decode()
        assert (answer.status, text.startswith(expected), "\n" in text) == (400, True, False), text


def test_an_invalid_target_ends_the_service_without_logging_it(seeded: Place, launch: Launch) -> None:
    place = replace(seeded, sinks={"notifications": "nosuch://user:hunter2@host"})
    node = launch(place, Ready(argv=("true",)))
    assert node.child is not None
    assert node.child.wait(20) == 2
    log = node.log.read_text()
    assert "NOTIFIER_TARGET" in log
    assert "hunter2" not in log


def test_the_role_owns_the_schema(seeded: Place) -> None:
    owners = rows(seeded, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [("notification",)]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(
            host=seeded.sql.outside.host,
            port=seeded.sql.outside.port,
            dbname="notification",
            user="notification",
            password="wrong",
        )

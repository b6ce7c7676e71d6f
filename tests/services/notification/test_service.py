"""The notification service itself, real, on a real database and a real object store."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from harness.alerts.receiver import Receiver
from harness.core.clock import SYSTEM, wait_until
from harness.core.node import Address
from harness.core.service import S3, Answer, Place, Sql
from harness.postgres.server import connect
from harness.services.notification.client import Client, Message
from tests.services.notification.local import Door, LocalNode, Pipe, Process, ask

pytestmark = pytest.mark.programs

Launch = Callable[[Place], LocalNode]


def at(node: LocalNode) -> Address:
    return node.endpoint("http").outside


def message(reference: str, content: bytes | None = None) -> dict[str, object]:
    row: dict[str, object] = {"reference": reference, "to": "a@shop.test", "subject": "s", "body": "b"}
    if content is not None:
        row["attachment"] = {"name": "invoice.pdf", "content_base64": base64.b64encode(content).decode()}
    return row


def post(node: LocalNode, row: object) -> Answer:
    return ask(at(node), "POST", "/messages", row)


def rows(place: Place, query: str) -> list[tuple[object, ...]]:
    with connect(place.sql, "notification") as connection:
        return connection.execute(query).fetchall()


def until(probe: Callable[[], None], patience: float = 15.0) -> None:
    wait_until(probe, patience=patience, on=AssertionError, what="what the test waits for")


def has_come(receiver: Receiver, reference: str) -> Callable[[], None]:
    def probe() -> None:
        assert receiver.seen(reference), f"{reference} has not come"

    return probe


def test_a_message_is_delivered_under_the_key_it_was_accepted_under(
    service: LocalNode, receiver: Receiver, door: Door
) -> None:
    answer = post(service, message("one"))
    assert answer.status == 202
    until(has_come(receiver, "one"))
    (delivery,) = receiver.seen("one")
    assert delivery.key in answer.body.decode()

    def marked() -> None:
        assert Client(door, {}).outbox("one").messages == (Message("one", delivery.key, delivered=True),)

    door.expected = ""
    until(marked)


def test_the_same_reference_again_is_the_same_message(service: LocalNode, seeded: Place) -> None:
    first, again = post(service, message("one")), post(service, message("one"))
    assert (first.status, again.status) == (202, 200)
    assert first.body == again.body
    assert rows(seeded, "SELECT count(*) FROM outbox WHERE reference = 'one'") == [(1,)]


def test_accepted_is_durable(service: LocalNode, receiver: Receiver, seeded: Place, launch: Launch) -> None:
    with receiver.away():
        accepted = post(service, message("one", b"file"))
        service.kill()
    assert accepted.status == 202
    assert not receiver.seen("one")
    after = launch(seeded)
    until(has_come(receiver, "one"))
    assert receiver.seen("one")[0].key in accepted.body.decode()
    assert ask(at(after), "GET", "/messages/one/attachment").body == b"file"


def test_a_repeat_carries_the_same_key(service: LocalNode, receiver: Receiver, seeded: Place, launch: Launch) -> None:
    post(service, message("one"))
    until(has_come(receiver, "one"))
    service.kill()
    # What a restore does to a row that was delivered after the snapshot.
    with connect(seeded.sql, "notification") as connection:
        connection.execute("UPDATE outbox SET delivered_at = NULL WHERE reference = 'one'")
    launch(seeded)

    def twice() -> None:
        assert len(receiver.seen("one")) == 2

    until(twice)
    first, second = receiver.seen("one")
    assert first.key == second.key
    assert first.key in receiver.repeats()


def test_no_row_without_its_attachment(seeded: Place, launch: Launch) -> None:
    with Pipe(seeded.s3.outside) as pipe:
        service = launch(replace(seeded, s3=replace(seeded.s3, inside=pipe.address)))
        pipe.shut()
        refused = post(service, message("one", b"file"))
        plain = post(service, message("two"))
        ready = ask(at(service), "GET", "/ready")
        assert rows(seeded, "SELECT reference FROM outbox WHERE reference IN ('one', 'two')") == [("two",)]
        pipe.open = True
        again = post(service, message("one", b"file"))
    assert (refused.status, ready.status) == (503, 503)
    assert refused.body.startswith(b"object store: ")
    assert b"\n" not in refused.body
    assert b"object store" in ready.body
    assert b"database" not in ready.body
    assert plain.status == 202
    assert again.status == 202


def test_messages_wait_for_a_target_that_is_away(service: LocalNode, receiver: Receiver, seeded: Place) -> None:
    with receiver.away():
        for number in range(20):
            assert post(service, message(f"queued-{number}")).status == 202

        def tried() -> None:
            assert rows(seeded, "SELECT 1 FROM outbox WHERE attempts > 0")

        until(tried)
    for number in range(20):
        until(has_come(receiver, f"queued-{number}"))
    assert receiver.repeats() == ()


def test_a_backlog_is_drained_in_order_at_more_than_fifty_a_second(
    seeded: Place, launch: Launch, receiver: Receiver
) -> None:
    with connect(seeded.sql, "notification") as connection:
        connection.execute(
            "INSERT INTO outbox (reference, recipient, subject, body) "
            "SELECT 'ledger-' || n, 'a@shop.test', 's', 'b' FROM generate_series(1, 300) n"
        )
    launch(seeded)
    until(has_come(receiver, "ledger-300"), patience=30)
    mine = [d for d in receiver.deliveries if d.reference.startswith("ledger-")]
    assert [d.reference for d in mine] == [f"ledger-{n}" for n in range(1, 301)]
    assert len(mine) / (mine[-1].at - mine[0].at) > 50


def test_ten_thousand_messages_are_listed_quickly(seeded: Place, launch: Launch) -> None:
    with connect(seeded.sql, "notification") as connection:
        connection.execute(
            "INSERT INTO outbox (reference, recipient, subject, body, delivered_at) "
            "SELECT 'ledger-' || n, 'a@shop.test', 's', 'b', now() FROM generate_series(1, 10000) n"
        )
    door = Door(at(launch(seeded)))
    begin = SYSTEM.monotonic()
    found = Client(door, {}).outbox("ledger-")
    took = SYSTEM.monotonic() - begin
    assert [m.reference for m in found.messages] == [f"ledger-{n}" for n in range(1, 10001)]
    assert took < 2


def test_delivery_is_held_while_control_says_so(seeded: Place, launch: Launch, receiver: Receiver) -> None:
    with connect(seeded.sql, "notification") as connection:
        connection.execute("INSERT INTO control VALUES ('delivery', 'held')")
        node = launch(seeded)
        assert post(node, message("one")).status == 202
        assert Client(Door(at(node)), {}).outbox("").held
        with pytest.raises(AssertionError, match="has not come"):
            has_come_within(receiver, "one", 0.6)
        assert receiver.deliveries == ()
        connection.execute("DELETE FROM control")
    until(has_come(receiver, "one"))


def has_come_within(receiver: Receiver, reference: str, seconds: float) -> None:
    SYSTEM.sleep(seconds)
    has_come(receiver, reference)()


def test_an_attachment_that_is_missing_or_altered_is_not_served(
    service: LocalNode, seeded: Place, store: tuple[Process, S3]
) -> None:
    post(service, message("one", b"file"))
    good = ask(at(service), "GET", "/messages/one/attachment")
    digest = base64.b64encode(hashlib.sha256(b"file").digest()).decode()
    assert (good.status, good.body, good.headers["repr-digest"]) == (200, b"file", f"sha-256=:{digest}:")
    with connect(seeded.sql, "notification") as connection:
        connection.execute("UPDATE outbox SET attachment_sha256 = repeat('0', 64) WHERE reference = 'one'")
        altered = ask(at(service), "GET", "/messages/one/attachment")
        connection.execute("UPDATE outbox SET attachment_key = 'attachments/gone' WHERE reference = 'one'")
        missing = ask(at(service), "GET", "/messages/one/attachment")
    assert (altered.status, missing.status) == (502, 502)
    assert b"SHA-256 differs" in altered.body
    assert missing.body == b"notifications/attachments/gone: the object is missing"
    assert ask(at(service), "GET", "/messages/none/attachment").status == 404


def test_the_service_outlives_a_restart_of_its_database(
    service: LocalNode, receiver: Receiver, postgres: tuple[Process, Sql]
) -> None:
    assert post(service, message("before")).status == 202
    server, _ = postgres
    server.stop_now()
    try:
        refused, ready = post(service, message("during")), ask(at(service), "GET", "/ready")
    finally:
        server.start()
    assert (refused.status, ready.status) == (503, 503)
    assert refused.body.startswith(b"database: ")
    assert b"object store" not in ready.body
    assert post(service, message("after")).status == 202
    until(has_come(receiver, "after"))
    assert service.alive


def test_sigterm_ends_it_cleanly_and_nothing_secret_was_logged(service: LocalNode, secrets: dict[str, str]) -> None:
    post(service, b"{")
    assert service.terminate() == 0
    for reference in secrets.values():
        with open(reference.removeprefix("file:")) as file:  # noqa: PTH123 - a reference, not a path
            assert file.read().strip() not in service.logged


def test_bad_input_is_refused_in_one_line(service: LocalNode) -> None:
    for bad, expected in (
        (b"{", "the body is not JSON"),
        ({"reference": "x"}, "to: is missing"),
        (message("a/b"), "reference: letters"),
        ({**message("x"), "cc": "y"}, "unknown field 'cc'"),
    ):
        answer = post(service, bad)
        text = answer.body.decode()
        assert (answer.status, text.startswith(expected), "\n" in text) == (400, True, False), text


def test_a_target_that_is_none_ends_it_without_showing_it(seeded: Place, launch: Launch) -> None:
    node = launch(replace(seeded, sinks={"notifications": "nosuch://user:hunter2@host"}))

    def ended() -> None:
        assert not node.alive

    until(ended)
    assert node.terminate() == 2
    assert "NOTIFIER_TARGET" in node.logged
    assert "hunter2" not in node.logged


def test_the_role_owns_its_schema_and_cannot_be_told_apart_from_one_made_by_the_service(seeded: Place) -> None:
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

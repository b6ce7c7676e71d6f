"""Key functions and containment of the notification service, and the finding of each failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from harness.alerts.receiver import Receiver
from harness.core.errors import Finding, HarnessError
from harness.core.service import Containable, KeyFunction, Place, Seedable, Service
from harness.postgres.server import connect
from harness.services.notification.app import Notification
from harness.services.notification.keys import key_functions
from harness.vault import read_text_secret
from tests.services.doors import DirectDoor
from tests.services.notification.conftest import Launch


def functions(secrets: Mapping[str, str], receiver: Receiver | None, patience: float = 10.0) -> Sequence[KeyFunction]:
    return key_functions("notification", secrets, receiver, patience)


def test_it_implements_the_protocols_of_a_service() -> None:
    service: Service = Notification("notification")
    assert isinstance(service, Containable)
    assert isinstance(service, Seedable)
    assert service.sources().databases == ("notification",)
    assert [o.bucket for o in service.sources().objects] == ["notifications"]


@pytest.mark.programs
def test_key_functions_pass_on_a_healthy_service(
    door: DirectDoor, secrets: Mapping[str, str], receiver: Receiver
) -> None:
    arrive, accept, read = functions(secrets, receiver)
    assert arrive.check(door) == "12 of 12 queued messages delivered"
    assert all(receiver.seen(f"example-{n}") for n in range(1, 13))
    assert "accepted under" in accept.check(door)
    assert read.check(door) == f"attachments read and compared, {3 * 32768} bytes"
    assert {f.message for f in (arrive, accept, read)} == {"2.8"}


@pytest.mark.programs
def test_each_key_function_fails_with_its_reason(
    seeded: Place, launch: Launch, secrets: Mapping[str, str], receiver: Receiver
) -> None:
    arrive, accept, read = functions(secrets, receiver, patience=0.5)
    with receiver.away(), connect(seeded.sql, "notification") as connection:
        door = DirectDoor(launch(seeded), "/notify")
        with pytest.raises(Finding, match="12 of 12 are not delivered, example-1 first"):
            arrive.check(door)
        connection.execute("UPDATE outbox SET attachment_key = 'gone' WHERE reference = 'example-12'")
        with pytest.raises(Finding, match=r"example-12/attachment: answered 502: .*gone: the object is missing"):
            read.check(door)
        connection.execute("DELETE FROM outbox")
        with pytest.raises(Finding, match=r"queued messages example-\* are missing"):
            arrive.check(door)
        door.key = "another key"
        with pytest.raises(Finding, match="answered 401: no key"):
            accept.check(door)


@pytest.mark.programs
def test_reversible_containment_holds_delivery_until_release(
    seeded: Place, launch: Launch, secrets: Mapping[str, str], receiver: Receiver
) -> None:
    service = Notification()
    assert "nothing to hold" in service.contain(seeded, "disposable").actions[0]
    held = service.contain(seeded, "reversible")
    door = DirectDoor(launch(seeded), "/notify")
    arrive, accept, _ = functions(secrets, None, patience=10)
    assert arrive.check(door) == "0 of 12 queued messages delivered; 12 queued, on hold until release"
    accept.check(door)
    assert receiver.deliveries == ()
    with pytest.raises(Finding, match="delivery is on hold"):
        functions(secrets, receiver, patience=0.3)[0].check(door)
    # A hold from before the backup is the operator's, and must not be released.
    again = service.contain(seeded, "reversible")
    service.release(seeded, again)
    assert receiver.deliveries == ()
    service.release(seeded, held)
    assert functions(secrets, receiver)[0].check(door) == "12 of 12 queued messages delivered"


@pytest.mark.programs
def test_seeding_twice_changes_nothing(seeded: Place) -> None:
    query = "SELECT id, reference, idempotency_key, delivered_at, attachment_sha256 FROM outbox ORDER BY id"
    with connect(seeded.sql, "notification") as connection:
        before = connection.execute(query).fetchall()
        Notification().seed(seeded)
        assert connection.execute(query).fetchall() == before
    assert len(before) == 12


@pytest.mark.programs
def test_a_missing_sink_secret_or_database_is_named(place: Place) -> None:
    with pytest.raises(HarnessError, match="no sink 'notifications'"):
        Notification().nodes(replace(place, sinks={}))
    with pytest.raises(HarnessError, match="no secret 'notification-db'"):
        Notification().nodes(replace(place, secrets={}))
    with pytest.raises(HarnessError, match='database "notification" does not exist'):
        Notification().contain(place, "reversible")


@pytest.mark.programs
def test_the_node_specification_contains_no_secret(place: Place, secrets: Mapping[str, str]) -> None:
    (spec,) = Notification().nodes(place)
    assert not any(read_text_secret(reference) in repr(spec) for reference in secrets.values())

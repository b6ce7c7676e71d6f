"""Key functions and containment, by the real service; what each says when the promise is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from harness.alerts.receiver import Receiver
from harness.core.errors import Finding, HarnessError
from harness.core.service import Containable, KeyFunction, Place, Seedable, Service
from harness.postgres.server import connect
from harness.services.notification.app import Notification
from harness.services.notification.keys import key_functions
from tests.services.notification.local import Door, LocalNode

Launch = Callable[[Place], LocalNode]


def functions(secrets: dict[str, str], receiver: Receiver | None, patience: float = 10.0) -> Sequence[KeyFunction]:
    return key_functions("notification", secrets, receiver, patience)


def test_it_is_a_service_that_can_be_contained_and_seeded() -> None:
    service: Service = Notification("notification")
    assert isinstance(service, Containable)
    assert isinstance(service, Seedable)
    assert service.sources().databases == ("notification",)
    assert [o.bucket for o in service.sources().objects] == ["notifications"]


@pytest.mark.programs
def test_all_three_pass_on_a_healthy_service(door: Door, secrets: dict[str, str], receiver: Receiver) -> None:
    arrive, accept, read = functions(secrets, receiver)
    assert arrive.check(door) == "12 of 12 queued messages delivered"
    assert all(receiver.seen(f"example-{n}") for n in range(1, 13))
    assert "accepted under" in accept.check(door)
    assert read.check(door) == f"attachments read and compared, {3 * 32768} bytes"
    assert {f.message for f in (arrive, accept, read)} == {"2.8"}


@pytest.mark.programs
def test_each_fails_with_its_reason(seeded: Place, launch: Launch, secrets: dict[str, str], receiver: Receiver) -> None:
    arrive, accept, read = functions(secrets, receiver, patience=0.5)
    with receiver.away(), connect(seeded.sql, "notification") as connection:
        door = Door(launch(seeded).endpoint("http").outside)
        with pytest.raises(Finding, match="12 of 12 are missing, example-1 first"):
            arrive.check(door)
        connection.execute("UPDATE outbox SET attachment_key = 'gone' WHERE reference = 'example-12'")
        with pytest.raises(Finding, match=r"example-12/attachment: answered 502: .*gone: the object is missing"):
            read.check(door)
        connection.execute("DELETE FROM outbox")
        with pytest.raises(Finding, match=r"none of the queued messages example-\* is there"):
            arrive.check(door)
        door.expected = "another key"
        with pytest.raises(Finding, match="answered 401: no key"):
            accept.check(door)


@pytest.mark.programs
def test_real_mode_holds_delivery_until_release(
    seeded: Place, launch: Launch, secrets: dict[str, str], receiver: Receiver
) -> None:
    service = Notification()
    assert "nothing to hold" in service.contain(seeded, "disposable").actions[0]
    held = service.contain(seeded, "reversible")
    door = Door(launch(seeded).endpoint("http").outside)
    arrive, accept, _ = functions(secrets, None, patience=10)
    assert arrive.check(door) == "0 of 12 queued messages delivered; 12 queued and held until release"
    accept.check(door)
    assert receiver.deliveries == ()
    with pytest.raises(Finding, match="delivery is held"):
        functions(secrets, receiver, patience=0.3)[0].check(door)
    # A hold that was there before is the operator's: it is not ours to let go.
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
def test_what_a_place_lacks_is_named(place: Place) -> None:
    with pytest.raises(HarnessError, match="no sink 'notifications'"):
        Notification().nodes(replace(place, sinks={}))
    with pytest.raises(HarnessError, match="no secret 'notification-db'"):
        Notification().nodes(replace(place, secrets={}))
    with pytest.raises(HarnessError, match='database "notification" does not exist'):
        Notification().contain(place, "reversible")


@pytest.mark.programs
def test_no_secret_stands_in_the_specification(place: Place, secrets: dict[str, str]) -> None:
    (spec,) = Notification().nodes(place)
    for reference in secrets.values():
        with open(reference.removeprefix("file:")) as file:  # noqa: PTH123 - a reference, not a path
            assert file.read().strip() not in repr(spec)

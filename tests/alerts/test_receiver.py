from __future__ import annotations

import pytest
import requests

from harness.alerts.receiver import Receiver
from harness.core.clock import SYSTEM
from notifier.sender import send


def address(receiver: Receiver) -> str:
    return receiver.url.replace("json://", "http://")


def test_deliveries_are_recorded_in_order_and_repeats_listed() -> None:
    with Receiver() as receiver:
        before = SYSTEM.monotonic()
        for key, reference in (("k1", "one"), ("k2", "two"), ("k1", "one")):
            assert send(receiver.url, key, reference, "body")
        assert [(d.key, d.reference) for d in receiver.deliveries] == [("k1", "one"), ("k2", "two"), ("k1", "one")]
        assert [len(receiver.seen(reference)) for reference in ("one", "two", "three")] == [2, 1, 0]
        assert receiver.repeats() == ("k1",)
        times = [before, *(d.at for d in receiver.deliveries), SYSTEM.monotonic()]
        assert times == sorted(times)


def test_an_unavailable_receiver_refuses_deliveries() -> None:
    with Receiver() as receiver:
        with receiver.away():
            assert not send(receiver.url, "k1", "one", "body")
        assert receiver.deliveries == ()
        assert send(receiver.url, "k1", "one", "body")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"title": 1}'])
def test_a_malformed_delivery_is_refused(body: bytes) -> None:
    with Receiver() as receiver:
        assert receiver.take({"idempotency-key": "key"}, body) == 400
        assert receiver.take({}, b'{"title": "one"}') == 400
        assert requests.post(address(receiver), data=body or b"x", timeout=5).status_code == 400
        assert receiver.deliveries == ()


def test_the_port_is_closed_afterwards() -> None:
    with Receiver() as receiver:
        where = address(receiver)
    with pytest.raises(OSError, match="refused"):
        requests.get(where, timeout=1)

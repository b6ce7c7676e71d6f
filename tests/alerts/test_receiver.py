from __future__ import annotations

import urllib.request

import pytest

from harness.alerts.receiver import Receiver
from harness.core.clock import SYSTEM
from harness.core.node import Address
from notifier.sender import send
from tests.services.notification.local import ask


def address(receiver: Receiver) -> Address:
    host, _, port = receiver.url.removeprefix("json://").removesuffix("/customers").partition(":")
    return Address(host, int(port))


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


def test_a_receiver_that_is_away_refuses_deliveries() -> None:
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
        assert ask(address(receiver), "POST", "/", body or b"x").status == 400
        assert receiver.deliveries == ()


def test_the_port_is_closed_afterwards() -> None:
    with Receiver() as receiver:
        where = address(receiver)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{where}/", timeout=1)

from __future__ import annotations

import pytest

from notifier.delivery import FIRST_PAUSE, LONGEST_PAUSE, backoff, text_of
from notifier.outbox import Waiting
from notifier.sender import address, sender


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("json://host:80/x", "json://host:80/x?+Idempotency-Key=k"),
        ("jsons://host/x?rto=2", "jsons://host/x?rto=2&+Idempotency-Key=k"),
        ("mailto://user:password@host", "mailto://user:password@host"),
    ],
)
def test_the_key_is_a_header_if_the_target_has_headers(target: str, expected: str) -> None:
    assert address(target, "k") == expected


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # of apprise, at its first use
def test_every_url_of_apprise_is_a_target() -> None:
    assert sender("mailto://user:password@host.test", "k") is not None
    assert sender("nosuch://host", "k") is None
    assert sender("json://", "k") is None


def test_the_text_has_key_and_attachment() -> None:
    text = text_of(Waiting(1, "r", "a@shop.test", "s", "the body", "attachments/ff/a.pdf", "ff", "the-key", 0))
    assert text.splitlines() == [
        "To: a@shop.test",
        "Subject: s",
        "Idempotency-Key: the-key",
        "Attachment: a.pdf sha256=ff",
        "",
        "the body",
    ]


def test_the_backoff_is_exponential_and_limited() -> None:
    pauses = [backoff(FIRST_PAUSE, LONGEST_PAUSE, failures) for failures in range(2000)]
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE

"""Key functions of the notification service on answers that are wrong, each a finding."""

from __future__ import annotations

import json as codec
from collections.abc import Callable
from typing import Any

import pytest

from harness.core.errors import Finding
from harness.core.service import Answer
from harness.services.notification.client import Client, parse_outbox
from harness.services.notification.example import PREFIX, attachment
from harness.services.notification.keys import (
    attachment_can_be_read,
    new_message_is_accepted,
    queued_messages_arrive,
)


class Door:
    """A public door with given answers: the statuses of messages that are sent, the list, an attachment."""

    def __init__(self, posts: tuple[Answer, ...] = (), numbers: tuple[int, ...] = (), file: Answer | None = None):
        self.posts, self.numbers, self.file = list(posts), numbers, file

    def request(self, method: str, path: str, **_more: Any) -> Answer:
        if method == "POST":
            return self.posts.pop(0)
        if path.endswith("/attachment"):
            number = int(path.split("/")[-2].removeprefix(PREFIX))
            return self.file or Answer(200, attachment(number) or b"", {})
        rows = [{"reference": f"{PREFIX}{n}", "idempotency_key": "k", "delivered": True} for n in self.numbers]
        return Answer(200, codec.dumps({"messages": rows, "delivery": "on"}).encode(), {})


def taken(status: int, key: str = "k") -> Answer:
    return Answer(status, codec.dumps({"idempotency_key": key}).encode(), {})


def client(**more: Any) -> Client:
    return Client(Door(**more), {})


def arrive(known: Client) -> str:
    return queued_messages_arrive(known, None, 0.01)


def test_right_answers_pass() -> None:
    assert new_message_is_accepted(client(posts=(taken(202), taken(200)))).endswith("accepted under k")
    assert attachment_can_be_read(client(numbers=(1, 2, 3))).startswith("attachments read and compared")
    assert arrive(client(numbers=(1, 2))) == "2 of 2 queued messages delivered"


@pytest.mark.parametrize(
    ("check", "known", "said"),
    [
        (new_message_is_accepted, client(posts=(taken(507), taken(200))), "answered 507"),
        (new_message_is_accepted, client(posts=(taken(202), taken(202))), "sent again: answered 202"),
        (new_message_is_accepted, client(posts=(taken(202), taken(200, "other"))), "sent again: answered 200"),
        (arrive, client(), r"queued messages .* are missing"),
        (attachment_can_be_read, client(), "with attachments are missing"),
        (attachment_can_be_read, client(numbers=(1,), file=Answer(404, b"no file", {})), "answered 404: no file"),
        (attachment_can_be_read, client(numbers=(1,), file=Answer(200, b"x", {})), "1 bytes differ from what was"),
    ],
)
def test_a_wrong_answer_is_a_finding(check: Callable[[Client], str], known: Client, said: str) -> None:
    with pytest.raises(Finding, match=said):
        check(known)


def test_an_error_with_a_list_of_messages_is_a_finding() -> None:
    listed = client(numbers=(1,)).door.request("GET", "/messages")
    assert parse_outbox(listed, "/messages").messages[0].delivered
    with pytest.raises(Finding, match="GET /messages: answered 500"):
        parse_outbox(Answer(500, listed.body, {}), "/messages")


def test_an_error_with_the_right_bytes_is_a_finding() -> None:
    """An answer 500 whose body is the attachment is no attachment."""
    with pytest.raises(Finding, match="answered 500"):
        attachment_can_be_read(client(numbers=(1,), file=Answer(500, attachment(1), {})))

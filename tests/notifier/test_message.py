from __future__ import annotations

import base64
import hashlib
import json

import pytest

from notifier.errors import BadMessage
from notifier.message import parse

GOOD = {"reference": "ledger-1", "to": "a@shop.test", "subject": "", "body": "häuser"}


def with_file(**changes: object) -> dict[str, object]:
    return {**GOOD, "attachment": {"name": "a.pdf", "content_base64": "aGk=", **changes}}


def test_a_message_is_parsed_unchanged() -> None:
    message = parse(json.dumps(with_file()).encode())
    assert (message.reference, message.recipient, message.body) == ("ledger-1", "a@shop.test", "häuser")
    assert message.attachment is not None
    assert message.attachment.content == b"hi"
    assert message.attachment.key == f"attachments/{hashlib.sha256(b'hi').hexdigest()}/a.pdf"


def test_an_attachment_is_optional() -> None:
    assert parse(json.dumps({**GOOD, "attachment": None}).encode()).attachment is None
    assert parse(json.dumps(GOOD).encode()).attachment is None


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ([], "the body is not a JSON object"),
        ({**GOOD, "cc": "x"}, "unknown field 'cc'"),
        ({**GOOD, "to": None}, "to: is missing"),
        ({**GOOD, "to": " "}, "to: is empty"),
        ({**GOOD, "body": 3}, "body: is not text"),
        ({**GOOD, "body": "a\0b"}, "body: contains a NUL character"),
        ({**GOOD, "body": "\ud800"}, "body: contains a lone surrogate"),
        ({**GOOD, "reference": ""}, "reference: must start with a letter"),
        ({**GOOD, "reference": "../x"}, "reference: must start with a letter"),
        ({**GOOD, "reference": "x" * 201}, "reference: must start with a letter"),
        ({**GOOD, "attachment": "x"}, "attachment: must have name and content_base64"),
        (with_file(more=1), "attachment: must have name and content_base64"),
        (with_file(name="../a"), "attachment.name: must be a plain file name"),
        (with_file(name=".."), "attachment.name: must be a plain file name"),
        (with_file(name=""), "attachment.name: must be a plain file name"),
        (with_file(name="a\nb"), "attachment.name: must be a plain file name"),
        (with_file(content_base64="a"), "attachment.content_base64: is not base64"),
        (with_file(content_base64="häuser"), "attachment.content_base64: is not base64"),
    ],
)
def test_an_invalid_message_is_refused_in_one_line(row: object, line: str) -> None:
    with pytest.raises(BadMessage) as caught:
        parse(json.dumps(row).encode())
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", base64.b64encode(b"x")])
def test_a_body_that_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage, match="the body is not JSON"):
        parse(data)

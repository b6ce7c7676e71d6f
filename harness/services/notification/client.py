"""Client of the notification API, through the public front door with the gateway's key."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from harness.core.errors import Finding
from harness.core.service import Answer, PublicDoor
from harness.patience import PATIENCE
from harness.traffic.door import basic_auth

PREFIX = "/notify"  # path of the service at the gateway
ACCEPTED, KNOWN = 202, 200
OK = 200


@dataclass(frozen=True, slots=True)
class Message:
    """One message in the service's list. `key`: its idempotency key."""

    reference: str
    key: str
    delivered: bool


@dataclass(frozen=True, slots=True)
class Outbox:
    """The service's list of messages. `held`: whether delivery is on hold."""

    messages: tuple[Message, ...]
    held: bool


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the notification API."""

    door: PublicDoor
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def open(cls, door: PublicDoor, gateway_key_ref: str) -> Self:
        """Return a client that authenticates with the gateway's key. Raises UsageError when it cannot be read."""
        return cls(door, basic_auth(gateway_key_ref))

    def post(self, reference: str, text: str, *, attached: bytes = b"", patience: float = 10.0) -> Answer:
        """Send one message, with a file if there is one; return the answer: 202 accepted, 200 again. Raises OSError."""
        message: dict[str, object] = {
            "reference": reference, "to": "clients@shop.test", "subject": reference, "body": text,
        }  # fmt: skip
        if attached:
            message["attachment"] = {"name": "file.bin", "content_base64": base64.b64encode(attached).decode()}
        return self.door.request("POST", f"{PREFIX}/messages", json=message, headers=self.headers, patience=patience)

    def outbox(self, prefix: str) -> Outbox:
        """Return all messages whose reference starts with `prefix`, oldest first. Raises OSError, Finding."""
        path = f"{PREFIX}/messages?prefix={prefix}"
        answer = self.door.request("GET", path, headers=self.headers, patience=PATIENCE.notification_list)
        return parse_outbox(answer, path)

    def attachment(self, reference: str) -> bytes:
        """Return the attachment of a message. Raises OSError, Finding."""
        path = f"{PREFIX}/messages/{reference}/attachment"
        answer = self.door.request("GET", path, headers=self.headers)
        if answer.status != OK:
            raise Finding(refusal("GET", path, answer))
        return answer.body


def parse_outbox(answer: Answer, path: str) -> Outbox:
    """Return the list of messages in an answer; raises Finding when it contains none."""
    if answer.status != OK:
        raise Finding(refusal("GET", path, answer))
    try:
        row = json.loads(answer.body)
        messages = tuple(Message(m["reference"], m["idempotency_key"], m["delivered"]) for m in row["messages"])
        return Outbox(messages, row["delivery"] == "held")
    except (ValueError, KeyError, TypeError) as error:
        raise Finding(f"GET {path}: not a list of messages: {error!r}") from None


def key_in(answer: Answer) -> str:
    """Return the idempotency key in the answer to a new message; raises Finding when there is none."""
    try:
        return str(json.loads(answer.body)["idempotency_key"])
    except (ValueError, KeyError, TypeError):
        raise Finding(f"POST {PREFIX}/messages: answered {answer.status} without an idempotency key") from None


def refusal(method: str, path: str, answer: Answer) -> str:
    """Return one line that describes an unexpected answer."""
    lines = answer.body[:200].decode(errors="replace").splitlines()
    return f"{method} {path}: answered {answer.status}" + (f": {lines[0]}" if lines else "")

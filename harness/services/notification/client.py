"""The notification API as its clients use it: through the public front door and the gateway's key."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.errors import Finding
from harness.core.service import Answer, PublicDoor
from harness.patience import PATIENCE
from harness.vault import read_text_secret

PREFIX = "/notify"  # where the gateway serves it
USER = "clients"
ACCEPTED, KNOWN = 202, 200
OK = 200


@dataclass(frozen=True, slots=True)
class Message:
    """One line of the service's list. `key`: the idempotency key it is delivered under."""

    reference: str
    key: str
    delivered: bool


@dataclass(frozen=True, slots=True)
class Outbox:
    """What the service lists; `held`: its delivery is held back on purpose."""

    messages: tuple[Message, ...]
    held: bool


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the notification API."""

    door: PublicDoor
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def open(cls, door: PublicDoor, gateway_key_ref: str) -> Client:
        """Return a client that shows the key behind `gateway_key_ref`; raises UsageError when it cannot be read."""
        token = base64.b64encode(f"{USER}:{read_text_secret(gateway_key_ref)}".encode()).decode()
        return cls(door, {"Authorization": f"Basic {token}"})

    def post(self, reference: str, text: str, *, patience: float = 10.0) -> Answer:
        """Send one message and return the answer: 202 accepted, 200 known already. Raises OSError."""
        message = {"reference": reference, "to": "clients@shop.test", "subject": reference, "body": text}
        return self.door.request("POST", f"{PREFIX}/messages", json=message, headers=self.headers, patience=patience)

    def outbox(self, prefix: str) -> Outbox:
        """Return all messages whose reference begins with `prefix`, oldest first. Raises OSError, Finding."""
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
    """Return the list that an answer holds; raises Finding when it holds none."""
    if answer.status != OK:
        raise Finding(refusal("GET", path, answer))
    try:
        row = json.loads(answer.body)
        messages = tuple(Message(m["reference"], m["idempotency_key"], m["delivered"]) for m in row["messages"])
        return Outbox(messages, row["delivery"] == "held")
    except (ValueError, KeyError, TypeError) as error:
        raise Finding(f"GET {path}: not a list of messages: {error!r}") from None


def key_in(answer: Answer) -> str:
    """Return the idempotency key in the answer to a message; raises Finding when there is none."""
    try:
        return str(json.loads(answer.body)["idempotency_key"])
    except (ValueError, KeyError, TypeError):
        raise Finding(f"POST {PREFIX}/messages: answered {answer.status} without an idempotency key") from None


def refusal(method: str, path: str, answer: Answer) -> str:
    """Return one line on a request that was not answered as it should be."""
    lines = answer.body[:200].decode(errors="replace").splitlines()
    return f"{method} {path}: answered {answer.status}" + (f": {lines[0]}" if lines else "")

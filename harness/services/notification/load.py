"""The client load on the notification service: numbered messages, sent through the front door and read back."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping

from harness.core.errors import Finding
from harness.core.parallel import in_order
from harness.core.service import Place, PublicDoor, Sql
from harness.declaration import ClientLoad, StoreClients
from harness.patience import PATIENCE
from harness.postgres.checks import column
from harness.services.notification.client import ACCEPTED, Client
from harness.traffic.door import GATEWAY_KEY

PREFIX = "ledger-"
DATABASE = "notification"
NUMBERED = re.compile(rf"{PREFIX}([1-9][0-9]*)")
ATTACHED = "attached-"  # begins the references of messages with a file
WITH_FILE = re.compile(rf"{ATTACHED}([1-9][0-9]*)")
REFERENCES = f"SELECT reference FROM outbox WHERE reference LIKE '{PREFIX}%'"  # noqa: S608 - a constant of ours


def sender(door: PublicDoor, secrets: Mapping[str, str]) -> Callable[[int], bool]:
    """Return a function that sends one numbered message and returns whether it was accepted: answered 202."""
    client = Client.open(door, secrets[GATEWAY_KEY])

    def send(number: int) -> bool:
        answer = client.post(f"{PREFIX}{number}", f"write {number}", patience=PATIENCE.ledger_write)
        return answer.status == ACCEPTED

    return send


def survivors(door: PublicDoor, secrets: Mapping[str, str]) -> frozenset[int]:
    """Return the numbers of all writes that the front door's site has. Raises OSError without an answer, Finding."""
    return numbers(message.reference for message in Client.open(door, secrets[GATEWAY_KEY]).outbox(PREFIX).messages)


def restored(sql: Sql) -> frozenset[int]:
    """Return the numbers of all writes that a database server has. Raises HarnessError."""
    return numbers(column(sql, DATABASE, REFERENCES))


def numbers(references: Iterable[str], pattern: re.Pattern[str] = NUMBERED) -> frozenset[int]:
    """Return the numbers in the references of the client load's messages; others are left out."""
    found = (pattern.fullmatch(reference) for reference in references)
    return frozenset(int(match.group(1)) for match in found if match)


def store_clients(service: str) -> tuple[StoreClients, ...]:
    """Return the clients that send messages with a file each: its object is stored before the message is accepted."""
    return (StoreClients(f"{service} attachments", send_attached, attached, in_bucket=True),)


def content(number: int) -> bytes:
    """Return the file of message N, 1 KiB."""
    return hashlib.sha256(f"{ATTACHED}{number}".encode()).digest() * 32


def send_attached(door: PublicDoor, secrets: Mapping[str, str]) -> Callable[[int], bool]:
    """Return a function that sends message N with a file and returns whether both were accepted. It raises OSError."""
    client = Client.open(door, secrets[GATEWAY_KEY])

    def send(number: int) -> bool:
        reference = f"{ATTACHED}{number}"
        answer = client.post(reference, f"write {number}", attached=content(number), patience=PATIENCE.store_write)
        return answer.status == ACCEPTED

    return send


def attached(door: PublicDoor, secrets: Mapping[str, str], _place: Place) -> frozenset[int]:
    """Return the numbers of the messages whose file the front door's site has unaltered. Raises OSError, Finding."""
    client = Client.open(door, secrets[GATEWAY_KEY])
    found = numbers((message.reference for message in client.outbox(ATTACHED).messages), WITH_FILE)

    def whole(number: int) -> bool:
        try:
            return client.attachment(f"{ATTACHED}{number}") == content(number)
        except Finding:  # the service says that the object is gone, or altered
            return False

    return frozenset(number for number, there in in_order(whole, sorted(found)) if there)


LOAD = ClientLoad(sender, survivors, restored)

"""The client load on the notification service: numbered messages, sent through the front door and read back."""

import re
from collections.abc import Callable, Iterable, Mapping

from harness.core.service import PublicDoor, Sql
from harness.declaration import ClientLoad
from harness.patience import PATIENCE
from harness.postgres.checks import column
from harness.services.notification.client import ACCEPTED, Client
from harness.traffic.door import GATEWAY_KEY

PREFIX = "ledger-"
DATABASE = "notification"
NUMBERED = re.compile(rf"{PREFIX}([1-9][0-9]*)")
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


def numbers(references: Iterable[str]) -> frozenset[int]:
    """Return the numbers in the references of the client load's messages; others are left out."""
    found = (NUMBERED.fullmatch(reference) for reference in references)
    return frozenset(int(match.group(1)) for match in found if match)


LOAD = ClientLoad(sender, survivors, restored)

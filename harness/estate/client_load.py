"""The client load of a declaration: numbered writes of the estate's own clients, sent and read back."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.core.errors import Finding, HarnessError
from harness.core.service import PublicDoor, Sql
from harness.declaration import ClientLoad
from harness.patience import PATIENCE
from harness.postgres.checks import column
from harness.traffic.declared import ClientsTable, RequestTable
from harness.traffic.door import GATEWAY_KEY, basic_auth
from harness.traffic.exchange import Encoded, encode
from harness.traffic.json_path import values_at
from harness.traffic.ledger_writer import NotAcknowledged

OK = 200
SHOWN = 100  # characters of an answer that a refusal repeats


@dataclass(frozen=True, slots=True)
class DeclaredLoad:
    """The writes that [clients] declares. `auth`: whether the gateway wants its key."""

    table: ClientsTable
    auth: bool

    @property
    def load(self) -> ClientLoad:
        """How they are sent, read back through the front door, and found on a restored database server."""
        return ClientLoad(self.sender, self.survivors, self.restored)

    def sender(self, door: PublicDoor, secrets: Mapping[str, str]) -> Callable[[int], bool]:
        """Return a function that sends write N and returns True; it raises OSError where that is not acknowledged.

        Raises HarnessError.
        """
        key = self._key(secrets)

        def send(number: int) -> bool:
            sent = encode(self.table.write, lambda _name: number)
            answer = door.request(
                sent.method, sent.path, body=sent.body, headers={**key, **sent.headers}, patience=PATIENCE.ledger_write
            )
            if answer.status != self.table.status:
                said = answer.body.decode("utf-8", "replace")[:SHOWN]
                raise NotAcknowledged(f"{sent.what}: answered {answer.status}, not {self.table.status}: {said}")
            return True

        return send

    def survivors(self, door: PublicDoor, secrets: Mapping[str, str]) -> frozenset[int]:
        """Return the numbers that the front door's site answers with. Raises OSError, Finding, HarnessError."""
        sent = _fixed(self.table.read)
        answer = door.request(
            sent.method, sent.path, body=sent.body, headers={**self._key(secrets), **sent.headers},
            patience=PATIENCE.ledger_read,
        )  # fmt: skip
        if answer.status != OK:
            raise Finding(f"clients.read: {sent.what}: answered {answer.status}, not {OK}")
        if self.table.read.values is None:
            return self._numbers(re.findall(self.table.numbers, answer.body.decode("utf-8", "replace")))
        return self._whole(str(value) for value in values_at(answer.body, self.table.read.values))

    def restored(self, sql: Sql) -> frozenset[int]:
        """Return the numbers that a database server has. Raises HarnessError."""
        return self._whole(column(sql, self.table.restored.database, self.table.restored.query))

    def _whole(self, texts: Iterable[str]) -> frozenset[int]:
        """Return the numbers of the texts that are a write as a whole; others are no writes of this load."""
        found = (re.fullmatch(self.table.numbers, text) for text in texts)
        return self._numbers(match[1] for match in found if match)

    def _numbers(self, found: Iterable[str]) -> frozenset[int]:
        try:
            return frozenset(map(int, found))
        except ValueError as error:
            raise HarnessError(
                f"clients.numbers: the group of {self.table.numbers!r} is no number: {error}; correct it"
            ) from None

    def _key(self, secrets: Mapping[str, str]) -> dict[str, str]:
        if not self.auth:
            return {}
        if GATEWAY_KEY not in secrets:
            raise HarnessError(f"clients: no secret {GATEWAY_KEY!r}; its writes would be refused by the gateway")
        return basic_auth(secrets[GATEWAY_KEY])


def _fixed(request: RequestTable) -> Encoded:
    """Return a request without placeholders."""
    return encode(request, lambda name: name)

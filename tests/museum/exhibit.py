"""An exhibit: a damage to a repository, and the finding that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.museum.exhibition import Exhibition

SEGMENT = 1 << 20  # of ciphertext
Damage = Callable[[Exhibition], None]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A damage. `place`: of the line that names it: a backup, "chain" or "WAL".

    `quick`: found without opening, None: now and then.
    """

    name: str
    damage: Damage
    place: str
    finding: str
    quick: bool | None = True


ALL: list[Exhibit] = []


def exhibit(place: str, finding: str, *, quick: bool | None = True) -> Callable[[Damage], Damage]:
    """Add a damage to the museum."""

    def added(damage: Damage) -> Damage:
        ALL.append(Exhibit(damage.__name__.replace("_", " "), damage, place, finding, quick))
        return damage

    return added


def large(at: Exhibition, backup: str = "") -> str:
    """Return the key of the larger object of a backup, by default of the newest."""
    return at.repository.layout.data(backup or at.newest, "databases/0001")


def altered(at: Exhibition, key: str, place: int) -> None:
    body = bytearray(at.read(key))
    body[place] ^= 1
    at.write(key, bytes(body))


def said_otherwise(note: bytes) -> bytes:
    """Return a signed note with one letter of what is signed replaced."""
    found = json.loads(note)
    text = found["payload"]
    found["payload"] = text[:40] + ("A" if text[40] != "A" else "B") + text[41:]
    return json.dumps(found, separators=(",", ":")).encode()


def commit_of(at: Exhibition, backup: str = "") -> str:
    return at.repository.layout.commit(backup or at.newest)

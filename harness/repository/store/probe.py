"""What a store can do, found by trying it once. The result is kept in the repository; nothing is guessed by vendor."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError, Unreadable
from harness.repository.format.layout import Layout
from harness.repository.store.expunge import expunge
from harness.repository.store.port import Lockable, ObjectStore, Probed

FORMAT = "blackstart-store/1"
LARGEST = 1 << 16  # bytes of the record
LARGE = (16 << 20) + 1  # bytes: one more than a part, so that it is uploaded in two
NAMES = ("B", "a", "a b", "a+1", "b!", "b/a", "b/c", "é")  # as UTF-8 sorts them
SKEW = 60.0  # seconds that the store's clock may differ
NEEDED = ("order of lists", "ranges", "large objects", "deletion")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What was found: name -> "yes", "no" or a value. `at`: when, in UTC."""

    at: datetime
    found: Mapping[str, str]

    @property
    def lacking(self) -> tuple[str, ...]:
        """Names of what a repository needs and the store cannot do."""
        return tuple(name for name in NEEDED if self.found.get(name, "no") == "no")

    def __str__(self) -> str:
        return ", ".join(f"{name}: {value}" for name, value in self.found.items())


def key_of(estate: str) -> str:
    """Return the key of the record of an estate."""
    return f"{Layout(estate).of('probe')}store.json"


def probe(store: ObjectStore, estate: str, clock: Clock = SYSTEM) -> Abilities:
    """Try what the store can do, keep the result in it, and return it; what is tried with is removed.

    Raises HarnessError when the store fails.
    """
    prefix = f"{Layout(estate).of('probe')}{secrets.token_hex(8)}/"
    try:
        found = dict(_tried(store, prefix, clock))
    finally:
        with suppress(HarnessError):
            for one in list(store.list(prefix)):
                _remove(store, one.key)
    made = Abilities(clock.wall(), found)
    kept = {"format": FORMAT, "at": made.at.isoformat(), "found": found}
    store.put(key_of(estate), (json.dumps(kept, ensure_ascii=False).encode(),))
    return made


def known(store: ObjectStore, estate: str) -> Abilities | None:
    """Return what was found before, None where nothing was. Raises Unreadable for a record that is none, HarnessError.

    It is not signed: it informs, and nothing is decided by it.
    """
    key = key_of(estate)
    if not any(one.key == key for one in store.list(key)):
        return None
    text = b"".join(store.get(key, 0, LARGEST))
    try:
        kept = TypeAdapter(dict[str, str | dict[str, str]]).validate_json(text)
        found = TypeAdapter(dict[str, str]).validate_python(kept["found"])
        return Abilities(datetime.fromisoformat(str(kept["at"])), found)
    except (ValidationError, KeyError, ValueError):
        raise Unreadable(f"{key}: is no record of a store; run `blackstart repository probe --again`") from None


def _tried(store: ObjectStore, prefix: str, clock: Clock) -> Iterator[tuple[str, str]]:
    for name in NAMES:
        store.put(prefix + name, (name.encode(),))
    listed = list(store.list(prefix))
    yield "order of lists", _order([one.key.removeprefix(prefix) for one in listed])
    size = store.put(f"{prefix}large", _large())
    yield "large objects", _yes(size == LARGE and [o.size for o in store.list(f"{prefix}large")] == [LARGE])
    yield "ranges", _yes(b"".join(store.get(f"{prefix}large", LARGE - 3, 2)) == bytes(2))
    _remove(store, f"{prefix}large")
    yield "deletion", _yes(not list(store.list(f"{prefix}large")))
    skew = max((abs((one.modified - clock.wall()).total_seconds()) for one in listed), default=0.0)
    yield "clock", "same" if skew <= SKEW else f"differs by {skew:.0f} s"
    yield "object lock", _yes(isinstance(store, Lockable) and store.locks)
    if isinstance(store, Probed):
        yield from store.abilities(prefix)


def _order(names: Sequence[str]) -> str:
    """Return how a list of `NAMES` is sorted; some stores sort each folder by itself, and some nothing."""
    if tuple(names) == NAMES:
        return "by bytes"
    return "by folder" if list(names) == sorted(NAMES, key=lambda name: name.split("/")) else "no"


def _large() -> Iterator[bytes]:
    left = LARGE
    while left:
        yield bytes(min(left, 1 << 20))
        left -= min(left, 1 << 20)


def _remove(store: ObjectStore, key: str) -> None:
    try:
        expunge(store, key)
    except HarnessError:  # these keys may delete no versions
        store.delete(key)


def _yes(can: bool) -> str:
    return "yes" if can else "no"

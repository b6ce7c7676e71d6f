"""Comparison of the schema of a database with the text in its backup, in lines that name each object."""

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from harness.postgres.contents.schema import Entry, Key, SchemaText

Dump = Callable[[], Iterable[bytes]]  # each call reads it from the beginning

# What their statements contain may be a secret: a password, or a program of the user's.
UNSHOWN = ("SUBSCRIPTION", "USER MAPPING", "SERVER", "FUNCTION", "PROCEDURE", "AGGREGATE", "FOREIGN DATA WRAPPER")
WORDS = ("password", "secret", "token", "passwd", "authorization")
KEPT = 100  # entries of either side whose statements are kept for a comparison
WIDTH = 90  # characters of a statement that a line shows
MISSING = ": missing"  # how the line of an object that is gone ends


@dataclass(slots=True)
class _Differing:
    """Entries that only one side has, as it has them; at most KEPT with their statements."""

    entries: dict[Key, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0

    def add(self, entry: Entry) -> None:
        self.count += 1
        self.entries[entry.key].append(entry if self.count <= KEPT else Entry(entry.key, entry.owner, ""))


def compared(
    found: Dump, stored: Dump, digest: str, possible: Callable[[Entry], Entry | None] = lambda entry: entry
) -> Iterator[str]:
    """Yield how the dumped schema differs from the stored one, whose digest is `digest`, one line an object.

    Of servers or client programs of different major versions only names and owners are compared: each version writes
    some statements in another way. `possible` returns what of a stored entry this server can
    have, None for nothing. Raises what reading either of them raises.
    """
    here: dict[Key, list[bytes]] = defaultdict(list)
    now = SchemaText()
    for entry in now.entries(found()):
        here[entry.key].append(entry.digest)
    if now.digest == digest:
        return
    then, missing = SchemaText(), _Differing()
    for whole in then.entries(stored()):
        part = possible(whole)
        if part is None:
            continue
        if part.digest in here.get(part.key, ()):
            here[part.key].remove(part.digest)
        else:
            missing.add(part)
    left = {key for key, digests in here.items() if digests}
    surplus = _Differing()
    for entry in SchemaText().entries(found()):
        if entry.key in left and entry.digest in here[entry.key]:
            surplus.add(entry)
    yield from _lines(missing, surplus, exact=now.majors == then.majors)


def _lines(missing: _Differing, surplus: _Differing, *, exact: bool) -> Iterator[str]:
    for key, entries in missing.entries.items():
        others = surplus.entries.get(key, [])
        for at, entry in enumerate(entries):
            if at >= len(others):
                yield f"{key}{MISSING}"
            elif entry.owner != others[at].owner:
                yield f"{key}: owner {others[at].owner}, expected {entry.owner}"
            elif exact:
                yield f"{key}: {_changed(entry, others[at])}"
    for key, others in surplus.entries.items():
        yield from (f"{key}: not in the backup" for _ in others[len(missing.entries.get(key, ())) :])


def _changed(then: Entry, now: Entry) -> str:
    """Return the first statement of either side that the other has not."""
    if then.key.kind in UNSHOWN or not (then.body and now.body):
        return "another definition"
    lines = list(difflib.ndiff(_statements(then), _statements(now)))
    lost = next((line[2:] for line in lines if line.startswith("- ")), "")
    new = next((line[2:] for line in lines if line.startswith("+ ")), "")
    if not (lost or new) or any(word in f"{lost} {new}".lower() for word in WORDS):
        return "another definition"
    if not new:
        return f"without {_shown(lost, '')}"
    if not lost:
        return f"with {_shown(new, '')}, which the backup has not"
    return f"{_shown(new, lost)}, expected {_shown(lost, new)}"


def _statements(entry: Entry) -> list[str]:
    return [line for line in entry.body.split("\n") if line]


def _shown(line: str, other: str) -> str:
    """Return a statement, from shortly before the place where it becomes different."""
    text = " ".join(line.split())
    same = next((at for at, (one, two) in enumerate(zip(text, " ".join(other.split()), strict=False)) if one != two), 0)
    start = max(0, same - WIDTH // 2) if len(text) > WIDTH else 0
    part = text[start : start + WIDTH]
    return "`" + "…" * (start > 0) + part + "…" * (start + WIDTH < len(text)) + "`"

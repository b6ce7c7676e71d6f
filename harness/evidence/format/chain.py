"""Chain of the records in one folder: `chain.jsonl` beside them, so that a record that was removed is missed.

One JSON object a line, hash-chained by the SHA-256 of the line before. A drill is in it from its opening on.
"""

import errno
import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pydantic.dataclasses
from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.core.clock import SYSTEM
from harness.core.errors import Unreadable
from harness.evidence.format.record_file import canonical
from harness.regular_file import read_regular

CHAIN = "chain.jsonl"
GENESIS = "0" * 64
LONGEST = 4096  # bytes of a line
OPENED, CONCLUDED, WITHDRAWN = "opened", "concluded", "withdrawn"


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Link:
    """One line. `kind`: a record was opened, concluded with a statement, or withdrawn: nothing was judged."""

    n: int
    at: str
    kind: Literal["opened", "concluded", "withdrawn"]
    record: str
    statement_sha256: str
    prev: str


LINK = TypeAdapter(Link)


def read_chain(folder: Path) -> tuple[tuple[Link, ...], tuple[str, ...]]:
    """Return the lines of the chain of a folder of records, and the SHA-256 of each; none without a chain.

    Raises Unreadable with the first line that is wrong.
    """
    text = _content(folder / CHAIN)
    links: list[Link] = []
    hashes: list[str] = []
    for at, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            link = LINK.validate_json(line[:LONGEST])
        except ValidationError as error:
            raise Unreadable(f"{CHAIN}: line {at} is no line of a chain ({error.errors()[0]['msg']})") from None
        if link.n != at:
            raise Unreadable(f"{CHAIN}: line {at} has number {link.n}: a line is missing or out of its place")
        if link.prev != (hashes[-1] if hashes else GENESIS):
            raise Unreadable(f"{CHAIN}: line {at - 1} was changed: line {at} has another hash of it")
        links.append(link)
        hashes.append(hashlib.sha256(line).hexdigest())
    return tuple(links), tuple(hashes)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path)
    except FileNotFoundError:
        return b""
    except OSError as error:  # a link leads out of the folder, where a line would be written; a pipe never ends
        reason = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise Unreadable(f"{path}: cannot be read ({reason}); look who put it there, and move it away") from None


def head_of_chain(folder: Path) -> str:
    """Return the SHA-256 of the last line of the chain, "" without one. Raises Unreadable."""
    return next(reversed(read_chain(folder)[1]), "")


def last_statement(folder: Path) -> str | None:
    """Return the SHA-256 of the newest statement of a folder of records, None without one. Raises Unreadable."""
    links, _ = read_chain(folder)
    return next((link.statement_sha256 for link in reversed(links) if link.kind == CONCLUDED), None)


def add(folder: Path, kind: str, record: str, state: Callable[[str], str] = lambda _previous: "") -> None:
    """Append a line, under a lock. `state`: gets the hash of the line before, returns the hash of a statement.

    Raises Unreadable for a chain that was changed: nothing is appended to it.
    """
    with _locked(folder / CHAIN):
        links, hashes = read_chain(folder)
        previous = hashes[-1] if hashes else GENESIS
        at = SYSTEM.wall().isoformat(timespec="seconds")
        row = {"n": len(links) + 1, "at": at, "kind": kind, "record": record, "prev": previous}
        line = canonical({**row, "statement_sha256": state(previous)})
        with (folder / CHAIN).open("r+b") as file:
            file.seek(file.read().rfind(b"\n") + 1)  # a line that a killed process left incomplete is written over
            file.write(line + b"\n")
            file.truncate()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    _content(path)  # before anything is made: a link may lead to a file that is not there
    path.touch()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

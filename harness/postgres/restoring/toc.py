"""Strict reader of the table of contents of a dump in custom format (pg_dump -Fc): what each entry is, and its text.

`pg_restore --list` shows names in a form that two objects can share, and no texts. Format: WriteHead and WriteToc in
src/bin/pg_dump/pg_backup_archiver.c of PostgreSQL 14 to 18 (archive versions 1.14 to 1.16).
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from sys import intern
from typing import Protocol

from harness.core.errors import RestoreFailed
from harness.postgres.contents.abilities import BY_LZ4
from harness.postgres.contents.schema import COLUMN_VERSION, STORED, without_version

MAGIC = b"PGDMP"
OLDEST, NEWEST = (1, 14), (1, 16)
COMPRESSION_BYTE, RELATION_KIND = (1, 15), (1, 16)  # first versions with these fields
CUSTOM = 1  # archCustom
MOST_ENTRIES = 10_000_000
MOST_TEXT = 256 << 20  # bytes of one text; the longest are definitions of tables
MOST = 2 << 30  # bytes of a whole table of contents
CHUNK = 1 << 20
OPTION = b"pg_attver="
VERSION = re.compile(COLUMN_VERSION.encode())
COMPRESSED = re.compile(BY_LZ4.encode())
DATES = 7  # numbers: second, minute, hour, day, month, year, daylight saving
NULL = -1
LONGEST = 300  # characters of an entry in a message
# Of these, pg_restore without --create takes none.
OF_THE_DATABASE = ("DATABASE", "DATABASE PROPERTIES")
ON_ANOTHER = ("ACL", "COMMENT", "SECURITY LABEL")
ALIKE = {"OPERATOR": b" (", "OPERATOR CLASS": b" USING ", "OPERATOR FAMILY": b" USING "}  # kind -> begin of `more`
SPECIAL = ("ENCODING", "STDSTRINGS", "SEARCHPATH")  # settings of the session, not objects


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry. `text`: its statements, in the encoding of the database, as the names are; "" where none was asked for.

    `name`: as pg_dump tags it: `f(integer)` of a function, `TABLE t` where it is about another object. `more`: what
    tells it from others of its name, of the kinds in ALIKE: ` (integer, integer)` of an operator, ` USING hash`.
    """

    number: int
    kind: str
    schema: bytes
    name: bytes
    owner: bytes
    text: bytes
    before_data: bool
    more: bytes = b""

    @property
    def line(self) -> bytes:
        """Kind, schema, name and owner, as `pg_restore --list` has them."""
        words = (self.kind.encode(), self.schema or b"-", self.name, self.owner)
        return b" ".join(words).translate(bytes.maketrans(b"\r\n", b"  "))

    def __str__(self) -> str:
        about, space, name = self.name.partition(b" ") if self.kind in ON_ANOTHER else (b"", b"", self.name)
        where = self.schema + b"." if self.schema else b""
        shown = (about + space + where + name).decode(errors="backslashreplace")
        return " ".join(f"{self.kind} {shown}".split())[:LONGEST]

    def is_a(self, *kinds: str) -> bool:
        """Whether it is of one of the kinds, each with the begin of schema and name after it where that is given."""
        return self.line.startswith(tuple(f"{kind} ".encode() for kind in kinds))


class Source(Protocol):
    """An open file."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at its end."""


def read_contents(what: str, source: Source, texts: Collection[str]) -> tuple[Entry, ...]:
    """Return the entries of a dump that a restore takes, in their order. `what`: the dump's name in messages.

    `texts`: the kinds of entries whose texts are kept; a database with 20,000 tables has 200,000 entries. Raises
    RestoreFailed for a dump that is damaged, or of another format.
    """
    reader = _Reader(what, source, texts)
    version = reader.head()
    count = reader.number()
    if not 0 <= count <= MOST_ENTRIES:
        raise reader.damaged(f"{count} entries")
    entries = [_entry(reader, version) for _ in range(count)]
    if len({entry.number for entry in entries}) != len(entries):
        raise reader.damaged("two entries of one number")
    return tuple(entry for entry in entries if _taken(entry))


def adapted(
    dump: Iterable[bytes], *, lz4: bool = True, changed: Callable[[str], None] = lambda _table: None
) -> Iterator[bytes]:
    """Yield a dump whose tables set nothing that another server may not know; blanks stand there, no place changes.

    PostgreSQL sets `pg_attver` itself since November 2026 (15.20 and its like). A pg_dump from before takes it for the
    user's, and a server from before refuses it. `lz4`: whether the server was built with that compression; `changed` is
    called with each table that would have it. What is no dump in custom format is passed on as it is.
    """

    def adapt(made: Entry, entry: bytes) -> bytes:
        if OPTION in entry:
            entry = VERSION.sub(lambda found: without_version(found).ljust(len(found[0])), entry)
        if not lz4 and made.kind in STORED and COMPRESSED.search(entry):
            entry = COMPRESSED.sub(lambda found: b" " * len(found[0]), entry)
            changed(str(made))
        return entry

    return _copied(dump, (), adapt)


def noted(dump: Iterable[bytes], kind: str, note: Callable[[Entry], None]) -> Iterator[bytes]:
    """Yield a dump as it is; `note` is called with each entry of a kind, with its text.

    In what is no dump in custom format, or of a newer one, none is found.
    """

    def look(made: Entry, entry: bytes) -> bytes:
        if made.kind == kind:
            note(made)
        return entry

    return _copied(dump, (kind,), look)


def _copied(dump: Iterable[bytes], texts: Collection[str], change: Callable[[Entry, bytes], bytes]) -> Iterator[bytes]:
    """Yield a dump in which `change` was asked for the bytes of each entry; what cannot be read as it is."""
    chunks = iter(dump)
    reader = _Copying(_Chunks(chunks), texts)
    try:
        version = reader.head()
        for _ in range(reader.number()):
            begin = len(reader.copied)
            made = _entry(reader, version)
            reader.copied[begin:] = change(made, bytes(reader.copied[begin:]))
            if len(reader.copied) > CHUNK:
                yield bytes(reader.copied)
                reader.copied.clear()
    except RestoreFailed:
        pass  # the restore lists its entries again, and says what is wrong
    yield bytes(reader.copied) + reader.rest
    yield from chunks


class _Chunks:
    """An iterator of chunks as an open file, which returns one of them at a time."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int, /) -> bytes:
        return next(filter(None, self._chunks), b"")


def _entry(reader: "_Reader", version: tuple[int, int]) -> Entry:
    number = reader.number()
    reader.number()  # whether it has data
    reader.text(), reader.text()  # object identifiers of the source
    name, kind = reader.text(), reader.text()
    section = reader.number()
    text, drop, _copy = reader.text(), reader.text(), reader.text()
    schema, _tablespace, _method = reader.text(), reader.text(), reader.text()
    if version >= RELATION_KIND:
        reader.number()
    owner = reader.text()
    reader.text()  # WITH OIDS
    while reader.optional() is not None:
        pass  # dependencies
    reader.offset()
    words = kind.decode("ascii", "backslashreplace")
    if not kind or number <= 0:
        raise reader.damaged("an entry without kind or number")
    kept = text if words in reader.texts else b""
    before = section == 2  # noqa: PLR2004 - SECTION_PRE_DATA
    more = _more(words, name, drop) if words in ALIKE else b""
    return Entry(number, intern(words), reader.once(schema), name, reader.once(owner), kept, before, more)


def _more(kind: str, name: bytes, drop: bytes) -> bytes:
    """Return what follows the name in the statement that drops an object, which pg_dump writes with it."""
    begin = ALIKE[kind]
    if kind == "OPERATOR":  # its name is never quoted
        return begin + drop.partition(b".%b%b" % (name, begin))[2].strip().removesuffix(b";")
    return begin + drop.rpartition(begin)[2].strip().removesuffix(b";")


def _taken(entry: Entry) -> bool:
    if entry.kind in (*OF_THE_DATABASE, *SPECIAL):
        return False
    return not (entry.kind in ON_ANOTHER and entry.name.startswith(b"DATABASE "))


class _Reader:
    def __init__(self, what: str, source: Source, texts: Collection[str]) -> None:
        self._what, self._source, self.texts = what, source, texts
        self._known: dict[bytes, bytes] = {}
        self._held, self._at, self._left = b"", 0, MOST
        self._integer, self._offset = 4, 8

    def damaged(self, why: str) -> RestoreFailed:
        """Return the error for a table of contents that is malformed."""
        return RestoreFailed(f"{self._what}: its dump cannot be listed ({why}); use another backup")

    def head(self) -> tuple[int, int]:
        """Read what is before the entries; return the version. Raises RestoreFailed."""
        if self.take(len(MAGIC)) != MAGIC:
            raise self.damaged("it is no dump in custom format")
        major, minor, _revision, self._integer, self._offset, form = self.take(6)
        if not OLDEST <= (major, minor) <= NEWEST or form != CUSTOM:
            raise self.damaged(f"archive version {major}.{minor}, format {form}")
        if self._integer != 4 or self._offset != 8:  # noqa: PLR2004 - of every machine that PostgreSQL 14 runs on
            raise self.damaged(f"integers of {self._integer} bytes, offsets of {self._offset}")
        if (major, minor) >= COMPRESSION_BYTE:
            self.take(1)
        else:
            self.number()
        for _ in range(DATES):
            self.number()
        for _ in range(3):
            self.text()  # database, version of the server, version of pg_dump
        return major, minor

    def once(self, text: bytes) -> bytes:
        """Return a text as the same object whenever it occurs: thousands of entries have one schema and one owner."""
        return self._known.setdefault(text, text)

    def take(self, count: int) -> bytes:
        """Return the next bytes; raises RestoreFailed when there are less."""
        if self._at + count > len(self._held):
            self._left -= count
            if self._left < 0:
                raise self.damaged(f"more than {MOST} bytes of entries")
            parts = [self._held[self._at :]]
            missing = count - len(parts[0])
            while missing > 0:
                piece = self._source.read(max(CHUNK, min(missing, 16 * CHUNK)))
                if not piece:
                    self._held, self._at = b"".join(parts), 0
                    raise self.damaged("it ends too early")
                parts.append(piece)
                missing -= len(piece)
            self._held, self._at = b"".join(parts), 0
        self._at += count
        return self._held[self._at - count : self._at]

    @property
    def rest(self) -> bytes:
        """What was read and not taken."""
        return self._held[self._at :]

    def number(self) -> int:
        """Return a number: a byte with its sign, and four of its value, the lowest first."""
        sign, *digits = self.take(5)
        value = int.from_bytes(digits, "little")
        return -value if sign else value

    def optional(self) -> bytes | None:
        """Return a text, None where there is none."""
        length = self.number()
        if length == NULL:
            return None
        if not 0 <= length <= MOST_TEXT:
            raise self.damaged(f"a text of {length} bytes")
        text = self.take(length)
        if b"\0" in text:
            raise self.damaged("a text with a zero byte")
        return text

    def text(self) -> bytes:
        """Return a text, empty where there is none."""
        return self.optional() or b""

    def offset(self) -> None:
        """Pass over the place of the data."""
        self.take(1 + self._offset)


class _Copying(_Reader):
    """A reader that keeps what it has taken in `copied`."""

    def __init__(self, source: Source, texts: Collection[str]) -> None:
        super().__init__("", source, texts)
        self.copied = bytearray()

    def take(self, count: int) -> bytes:
        taken = super().take(count)
        self.copied += taken
        return taken

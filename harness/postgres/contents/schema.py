"""Schema of a database as normalised text of `pg_dump --schema-only`, and the comparison of two such texts.

The text consists of entries, each with a header (kind, schema, name, owner) and its statements. What pg_dump writes
differently for the same schema is made equal: versions, the random key of restricted mode, the order of grants, the
order of columns in a child of a table, the versions that the server gives columns, and
`(ARRAY['a'::varchar])::text[]`, which reads `ARRAY[('a'::varchar)::text]` once it was restored. Commutators and
negators are left out: one that only one of two operators names, both have once they were restored. The digest does not
depend on the order of entries. Of what a drill switches off, only names and owners are compared. Roles, settings
and grants of the database itself are compared with the server's.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import AnyStr

START = re.compile(r"-- Name: (.*); Type: ([^;]*); Schema: (.*?); Owner: (.*)")
DUMPED = re.compile(r"-- Dumped (from database|by pg_dump) version (\d+)")
ACCESS_METHOD = re.compile(r"SET default_table_access_method = (.*);")
DROPPED = re.compile(
    r"\\(?:un)?restrict |--$|-- PostgreSQL database dump complete$|SET default_tablespace = |SET default_with_oids = "
)
STORED = ("TABLE", "MATERIALIZED VIEW")  # kinds that have an access method
ON_ANOTHER = {"ACL": "grants on", "COMMENT": "comment on", "SECURITY LABEL": "security label of"}  # name: "TABLE t"
GRANTS = ("ACL", "DEFAULT ACL")
NO_SCHEMA = ("DATABASE", "DATABASE PROPERTIES", "STATISTICS DATA", "TABLE DATA", "SEQUENCE SET", "BLOB", "BLOBS")
# A drill disables subscriptions, and may move them to no slot: their definition is not compared.
NAME_ONLY = ("SUBSCRIPTION", "SUBSCRIPTION TABLE")
SWITCH = re.compile(r"ALTER EVENT TRIGGER .* (?:DISABLE|ENABLE(?: ALWAYS| REPLICA)?);")
GRANTED_BY = re.compile(r"SET SESSION AUTHORIZATION .*;\n(?:GRANT|REVOKE) .*;\nRESET SESSION AUTHORIZATION;")
# A statement with an option that PostgreSQL sets itself since November 2026; an older pg_dump takes it for the user's.
COLUMN_VERSION = (
    r"(?m)^(ALTER (?:FOREIGN )?TABLE ONLY .* SET \()((?:[^()\n]*, )?)pg_attver=\d+((?:, [^()\n]*)?)(\);\n?)"
)
VERSION = re.compile(COLUMN_VERSION)
LINKED = re.compile(r",\n    (?:COMMUTATOR|NEGATOR) = OPERATOR\(.*\)(?=,?\n)")
IDENTIFIER = r'(?:"(?:[^"]|"")+"|\w+)'
CAST = re.compile(rf"\)::({IDENTIFIER}(?:[ .]{IDENTIFIER})*(?:\(\d+(?:,\s*\d+)?\))?)\[\]")
OPEN, CLOSE, QUOTES = "([", ")]", "'\""


@dataclass(frozen=True, slots=True)
class Key:
    """What an entry is about."""

    kind: str
    schema: str
    name: str

    def __str__(self) -> str:
        where = "" if self.schema == "-" else f"{self.schema}."
        if self.kind not in ON_ANOTHER:
            return f"{self.kind.lower()} {where}{self.name}"
        kind, _, name = self.name.partition(" ")
        return f"{ON_ANOTHER[self.kind]} {kind.lower()} {where}{name}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of the schema: its owner, "" without one, and its statements."""

    key: Key
    owner: str
    body: str

    @property
    def text(self) -> bytes:
        """The entry as it stands in a backup."""
        header = f"-- Name: {self.key.name}; Type: {self.key.kind}; Schema: {self.key.schema}; Owner: {self.owner}"
        return f"--\n{header}\n--\n{self.body}\n\n".encode(errors="surrogateescape")

    @property
    def digest(self) -> bytes:
        """SHA-256 of the entry."""
        return hashlib.sha256(self.text).digest()


@dataclass(slots=True)
class SchemaText:
    """The normalised text of what pg_dump writes. `digest` and `majors` are those of the part that was read.

    `known`: digests of the entries of an earlier text; `changed`: the entries that are not among them, in words.
    """

    majors: dict[str, int] = field(default_factory=dict)  # of the server and of the client program
    digests: list[bytes] = field(default_factory=list)
    known: frozenset[bytes] | None = None
    changed: list[str] = field(default_factory=list)

    def chunks(self, dumped: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the text as it is stored; raises what reading the dump raises."""
        told = False
        for entry in self.entries(dumped):
            if not told:
                told = True
                yield from (f"-- Dumped {what} version {major}\n".encode() for what, major in self.majors.items())
            yield entry.text

    def entries(self, dumped: Iterable[bytes]) -> Iterator[Entry]:
        """Yield the normalised entries; raises what reading the dump raises."""
        for entry in parsed(_lines(dumped), self.majors):
            if entry.key.kind not in NO_SCHEMA:
                # What it is on has an owner in an entry of its own; only what an extension made has none, and after a
                # restore that is of the superuser, whatever its name is.
                owner = "" if entry.key.kind in ON_ANOTHER else entry.owner
                made = Entry(entry.key, owner, normalised(entry))
                self.digests.append(made.digest)
                if self.known is not None and made.digest not in self.known:
                    self.changed.append(str(made.key))
                yield made

    @property
    def digest(self) -> str:
        """SHA-256, hex, over the sorted digests of the entries."""
        return hashlib.sha256(b"".join(sorted(self.digests))).hexdigest()


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="surrogateescape") for line in whole)
    if rest:
        yield rest.decode(errors="surrogateescape")


def parsed(lines: Iterable[str], majors: dict[str, int]) -> Iterator[Entry]:
    """Yield the entries of a dump, or of a stored text, as they stand; put the majors that it names into `majors`."""
    key: Key | None = None
    owner, method, following, body = "", "", "", list[str]()
    for line in lines:
        if start := START.fullmatch(line):
            if key:
                yield _entry(key, owner, method, body)
            name, kind, schema, owner = start.groups()
            key, body, method = Key(kind, schema, name), [], following
        elif dumped := DUMPED.match(line):
            majors.setdefault(dumped.group(1), int(dumped.group(2)))
        elif changed := ACCESS_METHOD.fullmatch(line):
            following = changed.group(1)
        elif not DROPPED.match(line):
            body.append(line)
    if key:
        yield _entry(key, owner, method, body)


def _entry(key: Key, owner: str, method: str, body: list[str]) -> Entry:
    text = "\n".join(body).strip("\n")
    if key.kind in STORED and method not in ("", "heap"):
        text = f"-- Access method: {method}\n{text}"
    return Entry(key, owner.partition("; Tablespace: ")[0], text)


def normalised(entry: Entry) -> str:
    """Return the statements of an entry in the form that does not depend on how the schema came to be."""
    kind, body = entry.key.kind, entry.body
    if kind in NAME_ONLY:
        return ""
    if kind in GRANTS:
        apart = [match.group().replace("\n", " ") for match in GRANTED_BY.finditer(body)]
        return "\n".join(sorted(filter(None, (*apart, *GRANTED_BY.sub("", body).split("\n")))))
    if kind == "EVENT TRIGGER":
        body = "\n".join(line for line in SWITCH.sub("", body).split("\n") if line)
    if kind == "OPERATOR":
        body = LINKED.sub("", body)
    if kind == "TABLE" and "\nINHERITS (" in body:
        body = _columns_sorted(body)
    if "pg_attver=" in body:
        body = VERSION.sub(without_version, body)
    if "(ARRAY[" in body:
        body = _arrays(body)
    return body.strip("\n")


def without_version(found: re.Match[AnyStr]) -> AnyStr:
    """Return the statement of a match of COLUMN_VERSION without that option, empty where it has no other."""
    head, before, after, end = found.groups()
    if not (before or after):
        return head[:0]
    return head + (before[:-2] + after if before else after[2:]) + end


def _columns_sorted(body: str) -> str:
    """Sort the columns and constraints of a child: pg_dump cannot keep the order of those added to its parent later."""
    head, opened, rest = body.partition("(\n")
    columns, closed, tail = rest.partition("\n)\n")
    if not closed:
        return body
    in_order = "\n".join(sorted(line.removesuffix(",") for line in columns.split("\n")))
    return f"{head}{opened}{in_order}{closed}{tail}"


def _arrays(body: str) -> str:
    """Move the cast of an array to its elements."""
    found, at = [], 0
    while (start := body.find("(ARRAY[", at)) >= 0:
        elements, end = _elements(body, start + len("(ARRAY["))
        cast = CAST.match(body, end)
        if cast is None:
            found.append(body[at : start + 1])
            at = start + 1
            continue
        made = ", ".join(f"({_arrays(element)})::{cast.group(1)}" for element in elements)
        found.append(f"{body[at:start]}ARRAY[{made}]")
        at = cast.end()
    return "".join((*found, body[at:]))


def _elements(body: str, start: int) -> tuple[list[str], int]:
    """Return the elements of the array whose first one begins at `start`, and the place after its bracket."""
    elements: list[str] = []
    first, depth, quote = start, 0, ""
    for at in range(start, len(body)):
        char = body[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in QUOTES:
            quote = char
        elif char in OPEN:
            depth += 1
        elif char in CLOSE and depth:
            depth -= 1
        elif char == "]":
            return [*elements, body[first:at]], at + 1
        elif char == "," and not depth:
            elements.append(body[first:at])
            first = at + 2
    return [], len(body)

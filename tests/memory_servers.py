"""PostgreSQL and S3 servers in memory, behind the connections of psycopg and minio: what calls them is real.

A node of a fake site is such a server while it is alive; its data belongs to the site. `pg_dump` and the other clients
are programs of the fake site, which copy a database as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import psycopg
import urllib3
from psycopg.conninfo import conninfo_to_dict

from harness.core.clock import SYSTEM
from harness.postgres import checks, dump, facts, identity
from harness.postgres.contents import abilities, additions, locks, prepared_locks, properties, rows, undumped
from harness.postgres.extensions import functions
from harness.postgres.restoring import owners, quiet, restorer
from harness.postgres.roles import admission
from harness.postgres.roles import data as roles
from harness.restore_test import server_cleanup
from tests.memory_objects import MemoryMinio, MemoryObjects
from tests.postgres_archive import archive
from tests.substrate.fake import Call, Fake, Outcome, Program

Rows = list[tuple[object, ...]]
COUNTED = re.compile(r'FROM ONLY "public"\."(\w+)"')
VALUED = re.compile(r'last_value, is_called FROM "(\w+)"\."(\w+)"')
NAMED = re.compile(r'(CREATE DATABASE|DROP DATABASE|CREATE ROLE|DROP ROLE) (?:IF EXISTS )?"?(\w+)"?')
OTHERS = (
    *(roles.MEMBERSHIPS, roles.SETTINGS, roles.PARAMETERS, roles.GRANTS, roles.LABELS, roles.TABLESPACES),
    *(roles.SUBSCRIPTIONS, server_cleanup.PREPARED, server_cleanup.SUBSCRIPTIONS, server_cleanup.SLOTS),
    *(restorer.FOR_CLERK, admission.CONTEXTS),
)
OF_NOTHING = (
    *(properties.COLLATIONS, properties.OF_DATABASE, properties.NOT_COMPARED, properties.OF_EXTENSIONS),
    *(undumped.UNDUMPED, additions.ADDED, functions.CHANGES),
    *(quiet.TRIGGERS, quiet.INSTALLED, owners.OF_SUPERUSERS, owners.STATEMENTS, locks.LOCKED, dump.END),
)
PGCONN = SimpleNamespace(ssl_in_use=False, encrypt_password=lambda *_: b"SCRAM-SHA-256$...")
# Nothing of this is in memory.
IGNORED = ("\nUPDATE ", "CREATE TABLE ", "DROP OWNED ", "REASSIGN OWNED ", "ALTER ", "COMMENT ", "GRANT ", "REVOKE ")


@dataclass
class MemoryDatabase:
    """A database: an owner, and rows by table. `answers`: query -> first column, `TABLE name` for that table's rows."""

    owner: str
    tables: dict[str, list[str]] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    answers: dict[str, list[str] | str] = field(default_factory=dict)

    def copy(self) -> MemoryDatabase:
        tables = {name: list(rows) for name, rows in self.tables.items()}
        return replace(self, tables=tables, sequences=dict(self.sequences))


@dataclass
class MemoryPostgres:
    """The database server of one site. `refused`: part of a query -> the error that answers it.

    `snapshots`: what was exported, by name; that a connection reads from its snapshot is the connection's work.
    """

    identifier: str
    version: str = "18.1"
    databases: dict[str, MemoryDatabase] = field(default_factory=dict)
    roles: set[str] = field(default_factory=lambda: {"postgres"})
    sessions: set[tuple[str, str]] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, MemoryDatabase] = field(default_factory=dict)

    def export(self, database: str) -> str:
        name = f"snapshot-{len(self.snapshots)}"
        self.snapshots[name] = self.databases[database].copy()
        return name

    def answer(self, query: str, values: Sequence[object], database: MemoryDatabase | None) -> Rows:
        for part, reason in self.refused.items():
            if part in query:
                raise psycopg.OperationalError(reason)
        if named := NAMED.search(query):
            return self._change(*named.groups())
        connected = [(7, "service", datetime(2026, 3, 1, tzinfo=UTC))] if tuple(values) in tuple(self.sessions) else []
        of_server: dict[str, Rows] = {
            identity.SYSTEM: [(self.identifier, self.version, 1)],
            locks.ROOM: [(7_680, 64)],
            abilities.KNOWS: [(True,)],
            identity.CATALOGUE: [
                (name, True, False, -1, "postgres", crc32(name.encode()))
                for name in sorted({*self.databases, identity.MAINTENANCE})
            ],
            identity.TOUCHED: [(identity.MAINTENANCE in self.databases,)],
            identity.OWN_TABLES: [(identity.MAINTENANCE in self.databases,)],
            checks.BACKENDS: list(connected),
            checks.SESSIONS: [(sum(database in values for database, _ in self.sessions),)],
            restorer.OWNER: [("postgres",)],
            roles.VERSION: [(int(float(self.version)), "postgres", "postgres")],
            roles.ROLES: [(role, *[False] * 7, -1, None, None, None) for role in sorted(self.roles)],
            roles.DATABASES: [
                (name, getattr(database, "owner", ""), "UTF8", "b", "C", "C", "C.UTF-8", None, False, -1, None, True)
                for name, database in sorted(self.databases.items())
            ],
            **{query: [] for query in (*OTHERS, undumped.PREPARED_HERE, prepared_locks.LOCKS)},
        }
        if query.startswith(IGNORED):
            return []
        if query in of_server or database is None:
            return of_server[query]
        return self._of_database(query, database)

    def _change(self, what: str, name: str) -> Rows:
        if what == "CREATE DATABASE":
            self.databases[name] = MemoryDatabase("postgres")
        elif what == "DROP DATABASE":
            del self.databases[name]
        elif what == "CREATE ROLE":
            self.roles.add(name)
        else:
            self.roles.remove(name)
        return []

    def _of_database(self, query: str, found: MemoryDatabase) -> Rows:
        of_database: dict[str, Rows] = {
            facts.DATABASE: [(found.owner, "UTF8", "builtin C.UTF-8", 8_000, False, -1)],
            quiet.HELD_FUNCTIONS: [(0,)],
            functions.NUMBER: [(0,)],
            rows.TABLES: [(at, "public", name, "") for at, name in enumerate(sorted(found.tables))],
            rows.COLUMNS: [(at, "value", True, False) for at in range(len(found.tables))],
            rows.LARGE_OBJECTS: [(0, "0")],
            rows.OBJECTS: [(0,)],
            **{query: [] for query in OF_NOTHING},
            properties.EXTENSIONS: [("plpgsql", "1.0")],
            properties.PUBLIC: [()],
            properties.LARGE_OBJECTS: [("0", 0)],
            facts.SEQUENCES: [(*name.split("."), 1, False, 0) for name in sorted(found.sequences)],
        }
        if query in of_database:
            return of_database[query]
        if counted := COUNTED.findall(query):
            contents = [sorted(found.tables[table]) for table in counted]
            digests = [hashlib.sha256("\n".join(lines).encode()).hexdigest() for lines in contents]
            return [(at, len(lines), digest) for at, (lines, digest) in enumerate(zip(contents, digests, strict=True))]
        if valued := VALUED.findall(query):
            return [(at, found.sequences[".".join(name)], True) for at, name in enumerate(valued)]
        answer = found.answers[query]
        return [(value,) for value in (found.tables[answer.split()[1]] if isinstance(answer, str) else answer)]


@dataclass
class MemoryConnection:
    """A connection of psycopg."""

    server: MemoryPostgres
    database: str
    snapshot: str = ""
    autocommit: bool = True
    isolation_level: object = None
    read_only: bool | None = None
    pgconn: SimpleNamespace = field(default_factory=lambda: PGCONN)
    adapters: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(register_loader=lambda *_: None))

    @property
    def info(self) -> SimpleNamespace:
        version, status = int(float(self.server.version) * 10000), {"server_encoding": "UTF8"}.get
        return SimpleNamespace(dbname=self.database, server_version=version, parameter_status=status, encoding="utf-8")

    def cancel(self) -> None:
        """Do nothing: no query takes time."""

    close = rollback = cancel

    def execute(self, query: Any, values: Sequence[object] | None = None) -> SimpleNamespace:
        text = query.decode() if isinstance(query, bytes) else query if isinstance(query, str) else query.as_string()
        text = text.removeprefix(f"{facts.SEARCH_PATH};\n").removesuffix(f"\n;{facts.NO_SEARCH_PATH}")
        server, seen = self.server, self.server.databases.get(self.database)
        answer: Rows = []
        if "pg_export_snapshot" in text and not any(part in text for part in server.refused):
            self.snapshot = server.export(self.database)
            answer = [(self.snapshot, SYSTEM.wall())]
        elif text == dump.OID:
            answer = [(crc32(self.database.encode()),)]
        elif not text.startswith("SET "):
            answer = server.answer(text, values or (), server.snapshots.get(self.snapshot, seen))
        return SimpleNamespace(
            fetchall=lambda: answer, fetchone=lambda: next(iter(answer), None), description=next(iter(answer), ("",)),
            fetchmany=partial(next, iter((answer, []))), nextset=iter((True, True, None)).__next__,
        )  # fmt: skip

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    def cancel_safe(self, *, timeout: float) -> None:
        pass

    def __enter__(self) -> MemoryConnection:
        return self

    def __exit__(self, *details: object) -> None:
        pass


@dataclass
class MemoryServers:
    """The servers of the sites of one fake substrate.

    `ends`: the name of a client program -> how it ends instead. `after`: the same -> a change to the server at its end.
    """

    fake: Fake
    postgres: dict[str, MemoryPostgres] = field(default_factory=dict)
    objects: dict[str, MemoryObjects] = field(default_factory=dict)
    ends: dict[str, Outcome] = field(default_factory=dict)
    after: dict[str, Callable[[MemoryPostgres], object]] = field(default_factory=dict)

    @property
    def programs(self) -> dict[str, Program]:
        """The programs of the sites: both servers, and PostgreSQL's clients by the shell that starts them."""
        return {"postgres": lambda _call: Outcome(), "server": lambda _call: Outcome(), "sh": self._client}

    def at(self, _host: str, port: int, state: str = "alive") -> str:
        """Return the name of the site of which a node in that state listens there, "" when none does."""
        for site in self.fake.sites.values():
            for node in site.nodes:
                if getattr(node, state) and any(endpoint.outside.port == port for endpoint in node.endpoints.values()):
                    return site.name
        return ""

    def connect(self, *, host: str, port: str, dbname: str = identity.MAINTENANCE, **_more: object) -> MemoryConnection:
        """psycopg.connect."""
        name = self.at(host, int(port), "reached")
        if not name:
            raise psycopg.OperationalError("connection refused")
        if dbname not in {*self.postgres[name].databases, identity.MAINTENANCE}:
            raise psycopg.OperationalError(f'FATAL: database "{dbname}" does not exist')
        return MemoryConnection(self.postgres[name], dbname)

    def minio(self, endpoint: str, **_more: object) -> MemoryMinio:
        """minio.Minio."""

        def find() -> MemoryObjects:
            host, _, port = endpoint.partition(":")
            if not (name := self.at(host, int(port))):
                raise urllib3.exceptions.HTTPError("connection refused")
            return self.objects[name]

        return MemoryMinio(find)

    def _client(self, call: Call) -> Outcome:
        name, *words = call.argv[3:]
        if name in self.ends:
            return self.ends[name]
        options = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
        target = conninfo_to_dict(options["dbname"])
        options["dbname"] = str(target["dbname"])
        site = self.at(str(target["host"]), int(str(target["port"])))
        if not site:
            return Outcome(1, errors=f"{name}: error: connection refused")
        outcome = self._run(name, self.postgres[site], options, words[-1], call)
        if name in self.after:
            self.after[name](self.postgres[site])
        return outcome

    def _run(self, name: str, server: MemoryPostgres, options: dict[str, str], last: str, call: Call) -> Outcome:
        if "--schema-only" in call.argv:
            tables = sorted(server.databases[options["dbname"]].tables)
            lines = (f"-- Name: {table}; Type: TABLE; Schema: public; Owner: o\n\n" for table in tables)
            return Outcome(0, "".join(lines).encode())
        if name == "pg_dump":
            data = json.dumps({"name": options["dbname"], **asdict(server.snapshots[options["snapshot"]])})
            return Outcome(0, archive() + data.encode())
        volume, _, path = last.partition("/")
        data = json.loads(call.volumes[volume].open(path, "rb").read().removeprefix(archive()))
        name = data.pop("name")
        server.databases[name] = MemoryDatabase(**data)
        return Outcome(0)


def servers_of(fake: Fake, *sites: str) -> MemoryServers:
    """Return the servers of a fake substrate, which runs their programs from now on."""
    made = MemoryServers(fake)
    for number, name in enumerate(sites):
        made.postgres[name], made.objects[name] = MemoryPostgres(f"{name}-{number}"), MemoryObjects()
    fake.programs = {**made.programs, **fake.programs}
    return made

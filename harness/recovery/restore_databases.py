"""Restore of a server's databases, part of message 2.4.2: roles and settings, then a few databases at a time."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from harness.core.contents import Contents, DatabaseFacts, SystemFacts
from harness.core.errors import RestoreFailed, Unreadable
from harness.core.journal import Journal
from harness.core.parallel import in_parallel
from harness.core.service import Contained, Place, Sql
from harness.postgres import checks
from harness.postgres.allowed import NOTHING, Allowed
from harness.postgres.contents import labels
from harness.postgres.contents.locks import lacking_room
from harness.postgres.restoring import quiet
from harness.postgres.restoring.database import Loaded, Spooled, restore_database
from harness.postgres.restoring.views import Stale, refresh_all
from harness.postgres.roles import admission, check, data, initial, restore
from harness.repository.catalogue import OpenBackup

SPOOL = "spool"
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*", re.ASCII)  # in arguments of programs
SHOWN = 5  # tables that a note names
JOBS = 2  # connections that load one database


def dump_path(facts: DatabaseFacts) -> str:
    """Return the path of a database's dump, in the backup and in the spool."""
    return f"{facts.path}.dump"


def schema_path(facts: DatabaseFacts) -> str:
    """Return the path of a database's normalised schema in the backup."""
    return f"{facts.path}.schema.sql"


def require_version(target: SystemFacts, source: SystemFacts) -> tuple[str, ...]:
    """Return a line for the record when the target is of a newer major version; raises RestoreFailed for an older."""
    if target.major < source.major:
        raise RestoreFailed(
            f"the target is PostgreSQL {target.version}, the backup is of {source.version}; a dump cannot be restored "
            f"onto an older major version; restore onto PostgreSQL {source.major} or newer"
        )
    if target.major == source.major:
        return ()
    return (f"restored onto PostgreSQL {target.version}, a newer major version than the source's {source.version}",)


def require_locks(sql: Sql, databases: Iterable[DatabaseFacts], at_once: int) -> None:
    """Raise RestoreFailed when a server cannot lock the tables of the databases that are compared at the same time."""
    counts = sorted((len(database.tables) for database in databases), reverse=True)
    if lacking := lacking_room(sql, sum(counts[:at_once])):
        raise RestoreFailed(f"PostgreSQL at {sql.outside}: {lacking}; nothing was changed")


def server_data(backup: OpenBackup) -> data.ServerData:
    """Return the server-wide data of a backup. Raises Unreadable."""
    text = bytearray()
    for chunk in backup.read(data.PATH):
        text += chunk
        if len(text) > data.MOST:
            break  # refused by the parser
    return data.parse(bytes(text))


@dataclass(slots=True)
class DatabaseRestore:
    """The databases of one backup. `parallel`: databases at a time; `notes`: lines for the record.

    `allowed`: what of it may be made although it gives power over the server.
    """

    place: Place
    backup: OpenBackup
    journal: Journal
    parallel: int
    allowed: Allowed = NOTHING
    refused: tuple[str, ...] = ()  # what is not restored because nothing allows it, a line each
    loaded: Mapping[str, Loaded] = field(default_factory=dict)
    lz4: bool | None = None  # whether DR's server can compress by that; None until it was asked
    notes: tuple[str, ...] = ()
    _server: data.ServerData | None = None
    _lock: Lock = field(default_factory=Lock)

    @property
    def contents(self) -> Contents:
        """Contents of the backup by its manifest."""
        return self.backup.manifest.contents

    @property
    def server(self) -> data.ServerData:
        """The server-wide data; raises Unreadable before it is fetched."""
        if self._server is None:
            raise Unreadable(f"{data.PATH}: not fetched")
        return self._server

    def fetch(self, *, told: bool = True) -> None:
        """Read the server-wide data of the backup. `told`: whether to note what of it is lost. Raises Unreadable."""
        self._server = server_data(self.backup)
        for facts in self.contents.databases:
            if not PLAIN.fullmatch(facts.path):
                raise Unreadable(f"database {facts.name}: {facts.path!r} is no path of a dump")
        if told and (lost := self._server.tablespaces):
            self._note(f"tablespaces are not restored, their tables are in the default one: {', '.join(lost)}")

    def require_place(self) -> None:
        """Raise RestoreFailed where a database of initdb has to be made anew and cannot be."""
        sql = self.place.sql
        initial.require_remakable(sql, self.server, data.inspect(sql), [one.name for one in self.contents.databases])

    def execute(self) -> None:
        """Restore roles, then every database, the largest first. Raises RestoreFailed, Unreadable."""
        sql, found = self.place.sql, data.inspect(self.place.sql)
        providers = labels.loaded(sql, (label.provider for label in self.server.labels))
        admitted = admission.admit(self.server, found, admission.contexts(sql), self.allowed, providers)
        self._server, self.refused = admitted.data, admitted.refused
        for line in (*restore.restore(sql, self.server, found, self.lz4), *admitted.excluded):
            self._note(line)
        for line in initial.remake(sql, self.server, found, [d.name for d in self.contents.databases]):
            self._note(line)
        for line in admitted.allowed:
            self._note(f"{line}: restored, as [restore.allow] says")
        databases = sorted(self.contents.databases, key=lambda d: -d.size)
        self.loaded = in_parallel({d.name: partial(self._database, found, d) for d in databases}, limit=self.parallel)
        for name, loaded in self.loaded.items():
            if loaded.by_superuser:
                self._note(f"database {name}: made by a superuser: {', '.join(loaded.by_superuser)}")
            for line in loaded.unchanged:
                self._note(f"database {name}: {line}")
            without = {one: labels.objects_named(name, objects) for one, objects in loaded.unlabelled.items()}
            refused, excluded = labels.left_out(without, self.allowed)
            self.refused = (*self.refused, *refused)
            for line in excluded:
                self._note(line)

    def _database(self, found: data.ServerData, facts: DatabaseFacts) -> Loaded:
        sql, name = self.place.sql, facts.name
        restore.create_database(sql, self.server, found, name, self.lz4)
        spooled = Spooled(self.place.site, SPOOL, dump_path(facts), JOBS)
        loaded = restore_database(sql, facts, spooled, self.allowed)
        restore.finish_database(sql, self.server, name)
        return loaded

    def differences(self) -> Iterator[str]:
        """Yield how the restored server differs from the backup, one line a difference. Raises HarnessError."""
        names = [d.name for d in self.contents.databases]
        yield from (f"server: {line}" for line in check.differences(self.place.sql, self.server, names, self.lz4))
        place = self.place
        calls = {
            d.name: partial(
                checks.differences, place.sql, d, place.site, partial(self.backup.read, schema_path(d)), self.lz4
            )
            for d in self.contents.databases
        }
        for name, lines in in_parallel(calls, limit=self.parallel).items():
            yield from (f"{name}: {line}" for line in lines)

    def note_compression(self, path: str, tables: Sequence[str]) -> None:
        """Note the tables of a dump whose columns are not compressed by lz4, which the server was built without."""
        name = next(d.name for d in self.contents.databases if dump_path(d) == path)
        shown = ", ".join(tables[:SHOWN]) + (f" and {len(tables) - SHOWN} more" if len(tables) > SHOWN else "")
        self._note(f"database {name}: this server was built without lz4, its own compression is used: {shown}")

    def note_collations(self) -> None:
        """Note which collations sort by another version than at the source. Raises HarnessError."""
        calls = {d.name: partial(checks.other_collations, self.place.sql, d) for d in self.contents.databases}
        for name, lines in in_parallel(calls, limit=self.parallel).items():
            for line in lines:
                self._note(f"database {name}: {line}")

    def settle(self) -> tuple[tuple[str, ...], tuple[Contained, ...]]:
        """Hold what acts on the outside, then fill the materialised views, once all is compared.

        Returns which views stay empty and why, one line each, and what `release` has to undo. Raises HarnessError.
        """
        done = in_parallel({name: partial(self._settle, name) for name in self.loaded}, limit=self.parallel)
        held = [entry for _stale, entries in done.values() for entry in entries]
        restored = {d.name for d in self.contents.databases}
        held += [
            quiet.Held(subscription.database, "subscription", subscription.name)
            for subscription in self.server.subscriptions
            if subscription.enabled and subscription.database in restored
        ]
        contained = quiet.contained(held)
        for entry in contained:
            self.journal.mark("contained", entry.service, containment="until release", actions="; ".join(entry.actions))
        return tuple(str(view) for stale, _held in done.values() for view in stale), contained

    def _settle(self, name: str) -> tuple[tuple[Stale, ...], tuple[quiet.Held, ...]]:
        held = (*self.loaded[name].held, *quiet.hold(self.place.sql, name))
        stale = refresh_all(self.place.sql, name, self.loaded[name].views)
        return stale, (*held, *(quiet.Held(name, "materialised view", view.name, view.schema) for view in stale))

    def _note(self, line: str) -> None:
        with self._lock:  # several databases are restored at a time
            self.notes = (*self.notes, line)
        self.journal.mark("log", "restore", note=line)

"""Contents of one backup: dumps, facts and files of the primary, written with few connections at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from threading import Lock

from harness.backup.pack import Archive, pack_objects
from harness.backup.plan import SHOWN, Plan, uncounted, undeclared
from harness.backup.tree import pack_tree
from harness.core.contents import Contents, DatabaseFacts, Gap, SequenceFacts, SystemFacts, TreeFacts
from harness.core.errors import BackupFailed, HarnessError
from harness.core.node import Task
from harness.core.parallel import Stops, in_parallel
from harness.core.service import Objects, Place, Tree
from harness.core.text import some
from harness.on_disk import Names
from harness.patience import PATIENCE
from harness.postgres import dump
from harness.postgres.contents.schema import SchemaText
from harness.postgres.contents.undumped import Prepared, prepared, prepared_gaps
from harness.postgres.identity import MAINTENANCE, PRISTINE, TEMPLATE, catalogue
from harness.postgres.roles import data as roles
from harness.repository.catalogue import Writer

Source = Tree | Objects
UNTOUCHED = (MAINTENANCE, PRISTINE, TEMPLATE)  # in a plan only when somebody changed them
CONNECTIONS = 2  # of one database at a time: the snapshot's, and that of pg_dump; one of all has a third for a moment


@dataclass(slots=True)
class Work:
    """Writes the contents of one backup. `parallel`: connections at a time; `stops`: ends what is under way."""

    place: Place
    writer: Writer
    parallel: int
    fingerprints: tuple[tuple[str, str], ...]
    stops: Stops = field(default_factory=Stops)
    gone: list[str] = field(default_factory=list)  # databases that nobody declares, dropped or renamed meanwhile
    opened: set[int] = field(default_factory=set)  # OIDs of the databases whose snapshots were opened
    _one_more: Lock = field(default_factory=Lock)  # held by the database with a third connection

    def contents(self, system: SystemFacts, plan: Plan) -> Contents:
        """Write everything in the plan; return what was written. Raises BackupFailed, HarnessError."""
        before, open_before = roles.inspect(self.place.sql), prepared(self.place.sql)
        sources: list[Source] = [*plan.trees, *plan.objects]
        paths = {id(source): f"trees/{number:04}.tar" for number, source in enumerate(sources, 1)}
        of_database: dict[str, list[Source]] = {name: [] for name in plan.databases}
        alone: list[Source] = []
        for source in sources:
            of_database.get(source.database if source.referenced else "", alone).append(source)
        trees: dict[str, TreeFacts] = {}
        databases = in_parallel(
            {
                name: partial(self._database, plan, name, f"databases/{number:04}", of_database[name], paths, trees)
                for number, name in enumerate(plan.databases, 1)
            },
            limit=max(1, self.parallel // CONNECTIONS),
            stop=self.stops.stop,
        )
        in_parallel(
            {paths[id(source)]: partial(self._files, source, None, paths, trees) for source in alone},
            limit=self.parallel,
            stop=self.stops.stop,
        )
        self.writer.add(roles.PATH, (roles.read(self.place.sql, before),))
        packed = tuple(trees[path] for path in sorted(trees))
        written = [(tree, trees[paths[id(tree)]]) for tree in plan.trees if paths[id(tree)] in trees]
        found = [
            gap for tree, facts in written for gap in (undeclared(tree, facts.files), uncounted(tree, facts.missing))
        ]
        gaps = [*plan.gaps, *(gap for gap in found if gap is not None), *self._prepared(plan, open_before)]
        gaps += self._left_behind(plan)
        dumped = tuple(facts for facts in databases.values() if facts is not None)
        return Contents(system, dumped, packed, self.fingerprints, tuple(gaps))

    def _left_behind(self, plan: Plan) -> Iterator[Gap]:
        """Yield a gap for each database of the plan that no dump has: another took its name, or it is gone.

        Of those that are gone, one was renamed, or copied and dropped, only where another name has come.
        """
        undumped = sorted(name for name, oid in plan.oids.items() if oid not in self.opened)
        there = {one.oid: one.name for one in catalogue(self.place.sql)} if undumped else {}
        known = {*plan.databases, *(gap.what.removeprefix("database ") for gap in plan.gaps), *UNTOUCHED}
        new = [name for name in there.values() if name not in known]
        for name in undumped:
            now = there.get(plan.oids[name], "")
            if now and (now in known or name not in self.gone):
                why = f"renamed while the backup ran, it is {now} now and no dump has it; take another backup"
                yield Gap(f"database {name}", why)
            elif name not in self.gone:
                continue  # dropped, and its name is that of another database, which is in the backup
            elif not new:
                yield Gap(f"database {name}", "dropped while the backup ran", "nobody can read it any more")
            else:
                came = f"in which these are new: {some(new, SHOWN)}"
                why = f"dropped or renamed while the backup ran, {came}; take another backup"
                yield Gap(f"database {name}", why, plan.exclude.get(f"database {name}", ""))

    def _prepared(self, plan: Plan, before: Sequence[Prepared]) -> Iterator[Gap]:
        """Yield what was prepared before the backup and is still: others end by themselves, and are newer writes."""
        now = [one for one in prepared(self.place.sql) if one in before and one[0] in plan.databases]
        for what, which in prepared_gaps(now):
            yield Gap(what, f"no dump has them: {which}; commit them or roll them back", plan.exclude.get(what, ""))

    def _there(self, name: str) -> bool:
        """Return whether a database is still there, or the server does not say so: its death is the reason then."""
        try:
            return any(one.name == name for one in catalogue(self.place.sql))
        except HarnessError:
            return True

    def _database(
        self,
        plan: Plan,
        name: str,
        path: str,
        sources: Sequence[Source],
        paths: Mapping[int, str],
        trees: dict[str, TreeFacts],
    ) -> DatabaseFacts | None:
        """Write one database, and the files that it refers to in the same snapshot; None for one that is gone."""
        with ExitStack() as block:
            opening = dump.open_snapshot(self.place.sql, name, stopped=lambda: self.stops.stopped)
            try:
                snapshot = block.enter_context(opening)
            except BackupFailed:
                if name in plan.declared or self._there(name):
                    raise
                self.gone.append(name)
                return None
            block.enter_context(self.stops.calling(snapshot.cancel))
            self.opened.add(snapshot.oid)
            referenced = {id(source): snapshot.names(source.referenced) for source in sources}
            facts: list[DatabaseFacts] = []
            schemas: list[str] = []
            values: dict[str, SequenceFacts] = {}
            calls: dict[str, Callable[[], None]] = {
                "facts": lambda: facts.append(dump.facts(snapshot, path)),
                "dump": lambda: schemas.append(self._dump(path, snapshot, values)),
            }
            calls |= {paths[id(s)]: partial(self._files, s, referenced[id(s)], paths, trees) for s in sources}
            in_parallel(calls, stop=self.stops.stop)
        return replace(facts[0], schema=schemas[0], sequences=dump.furthest_back(snapshot, values))

    def _dump(self, path: str, snapshot: dump.Snapshot, values: dict[str, SequenceFacts]) -> str:
        """Store dump and schema of a database; return the schema's digest. Raises BackupFailed, HarnessError.

        `values`: takes what the dump sets its sequences to.

        Of some definitions (functions, triggers, grants) pg_dump writes what they are now, whatever the snapshot. It
        has read all of them when its first bytes come: as long as nothing changes until then, the schema is the dump's.
        """
        site, sql = self.place.site, self.place.sql
        definitions = dump.schema_task(site, sql, snapshot.database, snapshot)
        before = SchemaText()
        with self._output(definitions) as text:
            for _ in before.entries(text):
                pass
        with self._output(dump.dump_task(site, sql, snapshot)) as dumped:
            first = next(dumped, b"")
            schema = SchemaText(known=frozenset(before.digests))
            with self._one_more, self._output(definitions) as text:
                self.writer.add(f"{path}.schema.sql", schema.chunks(text))
            if schema.digest != before.digest:
                which = some(schema.changed, SHOWN) or "one is gone"
                raise BackupFailed(f"definitions changed while pg_dump read them: {which}; take another backup")
            self.writer.add(f"{path}.dump", dump.with_sequences(chain((first,), dumped), snapshot, values))
        return schema.digest

    @contextmanager
    def _output(self, task: Task) -> Iterator[Iterator[bytes]]:
        """Yield the output of a task on the primary, in chunks. The task is ended when the block fails or all stops."""
        running = self.place.site.run(task)

        def end() -> None:
            running.__exit__(None, None, None)

        with self.stops.calling(end):
            try:
                yield dump.chunks(running, PATIENCE.dump)
            except BaseException:
                end()
                raise

    def _files(
        self, source: Source, referenced: Names | None, paths: Mapping[int, str], trees: dict[str, TreeFacts]
    ) -> None:
        path = paths[id(source)]
        archive = self._archive(source, referenced)
        if isinstance(source, Tree) and source.found and next(iter(archive.names()), None) is None and not archive.lost:
            return  # nothing was found in the volume
        self.writer.add(path, archive.chunks())
        trees[path] = replace(archive.facts, path=path)

    def _archive(self, source: Source, referenced: Names | None) -> Archive:
        if isinstance(source, Tree):
            return pack_tree(self.place, source, referenced)
        return pack_objects(self.place, source, referenced)

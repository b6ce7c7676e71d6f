"""Contents of one backup: dumps, facts and files of the primary, written with few connections at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

from harness.backup.pack import Archive, pack_objects, pack_tree
from harness.backup.plan import Plan, undeclared
from harness.core.contents import Contents, DatabaseFacts, SystemFacts, TreeFacts
from harness.core.node import Task
from harness.core.parallel import Stops, in_parallel
from harness.core.service import Objects, Place, Tree
from harness.patience import PATIENCE
from harness.postgres import dump
from harness.postgres.contents.schema import SchemaText
from harness.postgres.roles import data as roles
from harness.repository.catalogue import Writer

Source = Tree | Objects
CONNECTIONS = 2  # of one database at a time: the snapshot's, and that of pg_dump


@dataclass(slots=True)
class Work:
    """Writes the contents of one backup. `parallel`: connections at a time; `stops`: ends what is under way."""

    place: Place
    writer: Writer
    parallel: int
    fingerprints: tuple[tuple[str, str], ...]
    stops: Stops = field(default_factory=Stops)

    def contents(self, system: SystemFacts, plan: Plan) -> Contents:
        """Write everything in the plan; return what was written. Raises BackupFailed, HarnessError."""
        before = roles.inspect(self.place.sql)
        sources: list[Source] = [*plan.trees, *plan.objects]
        paths = {id(source): f"trees/{number:04}.tar" for number, source in enumerate(sources, 1)}
        of_database: dict[str, list[Source]] = {name: [] for name in plan.databases}
        alone: list[Source] = []
        for source in sources:
            of_database.get(source.database if source.referenced else "", alone).append(source)
        trees: dict[str, TreeFacts] = {}
        databases = in_parallel(
            {
                name: partial(self._database, name, f"databases/{number:04}", of_database[name], paths, trees)
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
        found = [undeclared(tree, trees[paths[id(tree)]].files) for tree in plan.trees if paths[id(tree)] in trees]
        gaps = (*plan.gaps, *(gap for gap in found if gap is not None))
        return Contents(system, tuple(databases.values()), packed, self.fingerprints, gaps)

    def _database(
        self, name: str, path: str, sources: Sequence[Source], paths: Mapping[int, str], trees: dict[str, TreeFacts]
    ) -> DatabaseFacts:
        """Write one database, and the files that it refers to in the same snapshot."""
        with ExitStack() as block:
            snapshot = block.enter_context(dump.open_snapshot(self.place.sql, name, stopped=lambda: self.stops.stopped))
            block.enter_context(self.stops.calling(snapshot.cancel))
            referenced = {id(source): snapshot.column(source.referenced) for source in sources}
            facts: list[DatabaseFacts] = []
            schema = SchemaText()

            def dump_all() -> None:
                """One after the other: at most one connection of pg_dump."""
                site, sql = self.place.site, self.place.sql
                self._run(f"{path}.dump", dump.dump_task(site, sql, snapshot))
                self._run(f"{path}.schema.sql", dump.schema_task(site, sql, name, snapshot), schema.chunks)

            calls: dict[str, Callable[[], None]] = {
                "facts": lambda: facts.append(dump.facts(snapshot, path)),
                "dump": dump_all,
            }
            calls |= {paths[id(s)]: partial(self._files, s, referenced[id(s)], paths, trees) for s in sources}
            in_parallel(calls, stop=self.stops.stop)
        return replace(facts[0], schema=schema.digest)

    def _run(self, path: str, task: Task, change: Callable[[Iterable[bytes]], Iterable[bytes]] = iter) -> None:
        """Store the output of a task on the primary, as `change` makes it."""
        running = self.place.site.run(task)
        with self.stops.calling(lambda: running.__exit__(None, None, None)):
            self.writer.add(path, change(dump.chunks(running, PATIENCE.dump)))

    def _files(
        self, source: Source, referenced: Sequence[str] | None, paths: Mapping[int, str], trees: dict[str, TreeFacts]
    ) -> None:
        path = paths[id(source)]
        archive = self._archive(source, referenced)
        if isinstance(source, Tree) and source.found and next(iter(archive.names()), None) is None and not archive.lost:
            return  # nothing was found in the volume
        self.writer.add(path, archive.chunks())
        trees[path] = replace(archive.facts, path=path)

    def _archive(self, source: Source, referenced: Sequence[str] | None) -> Archive:
        if isinstance(source, Tree):
            return pack_tree(self.place, source, referenced)
        return pack_objects(self.place, source, referenced)

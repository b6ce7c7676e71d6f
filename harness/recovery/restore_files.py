"""Restore of files and objects into volumes and buckets; what the restored databases refer to and what DR lacks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from harness.backup.archive import BUCKET, CHUNK, VOLUME, Member, bucket_name
from harness.backup.pack import MISMATCH, Unavailable, exactly, no_path, open_file, reason_of, sha1_of
from harness.backup.unpack import Inventory, Write, unpack
from harness.core.contents import TreeFacts
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.journal import Journal
from harness.core.node import FILE, FOLDER, Entry, Readable, Volume
from harness.core.parallel import in_order
from harness.core.service import Objects, Place, Service, Tree
from harness.postgres import checks
from harness.repository.catalogue import OpenBackup
from harness.s3.client import ensure_bucket
from harness.s3.objects import Bucket
from harness.s3.replica import Wanted, put, put_right
from harness.s3.replication import missing


@dataclass(slots=True)
class FileRestore:
    """Restores the archives of one backup. `corrected`: replicas that differed and were put right from the backup."""

    place: Place
    services: Sequence[Service]
    backup: OpenBackup
    journal: Journal
    corrected: list[str] = field(default_factory=list)
    inventories: dict[str, Inventory] = field(default_factory=dict)

    def calls(self) -> dict[str, Callable[[], None]]:
        """Return one call for each archive, which restores it and raises RestoreFailed.

        Raises RestoreFailed for an archive that no service declares and that was not found on the primary.
        """
        targets = {tree.name: partial(into_volume, self.place, tree) for tree in trees_of(self.services)}
        buckets = {bucket_name(objects.bucket): objects for objects in objects_of(self.services)}
        targets |= {name: partial(self._into_bucket, objects) for name, objects in buckets.items()}
        for facts in self.backup.manifest.contents.trees:
            if facts.found and facts.name.startswith(VOLUME):
                tree = Tree(facts.name, facts.name.removeprefix(VOLUME), "", found=True)
                targets.setdefault(facts.name, partial(into_volume, self.place, tree))
            elif facts.found and facts.name.startswith(BUCKET):
                objects = Objects(facts.name.removeprefix(BUCKET), found=True)
                targets.setdefault(facts.name, partial(self._into_bucket, objects))
        names = {facts.name for facts in self.backup.manifest.contents.trees}
        if unknown := names - set(targets):
            raise RestoreFailed(f"estate.toml: no service restores {', '.join(sorted(unknown))}; declare it")
        return {
            facts.name: partial(self._unpack, facts, targets[facts.name])
            for facts in self.backup.manifest.contents.trees
        }

    def _unpack(self, facts: TreeFacts, target: Callable[[], Write]) -> None:
        inventory = unpack(facts.name, self.backup.read(facts.path), facts, target())
        self.inventories[facts.name] = inventory

    def _into_bucket(self, objects: Objects) -> Write:
        return into_bucket(self.place, objects, self.backup.manifest.backup_id, self._note)

    def _note(self, bucket: str, key: str, what: str) -> None:
        self.corrected.append(f"bucket {bucket}: {key}: {what}")
        self.journal.mark("corrected", f"bucket {bucket}", key=key, differed=what)


def trees_of(services: Iterable[Service]) -> Iterator[Tree]:
    """Yield the declared trees of files."""
    for service in services:
        yield from service.sources().trees


def objects_of(services: Iterable[Service]) -> Iterator[Objects]:
    """Yield the declared buckets."""
    for service in services:
        yield from service.sources().objects


def into_volume(place: Place, tree: Tree) -> Write:
    """Return a function that writes one member of a tree into its volume; it raises OSError, UsageError."""
    volume = place.site.volume(tree.volume)

    def write(member: Member, source: Readable) -> None:
        path = f"{tree.folder}/{member.name}" if tree.folder else member.name
        if not member.folder:
            with volume.open(path, "wb") as target:
                while data := source.read(CHUNK):
                    target.write(data)
        volume.adjust(Entry(path, FOLDER if member.folder else FILE, member.size, member.mode, member.mtime))

    return write


def into_bucket(place: Place, objects: Objects, backup_id: str, note: Callable[[str, str, str], None]) -> Write:
    """Return a function that writes one object, tagged with the backup, unless replication has brought the same.

    `note` is called with bucket, key and difference of a replica that was put right. The function raises RestoreFailed,
    HarnessError.
    """
    ensure_bucket(place.s3, objects.bucket)
    bucket = Bucket(place.s3, objects.bucket)
    empty = next(bucket.keys(), None) is None

    def write(member: Member, source: Readable) -> None:
        wanted = Wanted(member.name, member.size, member.headers, member.tags, backup_id)
        try:
            differed = put(bucket, wanted, source) if empty else put_right(bucket, wanted, source)
        except (OSError, HarnessError) as error:
            raise RestoreFailed(f"bucket {objects.bucket}: {member.name} cannot be restored: {error}") from error
        if differed:
            note(objects.bucket, member.name, differed)

    return write


def missing_references(place: Place, services: Sequence[Service]) -> tuple[str, ...]:
    """Return a line for each file and object that a restored database refers to and that the site lacks.

    A file that is named by the SHA-1 of its content must have that content. Raises HarnessError.
    """
    lost: list[str] = []
    for tree in trees_of(services):
        if tree.referenced:
            paths = checks.column(place.sql, tree.database, tree.referenced)
            found = in_order(partial(_absent_file, place.site.volume(tree.volume), tree), sorted(set(paths)))
            lost += [f"{tree.name}: {path}: {reason}" for path, reason in found if reason]
    for objects in objects_of(services):
        if objects.referenced:
            keys = checks.column(place.sql, objects.database, objects.referenced)
            lost += [
                f"{bucket_name(objects.bucket)}: {key}: no such object"
                for key in missing(place.s3, objects.bucket, keys)
            ]
    return tuple(lost)


def _absent_file(volume: Volume, tree: Tree, path: str) -> str:
    """Return why a referenced path is no file of the volume, "" when it is one."""
    if reason := no_path(path):
        return reason
    try:
        with open_file(volume, tree, path, referenced=True) as (member, source):
            if tree.sha1_named and sha1_of(exactly(source, member.size)) != path.rsplit("/", 1)[-1]:
                return MISMATCH
    except (OSError, Unavailable) as error:
        return reason_of(error)
    return ""

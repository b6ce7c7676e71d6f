"""Restore of files and objects into volumes and buckets; what the restored databases refer to and what DR lacks."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from harness.backup.archive import BUCKET, VOLUME, Member, bucket_name
from harness.backup.pack import (
    MISMATCH,
    Opened,
    Unavailable,
    exactly,
    open_object,
    reason_of,
    sha1_of,
    sha256_of,
)
from harness.backup.tree import no_path, open_file, plain
from harness.backup.unpack import Inventory, Write, unpack
from harness.core.contents import Contents, TreeFacts, readable
from harness.core.errors import RestoreFailed
from harness.core.journal import Journal
from harness.core.node import Volume
from harness.core.parallel import in_order
from harness.core.service import Objects, Place, Service, Sql, Tree
from harness.on_disk import Names
from harness.postgres import checks
from harness.recovery.restore_folders import Unpacked, settle
from harness.recovery.write_files import into_bucket, into_volume
from harness.repository.catalogue import OpenBackup
from harness.s3.objects import Bucket
from harness.s3.replication import missing

Group = tuple[Tree | Objects, ...]  # what one archive is of: a tree, or a bucket that several services may declare

MOST_REFUSED = 100  # objects: with more it is the store


@dataclass(slots=True)
class FileRestore:
    """Restores the archives of one backup: `calls`, and `settle` when those are done.

    `kept`: files of the site, by volume, that a restore test may not replace; `corrected`: replicas that differed and
    were put right from the backup; `refused`: objects that DR's store does not take, with its reasons, by archive and
    key; `notes`: lines for the record.
    """

    place: Place
    services: Sequence[Service]
    backup: OpenBackup
    journal: Journal
    kept: Mapping[str, Collection[str]] = field(default_factory=dict)
    corrected: list[str] = field(default_factory=list)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    inventories: list[Inventory] = field(default_factory=list)
    unpacked: list[Unpacked] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def calls(self) -> dict[str, Callable[[], None]]:
        """Return one call for each archive, which restores it and raises RestoreFailed.

        Raises RestoreFailed for an archive that no service declares and that was not found on the primary.
        """
        known = sources_of(self.services, self.backup.manifest.contents)
        facts = self.backup.manifest.contents.trees
        if unknown := {tree.name for tree in facts} - set(known):
            raise RestoreFailed(f"estate.toml: no service restores {', '.join(sorted(unknown))}; declare it")
        return {tree.path: partial(self._unpack, tree, known[tree.name][0]) for tree in facts}

    def _unpack(self, facts: TreeFacts, target: Tree | Objects) -> None:
        write = self._into_volume(target) if isinstance(target, Tree) else self._into_bucket(target)
        inventory = unpack(facts.name, self.backup.read(facts.path), facts, write)
        self.inventories.append(inventory)
        if isinstance(target, Tree):
            self.unpacked.append(Unpacked(target, facts, inventory))

    def settle(self) -> None:
        """Give the folders of all volumes their modes and times. Raises RestoreFailed."""
        self.notes = settle(self.place, self.unpacked)

    def _into_volume(self, tree: Tree) -> Write:
        return into_volume(self.place, tree, self.kept.get(tree.volume, ()))

    def _into_bucket(self, objects: Objects) -> Write:
        return into_bucket(self.place, objects, self.backup.manifest.backup_id, self._note, self._refuse)

    def _note(self, bucket: str, key: str, what: str) -> None:
        self.corrected.append(f"bucket {bucket}: {key}: {what}")
        self.journal.mark("corrected", f"bucket {bucket}", key=key, differed=what)

    def _refuse(self, bucket: str, key: str, why: str) -> None:
        self.refused[bucket_name(bucket), key] = why
        if len(self.refused) > MOST_REFUSED:
            raise RestoreFailed(f"bucket {bucket}: the store refuses more than {MOST_REFUSED} objects, the last: {why}")
        self.journal.mark("log", f"bucket {bucket}", key=key, refused=why)

    def lost(self, sql: Sql, contents: Contents) -> tuple[str, ...]:
        """Return what `not_restored` does for the server at `sql`, and what DR's store refused. Raises HarnessError."""
        found = not_restored(replace(self.place, sql=sql), self.services, contents, self.inventories)
        more = (f"{name}: {key}: refused by the store: {why}" for (name, key), why in sorted(self.refused.items()))
        named = {line.rpartition(": ")[0] for line in found}
        return (*found, *(line for line in more if line.partition(": refused by")[0] not in named))


def sources_of(services: Iterable[Service], contents: Contents | None = None) -> dict[str, Group]:
    """Return the declared trees and buckets, and those that a backup found, by the names of their archives."""
    known: dict[str, Group] = {}
    for facts in contents.trees if contents is not None else ():
        if facts.found and facts.name.startswith(VOLUME):
            known[facts.name] = (Tree(facts.name, facts.name.removeprefix(VOLUME), "", found=True),)
        elif facts.found and facts.name.startswith(BUCKET):
            known[facts.name] = (Objects(facts.name.removeprefix(BUCKET), found=True),)
    for service in services:
        for tree in service.sources().trees:
            known[tree.name] = (*known.get(tree.name, ()), tree)
        for objects in service.sources().objects:
            name = bucket_name(objects.bucket)
            known[name] = (*known.get(name, ()), objects)
    return known


def not_restored(
    place: Place, services: Sequence[Service], contents: Contents, inventories: Sequence[Inventory]
) -> tuple[str, ...]:
    """Return a line for each file and object that the site lacks after the restore. Raises HarnessError.

    Those are what a restored database refers to, what the backup of a whole folder or bucket lacks, and objects whose
    keys the store takes for each other.
    """
    known = sources_of(services, contents)
    whole = [facts for facts in contents.trees if not all(source.referenced for source in known[facts.name])]
    lost = [f"{tree.name}: {gone.path}: {gone.reason}" for tree in whole for gone in tree.missing if gone.holds_data]
    for inventory in inventories:
        (source, *_) = known[inventory.name]
        if isinstance(source, Objects):
            lost += [f"{inventory.name}: {line}" for line in confused(Bucket(place.s3, source.bucket), inventory)]
    return (*missing_references(place, services), *lost)


def missing_references(place: Place, services: Sequence[Service]) -> tuple[str, ...]:
    """Return a line for each file and object that a restored database refers to and that the site lacks.

    A file that is named by the SHA-1 of its content must have that content. Raises HarnessError.
    """
    lost: list[str] = []
    for name, group in sources_of(services).items():
        names = referenced(place, group)
        if names is None:
            continue
        if isinstance(source := group[0], Tree):
            found = in_order(partial(_absent_file, place.site.volume(source.volume), source), names)
            lost += [f"{name}: {path}: {reason}" for path, reason in found if reason]
        else:
            lost += [f"{name}: {key}: no such object" for key in missing(place.s3, source.bucket, names)]
    return tuple(lost)


def referenced(place: Place, group: Group) -> Names | None:
    """Return what databases refer to now, None where everything belongs to the tree or bucket. Raises HarnessError."""
    if not all(source.referenced for source in group):
        return None
    return Names(name for of in group for name in checks.names(place.sql, of.database, of.referenced))


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


@dataclass(frozen=True, slots=True)
class Since:
    """What became of the files of a backup since its restore, a line each."""

    lost: tuple[str, ...]
    changed: tuple[str, ...]


def files_lost_since(
    place: Place, services: Sequence[Service], contents: Contents, inventories: Sequence[Inventory]
) -> Since:
    """Return what of the restored files and objects is lost, and what has other content. Raises HarnessError.

    Lost: it is gone or empty, or a database that still refers to it finds other content. A program may replace files
    of a whole folder or bucket, to which no database refers: those are changed. What a database no longer refers to is
    not looked for.
    """
    lost: list[str] = []
    changed: list[str] = []
    known = sources_of(services, contents)
    for inventory in inventories:
        group = known[inventory.name]
        names = referenced(place, group)
        if names is not None and isinstance(group[0], Tree):
            names = Names(map(plain, names))
        wanted = ((m, d) for m, d in inventory.members() if names is None or m.name in names)
        for (member, _), (reason, gone) in in_order(partial(_compare, opener_of(place, group[0])), wanted):
            if reason:
                (lost if gone or names is not None else changed).append(
                    f"{inventory.name}: {readable(member.name)}: {reason}"
                )
    return Since(tuple(lost), tuple(changed))


def opener_of(place: Place, source: Tree | Objects) -> Callable[[str], Opened]:
    """Return a function that opens a restored file or object; it raises Unavailable."""
    if isinstance(source, Tree):
        return partial(open_file, place.site.volume(source.volume), source, referenced=False)
    return partial(open_object, Bucket(place.s3, source.bucket))


def _compare(opened: Callable[[str], Opened], expected: tuple[Member, str]) -> tuple[str, bool]:
    """Return how a restored member differs from the backup, "" for not at all, and whether its content is gone."""
    member, digest = expected
    try:
        with opened(member.name) as (found, source):
            if member.folder:
                return "", False
            if not found.size and member.size:
                return "is empty", True
            if sha256_of(exactly(source, found.size)) != digest:
                return "has other content than the backup", False
    except (OSError, Unavailable) as error:
        return reason_of(error), not member.folder
    return "", False


def confused(bucket: Bucket, inventory: Inventory) -> Iterator[str]:
    """Yield a line for each object whose key the store takes for another, and that has other content therefore.

    SeaweedFS stores a backslash as a slash, several slashes as one, and nothing below a slash at the end.
    """
    odd = Names(same for member, _ in inventory.members() if (same := _same_key(member.name)) != member.name)
    suspects = ((m, d) for m, d in inventory.members() if _same_key(m.name) in odd)
    for (member, _), (reason, _gone) in in_order(partial(_compare, partial(open_object, bucket)), suspects):
        if reason:
            yield f"{member.name}: {reason}: the store takes its key for another"


def _same_key(key: str) -> str:
    """Return what keys have in common that a store may take for each other."""
    return unicodedata.normalize("NFC", "/".join(part for part in key.replace("\\", "/").split("/") if part))

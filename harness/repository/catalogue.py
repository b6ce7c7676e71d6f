"""Catalogue of an estate's backups. Only what a trusted writer committed is listed; the others are removed by `reap`.

Writes happen in the order intent, objects, keys, manifest, COMMIT; deletions in the reverse order. A writer killed at
any point leaves a backup that is either committed and complete, or not listed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError, NoValidBackup, Unreadable
from harness.core.parallel import in_order
from harness.repository.chain import CLOCK, Chain, Head, Link, follow, newest
from harness.repository.committed import CommittedBackup, followed, require_read
from harness.repository.format.commit import LARGEST_COMMIT, Commit, digest_of, read_commit
from harness.repository.format.layout import UNSIGNED, Layout
from harness.repository.format.manifest import ObjectEntry
from harness.repository.format.recipients import read_private
from harness.repository.format.unsigned import is_unsigned, read_unsigned
from harness.repository.hidden import HiddenCommits, hidden_commits
from harness.repository.pipeline import Pipeline
from harness.repository.reader import OpenBackup, Progress, open_backup, small_object
from harness.repository.store.pieces import Pieces
from harness.repository.store.port import ObjectStore
from harness.repository.upkeep.expired import MOST_NOTES, read_expired
from harness.repository.witness import MemoryWitness, Seen, Witness
from harness.repository.writer import Receipt, Writer, begin

__all__ = ["CommittedBackup", "ObjectEntry", "OpenBackup", "Receipt", "Repository", "Selection", "Trust", "Writer"]

PERIOD = timedelta(days=7)  # after which a backup is to be opened again
LARGEST_UNSIGNED = 64 << 20  # bytes of a manifest of the format before
ONE_UNSIGNED = Lock()  # they are read one at a time, as each may be that large


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose backups are read. `systems`: database systems that they may be of, any when empty."""

    writers: tuple[Ed25519PublicKey, ...] = ()
    allow_unsigned: bool = False
    systems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The committed backups, newest first by the chain; where it ends, and what contradicts it.

    `tips`: the backups that the next one follows; `unseen`: why hidden backups cannot be looked for, "" when they can.
    """

    entries: tuple[CommittedBackup, ...]
    head: Head | None
    findings: tuple[str, ...]
    tips: tuple[Head, ...] = ()
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The newest backup that authenticates completely, and the newer ones that do not, each with the reason.

    `findings`: signs that the repository was tampered with, and witnesses that could not be asked; `head`: the newest.
    """

    backup: OpenBackup
    passed_over: tuple[tuple[str, str], ...]
    findings: tuple[str, ...] = ()
    head: Head | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """The backups of one estate in one store."""

    store: ObjectStore
    estate: str
    clock: Clock = SYSTEM
    trust: Trust = Trust()
    witnesses: tuple[Witness, ...] = field(default_factory=lambda: (MemoryWitness(),))

    @property
    def layout(self) -> Layout:
        """Return the keys of its objects in the store."""
        return Layout(self.estate)

    def begin(self, cluster: str, recipients: Sequence[str | bytes], signing_key: str | bytes) -> Writer:
        """Write the intent of a new backup; return its writer. Raises UsageError for bad keys, HarnessError."""
        return begin(self.store, self.layout, self.clock, cluster, recipients, signing_key, self._newest)

    def _newest(self, own: Ed25519PublicKey) -> tuple[Head, ...]:
        """Return the backups that the next one follows; those signed by `own` count as well."""
        found = self.trusting(own).catalogue(unread=True)
        return followed(found.entries, found.tips)

    def trusting(self, own: Ed25519PublicKey) -> Repository:
        """Return this repository as the writer with the key `own` reads it: what it wrote itself counts as well."""
        return replace(self, trust=replace(self.trust, writers=(*self.trust.writers, own)))

    def committed(self) -> tuple[CommittedBackup, ...]:
        """Return every backup with a COMMIT, newest first, those that are not trusted with the reason."""
        return self.catalogue().entries

    def logical(self) -> tuple[CommittedBackup, ...]:
        """Return what `committed` does without physical backups, which no logical restore can use."""
        return tuple(entry for entry in self.committed() if not entry.physical)

    def catalogue(self, notes: int | None = MOST_NOTES, *, unread: bool = False) -> Catalogue:
        """Return every backup with a COMMIT in the order of the chain. Raises HarnessError of store or witness.

        `notes`: how many notes of expired backups are read, all for None; that there are more is a finding. `unread`:
        whether a store may read no COMMIT: the next backup does not wait for a lost one.
        """
        ids = {self.layout.id_in(entry.key) for entry in self.store.list(self.layout.of("commit"))} - {""}
        found = dict(in_order(self._entry, sorted(ids)))  # several at a time: a far store answers late
        require_read(() if unread else found.values())
        links = [_link(entry.commit, entry.digest) for entry in found.values() if entry.commit is not None]
        known, doubts = self._witnessed()
        noted = read_expired(self.store, self.layout, self.trust.writers, notes)
        expired = noted.heads
        hidden = self.hidden().without([head.digest for head in (*(link.head for link in links), *expired)])
        # Both are reported as what they are, and not as missing.
        damaged = {name for name, entry in found.items() if entry.damaged is not None} | hidden.names
        chain = follow(links, known, damaged, self.clock.wall(), expired, self.trust.systems)
        tips = newest(links, (*known, *(head for head, _ in hidden.versions)), expired)
        oldest = min((link.head.sequence for link in links), default=0)
        findings = (*hidden.findings(oldest), *chain.findings, *noted.findings, *doubts)
        return Catalogue(ordered(found, chain), chain.head, findings, tips, hidden.unseen)

    def hidden(self) -> HiddenCommits:
        """Return the backups whose COMMIT lies under a delete marker or another version, as far as that is seen."""
        return hidden_commits(self.store, self.layout, self.trust.writers)

    def expired(self) -> tuple[Head, ...]:
        """Return the backups that retention removed or was about to remove, as notes of trusted writers say.

        What nobody trusted signed is passed over. Raises HarnessError of the store.
        """
        return read_expired(self.store, self.layout, self.trust.writers).heads

    def known(self) -> tuple[Head, ...]:
        """Return the newest backups that the witnesses know, without those that cannot be read."""
        return self._witnessed()[0]

    def _witnessed(self) -> tuple[tuple[Head, ...], tuple[str, ...]]:
        """Return what the witnesses know; and why one cannot be read, which stops no recovery."""
        heads, doubts = [], []
        for witness in self.witnesses:
            try:
                head = witness.read(self.estate).head
            except HarnessError as error:
                doubts.append(f"{error}; until then a rollback may go unnoticed")
            else:
                heads += [head] if head is not None else []
        return tuple(heads), tuple(doubts)

    def _entry(self, backup_id: str) -> CommittedBackup:
        try:
            return self._trusted(backup_id)
        except Unreadable as error:
            return CommittedBackup.of(backup_id, error)

    def _trusted(self, backup_id: str) -> CommittedBackup:
        text = small_object(self.store, self.layout.commit(backup_id), LARGEST_COMMIT)
        if is_unsigned(text):
            if not self.trust.allow_unsigned:
                raise Unreadable(f"not signed ({UNSIGNED}): anyone may have written it; --allow-unsigned reads it")
            with ONE_UNSIGNED:
                note = small_object(self.store, f"{self.layout.manifest(backup_id)}.json", LARGEST_UNSIGNED)
                old = read_unsigned(text, note, self.estate, backup_id)
            return CommittedBackup(backup_id, None, digest_of(text), None, old)
        commit = read_commit(text, self.trust.writers)
        if (commit.estate, commit.backup_id) != (self.estate, backup_id):
            raise Unreadable(f"COMMIT: belongs to backup {commit.backup_id} of estate {commit.estate}")
        if self.trust.systems and commit.cluster not in self.trust.systems:
            raise Unreadable(f"of database system {commit.cluster}; declared: {', '.join(self.trust.systems)}")
        return CommittedBackup(backup_id, None, digest_of(text), commit)

    def open(self, backup: CommittedBackup, private_pem: str | bytes) -> OpenBackup:
        """Open a backup with a recipient's key. Raises Unreadable (damaged, not a recipient), UsageError (no key)."""
        if backup.commit is not None:
            return open_backup(self.store, self.layout, backup.commit, private_pem)
        if backup.unsigned is None:
            raise Unreadable(f"backup {backup.backup_id}: {backup.damaged}")
        dek = backup.unsigned.data_key(read_private(private_pem))
        return OpenBackup(backup.unsigned.manifest, self.store, self.layout, dek, Pipeline(self.store), UNSIGNED)

    def latest_valid(self, private_pem: str | bytes, progress: Progress | None = None) -> Selection:
        """Return the newest logical backup that is authentic throughout.

        Raises NoValidBackup with reasons, HarnessError.
        """
        passed_over: list[tuple[str, str]] = []
        catalogue = self.catalogue()
        for entry in catalogue.entries:
            if entry.physical:
                continue
            try:
                backup = self.verified(entry, private_pem, progress)
            except Unreadable as error:
                passed_over.append((entry.backup_id, str(error)))
            else:
                findings = [*catalogue.findings]
                if catalogue.head is not None:
                    try:
                        self.remember(catalogue.head)
                    except HarnessError as error:
                        findings.append(str(error))
                return Selection(backup, tuple(passed_over), tuple(dict.fromkeys(findings)), catalogue.head)
        reasons = "; ".join([*(f"{backup_id}: {reason}" for backup_id, reason in passed_over), *catalogue.findings])
        if not reasons and catalogue.entries:
            reasons = f"{len(catalogue.entries)} physical ones are there; `blackstart restore` restores those"
        raise NoValidBackup(f"estate {self.estate}: no valid backup: {reasons or 'none is committed'}")

    def verified(
        self, entry: CommittedBackup, private_pem: str | bytes, progress: Progress | None = None
    ) -> OpenBackup:
        """Open every object of a backup, note in the witnesses that it was, and return it. Raises as `open`."""
        backup = self.open(entry, private_pem)
        backup.verify(progress)
        for witness in self.witnesses:
            with suppress(HarnessError):  # the catalogue names a witness that does not work
                witness.write(self.estate, Seen(opened={entry.digest: self.clock.wall()}))
        return backup

    def shown(self, entry: CommittedBackup, private_pem: str | bytes, *, again: bool = False) -> datetime | None:
        """Open every object of a backup, unless that was done within the period: then compare their number and size.

        Return when it was opened before, None when it was opened now. `again`: open it in any case. Raises as `open`.
        """
        last = self.opened().get(entry.digest)
        if last is not None and within_period(last, self.clock.wall()) and not again:
            self.require_stored(entry)
            return last
        self.verified(entry, private_pem)
        if entry.commit is not None:
            self.require_stored(entry)  # an object more, which no manifest names, cannot be opened
        return None

    def require_stored(self, entry: CommittedBackup) -> None:
        """Compare number and size of a backup's objects with its COMMIT; raises Unreadable when they differ."""
        commit = entry.commit
        if commit is None:
            raise Unreadable(f"backup {entry.backup_id}: {entry.damaged or 'not signed'}")
        sizes = [one.size for one in Pieces(self.store).list(self.layout.data(entry.backup_id))]
        if (len(sizes), sum(sizes)) != (commit.objects, commit.stored_size):
            raise Unreadable(
                f"backup {entry.backup_id}: {len(sizes)} objects of {sum(sizes)} bytes are stored instead of "
                f"{commit.objects} of {commit.stored_size}"
            )

    def opened(self, *, by_any: bool = False) -> dict[str, datetime]:
        """Return when each backup was last opened completely, by the digest of its COMMIT; nothing where unknown.

        As the first witness says, which nobody else writes to; `by_any`: as any of them says.
        """
        found: dict[str, datetime] = {}
        for witness in self.witnesses if by_any else self.witnesses[:1]:
            with suppress(HarnessError):
                found |= witness.read(self.estate).opened
        return found

    def remember(self, head: Head) -> None:
        """Tell every witness the newest backup, unless it knows a newer one. Raises HarnessError."""
        for witness in self.witnesses:
            seen = witness.read(self.estate)
            if seen.head is None or head.sequence > seen.head.sequence:
                witness.write(self.estate, Seen(head=head))


def within_period(last: datetime, now: datetime) -> bool:
    """Return whether what was done then need not be done again; a time in the future is of a clock that was wrong."""
    return now - PERIOD <= last <= now + CLOCK


def _link(commit: Commit, digest: str) -> Link:
    follows = tuple(Head(one.sequence, one.backup_id, one.digest) for one in commit.follows)
    return Link(Head(commit.sequence, commit.backup_id, digest), follows, commit.finished, commit.cluster)


def ordered(found: Mapping[str, CommittedBackup], chain: Chain) -> tuple[CommittedBackup, ...]:
    """Return trusted backups by the chain, unsigned ones after them; the others where their names belong."""
    unsigned = sorted((name for name, entry in found.items() if entry.unsigned is not None), reverse=True)
    trusted = [*chain.order, *unsigned]
    # Whoever may write to the bucket decides how many there are: each is looked at once.
    others = deque(sorted(set(found) - set(trusted), reverse=True))
    order: list[str] = []
    for name in trusted:
        while others and others[0] > name:
            order.append(others.popleft())
        order.append(name)
    return tuple(found[name] for name in (*order, *others))

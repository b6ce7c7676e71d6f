"""A committed backup as the catalogue lists it, trusted or not."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from harness.core.errors import Denied, HarnessError, Lost, Unreadable
from harness.repository.chain import Head
from harness.repository.format.commit import Commit, Predecessor
from harness.repository.format.unsigned import UnsignedBackup


@dataclass(frozen=True, slots=True)
class CommittedBackup:
    """A committed backup. `damaged`: why it is not trusted, None if it is. `digest`: SHA-256 of its COMMIT, hex.

    `denied`: the store does not show its COMMIT, which may be intact; `lost`: because it fails to read it.
    """

    backup_id: str
    damaged: str | None
    digest: str = ""
    _commit: Commit | None = field(default=None, repr=False)
    _unsigned: UnsignedBackup | None = field(default=None, repr=False)
    denied: bool = False
    lost: bool = False

    @classmethod
    def of(cls, backup_id: str, error: Unreadable) -> Self:
        """Return the backup whose COMMIT cannot be opened or trusted."""
        return cls(backup_id, str(error), denied=isinstance(error, Denied), lost=isinstance(error, Lost))

    @property
    def commit(self) -> Commit | None:
        """Its COMMIT; None when it is damaged or unsigned."""
        return self._commit

    @property
    def unsigned(self) -> UnsignedBackup | None:
        """What is known of a backup of the format before, None of any other."""
        return self._unsigned

    @property
    def physical(self) -> bool:
        """Whether it is a physical backup; False when it is damaged."""
        return self._commit is not None and self._commit.base is not None

    @property
    def parent(self) -> Predecessor | None:
        """The backup that it builds on; None unless it is an incremental one."""
        base = self._commit.base if self._commit is not None else None
        return base.parent if base is not None else None

    @property
    def mode(self) -> str:
        """How it was taken: `logical`, `physical` or `incremental`."""
        return "incremental" if self.parent is not None else "physical" if self.physical else "logical"

    @property
    def recipients(self) -> tuple[str, ...]:
        """Fingerprints of the keys that it was sealed to when it was written."""
        if self._commit is not None:
            return self._commit.recipients
        return tuple(name for name, _ in self._unsigned.recipients) if self._unsigned else ()

    @property
    def system(self) -> str:
        """Identifier of the database system it is of, "" when it is damaged."""
        if self._commit is not None:
            return self._commit.cluster
        return self._unsigned.manifest.cluster if self._unsigned else ""

    @property
    def size(self) -> int:
        """The bytes of its objects, 0 when it is damaged."""
        if self._commit is not None:
            return self._commit.stored_size
        return self._unsigned.manifest.size if self._unsigned else 0

    @property
    def snapshot_at(self) -> datetime | None:
        """Time of its oldest snapshot in UTC, None when it is damaged."""
        if self._commit is not None:
            return self._commit.snapshot_at
        return self._unsigned.manifest.contents.snapshot_at if self._unsigned else None


def newest_system(entries: Iterable[CommittedBackup]) -> str:
    """Return the database system of the first physical backup, "" when there is none: of the newest, as listed."""
    return next((entry.system for entry in entries if entry.physical), "")


def require_read(entries: Collection[CommittedBackup]) -> None:
    """Raise HarnessError where a store read no COMMIT that it lists: that is no damage of each, the store is not well.

    None of them is thrown away for it, and nobody is told that there is no backup.
    """
    if entries and all(one.lost for one in entries):
        many = len(entries) > 1
        what = f"{len(entries)} backups and reads the COMMIT of none" if many else "one backup and not its COMMIT"
        raise HarnessError(f"the store lists {what}: {next(iter(entries)).damaged}; look at its log and its disks")


def followed(entries: Iterable[CommittedBackup], tips: tuple[Head, ...]) -> tuple[Head, ...]:
    """Return the tips, which the next backup follows. Raises HarnessError where nothing says what it follows.

    No COMMIT can be read then, and no witness knows the newest: the next would be ordered before those that are there,
    and an older one be restored once they can be read again.
    """
    unread = [one for one in entries if one.denied]
    if unread and not tips:
        raise HarnessError(
            f"the next backup cannot be ordered after the {len(unread)} that are there: the store reads no COMMIT "
            f"({unread[0].damaged}), and no witness knows the newest; repair the store or its rights, or remove those "
            "backups if they are lost"
        )
    return tips

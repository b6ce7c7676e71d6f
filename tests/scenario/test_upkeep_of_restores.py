"""Retention and the change of DR's key in a drill of a restore: what was not removed, or still opens, is a finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.backup.verify import verify_all
from harness.core.errors import Finding, HarnessError
from harness.core.journal import MemoryJournal
from harness.estate.secrets import PRIVATE_KEY, SIGNING_KEY, Secrets
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.writer import begin_wal
from harness.scenario.restores import restore
from harness.scenario.restores.restore import RestoreDrill
from harness.vault import read_secret
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.repository.test_retention import Past
from tests.repository.test_retention_chains import physical

SEGMENT = 1 << 20


class Kept(MemoryStore):
    """A store that removes nothing below a prefix."""

    below = "nothing"

    def delete(self, key: str) -> None:
        if self.below in key:
            raise HarnessError(f"{key}: kept")
        super().delete(key)


@pytest.fixture
def past(recipients: Recipients) -> Past:
    return Past(Kept(), recipients)


@pytest.fixture
def made(past: Past, tmp_path: Path) -> RestoreDrill:
    """A drill with three backups, of which retention removes the oldest with the WAL before the others."""
    secrets, keys = Secrets(tmp_path), past.recipients
    secrets.put("dr", PRIVATE_KEY, keys.dr[0])
    secrets.put("primary", SIGNING_KEY, keys.writer[0])
    wal = begin_wal(past.repository, "7391", SEGMENT, keys.public, keys.writer[0], read_wal(past.repository).head)
    names = [physical(past, night) for night in range(1, 4)]
    for first, last in ((16, 32), (32, 64)):
        wal.commit([wal.put(1, number * SEGMENT, bytes(SEGMENT)) for number in range(first, last)], past.now)
    past.verify()
    dr = SimpleNamespace(secrets=secrets.of("dr"))
    environment = SimpleNamespace(repository=past.repository, dr=dr, secrets=secrets)
    drill = SimpleNamespace(environment=environment, journal=MemoryJournal())
    receipts = [SimpleNamespace(backup_id=name) for name in names]
    return RestoreDrill(drill, receipts=receipts)  # type: ignore[arg-type]


def damage(made: RestoreDrill, past: Past) -> None:
    past.store.put(next(key for key in past.keys(made.receipts[-1].backup_id) if "/data/" in key), (b"garbage",))


def keep_wal(_made: RestoreDrill, past: Past) -> None:
    past.store.below = "/wal/"  # type: ignore[attr-defined]


def expire_before(made: RestoreDrill, _past: Past) -> None:
    made.apply_retention(2)


def take_another(made: RestoreDrill, _past: Past) -> None:
    made.receipts.append(SimpleNamespace(backup_id="another"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damage, "a backup is not valid: "),
        (keep_wal, "not removed: batch .* of WAL: .*: kept"),
        (expire_before, "no WAL expired"),
        (take_another, "retention left "),
    ],
)
def test_retention_that_removed_too_little_or_too_much_is_a_finding(
    made: RestoreDrill, past: Past, change: Callable[[RestoreDrill, Past], None], said: str
) -> None:
    change(made, past)
    with pytest.raises(Finding, match=said):
        made.apply_retention(2)


def test_retention_leaves_the_newest_backups_alone(made: RestoreDrill, past: Past) -> None:
    made.apply_retention(2)
    assert past.left() == [one.backup_id for one in made.receipts[1:]]


def test_a_key_that_opens_a_backup_after_its_change_is_a_finding(
    made: RestoreDrill, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.rotate_key()
    secrets = made.drill.environment.secrets
    new = read_secret(secrets.of("dr")[PRIVATE_KEY])
    assert [one.wrong for one in verify_all(past.repository, new, every=True) if one.wrong] == []
    monkeypatch.setattr(restore, "changes", lambda *_words: {})
    with pytest.raises(Finding, match="not refused: was removed by `keys rewrap`"):
        made.rotate_key()

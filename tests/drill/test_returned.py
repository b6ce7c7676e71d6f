"""The rewound server of an old primary follows, and is taken over once it has the last write of the other one."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.errors import Finding, HarnessError, Refused, RestoreFailed
from harness.core.journal import MemoryJournal
from harness.drill import failback
from harness.drill.returned import PASSWORDS, Returned
from harness.estate.site import DATA
from harness.physical.programs import programs_of
from harness.physical.standby.follower import SIGNAL
from harness.physical.standby.old_primary import plan_rewind
from harness.physical.standby.rewind import rewind
from harness.scenario import returning
from harness.substrate.embedded.process_tree import Owner
from harness.substrate.embedded.undo_journal import UndoJournal
from harness.vault import for_password_file
from tests.memory_drill import drill_of, start
from tests.memory_estate import MemoryEstate
from tests.physical.conftest import recipients
from tests.physical.test_rewind import Parted, parted
from tests.servers import substrate

__all__ = ["parted", "recipients", "substrate"]
WAY = SimpleNamespace(name="20261201", timeline=2)  # of a base backup that is not restored


@pytest.mark.night
def test_it_is_taken_over_with_the_last_write_once_the_other_one_is_fenced(parted: Parted, tmp_path: Path) -> None:
    sql, root, run = parted.promoted.sql, tmp_path / "returned", tmp_path / "run"
    root.mkdir()
    run.mkdir()
    UndoJournal(run)
    shutil.copytree(parted.stopped, root / DATA, symlinks=True)
    owner, old = Owner(run, "primary/returned"), parted.old
    plan = plan_rewind(root / DATA, sql, lambda: (old.repository, old.keys.dr[0]), owner.tags)
    assert plan.own is not None
    (root / PASSWORDS).touch(mode=0o600)
    (root / PASSWORDS).write_text(f"*:*:*:*:{for_password_file(sql.password_ref)}\n")
    rewind(plan, plan.own.fork.at, root / PASSWORDS, MemoryJournal())
    fenced: list[bool] = []

    def cut_off() -> None:
        assert returned.running is not None
        assert returned.running.state().position >= at
        fenced.append(True)

    returned = Returned(root, programs_of(18, owner.tags), sql, owner, MemoryJournal(), cut_off)
    with pytest.raises(RestoreFailed, match=r"^the rewound server does not run$"):
        returned.take(WAY, None, tmp_path / "into", lambda _count: None)  # type: ignore[arg-type]
    returned.start()
    parted.promoted.execute("postgres", "INSERT INTO kept VALUES (4)")
    at = int(parted.promoted.one("postgres", "SELECT pg_current_wal_flush_lsn() - '0/0'"))  # type: ignore[call-overload]
    state = returned.take(WAY, None, tmp_path / "into", lambda _count: None)  # type: ignore[arg-type]
    assert (fenced, state.backup, state.timeline, state.replayed >= at) == ([True], "", 2, True)
    assert (tmp_path / "into/PG_VERSION").is_file()
    assert not (tmp_path / "into" / SIGNAL).exists()
    returned.end()
    assert not root.exists()


def test_an_old_primary_with_nothing_of_its_own_is_no_drill_of_a_rewind(
    memory_estate: MemoryEstate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill = drill_of(memory_estate, tmp_path, on_disk=True)
    start(drill)
    monkeypatch.setattr(failback, "plan_rewind", lambda *_words: SimpleNamespace(own=None))
    with pytest.raises(Refused, match="the old primary has nothing of its own, so a rewind would show nothing"):
        failback.follow_dr(drill)
    with pytest.raises(HarnessError, match="site primary: its data are in no folder of this machine"):
        failback.keep_data(drill)
    drill.close()


def test_what_the_old_primary_took_alone_must_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [True]
    monkeypatch.setattr(returning, "ask_row", lambda _sql, _query: tuple(answer))
    drill = SimpleNamespace(environment=SimpleNamespace(dr=SimpleNamespace(place=SimpleNamespace(sql=None))))
    with pytest.raises(Finding, match="what the old primary took alone has come back"):
        returning.require_nothing_alone(drill)  # type: ignore[arg-type]
    answer[0] = False
    returning.require_nothing_alone(drill)  # type: ignore[arg-type]

"""The checks of an old primary that comes back fail on what they are there to find."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.errors import Finding, Refused
from harness.estate.secrets import PRIVATE_KEY
from harness.scenario import returning
from harness.scenario.returning import promote, require_follows, require_takes_writes, rewind_primary
from harness.substrate.common.folder_volume import FolderVolume

DR, OLD = "DR", "old primary"
ANSWERS: dict[tuple[str, str], object] = {
    (DR, "SELECT pg_catalog.pg_current_wal_flush_lsn()::text"): "0/3000000",
    (OLD, "SELECT pg_catalog.pg_last_wal_replay_lsn()::text"): "0/3000000",
    (OLD, "SELECT pg_catalog.pg_is_in_recovery()"): True,
    (OLD, returning.FOUND): False,
    (OLD, "SELECT pg_catalog.pg_promote()"): True,
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], object]:
    """Return what both database servers answer, by server and query; a test changes it."""
    found = dict(ANSWERS)
    monkeypatch.setattr(returning, "ask_row", lambda sql, query: (found[sql, query],))
    return found


def drill_of(there: frozenset[int], here: frozenset[int], *acked: float) -> SimpleNamespace:
    """Return a drill with these writes of clients on DR and on the old primary. `acked`: times of their answers."""
    writes = [SimpleNamespace(number=n, acked=at) for n, at in enumerate(acked, 1)]
    return SimpleNamespace(
        environment=SimpleNamespace(dr=SimpleNamespace(place=SimpleNamespace(sql=DR), fence=lambda: None)),
        load=SimpleNamespace(restored={DR: there, OLD: here}.__getitem__),
        ledger=SimpleNamespace(ledger=SimpleNamespace(acknowledged=lambda: writes)),
        journal=SimpleNamespace(events=(SimpleNamespace(kind="status", subject="routing", at=5.0),)),
    )


ALL, NONE = frozenset({1, 2, 3}), frozenset[int]()


@pytest.mark.parametrize(
    ("asked", "answer", "there", "here", "said"),
    [
        ("SELECT pg_catalog.pg_is_in_recovery()", False, ALL, ALL, "the old primary is no standby"),
        (returning.FOUND, True, ALL, ALL, "the old primary still has what it took alone"),
        (returning.FOUND, False, NONE, NONE, "DR has no write of clients: nothing was shown"),
        (returning.FOUND, False, ALL, ALL - {2}, r"writes of clients that one of both lacks: \[2\]"),
        (returning.FOUND, False, ALL, ALL | {4}, r"writes of clients that one of both lacks: \[4\]"),
    ],
)
def test_an_old_primary_that_does_not_follow_is_a_finding(
    answers: dict[tuple[str, str], object],
    asked: str,
    answer: bool,
    there: frozenset[int],
    here: frozenset[int],
    said: str,
) -> None:
    require_follows(drill_of(ALL, ALL), OLD)  # type: ignore[arg-type]
    answers[OLD, asked] = answer
    with pytest.raises(Finding, match=f"^{said}$"):
        require_follows(drill_of(there, here), OLD)  # type: ignore[arg-type]


def test_an_old_primary_that_is_not_promoted_is_a_finding(answers: dict[tuple[str, str], object]) -> None:
    promote(drill_of(ALL, ALL), OLD)  # type: ignore[arg-type]
    answers[OLD, "SELECT pg_catalog.pg_promote()"] = False
    with pytest.raises(Finding, match=r"^the old primary was not promoted$"):
        promote(drill_of(ALL, ALL), OLD)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("here", "acked", "said"),
    [
        (ALL, (1.0, 2.0, 3.0), "DR acknowledged no write: nothing was shown"),
        (ALL - {3}, (1.0, 6.0, 7.0), r"writes that DR acknowledged are lost: \[3\]"),
    ],
)
def test_a_write_that_dr_acknowledged_must_be_on_the_promoted_old_primary(
    here: frozenset[int], acked: tuple[float, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returning, "transaction", lambda *_: pytest.fail("it was to be refused before"))
    with pytest.raises(Finding, match=f"^{said}$"):
        require_takes_writes(drill_of(ALL, here, *acked), OLD)  # type: ignore[arg-type]


def test_an_old_primary_with_nothing_of_its_own_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipient.pem").write_text("a key")
    site = SimpleNamespace(name="primary", volume=lambda _name: FolderVolume(tmp_path))
    secrets = SimpleNamespace(of=lambda _site: {PRIVATE_KEY: f"file:{tmp_path}/recipient.pem"})
    environment = drill_of(ALL, ALL).environment
    environment.primary, environment.secrets, environment.run = SimpleNamespace(site=site), secrets, tmp_path
    monkeypatch.setattr(returning, "plan_rewind", lambda *_: SimpleNamespace(own=None))
    with pytest.raises(Refused, match=r"^the old primary has nothing of its own: a rewind would show nothing$"):
        rewind_primary(SimpleNamespace(environment=environment))  # type: ignore[arg-type]

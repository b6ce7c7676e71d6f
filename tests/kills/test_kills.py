"""A sample of `make kill-matrix`: restore tests that are killed leave nothing that a sweep does not remove."""

from __future__ import annotations

import json
from contextlib import nullcontext
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from harness.estate.config import load_config
from harness.estate.target_lock import alone_at, dr_target
from tests.kills.residue import residue, shared_memory
from tests.kills.run import clean, kill, recorded
from tests.kills.works import Work, on_existing, restore_test

pytestmark = pytest.mark.programs


def require_swept(work: Work, *kills: tuple[str, str, str]) -> None:
    """Assert that a run that is killed at each of these changes leaves nothing; `kills`: moment, kind, what."""
    before = work.of_site()
    code, changes = work.start("")
    clean(work, before, code)
    for moment, kind, what in kills:
        number = next(int(change[0]) for change in changes if change[1] == kind and what in change[2])
        row = kill(work, moment, number, before)
        assert row.found, f"{moment} {what}: there was nothing to sweep"
        assert (row.left, row.verdict) == ([], "UNKNOWN"), row


@pytest.mark.night
def test_a_killed_restore_test_on_a_new_site_leaves_nothing(tmp_path: Path) -> None:
    with restore_test(tmp_path) as work:
        require_swept(work, ("after", "END", "dr/postgres"))


@pytest.mark.night
def test_a_restore_test_that_was_killed_on_an_existing_site_is_cleared_or_resumed(tmp_path: Path) -> None:
    with on_existing(tmp_path) as work:
        require_swept(work, ("after", "END", "pg_restore"))
        before = work.of_site()
        _, changes = work.start("")
        number = next(change[0] for change in changes if "pg_restore" in change[2])
        work.start(f"after {number}")
        assert work.of_site() != before
        (run,) = (work.folder / "runs").iterdir()
        held = dr_target(load_config(work.folder / "estate.toml"))
        with alone_at(held, "another restore test"):
            for command in ("resume", "sweep"):
                refused = work.command(command, str(run))
                assert "is in use by another restore test" in refused.stderr
        assert any(run.glob("sites/*")), "it was swept while another test was there"
        done = work.command("resume", str(run))
        record = work.newest()
        assert (record["verdict"], "an answer: not within" in str(record["reasons"])) == ("BROKEN", True), done.stderr
        kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
        assert kinds.count("activation") == 1
        assert "resumed" in kinds
        assert work.of_site() == before
        assert not work.residue


@pytest.mark.parametrize(
    ("record", "refused"),
    [
        ({"verdict": "KEPT", "finished": "2026-01-01T00:00:00+00:00"}, ""),
        ({"verdict": "UNKNOWN", "finished": "2026-01-01T00:00:00+00:00"}, "verdict UNKNOWN in place of KEPT"),
        ({"verdict": "KEPT", "finished": None}, "verdict KEPT in place of KEPT"),
        ({}, "verdict None in place of KEPT"),
    ],
)
@pytest.mark.damages_records
def test_a_matrix_is_of_a_clean_run_that_kept_its_promise(
    tmp_path: Path, record: dict[str, object], refused: str
) -> None:
    drill = tmp_path / "reports/drills/one"
    drill.mkdir(parents=True)
    (drill / "record.json").write_text(json.dumps(record | {"reasons": ["too slow"]}))
    work = Work("drill", tmp_path, ("drill",))
    with pytest.raises(SystemExit, match=refused) if refused else nullcontext():
        clean(work, {}, 3)


def test_kills_that_have_a_row_are_known_by_work_moment_and_number(tmp_path: Path) -> None:
    rows = [
        ("drill", "before", "3 end dr/postgres"),
        ("drill", "after", "12 remove 0002.dump"),
        ("x", "after", "4 run x"),
    ]
    text = [json.dumps({"work": work, "moment": moment, "mutation": mutation}) for work, moment, mutation in rows]
    (tmp_path / "results.jsonl").write_text("\n".join(text))
    assert recorded("drill", tmp_path / "results.jsonl") == {("before", 3), ("after", 12)}
    assert recorded("drill", tmp_path / "none.jsonl") == frozenset()


def test_shared_memory_of_others_is_no_residue(tmp_path: Path) -> None:
    old, new = (SharedMemory(create=True, size=64) for _ in range(2))
    try:
        ours = tmp_path / "runs"
        old.close()
        earlier = shared_memory() - {name for name in shared_memory() if name.startswith(f"{new.name} ")}
        assert not [line for line in residue(ours, earlier) if new.name in line], "this process uses it"
        new.close()
        found = residue(ours, earlier)
        assert f"shared memory {new.name}" in found
        assert f"shared memory {old.name}" not in found
    finally:
        old.unlink()
        new.unlink()

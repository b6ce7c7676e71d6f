"""A sample of `make kill-matrix`: restore tests that are killed leave nothing that a sweep does not remove."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kills.residue import residue
from tests.kills.run import kill
from tests.kills.works import Work, on_existing, restore_test

pytestmark = pytest.mark.programs


def require_swept(work: Work, *kills: tuple[str, str, str]) -> None:
    """Assert that a run that is killed at each of these changes leaves nothing; `kills`: moment, kind, what."""
    before = work.of_site()
    _, changes = work.start("")
    assert not residue(work.folder)
    for moment, kind, what in kills:
        number = next(int(change[0]) for change in changes if change[1] == kind and what in change[2])
        row = kill(work, moment, number, before)
        assert row.found, f"{moment} {what}: there was nothing to sweep"
        assert (row.left, row.verdict) == ([], "UNKNOWN"), row


def test_a_killed_restore_test_on_a_new_site_leaves_nothing(tmp_path: Path) -> None:
    with restore_test(tmp_path) as work:
        require_swept(work, ("after", "END", "dr/postgres"))


def test_a_restore_test_that_was_killed_on_an_existing_site_is_cleared_or_resumed(tmp_path: Path) -> None:
    with on_existing(tmp_path) as work:
        require_swept(work, ("after", "END", "pg_restore"))
        before = work.of_site()
        _, changes = work.start("")
        number = next(change[0] for change in changes if "pg_restore" in change[2])
        work.start(f"after {number}")
        assert work.of_site() != before
        (run,) = (work.folder / "runs").iterdir()
        done = work.command("resume", str(run))
        record = work.newest()
        assert (record["verdict"], "an answer: not within" in str(record["reasons"])) == ("BROKEN", True), done.stderr
        kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
        assert kinds.count("activation") == 1
        assert "resumed" in kinds
        assert work.of_site() == before
        assert not residue(work.folder)

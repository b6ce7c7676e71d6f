"""Why the server of a replay ended is read from its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import MissingPart
from harness.physical.server import UNREACHED, Unreached, _ended, programs_of

EARLY = "2026-03-01 12:00:00 GMT [1] FATAL:  the database system is not yet accepting connections\n"


def test_a_connection_that_came_too_early_is_not_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{EARLY}2026 [2] FATAL:  {UNREACHED}\n{EARLY}")
    assert isinstance(_ended(log), Unreached)
    log.write_text(f"{EARLY}2026 [2] FATAL:  could not open file\n{EARLY}")
    assert "could not open file" in str(_ended(log))
    log.write_text("")
    assert "no log" in str(_ended(log))


def test_programs_of_another_major_are_not_taken() -> None:
    with pytest.raises(MissingPart, match="postgres of PostgreSQL 99 is missing"):
        programs_of(99)

"""M6, what the commands print: help, version, and progress that is whole in a pipe."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from harness import __version__
from harness.core.clock import SYSTEM
from harness.core.journal import Event
from harness.evidence.report.terminal import Progress
from tests.cli.test_mistakes import blackstart

pytestmark = pytest.mark.attacks


def test_without_a_command_the_help_is_printed(tmp_path: Path) -> None:
    alone, asked = blackstart(tmp_path), blackstart(tmp_path, "--help")
    assert (alone.returncode, asked.returncode) == (2, 0)
    assert alone.stderr.strip() == asked.stdout.strip()
    assert alone.stdout == ""
    assert asked.stdout.startswith("Usage: blackstart [OPTIONS] COMMAND")
    assert "restore-test" in asked.stdout
    assert "rehearse" not in asked.stdout
    assert "..." not in asked.stdout.partition("Commands:")[2]  # no line is cut
    keys = blackstart(tmp_path, "keys")
    assert (keys.returncode, "Usage: blackstart keys" in keys.stderr, "; see" in keys.stderr) == (2, True, False)


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = blackstart(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"blackstart {__version__}\n")


def test_brackets_are_no_markup(tmp_path: Path) -> None:
    assert "declared under [existing]" in blackstart(tmp_path, "backup", "--help").stdout


def test_progress_is_cut_for_a_terminal_alone() -> None:
    event = Event(0.0, SYSTEM.wall(), "stored", "a backup", "1.5", {"digest": "d" * 200})
    for terminal, whole in ((True, False), (False, True)):
        written = io.StringIO()
        Progress(Console(file=written, width=80, force_terminal=terminal)).event(event)
        assert ("d" * 200 in written.getvalue()) == whole
        assert ("…" in written.getvalue()) != whole
        assert written.getvalue().count("\n") == 1


def test_how_much_is_left_is_told_where_it_is_known() -> None:
    written = io.StringIO()
    shown = Progress(Console(file=written, width=80, force_terminal=False))
    shown.event(Event(0.0, SYSTEM.wall(), "selected", "a backup", "", {"bytes": 300 << 20}))
    before = written.getvalue()
    for _ in range(300):
        shown.bytes(1 << 20)
    lines = written.getvalue().removeprefix(before).splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r" +a backup: 67 MB of 315 MB, about \d+ s left", lines[0])
    assert lines[-1].strip().startswith("a backup: 268 MB of 315 MB")

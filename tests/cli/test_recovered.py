"""What `blackstart recover` prints of its verdict, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from harness.cli.recovery import say_concluded
from tests.records import a_record, kept

RECORD = "record: reports/one; enable outward actions with `blackstart release`; end it with `blackstart sweep`\n"


def test_every_reason_of_a_verdict_is_printed_and_a_broken_promise_is_no_success(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ended:
        say_concluded(a_record(), Path("reports/one"))
    assert ended.value.exit_code == 1
    assert capsys.readouterr().out == f"promise 'site loss': BROKEN\nREASON: RTO missed\n{RECORD}"
    say_concluded(kept(), Path("reports/one"))
    assert capsys.readouterr().out == f"promise 'site loss': KEPT\n{RECORD}"

"""What `blackstart recover` prints of its verdict."""

from __future__ import annotations

import pytest

from harness.cli.recovery import say_concluded
from tests.records import a_record


def test_every_reason_of_a_verdict_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    say_concluded(a_record())
    assert capsys.readouterr().out == "promise 'site loss': BROKEN\nREASON: RTO missed\n"

"""Prints how many inputs each target got."""

from __future__ import annotations

import pytest

from tests.fuzz.runs import RAN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for ran in RAN:
        terminalreporter.write_line(str(ran))
    if RAN:
        seconds = sum(ran.seconds for ran in RAN)
        terminalreporter.write_line(f"fuzz: {sum(ran.inputs for ran in RAN)} inputs in {seconds / 60:.1f} minutes")

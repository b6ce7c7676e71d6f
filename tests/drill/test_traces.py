"""What a program of the DR site can read of the primary is a finding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import Finding, HarnessError
from harness.core.journal import MemoryJournal
from harness.core.node import Site
from harness.drill import traces
from harness.drill.traces import Traces, leave_traces, try_traces
from harness.substrate.embedded.substrate import EmbeddedSite
from tests.servers import embedded


@pytest.fixture
def dr(tmp_path: Path) -> Iterator[Site]:
    with embedded(tmp_path) as made:
        yield made.site("dr")


def test_a_path_that_dr_can_read_is_a_finding(dr: Site) -> None:
    with pytest.raises(Finding, match="a program on dr can read what those of the lost primary wrote: /etc/hosts"):
        try_traces(dr, Traces(("/etc/hosts", "/nowhere")), MemoryJournal())


def test_paths_that_dr_cannot_read_are_counted_and_what_was_written_is_named(dr: Site) -> None:
    said = try_traces(dr, Traces(("/nowhere",)), MemoryJournal())
    assert said == "a program on dr can read none of 1 paths of the lost primary"
    said = try_traces(dr, Traces(("/nowhere",), ("/srv/file",)), MemoryJournal())
    assert said.endswith("paths of the lost primary; outside its volumes its programs had written /srv/file")


def test_a_task_that_fails_is_an_error(dr: Site) -> None:
    with pytest.raises(HarnessError, match="isolation: a task on dr ended with code 3"):
        traces._paths(dr, "exit 3")


def test_a_primary_without_namespaces_writes_nothing_outside_its_folder(
    dr: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folders are those of the machine: what a task left there would stay."""
    monkeypatch.setattr(EmbeddedSite, "namespaced", False)
    monkeypatch.setattr(traces, "_paths", lambda *_words: pytest.fail("a task was to write"))
    journal = MemoryJournal()
    found = leave_traces(dr, journal)
    assert found == Traces((str(dr.folder),), living=False)  # type: ignore[attr-defined]
    assert [event.facts["by"] for event in journal.events if event.kind == "isolation"] == ["preflight"]


def test_a_primary_that_could_write_nowhere_shows_nothing(dr: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedSite, "namespaced", True)
    monkeypatch.setattr(traces, "_paths", lambda *_words: ())
    with pytest.raises(HarnessError, match="could write to none of its own folders"):
        leave_traces(dr, MemoryJournal())

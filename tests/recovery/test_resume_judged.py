"""What was seen before an interruption is judged with what the resumed work sees, by both verifiers alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.attestation.verify import contradictions
from harness.core.errors import Finding, HarnessError, Refused
from harness.core.judge import SWITCH
from harness.core.record import DrillRecord
from harness.evidence.folder import JOURNAL, RecordFolder
from harness.evidence.journal import JournalFile
from harness.evidence.record import conclude_unstarted, open_record
from harness.recovery.begun import note_begun
from harness.recovery.recover import NAME
from harness.recovery.resume import NOT_MEASURED, continued, require_resumable
from harness.restore_test.restore_test import RestoreTest
from tests.attestation.test_judges import ALONE
from tests.memory_drill import header
from tests.memory_estate import MemoryEstate
from tests.restore_test.in_memory import gateway, made, require_cleared
from tests.traffic.backend import Backend

__all__ = ["gateway"]
Change = Callable[[MemoryEstate], None]
WORK, NO_GREETING = "restore test", "key function failed: shop: the shop answers: no greeting"


class Interrupted:
    """A restore test that is killed, and its resume."""

    def __init__(self, estate: MemoryEstate, gateway: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.estate, self.gateway, self.folder, self.monkeypatch = estate, gateway, folder, monkeypatch
        self.run = folder / "runs/one"
        estate.backed_up()
        self.first = made(estate, gateway, folder)
        self.journal = JournalFile(self.first.folder.path / JOURNAL)

    def kill(self, hurt: Change, until: str) -> None:
        """Run it, hurt; leave what a SIGKILL leaves that comes after the last event of the kind `until`."""
        first, estate = self.first, self.estate
        estate.journal = first.journal = first.failures.journal = self.journal
        note_begun(self.run, WORK, first.folder.path, {})
        hurt(estate)
        with self.monkeypatch.context() as patched:
            patched.setattr("harness.restore_test.restore_test.conclude", lambda *_words: gone())
            with pytest.raises(SystemExit):
                first.run()
        kept = max(number for number, event in enumerate(self.journal.events, 1) if event.kind == until)
        lines = self.journal.path.read_bytes().splitlines(keepends=True)
        self.journal.path.write_bytes(b"".join(lines[:kept]) + b'{"n": ')
        estate.fake.site("dr").destroy()
        estate.sites.pop("dr")
        estate.shop.fails.clear()
        estate.shop.key_error = None

    def resume(self) -> DrillRecord:
        """Finish it as `blackstart resume` does; return the record."""
        found = continued(self.run, require_resumable(self.run), self.first.header, lambda _event: None)
        self.journal = self.estate.journal = found.journal  # type: ignore[assignment]
        work = RestoreTest(
            found.header, self.estate.connections, lambda: self.gateway.address, found.folder, found.journal
        )
        record = work.run()
        require_cleared(self.estate)
        return record

    def refusals(self, record: DrillRecord) -> list[str]:
        """Return what each verifier says against a record that is not the journal's."""
        said = list(contradictions(self.first.folder.path, record))
        try:
            ALONE.judge(list(map(json.loads, self.journal.path.read_text().splitlines())), [])
        except SystemExit as error:
            said.append(f"alone: {str(error).removeprefix('REFUSED  ')}")
        return said


def gone() -> None:
    """Stand for a process that is gone."""
    raise SystemExit


@pytest.fixture
def interrupted(
    memory_estate: MemoryEstate, gateway: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Interrupted:
    return Interrupted(memory_estate, gateway, tmp_path, monkeypatch)


def key_fails(estate: MemoryEstate) -> None:
    estate.shop.key_error = Finding("no greeting")


def ctrl_c(estate: MemoryEstate) -> None:
    estate.shop.fails["contain"] = KeyboardInterrupt()


def not_contained(estate: MemoryEstate) -> None:
    estate.shop.fails["contain"] = HarnessError("no such table")


def nothing(_estate: MemoryEstate) -> None:
    """It is killed, and nothing was wrong."""


@pytest.mark.parametrize(
    ("hurt", "until", "verdict", "reasons"),
    [
        (nothing, "activation", "KEPT", ()),
        (nothing, "cleared", "KEPT", ()),
        (key_fails, "finding", "BROKEN", (NO_GREETING,)),
        (key_fails, "cleared", "BROKEN", (NO_GREETING,)),
        (not_contained, "finding", "BROKEN", ("no such table",)),
        (
            key_fails,
            "failed",
            "UNKNOWN",
            (f"phase key had failed before the interruption: {NO_GREETING}",),
        ),
        (ctrl_c, "doubt", "UNKNOWN", ("interrupted before it was done",)),
    ],
)
def test_a_failure_before_the_kill_stays_one_when_the_next_try_works(
    interrupted: Interrupted, hurt: Change, until: str, verdict: str, reasons: tuple[str, ...]
) -> None:
    interrupted.kill(hurt, until)
    record = interrupted.resume()
    assert (record.verdict, record.reasons) == (verdict, reasons)
    assert interrupted.refusals(record) == []


def test_a_failure_that_a_resumed_test_forgot_is_refused_by_both_verifiers(interrupted: Interrupted) -> None:
    interrupted.kill(key_fails, "finding")
    interrupted.monkeypatch.setattr("harness.evidence.failures.noted_in", lambda *_words: ())
    record = interrupted.resume()
    assert record.verdict == "KEPT"
    ours, alone = interrupted.refusals(record)
    assert ours.startswith("verdict: the journal notes what was not judged: ")
    assert alone.startswith("alone: verdict: noted and not judged, ")


def test_a_finding_that_was_to_be_judged_at_the_end_is_judged_once(interrupted: Interrupted) -> None:
    interrupted.kill(nothing, "activation")
    journal = JournalFile(interrupted.journal.path)
    journal.resume()
    journal.mark("finding", "assertion", reason="assertion failed: no orders")
    for _ in range(2):  # it is killed again as soon as it was resumed
        continued(interrupted.run, require_resumable(interrupted.run), interrupted.first.header, lambda _event: None)
    record = interrupted.resume()
    assert (record.verdict, record.reasons) == ("BROKEN", ("assertion failed: no orders",))
    assert interrupted.refusals(record) == []


def test_a_doubt_that_was_to_be_judged_at_the_end_is_judged_once(interrupted: Interrupted) -> None:
    interrupted.kill(nothing, "activation")
    journal = JournalFile(interrupted.journal.path)
    journal.resume()
    journal.mark("doubt", "assertion", reason="assertion without a result: packages")
    for _ in range(2):  # it is killed again as soon as it was resumed
        continued(interrupted.run, require_resumable(interrupted.run), interrupted.first.header, lambda _event: None)
    record = interrupted.resume()
    assert (record.verdict, record.reasons) == ("UNKNOWN", ("assertion without a result: packages",))
    assert interrupted.refusals(record) == []


def test_a_test_that_cannot_be_started_again_keeps_its_failure(interrupted: Interrupted) -> None:
    interrupted.kill(key_fails, "finding")
    found = continued(interrupted.run, require_resumable(interrupted.run), header(WORK), lambda _event: None)
    interrupted.journal = found.journal  # type: ignore[assignment]
    record = conclude_unstarted(found.header, found.folder, found.journal, HarnessError("no room"))
    assert (record.verdict, record.reasons) == ("BROKEN", (NO_GREETING, "no room"))
    assert interrupted.refusals(record) == []


def test_a_time_by_an_uncorrected_wall_clock_is_a_doubt(interrupted: Interrupted) -> None:
    """A clock that is wrong after a reboot made the RTO shorter, and the verdict KEPT."""
    interrupted.kill(nothing, "activation")
    interrupted.monkeypatch.setattr("harness.recovery.begun.boot", lambda: "another")
    record = interrupted.resume()
    assert (record.verdict, record.reasons) == ("UNKNOWN", (NOT_MEASURED,))
    assert interrupted.refusals(record) == []


def test_a_resumed_restore_test_counts_from_its_first_activation(interrupted: Interrupted) -> None:
    interrupted.kill(nothing, "activation")
    record = interrupted.resume()
    events = interrupted.journal.events
    activations = [event.at for event in events if event.kind == "activation"]
    assert len(activations) == 2
    assert record.origin.monotonic_seconds == pytest.approx(activations[0], abs=0.001)
    assert [event.kind for event in events].count("promised") == 1


@pytest.mark.parametrize("end", [b"", b'{"n": 5'], ids=["a whole journal", "a line that was cut off"])
def test_a_recovery_that_switched_traffic_is_not_resumed_and_nothing_of_it_removed(tmp_path: Path, end: bytes) -> None:
    """Resume removed a DR site that clients wrote to."""
    folder, run = RecordFolder.make(tmp_path / "reports", "recover"), tmp_path / "runs/one"
    journal = JournalFile(folder.path / JOURNAL)
    open_record(header(NAME), folder, journal)
    journal.mark("begin", "app", message="2.6")
    note_begun(run, NAME, folder.path, {"at": "recovered.json"})
    data = run / "sites/dr/volumes/orders"
    data.parent.mkdir(parents=True)
    data.write_text("written by clients")
    begun = require_resumable(run)
    journal.mark("begin", SWITCH, message="2.7")
    with journal.path.open("ab") as file:
        file.write(end)
    with pytest.raises(Refused, match=r"clients may have written to it since; use .* \(state file: recovered.json\)"):
        continued(run, begun, header(NAME), lambda _event: None)
    assert data.read_text() == "written by clients"
    assert "resumed" not in journal.path.read_text()


def test_a_recovery_before_its_switch_is_resumed(tmp_path: Path) -> None:
    folder, run = RecordFolder.make(tmp_path / "reports", "recover"), tmp_path / "runs/one"
    journal = JournalFile(folder.path / JOURNAL)
    open_record(header(NAME), folder, journal)
    journal.mark("begin", "app", message="2.6")
    note_begun(run, NAME, folder.path, {"at": "recovered.json"})
    found = continued(run, require_resumable(run), header(NAME), lambda _event: None)
    assert found.journal.events[-1].kind == "resumed"

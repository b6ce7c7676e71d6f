"""The stand-alone verifier judges as blackstart does, whatever was observed."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.clock import SYSTEM
from harness.core.journal import END, MemoryJournal
from harness.core.judge import Clients, Evidence, Promise, judge
from harness.core.judged import JUDGED, PROMISED, evidence_in, inputs_of, promise_facts
from harness.core.ledger import Ledger, Write

FILE = Path(__file__).resolve().parents[2] / "docs/verify_record.py"
STRUCK = 110.0


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_record", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ALONE = load()
NUMBERS = st.frozensets(st.integers(0, 24), max_size=24)
PROMISES = st.builds(
    lambda rto, rpo, exposure, files: Promise("p", rto, rpo, exposure, "ops", "because", files),
    *(st.sampled_from([0, 1, 5, 60]).map(lambda n: timedelta(seconds=n)) for _ in range(3)),
    st.integers(0, 1),
)
LINES = st.sampled_from([(), (), (), ("one",), ("one", "two")])


@st.composite
def observations(draw: st.DrawFn) -> Evidence:
    """Whatever a drill or a restore test may have seen, mostly good."""
    acked = draw(st.frozensets(st.integers(0, 19)))
    times = {n: 100.0 + draw(st.sampled_from([n, n, n, 0.5 * n])) for n in range(20)}
    ledger = Ledger.of(Write(n, at - 0.1, at if n in acked else None) for n, at in times.items())
    survivors = draw(st.one_of(st.none(), st.just(acked), NUMBERS))
    clients = Clients(ledger, draw(st.sampled_from([None, STRUCK, STRUCK])), draw(st.booleans()), survivors)
    return Evidence(
        draw(PROMISES),
        draw(st.sampled_from([clients, clients, None])),
        activated=draw(st.sampled_from([None, STRUCK])),
        key=draw(st.sampled_from([None, 112.0, 115.0, 190.0])),
        exposure=draw(st.sampled_from([None, 0.0, 4.0, 70.0])),
        missing_files=draw(st.integers(0, 2)),
        uncovered=draw(LINES), missing=draw(LINES), findings=draw(LINES), doubts=draw(LINES),
        checks=draw(st.integers(0, 2)),
    )  # fmt: skip


@given(
    observations(), st.lists(st.tuples(st.sampled_from(["begin", END, "failed"]), st.sampled_from("ab")), max_size=8)
)
@settings(max_examples=600, deadline=None)
def test_both_judges_agree(seen: Evidence, marks: list[tuple[str, str]]) -> None:
    now = [99.0]
    journal = MemoryJournal(replace(SYSTEM, monotonic=lambda: now[0]))
    mode = "restore test" if seen.clients is None else "drill"
    journal.mark(PROMISED, "p", message="", **promise_facts(seen.promise, mode, ""))
    now[0] = STRUCK
    for kind, name in marks:
        now[0] += 0.5
        journal.mark(kind, name)
    for subject, facts in inputs_of(seen):
        journal.mark(JUDGED, subject, message="", **facts)
    ledger = seen.clients.ledger if seen.clients else Ledger(())
    ours = judge(evidence_in(journal.events, ledger))
    rows: list[dict[str, Any]] = [{"number": write.number, "sent": write.sent} for write in ledger.writes]
    rows += [{"number": write.number, "acked": write.acked} for write in ledger.acknowledged()]
    verdict, rto, rpo, exposure, lost = ALONE.judge([asdict(event) for event in journal.events], rows)
    assert (verdict, rto, exposure) == (ours.verdict, ours.rto, ours.exposure)
    assert rpo == ours.rpo
    assert lost == (list(ours.loss.lost) if ours.loss else None)

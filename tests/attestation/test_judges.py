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
from harness.core.ledger import CLIENTS, Ledger, Write
from harness.core.loss import StoreWrites
from harness.core.record import ledger_results
from harness.evidence.format.record_file import as_data

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
def ledgers_read_back(draw: st.DrawFn) -> tuple[Ledger, frozenset[int] | None]:
    acked = draw(st.frozensets(st.integers(0, 19)))
    begin = draw(st.sampled_from([100.0, 100.0, 100.0, 85.0]))
    times = {n: begin + draw(st.sampled_from([n, n, n, 0.5 * n])) for n in range(20)}
    ledger = Ledger.of(Write(n, at - 0.1, at if n in acked else None) for n, at in times.items())
    return ledger, draw(st.one_of(st.none(), st.just(acked), NUMBERS))


@st.composite
def observations(draw: st.DrawFn) -> Evidence:
    """Whatever a drill or a restore test may have seen, mostly good."""
    ledger, survivors = draw(ledgers_read_back())
    stores = tuple(
        StoreWrites(name, *draw(ledgers_read_back()), draw(st.sampled_from([None, None, 0.0, 104.0, STRUCK])))
        for name in draw(st.sampled_from([(), (), ("a",), ("a", "b c")]))
    )
    clients = Clients(ledger, draw(st.sampled_from([None, STRUCK, STRUCK])), draw(st.booleans()), survivors, stores)
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
    journal.mark("struck", "a site")
    for kind, name in marks:
        now[0] += 0.5
        journal.mark(kind, name)
    now[0] = seen.key or now[0]
    journal.mark("held", "key functions")
    for subject, facts in inputs_of(seen):
        journal.mark(JUDGED, subject, message="", **facts)
    ledgers: dict[str, Ledger] = {}
    if seen.clients:
        ledgers = {CLIENTS: seen.clients.ledger, **{one.name: one.ledger for one in seen.clients.stores}}
    evidence = evidence_in(journal.events, ledgers)
    ours = judge(evidence)
    rows: list[dict[str, Any]] = []
    for name, one in ledgers.items():
        of = {} if name == CLIENTS else {"ledger": name}
        rows += [{**of, "number": write.number, "sent": write.sent} for write in one.writes]
        rows += [{**of, "number": write.number, "acked": write.acked} for write in one.acknowledged()]
    found = ALONE.judge([asdict(event) for event in journal.events], rows)
    said = ALONE.said
    assert (found["verdict"], found["rto_seconds"]) == (ours.verdict, said(ours.rto))
    assert (found["rpo_seconds"], found["exposure_seconds"]) == (said(ours.rpo), said(ours.exposure))
    assert found["lost"] == said(list(ours.loss.lost) if ours.loss else None)
    assert found["ledgers"] == [
        {**as_data(one), "rpo_seconds": said(one.rpo_seconds)} for one in ledger_results(evidence.clients, ours)
    ]

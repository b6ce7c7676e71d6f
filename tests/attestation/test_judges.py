"""The stand-alone verifier judges as blackstart does, whatever was observed."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.attestation.statement import seal
from harness.attestation.verify import verify
from harness.core.clock import SYSTEM
from harness.core.journal import END, MemoryJournal
from harness.core.judge import Clients, Evidence, Promise, judge
from harness.core.judged import JUDGED, PROMISED, evidence_in, inputs_of, promise_facts
from harness.core.ledger import CLIENTS, Ledger, Write
from harness.core.loss import StoreWrites
from harness.core.record import ledger_results
from harness.evidence.format.record_file import as_data, canonical
from tests.attestation.conftest import Sealed
from tests.attestation.test_verify import alone
from tests.records import journal_rewritten

FILE = Path(__file__).resolve().parents[2] / "docs/verify_record.py"
STRUCK = 110.0


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ALONE, MORE = load(FILE), load(FILE.with_name("verify_record_more.py"))
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
    observations(),
    st.lists(st.tuples(st.sampled_from(["begin", END, "failed"]), st.sampled_from(["a", "switch"])), max_size=8),
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
    for name in ("lost", "phantom", "out_of_order"):
        assert found[name] == said(list(getattr(ours.loss, name)) if ours.loss else None)
    assert sorted(MORE.reasons([asdict(event) for event in journal.events], rows, ALONE.loss_of)) == sorted(
        ours.reasons
    )
    assert found["ledgers"] == [
        {**as_data(one), "rpo_seconds": said(one.rpo_seconds)} for one in ledger_results(evidence.clients, ours)
    ]


def rewritten(sealed: Sealed, **fields: Any) -> None:
    """Forge fields of a record, also in the journal's event that repeats them, and sign all of it with its key."""

    def repeated(event: dict[str, Any]) -> None:
        for name, value in fields.items():
            if f"json {name}" in event["facts"]:
                event["facts"][f"json {name}"] = canonical(value).decode()

    journal_rewritten(sealed.folder / "journal.jsonl", repeated)
    record = json.loads((sealed.folder / "record.json").read_bytes())
    (sealed.folder / "record.json").write_bytes(canonical({**record, **fields}) + b"\n")
    seal(sealed.folder, sealed.private)


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("field", "value"),
    [("phantom", [7]), ("out_of_order", [3]), ("lost", [1]), ("reasons", ["RTO missed: 9.0 s of 5 s"])],
)
def test_what_journal_and_ledger_do_not_give_is_refused_by_both(sealed: Sealed, field: str, value: Any) -> None:
    """Whoever has the key wrote it into the record, and into the journal where that repeats the record."""
    rewritten(sealed, **{field: value})
    assert any(f"the record says {field}" in line for line in verify(sealed.folder, [sealed.public]).refusals)
    assert f"REFUSED  verdict: {field}" in alone(sealed).stderr


@pytest.mark.attacks
def test_a_write_that_the_dr_site_acknowledged_itself_and_lost_is_not_silent(sealed: Sealed) -> None:
    ledger, struck = sealed.folder / "ledger.jsonl", 0.0
    for event in map(json.loads, (sealed.folder / "journal.jsonl").read_text().splitlines()):
        struck = event["at"] if event["kind"] == "struck" else struck
    new = max(json.loads(line)["number"] for line in ledger.read_text().splitlines()) + 1
    rows = [{"number": new, "sent": struck + 1e6 - 0.001}, {"number": new, "acked": struck + 1e6}]
    with ledger.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    seal(sealed.folder, sealed.private)
    refused = "\n".join(verify(sealed.folder, [sealed.public]).refusals)
    assert "DR site has lost writes that it acknowledged itself" in refused
    assert "REFUSED  verdict" in alone(sealed).stderr

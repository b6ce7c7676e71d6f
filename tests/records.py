"""Records for tests of what is made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.core.judge import Phase
from harness.core.record import (
    NOBODY,
    UNSIGNED,
    DrillRecord,
    FindingEntry,
    Judged,
    KeyResult,
    LedgerResult,
    Overhead,
    Promised,
    SeenMessage,
    Statements,
    TimeOrigin,
)

HASH = "5c" * 32


def a_record() -> DrillRecord:
    """Return the record of a drill that was expected to be KEPT and missed its RTO."""
    return DrillRecord(
        record="20260501T015900Z-a-drill-00ff", drill="a <drill>", objective="o", mode="drill", substrate="embedded",
        initiator="i", approver=None, signed_off_by=NOBODY, signing_key=UNSIGNED, previous_statement_sha256=None,
        statements=Statements(), started="2026-05-01T01:59:00+00:00", finished="2026-05-01T02:00:00+00:00",
        origin=TimeOrigin("fault", "2026-05-01T01:59:10.000+00:00", 100.0), commit="c" * 40, hashes={"f": "h"},
        versions={"postgres": "18.1"}, promise=Promised("site loss", "ops", "r", 180.0, 60.0, 86400.0, 0),
        verdict="BROKEN", reasons=("RTO missed",), rto_seconds=200.0, rpo_seconds=3.0, exposure_seconds=60.0,
        acknowledged=50, lost=(7, 8), phantom=(), out_of_order=(), repeated=("k",), diverged=(), lost_objects=("x",),
        judged=Judged(9, "h", "l", 0.05, True, 200.0, 48, 1, 6),
        backup={"id": "b1", "snapshot_at": "2026-05-01T01:00:00.000+00:00"},
        passed_over=(("b2", "flipped"),), data_bytes=10_000_000, data_rows=20,
        phases=(Phase("detect", 0.0, 5.0), Phase("restore", 5.0, 200.0)),
        key_results=(KeyResult("k", "odoo", passed=True, detail="d", took_seconds=0.1, at_seconds=20.0),),
        messages=(SeenMessage("1.1", "t", -3.0, "w"),), not_drilled=("1.1: by hand",), covered=(), uncovered=(),
        excluded=(), not_compared=(), assertions=(), findings=(FindingEntry("RTO missed", "ops", "2026-05-15"),),
        notes={}, estate="shop", expected="KEPT", controls=("NIST-CP-4",), scenario_sha256=HASH,
        ledgers=(LedgerResult("clients", 50, 48, (7, 8), 3.0), LedgerResult("shop orders", 9, None, None, None)),
        overhead_seconds=3.0, overhead=(Overhead("the strike", 2.5), Overhead("writing the journal", 0.5)),
    )  # fmt: skip


def kept() -> DrillRecord:
    """Return the record of a drill that kept its promise."""
    return replace(
        a_record(), verdict="KEPT", reasons=(), rto_seconds=29.53, lost=(), findings=(), passed_over=(),
        ledgers=(LedgerResult("clients", 50, 50, (), 0.0),),
    )  # fmt: skip


def journal_rewritten(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change events of a journal file, and write its chain anew: as somebody would who knows the format."""
    last, out = "0" * 64, []
    for line in path.read_bytes().splitlines():
        event = json.loads(line)
        change(event)
        text = json.dumps({**event, "prev": last}, ensure_ascii=False).encode()
        last = hashlib.sha256(text).hexdigest()
        out.append(text + b"\n")
    path.write_bytes(b"".join(out))

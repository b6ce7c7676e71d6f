"""Records for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace

from harness.core.judge import Phase
from harness.core.record import DrillRecord, FindingEntry, KeyResult, SeenMessage

HASH = "5c" * 32


def a_record() -> DrillRecord:
    """Return the record of a drill that was expected to be KEPT and missed its RTO."""
    promise: dict[str, str | float] = {
        "name": "site loss", "rto_s": 180.0, "rpo_s": 60.0, "exposure_s": 86400.0, "owner": "ops", "reason": "r",
    }  # fmt: skip
    return DrillRecord(
        drill="a <drill>", objective="o", initiator="i", approver="", mode="drill", substrate="embedded",
        started="2026-05-01T01:59:00+00:00", finished="2026-05-01T02:00:00+00:00", commit="c" * 40,
        hashes={"f": "h"}, promise=promise, verdict="BROKEN", reasons=("RTO missed",),
        rto=200.0, rpo=3.0, exposure=60.0, acknowledged=50, lost=(7, 8), phantom=(), repeated=("k",),
        lost_objects=("x",), backup={"id": "b1", "snapshot_at": "2026-05-01T01:00:00.000+00:00"},
        passed_over=(("b2", "flipped"),), data_bytes=10_000_000, data_rows=20,
        phases=(Phase("detect", 0.0, 5.0), Phase("restore", 5.0, 200.0)),
        key_results=(KeyResult("k", "odoo", passed=True, detail="d", took=0.1, at=20.0),),
        messages=(SeenMessage("1.1", "t", 0.0, "w"),), versions={"postgres": "18.1"}, not_drilled=("1.1: by hand",),
        findings=(FindingEntry("RTO missed", "ops", "2026-05-15"),), estate="shop", expected="KEPT",
        controls=("NIST-CP-4",), scenario_sha256=HASH,
    )  # fmt: skip


def kept() -> DrillRecord:
    """Return the record of a drill that kept its promise."""
    return replace(a_record(), verdict="KEPT", reasons=(), rto=29.53, lost=(), findings=(), passed_over=())

"""Every control of the table is claimed by a feature that leaves a record, and every tag is a control."""

from __future__ import annotations

import re
from pathlib import Path

from harness.cli.restore_test import CONTROLS as OF_RESTORE_TESTS
from harness.core.controls import CONTROLS

FEATURES = Path(__file__).resolve().parents[2] / "features"
WITHOUT_ROW = {"NIST-SC-28"}  # claimed by one scenario, and not one of continuity
TAG = re.compile(r"@control:(\S+)")


def test_tags_and_table_name_the_same_controls() -> None:
    tagged = {tag for path in FEATURES.rglob("*.feature") for tag in TAG.findall(path.read_text())}
    assert tagged - WITHOUT_ROW == {control.id for control in CONTROLS}


def test_a_restore_test_claims_controls_of_the_table() -> None:
    assert set(OF_RESTORE_TESTS) < {control.id for control in CONTROLS}

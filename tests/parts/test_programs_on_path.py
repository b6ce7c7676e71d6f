"""In the image of blackstart there are no parts: its programs are on PATH, and only there are they looked for."""

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


def test_a_program_on_path_serves_where_it_is_said(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FROM, "path")
    assert program("pg_dump") == str(tool)
    with pytest.raises(MissingPart, match="pg_restore: the part postgres is not installed"):
        program("pg_restore")


def test_a_program_on_path_does_not_serve_otherwise(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FROM, raising=False)
    with pytest.raises(MissingPart, match="pg_dump"):
        program(tool.name)

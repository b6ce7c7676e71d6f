"""PostgreSQL's client programs: the lowest version that is not older than the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import MissingPart
from harness.parts.programs import CLIENTS, PACKAGED, client_program, client_programs


def installed(folder: Path, version: str, *names: str, tls: bool = True) -> Path:
    folder.mkdir(parents=True)
    refusal = "" if tls else 'case "$*" in *sslmode*) echo SSL support is not compiled in >&2; exit 1;; esac\n'
    for name in names or ("pg_dump", "pg_restore"):
        (folder / name).write_text(f'#!/bin/sh\n{refusal}echo "{name} (PostgreSQL) {version}"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """15 with TLS, 16 and 18 without: named, on PATH."""
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr("harness.parts.programs.PACKAGED", ())
    named = [installed(tmp_path / "18", "18.1", tls=False), installed(tmp_path / "15", "15.18 (Debian 15.18-0)")]
    monkeypatch.setenv(CLIENTS, ":".join(map(str, named)))
    monkeypatch.setenv("PATH", str(installed(tmp_path / "16", "16beta1", "pg_dump", tls=False)))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "major", "tls", "expected"),
    [
        ("pg_dump", 14, False, "15"),
        ("pg_dump", 15, True, "15"),
        ("pg_dump", 16, False, "16"),
        ("pg_restore", 16, False, "18"),  # the folder of 16 has none
        ("pg_dump", 18, False, "18"),
    ],
)
def test_the_lowest_that_is_not_older_is_used(name: str, major: int, tls: bool, expected: str, folders: Path) -> None:
    assert client_program(name, major, tls=tls) == str(folders / expected / name)


@pytest.mark.parametrize(("major", "tls", "wanted"), [(19, False, "19 or newer"), (16, True, "16 or newer with TLS")])
def test_none_is_one_line_with_what_was_found(major: int, tls: bool, wanted: str, folders: Path) -> None:
    with pytest.raises(MissingPart) as refused:
        client_program("pg_dump", major, tls=tls)
    said = str(refused.value)
    assert f"pg_dump of PostgreSQL {wanted} is missing (found: 18.1 in {folders / '18'}" in said
    assert f"install the client programs of PostgreSQL {major}, or name their folder in {CLIENTS}" in said
    assert "\n" not in said


def test_a_wrapper_of_several_versions_is_passed_over(folders: Path) -> None:
    wrapper = folders / "wrapper" / "pg_wrapper"
    wrapper.parent.mkdir()
    wrapper.write_text('#!/bin/sh\necho "pg_dump (PostgreSQL) 14.1"\n')
    wrapper.chmod(0o755)
    (folders / "16" / "pg_dump").unlink()
    (folders / "16" / "pg_dump").symlink_to(wrapper)
    assert {one.major for one in client_programs()} == {18, 15}


def test_packages_of_debian_and_of_the_postgresql_project_are_looked_at() -> None:
    assert all(pattern.startswith("/usr/") and pattern.endswith("/bin") for pattern in PACKAGED)

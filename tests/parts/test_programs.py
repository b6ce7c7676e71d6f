"""Look-up and installation of the programs in the table of parts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, MissingPart, TookTooLong
from harness.parts.command import run
from harness.parts.doctor import survey
from harness.parts.install import ensure, install
from harness.parts.programs import program
from harness.parts.recipes import recipe, where
from harness.parts.table import PARTS, bringer, part

NAMES = [
    "postgres", "initdb", "pg_dump", "pg_restore", "pg_dumpall", "pg_isready", "psql", "pgbench",
    "weed", "rclone", "traefik", "nginx", "node", "n8n",
    "odoo-python", "odoo-bin", "odoo-path", "odoo-addons", "knotd", "knot-libs", "allure",
]  # fmt: skip


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_program_is_named_with_what_to_type(empty_cache: Path, name: str) -> None:
    with pytest.raises(MissingPart, match=rf"^{name}: .*`blackstart prepare`$"):
        program(name)


def test_an_unknown_program_or_part_is_refused() -> None:
    with pytest.raises(MissingPart, match="oracle"):
        program("oracle")
    with pytest.raises(MissingPart, match=r"oracle.*postgres"):
        part("oracle")


def test_the_doctor_reports_every_part_of_an_empty_cache_as_missing(empty_cache: Path) -> None:
    found = survey()[: len(PARTS)]  # client programs of PostgreSQL that are installed otherwise follow
    assert [status.name for status in found] == [one.name for one in PARTS]
    assert not any(status.present for status in found)
    assert all("blackstart prepare" in status.remedy for status in found)


def test_the_doctor_reports_a_part_without_its_program(empty_cache: Path) -> None:
    where("rclone").mkdir(parents=True)
    lost = next(status for status in survey() if status.name == "rclone")
    assert not lost.present
    assert str(where("rclone")) in lost.remedy


def test_names_are_unique_and_every_part_has_a_recipe() -> None:
    programs = [brought.name for one in PARTS for brought in one.programs]
    assert len(programs) == len(set(programs))
    assert set(NAMES) <= set(programs)
    assert all(recipe(one.name).seconds > 0 for one in PARTS)
    assert not [one.name for one in PARTS if "latest" in one.version]


def test_without_apt_both_debian_parts_name_a_remedy(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(empty_cache))
    with pytest.raises(MissingPart, match=r"^apt-get: not found"):
        ensure("odoo")
    with pytest.raises(MissingPart, match=r"^knot: neither apt-get nor knotd"):
        ensure("knot")
    with pytest.raises(HarnessError) as both:
        install(["odoo", "knot"])
    assert len(str(both.value).splitlines()) == 2


def test_without_apt_the_knotd_on_path_is_used(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = empty_cache / "bin"
    own.mkdir()
    (own / "knotd").write_text("#!/bin/sh\necho 'knotd (Knot DNS), version 3.9'\n")
    (own / "knotd").chmod(0o755)
    monkeypatch.setenv("PATH", str(own))
    (done,) = install(["knot"])
    assert done.fresh
    assert "3.9" in done.version
    assert os.path.realpath(program("knotd")) == str(own / "knotd")
    assert Path(program("knot-libs")).is_dir()


def test_a_failed_command_is_reported_with_its_last_lines() -> None:
    with pytest.raises(HarnessError, match="exit code 3: two"):
        run(["sh", "-c", "echo two >&2; exit 3"], patience=5)
    with pytest.raises(HarnessError, match="cannot be started"):
        run(["no-such-command-anywhere"], patience=5)
    with pytest.raises(TookTooLong, match=r"not done within 0\.1 s"):
        run(["sh", "-c", "exec sleep 5"], patience=0.1)


@pytest.mark.programs
@pytest.mark.parametrize(
    ("name", "flag", "said"),
    [
        ("postgres", "--version", "(PostgreSQL) 18."),
        ("pg_dump", "--version", "(PostgreSQL) 18."),
        ("weed", "version", "4."),
        ("rclone", "version", "rclone v1."),
        ("traefik", "version", "Version:"),
        ("nginx", "-v", "nginx/1."),
        ("node", "--version", "v24."),
        ("odoo-python", "--version", "Python 3."),
    ],
)
def test_each_program_starts_and_has_the_pinned_version(name: str, flag: str, said: str) -> None:
    done = subprocess.run([program(name), flag], capture_output=True, text=True, timeout=30, check=True)
    spoken = done.stdout + done.stderr
    assert said in spoken
    pinned = bringer(name)[0].version
    assert pinned == "as locked" or pinned.rsplit(".", 1)[0] in spoken


@pytest.mark.programs
def test_knot_starts_with_its_libraries() -> None:
    done = subprocess.run(
        [program("knotd"), "--version"], env={"LD_LIBRARY_PATH": program("knot-libs")},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert "Knot DNS" in done.stdout


@pytest.mark.programs
def test_odoo_starts_and_has_all_modules_of_the_shop() -> None:
    done = subprocess.run(
        [program("odoo-python"), program("odoo-bin"), "--version"],
        env={"PYTHONPATH": program("odoo-path")}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Odoo Server 19" in done.stdout
    addons = Path(program("odoo-addons"))
    for module in ("sale_management", "sale", "account", "product", "mail", "rpc", "l10n_us"):
        assert (addons / module / "models/__init__.py").is_file() or module == "rpc"
    assert (addons / "stock/__manifest__.py").is_file()
    assert not (addons / "stock/models").exists()

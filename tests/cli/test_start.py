"""How a command starts: quickly, and without code that it has no use for."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import COMMAND

ROOT = Path(__file__).resolve().parents[2]
CPU = 0.5  # seconds
# What is imported when the command ends, whichever way: with its exit code.
LOADED = """
import sys
from harness.cli import main
try:
    main()
except SystemExit as ended:
    print(ended.code, *sorted(name for name in sys.modules if name.startswith("harness.")))
"""
UNREACHABLE = ("recover", "--offsite", "127.0.0.1:9", "--estate", "example-shop", "--secrets", "secrets")


def loaded(folder: Path, *words: str, config: Path | None = None) -> tuple[str, set[str], str]:
    """Run a command to its end; return its exit code, the modules of the harness that it loaded, and what it said."""
    shutil.copy(config or ROOT / "estate.toml", folder / "estate.toml")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    code, *modules = done.stdout.splitlines()[-1].split()
    return code, set(modules), done.stderr


def test_the_help_takes_less_than_half_a_second_of_cpu() -> None:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    taken = []
    for _ in range(5):  # a busy machine makes single runs slower
        before = spent()
        command = [*COMMAND, "--help"]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        taken.append(spent() - before)
    assert min(taken) < CPU, taken


HEAVY = {
    "cryptography",
    "jinja2",
    "minio",
    "psycopg",
    "pydantic",
    "requests",
    "rich",
    "starlette",
    "urllib3",
    "zstandard",
}


def test_the_help_loads_no_package_but_that_of_the_command_line() -> None:
    script = LOADED.replace('name.startswith("harness.")', '"." not in name')
    command = [sys.executable, "-c", script, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    code, *packages = done.stdout.splitlines()[-1].split()
    assert (code, "typer" in packages) == ("0", True)
    assert not HEAVY & set(packages)


def secrets(folder: Path) -> None:
    for holder, name in (("dr", "recipient.pem"), ("clients", "gateway-key"), ("names", "tsig"),
                         ("offsite", "s3-access"), ("offsite", "s3-secret")):  # fmt: skip
        (folder / "secrets" / holder).mkdir(parents=True, exist_ok=True)
        (folder / "secrets" / holder / name).write_text("c2VjcmV0\n")


@pytest.mark.night
@pytest.mark.parametrize(
    ("words", "code", "said", "at_work"),
    [
        ((*UNREACHABLE[:4], "other", *UNREACHABLE[5:]), "2", "not 'other'", "harness.recovery.recover"),
        (
            (*UNREACHABLE, "--allow-unsigned", "--witness", "http://127.0.0.1:9/"),
            "2",
            "no secret postgres-superuser",
            "harness.recovery.recovery",
        ),
        (("restore", "--into", "new"), "2", "no such state file", "harness.backup.verify"),
        (("backup",), "2", "no such state file", "harness.backup.orchestrator"),
        (("backups",), "2", "no such state file", "harness.backup.build"),
        (("release",), "2", "no such state file", "harness.recovery.recover"),
        (("restore-test", "--budgets", str(ROOT / "features/budgets.toml")), "2", "no DR site", "harness.restore_test"),
    ],
    ids=["another estate", "a site without secrets", "restore", "backup", "backups", "release", "restore-test"],
)
def test_no_command_but_drills_loads_the_strike(
    tmp_path: Path, words: tuple[str, ...], code: str, said: str, at_work: str
) -> None:
    secrets(tmp_path)
    ended, modules, error = loaded(tmp_path, *words)
    assert (ended, said in error) == (code, True), error
    assert at_work in modules  # it came as far as its own code
    assert "harness.services.n8n.example" not in modules  # it loads requests, which takes longer than all of the estate
    assert not [name for name in modules if name.startswith(("harness.drill", "harness.scenario"))]


def test_a_restore_test_of_an_existing_site_does_not_load_the_strike(tmp_path: Path) -> None:
    """It gets as far as the repository, which does not answer."""
    declared = (ROOT / "deploy/cluster/restore-test/estate.toml").read_text()
    (tmp_path / "there.toml").write_text(declared)
    budgets = str(ROOT / "deploy/cluster/restore-test/budgets.toml")
    _, modules, _ = loaded(
        tmp_path, "restore-test", "--budgets", budgets, "--promise", "restore test", config=tmp_path / "there.toml"
    )
    assert "harness.restore_test.restore_test" in modules
    assert not [name for name in modules if name.startswith(("harness.drill", "harness.scenario"))]

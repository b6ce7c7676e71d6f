"""Exit code and output of `.ci/run`, and the list of targets of `make help`."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.parts.sources.wheels import LOCKS

ROOT = LOCKS.parents[2]

FAILURE = ("=== FAILURES ===", "why it failed", "FAILED tests/one.py", "=== 1 failed in 0.10s ===", "more")
CLUSTERS = "engine-tests TESTS=tests/kubernetes BUT=night"
ALL = {
    "setup",
    "-o drills test BUT=night",
    "drills BUT=night",
    "cases MAJORS=15 BUT=night",
    "mutants SAMPLE=10",
    "images",
    "drill-docker DRILLS=brief BUT=night",
    "drill-kind DRILLS=smoke",
    CLUSTERS,
    "engine-tests TESTS=tests/images",
    "engine-tests TESTS=tests --ignore=tests/images --ignore=tests/kubernetes",
}


def ci(folder: Path, failing: str, code: int) -> subprocess.CompletedProcess[str]:
    """Run `.ci/run` with a fake make, whose target `failing` fails with that exit code after a delay."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", folder / ".ci/run")
    engine, make = folder / ".ci/engine", folder / "bin/make"
    make.parent.mkdir()
    engine.write_text("#!/bin/sh\necho engine\n")
    make.write_text(
        f"""#!/bin/sh
[ "$*" != "{failing}" ] || {{ sleep 0.2; printf '%s\\n' {shlex.join(FAILURE)}; exit {code}; }}
echo "made $*"; echo '=== 9 passed in 9.99s ==='
"""
    )
    for program in (engine, make):
        program.chmod(0o755)
    path = f"{make.parent}:{os.environ['PATH']}"
    return subprocess.run(
        [folder / ".ci/run"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def made(done: subprocess.CompletedProcess[str]) -> list[str]:
    return sorted(line.partition("made ")[2] for line in done.stdout.splitlines() if "made " in line)


def test_ci_runs_every_target_and_prints_pytests_last_lines_at_the_end(tmp_path: Path) -> None:
    done = ci(tmp_path, "nothing", 2)
    assert done.returncode == 0
    assert made(done) == sorted([*ALL, "images"])  # images once in each lane
    assert done.stdout.splitlines()[-1] == "=== 9 passed in 9.99s ==="


@pytest.mark.parametrize("failing", sorted(ALL - {"images"}))
def test_ci_exits_with_the_code_of_the_failed_target_and_repeats_its_output(tmp_path: Path, failing: str) -> None:
    done = ci(tmp_path, failing, 3)
    assert done.returncode == 3
    assert f"ci: make {failing}: " in done.stdout
    _, _, end = done.stdout.partition("ci: what failed, once more:\n")
    assert end.splitlines()[: len(FAILURE)] == list(FAILURE)
    assert end.splitlines()[-1] == "=== 1 failed in 0.10s ==="


@pytest.mark.parametrize(("failing", "never"), [("setup", ALL), (CLUSTERS, {"drill-kind DRILLS=smoke"})])
def test_ci_starts_no_target_after_a_failure(tmp_path: Path, failing: str, never: set[str]) -> None:
    assert not never.intersection(made(ci(tmp_path, failing, 2)))


def test_make_without_a_target_lists_the_targets() -> None:
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run([make, "-C", str(ROOT)], capture_output=True, text=True, timeout=30, check=True)
    for target in (
        "setup",
        "check",
        "unit",
        "drill",
        "test",
        "images",
        "drill-docker",
        "drill-kind",
        "report",
        "lock",
        "clean",
    ):
        assert f"make {target} " in done.stdout

"""`.ci/run` ends as `make test` ends, and `make help` lists what there is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.parts.wheels import LOCKS

ROOT = LOCKS.parents[2]


@pytest.mark.parametrize(("code", "line"), [(0, "=== 3 passed in 0.10s ==="), (2, "=== 1 failed in 0.10s ===")])
def test_ci_has_the_code_of_make_and_ends_with_the_closing_line(tmp_path: Path, code: int, line: str) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    engine = tmp_path / ".ci/engine"
    engine.write_text("#!/bin/sh\necho engine\n")
    engine.chmod(0o755)
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin/make"
    make.write_text(
        f"#!/bin/sh\necho \"$@\"\necho '=== 9 passed in 9.99s ==='\necho '{line}'\necho more\nexit {code}\n"
    )
    make.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [tmp_path / ".ci/run"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code
    assert done.stdout.splitlines()[0] == "test"
    assert ("engine-tests" in done.stdout.splitlines()) is (code == 0)  # after a failure nothing more is begun
    assert done.stdout.splitlines()[-1] == line


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

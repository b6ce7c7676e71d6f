"""Scripts that run in the node of a cluster, with a `ctr` of the test: what they take for done."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.kubernetes.machine import KILL, PAUSE, RESUME

LISTED = "a 1 {}"


def run(script: str, folder: Path, *listings: str) -> subprocess.CompletedProcess[str]:
    """Run a script for the container `a`; each list of containers is the next of `listings`, the last one again."""
    for number, text in enumerate(listings):
        (folder / f"{number}").write_text(text)
    ctr = folder / "ctr"
    ctr.write_text(
        f"""#!/bin/sh
cd {folder}
[ "$2" = ls ] || {{ echo "cannot freeze" >&2; exit 1; }}
n=$(cat n 2>/dev/null || echo 0); [ -f $((n + 1)) ] && echo $((n + 1)) >n
[ -s $n ] || {{ echo "containerd does not answer" >&2; exit 1; }}
cat $n
"""
    )
    ctr.chmod(0o755)
    words = script.format(ids="a", ctr=ctr, pattern="a").replace("seq 20", "seq 3").replace("seq 100", "seq 3")
    return subprocess.run(["/bin/sh", "-c", words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("script", "done"), [(PAUSE, "PAUSED"), (RESUME, "RUNNING"), (KILL, "STOPPED")])
def test_what_containerd_does_not_list_is_not_done(tmp_path: Path, script: str, done: str) -> None:
    assert run(script, tmp_path, "").returncode != 0
    assert run(script, tmp_path, LISTED.format(done)).returncode == 0


def test_a_pause_that_was_given_up_is_tried_again(tmp_path: Path) -> None:
    running = LISTED.format("RUNNING")
    assert run(PAUSE, tmp_path, running, "", LISTED.format("PAUSED")).returncode == 0
    never = run(PAUSE, tmp_path, running, running, running)
    assert (never.returncode, never.stdout.splitlines()) == (1, ["still running: a 1 RUNNING: cannot freeze "])

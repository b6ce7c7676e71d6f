"""One command, measured: wall time, CPU seconds and memory of all its processes. `python -m` this file with a command.

It runs in a process of its own, a subreaper, so that processes that were left behind are counted as well.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

USER = 65534  # PostgreSQL refuses root; no account is made for it
PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    `wall`, `cpu`: seconds; `memory`: largest sum of proportional set sizes in MiB, sampled each 0.1 s; `errors`: the
    end of what it said.
    """

    code: int
    wall: float
    cpu: float
    memory: float
    errors: str


def measure(command: str, env: dict[str, str], folder: Path) -> Cost:
    """Run a shell command as `USER` and return what it took. Every stage of a pipe counts for its exit code."""
    argv = [sys.executable, __file__, command]
    done = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[:200]}: {done.stderr[-2000:]}")
    return Cost(**json.loads(done.stdout), errors=done.stderr[-1500:])


def processes_of(pid: int) -> list[int]:
    """Return a process and all that it started."""
    found = [pid]
    for one in found:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and of all that it started, ended ones that were waited for included."""
    total = 0
    for one in processes_of(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def busy() -> float:
    """Return the seconds that all processors of the machine were busy since boot."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4] - fields[7]) / TICKS


def _memory(pids: list[int]) -> float:
    total = 0
    for one in pids:
        try:
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text(), re.M)
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1024


def _run(command: str) -> dict[str, float]:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.monotonic()
    argv = [*AS_USER, "bash", "-c", f"set -o pipefail; {command}"]
    child = subprocess.Popen(argv, stdout=sys.stderr, stdin=subprocess.DEVNULL)
    code, wall, peak, pause = 0, 0.0, 0.0, Event()
    while True:
        peak = max(peak, _memory(processes_of(os.getpid())[1:]))
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if ended == child.pid:
            code, wall = os.waitstatus_to_exitcode(status), time.monotonic() - began
        if not ended:
            pause.wait(0.02 if wall else 0.1)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    return {"code": code, "wall": round(wall, 2), "cpu": round(cpu, 2), "memory": round(peak, 1)}


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1])))

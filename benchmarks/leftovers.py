"""What a drill leaves behind, counted: `python -m benchmarks.leftovers [substrate ...]`.

Site loss with the example estate, on each substrate (docker and kind when none is named), ended in four ways: to its
end; with its offsite store killed in the middle of the restore; by Ctrl-C there; by SIGKILL there, followed by
`blackstart sweep`. Counted before and after, on the whole machine, so nothing else may use the engine meanwhile:
containers, volumes and networks of the engine, contexts of the user's kubeconfig, rules of the packet filter, tagged
processes, run folders, mounts. A row an ending is added to `results/leftovers.jsonl`; ends with 1 when a thing is left.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from benchmarks import page
from benchmarks.rows import ROOT, add
from harness.core.clock import SYSTEM, wait_until
from harness.core.errors import TookTooLong
from harness.images.engine import engine
from harness.images.kind.stock import LABEL
from harness.substrate.docker.ownership import SITE
from harness.substrate.embedded.process_tree import RUN_TAG

IN_THE_MIDDLE = '"message": "2.4.2"'  # of the sequence: a backup is being restored
PATIENCE = 600.0  # seconds until a drill comes there, and until it has ended
COUNTER = re.compile(r"^\[\d+:\d+\] ")


@dataclass(frozen=True, slots=True)
class Row:
    """One drill. `amid`: how many things there were in the middle; `swept`: what the sweep said; `left`: names."""

    at: str
    substrate: str
    ending: str
    code: int
    amid: dict[str, int]
    swept: str
    left: dict[str, list[str]]


class NotYet(Exception):
    """The drill is not there yet."""


def present(runs: Path) -> dict[str, set[str]]:
    """Return the names of everything that a drill could leave, by kind of thing."""
    client = engine()
    config = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube/config")
    contexts = (yaml.safe_load(config.read_text()) or {}).get("contexts", ()) if config.is_file() else ()
    lister = shutil.which("iptables-save") or sys.exit("iptables-save is missing: apt-get install iptables")
    rules = subprocess.run([lister], capture_output=True, text=True, check=True).stdout.splitlines()
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return {
        "containers": {str(c.name) for c in client.containers.list(all=True, ignore_removed=True)},
        "volumes": {str(v.name) for v in client.volumes.list() if LABEL not in (v.attrs["Labels"] or {})},
        "networks": {str(network.name) for network in client.networks.list()},
        "contexts": {str(context["name"]) for context in contexts},
        "rules": {COUNTER.sub("", rule) for rule in rules if rule[:1] not in "#:*"},
        "processes": {f"{p.pid} {p.name()}" for p in psutil.process_iter() if _tagged(p)},
        "runs": {folder.name for folder in runs.glob("*")},
        "mounts": {line.split()[1] for line in mounts},
    }


def _tagged(process: psutil.Process) -> bool:
    try:
        return RUN_TAG in process.environ()
    except psutil.Error:
        return False


def kill_offsite() -> None:
    """Kill the containers of the offsite site, behind the drill's back."""
    for container in engine().containers.list(filters={"label": f"{SITE}=offsite"}):
        container.kill()


def drill(substrate: str, ending: str, fault: Callable[[subprocess.Popen[bytes]], None] | None) -> Row:
    """Run one drill, do `fault` to it in the middle, sweep after a SIGKILL, and return what is left."""
    with tempfile.TemporaryDirectory() as home:
        runs, reports = Path(home) / "runs", Path(home) / "reports"
        env = {**os.environ, "BLACKSTART_RUNS": str(runs)}
        before = present(runs)
        words = [sys.executable, "-m", "pytest", "-q", "features/estate/site_loss.feature"]
        child = subprocess.Popen(
            [*words, f"--substrate={substrate}", f"--reports={reports}"],
            cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        await_the_middle(reports, child)
        amid = {kind: len(names - before[kind]) for kind, names in present(runs).items()}
        if fault is not None:
            fault(child)
        code = child.wait(PATIENCE)
        swept = ""
        if ending == "SIGKILL":
            sweep = [sys.executable, "-c", "from harness.cli import main; main()", "sweep"]
            swept = subprocess.run(sweep, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
        after = present(runs)
    left = {kind: sorted(after[kind] - before[kind]) for kind in after}
    said = " ".join(swept.replace(str(runs), "").split())
    return Row(SYSTEM.wall().isoformat(timespec="seconds"), substrate, ending, code, amid, said, left)


def await_the_middle(reports: Path, child: subprocess.Popen[bytes]) -> None:
    """Return once the drill's journal says that the restore has begun. Raises SystemExit when it ends before."""

    def look() -> None:
        if child.poll() is not None:
            raise SystemExit(f"the drill ended with {child.returncode} before it was in the middle")
        if not any(IN_THE_MIDDLE in journal.read_text() for journal in reports.glob("drills/*/journal.jsonl")):
            raise NotYet

    try:
        wait_until(look, patience=PATIENCE, every=0.1, what="the middle of the drill")
    except TookTooLong as error:
        os.killpg(child.pid, signal.SIGINT)
        raise SystemExit(str(error)) from None


ENDINGS: dict[str, Callable[[subprocess.Popen[bytes]], None] | None] = {
    "success": None,
    "failure": lambda _child: kill_offsite(),
    "Ctrl-C": lambda child: os.killpg(child.pid, signal.SIGINT),
    "SIGKILL": lambda child: child.kill(),
}


def main() -> None:
    """Run the drills that were asked for and print what each left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("substrates", nargs="*", default=["docker", "kind"])
    asked = parser.parse_args()
    clean = True
    for substrate in asked.substrates:
        for ending, fault in ENDINGS.items():
            row = drill(substrate, ending, fault)
            add("leftovers", row)
            left = {kind: names for kind, names in row.left.items() if names}
            amid = ", ".join(f"{number} {kind}" for kind, number in row.amid.items() if number)
            print(f"{substrate}, {ending}: exit code {row.code}; amid {amid}; left {left or 'nothing'}", flush=True)
            clean = clean and not left
    page.write()
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()

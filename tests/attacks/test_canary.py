"""A secret of the estate and the content of a row are nowhere but where they belong, during a drill and after it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import pytest

from harness.services.notification.example import example
from tests.attacks.running_drill import RunningDrill, own_folder, running

pytestmark = [pytest.mark.attacks, pytest.mark.programs]
LEAST = 8  # letters of a value that is no word of every day


@dataclass
class Scan:
    """Looks at every process of a drill, again and again. `found`: where a canary was seen."""

    drill: RunningDrill
    canaries: dict[str, bytes] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)  # programs
    ended: Event = field(default_factory=Event)

    def run(self) -> None:
        while not self.ended.wait(0.05):
            for run in self.drill.run_folders():
                self.learn(run)
                for process in Path("/proc").glob("[0-9]*"):
                    self.look_at(process, os.fsencode(run))

    def learn(self, run: Path) -> None:
        """Take every secret of the run for a canary: the lines of keys, and the values of all others."""
        for path in (run / "secrets").rglob("*"):
            if path.is_file() and path.suffix != ".pub":
                for line in path.read_bytes().split():
                    if len(line) >= LEAST and not line.startswith(b"-----"):
                        self.canaries[f"{path.parent.name}/{path.name}"] = line

    def look_at(self, process: Path, run: bytes) -> None:
        try:
            argv, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            return  # it has ended
        if run not in environment and run not in argv:
            return
        node = next((e for e in environment.split(b"\0") if e.startswith(b"BLACKSTART_NODE=")), b"=").split(b"=")[1]
        name = node.decode().rpartition("/")[2]
        self.seen.add(name)
        self.found |= {f"argv of {name}: {where}" for where in self.within(argv)}
        self.found |= {f"environment of {name}: {where}" for where in self.within(environment)}

    def within(self, data: bytes) -> Iterator[str]:
        return (name for name, value in list(self.canaries.items()) if value in data)


def test_a_canary_is_in_no_argument_environment_log_record_or_report(tmp_path: Path) -> None:
    with running(own_folder(tmp_path / "own")) as drill:
        scan = Scan(drill)
        looking = Thread(target=scan.run)
        looking.start()
        try:
            out, err = drill.process.communicate(timeout=400)
        finally:
            scan.ended.set()
            looking.join()
        assert drill.process.returncode == 0, out + err
    assert {"postgres", "objects", "gateway", "notification", "names"} <= scan.seen  # nginx writes over its environment
    holders = {name.partition("/")[0] for name in scan.canaries}
    assert {"primary", "dr", "offsite", "clients", "names", "escrow"} <= holders, holders
    rows = [example(number) for number in range(1, 13)]
    scan.canaries |= {f"row {row.reference}": row.body.encode() for row in rows}
    scan.canaries |= {f"recipient of {row.reference}": row.recipient.encode() for row in rows}
    scan.found |= {f"output: {where}" for where in scan.within((out + err).encode())}
    left = [path for path in (tmp_path / "own/reports").rglob("*") if path.is_file()]
    assert {"record.json", "journal.jsonl", "ledger.jsonl", "index.html"} <= {path.name for path in left}
    for path in left:
        scan.found |= {f"{path.relative_to(tmp_path)}: {where}" for where in scan.within(path.read_bytes())}
    assert not scan.found


def test_the_scan_finds_a_canary(tmp_path: Path) -> None:
    """A program with a secret among its arguments and in its environment is found by what the drill is scanned with."""
    run = tmp_path / "own/.blackstart/runs/one"
    (run / "secrets/primary").mkdir(parents=True)
    (run / "secrets/primary/password").write_text("canary-of-the-primary\n")
    env = {"BLACKSTART_RUN": str(run), "BLACKSTART_NODE": "primary/leaky", "WORD": "canary-of-the-primary"}
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "canary-of-the-primary"],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()  # right after its start the kernel may not have its arguments yet
        scan = Scan(RunningDrill(tmp_path / "own", process))
        scan.learn(run)
        scan.look_at(Path(f"/proc/{process.pid}"), os.fsencode(run))
        process.kill()
    assert scan.found == {"argv of leaky: primary/password", "environment of leaky: primary/password"}

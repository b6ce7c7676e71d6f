"""Commands of blackstart as forks of one process that has imported them: a kill then costs no second of imports.

`python -m tests.kills.store.forks` reads a command as a line of JSON, and answers with its number and its exit code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
USED = (
    "minio", "psycopg", "harness.backup.build", "harness.backup.orchestrator", "harness.physical.backup",
    "harness.physical.continuous", "harness.physical.push", "harness.repository.upkeep.retention",
    "harness.repository.upkeep.rewrap", "harness.estate.config", "harness.estate.state_file",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Forks:
    """Starts commands, one at a time."""

    process: subprocess.Popen[str]

    def run(self, folder: Path, words: Sequence[str], begun: Callable[[int], None]) -> tuple[int, str]:
        """Run a command in a folder to its end; return its exit code and its output. `begun`: is told its number."""
        output = folder / "output.txt"
        asked = {"words": words, "folder": str(folder), "output": str(output)}
        assert self.process.stdin is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        begun(self._answer())
        return self._answer(), output.read_text()

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@contextmanager
def forks() -> Iterator[Forks]:
    """Yield the starter of commands; it ends with its input."""
    command = [sys.executable, "-m", __name__]
    env = os.environ | {"PYTHONPATH": str(ROOT), "BLACKSTART_PATIENCE_STORE_SILENCE": "60"}  # no test of patience
    with subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Forks(process)


def child(words: Sequence[str], folder: str, output: str) -> None:
    """Become the command."""
    os.chdir(folder)
    os.environ["BLACKSTART_RUNS"] = f"{folder}/runs"
    file, nothing = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), os.open(os.devnull, os.O_RDONLY)
    for wanted, here in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(wanted, here)
    sys.argv = ["blackstart", *words]
    code: object = 0
    try:
        import_module("harness.cli").main()
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def main() -> None:
    """Serve until the input ends."""
    for module in ("harness.cli", *USED):
        import_module(module)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            child(**asked)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()

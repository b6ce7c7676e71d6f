"""`blackstart up`: runs the example estate until Ctrl-C, for manual practice."""

import secrets as random
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag

from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.drill.environment import DrillEnvironment
from harness.drill.template import prepare
from harness.estate.config import Config
from harness.estate.substrates import require_strategy


def run_until_stopped(config: Config, runs: Path, at: Path, say: Callable[[str], None]) -> None:
    """Run the example estate with its state file `at` until Ctrl-C; raises HarnessError, UsageError."""
    if at.exists():
        raise HarnessError(
            f"{at}: an estate is running or was killed; stop it, or run `blackstart sweep` and delete this file"
        )
    require_strategy(config)
    run = (runs / f"up-{random.token_hex(4)}").resolve()
    environment = DrillEnvironment(config, prepare(config, say), run, run / "logs", MemoryJournal())
    try:
        environment.start_data()
        environment.start_services()
        environment.state.write(at)
        say(f"the estate {config.estate.name} is up; its state file is {at}; Ctrl-C ends it")
        Flag().wait()
    finally:
        at.unlink(missing_ok=True)
        environment.close()

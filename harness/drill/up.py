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
from harness.estate.state_file import StateFile


def run_until_stopped(config: Config, runs: Path, at: Path, say: Callable[[str], None]) -> None:
    """Run the example estate with its state file `at` until Ctrl-C; raises HarnessError."""
    if at.exists():
        raise HarnessError(
            f"{at}: an estate is running or was killed; stop it, or run `blackstart sweep` and delete this file"
        )
    run = (runs / f"up-{random.token_hex(4)}").resolve()
    environment = DrillEnvironment(config, prepare(config, say), run, run / "logs", MemoryJournal())
    try:
        environment.start_data()
        environment.start_services()
        state_of(environment).write(at)
        say(f"the estate {config.estate.name} is up; its state file is {at}; Ctrl-C ends it")
        Flag().wait()
    finally:
        at.unlink(missing_ok=True)
        environment.close()


def state_of(environment: DrillEnvironment) -> StateFile:
    """Return the state file of a running estate."""
    place, edge = environment.primary.place, environment.opened_edge
    port = edge.front.node.endpoint("http").outside.port
    return StateFile(
        estate=environment.config.estate.name,
        site="primary",
        run=str(environment.run),
        logs=str(environment.logs),
        secrets=str(environment.secrets.root),
        sql=str(place.sql.outside),
        s3=str(place.s3.outside),
        offsite=str(environment.offsite_s3.outside),
        public=f"{environment.config.sites.primary.edge}:{port}",
        names=str(edge.names.address),
    )

"""The estate by hand: kept up, backed up, released."""

from __future__ import annotations

import secrets as random
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag

from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.drill.environment import World
from harness.drill.template import prepare
from harness.estate.config import Config
from harness.estate.state_file import Live


def hold_open(config: Config, runs: Path, at: Path, say: Callable[[str], None], until: Flag | None = None) -> None:
    """Start the example estate, write where it is to `at`, and keep it up until Ctrl-C or `until` is set."""
    if at.exists():
        raise HarnessError(
            f"{at}: an estate is up here, or ended badly; end it, or run `blackstart sweep` and remove it"
        )
    run = (runs / f"up-{random.token_hex(4)}").resolve()
    world = World(config, prepare(config, say), run, run / "logs", MemoryJournal())
    try:
        world.start_data()
        world.start_services()
        live_of(world).write(at)
        say(f"the estate {config.estate.name} is up; its parts are in {at}; Ctrl-C ends it")
        (until or Flag()).wait()
    finally:
        at.unlink(missing_ok=True)
        world.close()


def live_of(world: World) -> Live:
    """Return where the parts of a running estate are."""
    place, edge = world.primary.place, world.opened_edge
    port = edge.front.node.endpoint("http").outside.port
    return Live(
        estate=world.config.estate.name,
        site="primary",
        run=str(world.run),
        logs=str(world.logs),
        secrets=str(world.secrets.root),
        sql=str(place.sql.outside),
        s3=str(place.s3.outside),
        offsite=str(world.offsite_s3.outside),
        public=f"{world.config.sites.primary.edge}:{port}",
        names=str(edge.names.address),
    )

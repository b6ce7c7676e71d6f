"""Clients inside the primary site: they write on, with numbers of their own, while nobody outside reaches the site."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from threading import Thread

from harness.core.clock import NotYet, wait_until
from harness.core.journal import phase
from harness.core.node import Running, Task, runs_images
from harness.drill.drill import Drill
from harness.parts.places import CODE
from harness.patience import PATIENCE
from harness.traffic.door import GATEWAY_KEY

FIRST = 1_000_000  # number of their first write, far above those of the clients outside
AT_WORK = 10  # acknowledged writes after which they count as running
IMAGE = "blackstart"
# Prints `NUMBER True` for each write that was acknowledged, `NUMBER False` for each that was not.
PROGRAM = f"""
import itertools, sys, time
from harness.estate.kinds import KINDS
from harness.traffic.door import Door

host, port = sys.argv[1:]
load = next(kind.load for kind in KINDS.values() if kind.load)
send = load.sender(Door(host, int(port), lambda name: name), {{"{GATEWAY_KEY}": "env:KEY"}})
for number in itertools.count({FIRST}):
    try:
        acknowledged = send(number)
    except OSError:
        acknowledged = False
    print(number, acknowledged, flush=True)
    time.sleep(0.1)
"""


@dataclass(slots=True)
class InsideClients:
    """A task of the primary site that writes through its gateway. `acknowledged`: the numbers that were accepted."""

    running: Running
    acknowledged: list[int] = field(default_factory=list)
    _reader: Thread | None = None

    def follow(self) -> None:
        """Read what the task prints, in a thread; return once its first writes are acknowledged. Raises TookTooLong."""
        self._reader = Thread(target=self._read, name="inside-clients", daemon=True)
        self._reader.start()

        def at_work() -> None:
            if len(self.acknowledged) < AT_WORK:
                raise NotYet(f"{len(self.acknowledged)} writes acknowledged inside the primary")

        wait_until(at_work, patience=PATIENCE.first_writes, what="writes inside the primary")

    def _read(self) -> None:
        for line in self.running.stdout:
            number, answer = line.split()
            if answer == b"True":
                self.acknowledged.append(int(number))

    def stop(self) -> None:
        """End the task."""
        self.running.__exit__(None, None, None)
        if self._reader is not None:
            self._reader.join()


def start_inside_clients(drill: Drill) -> InsideClients:
    """Start clients inside the primary site and return them at work. Raises HarnessError, TookTooLong."""
    environment = drill.environment
    address = environment.primary.nodes[drill.recovery.entry].endpoint("http").inside
    images = runs_images(environment.primary.site)
    python, path = ("python3", {}) if images else (sys.executable, {"PYTHONPATH": str(CODE)})
    task = Task(
        name="inside-clients",
        argv=(python, "-c", PROGRAM, address.host, str(address.port)),
        image=IMAGE,
        env={"KEY": f"@{{secret:{GATEWAY_KEY}}}"} | path,
        secrets={GATEWAY_KEY: environment.secrets.of("clients")[GATEWAY_KEY]},
    )
    with phase(drill.journal, "fault"):  # every second of a recovery has a name
        clients = InsideClients(environment.primary.site.run(task))
        try:
            clients.follow()
        except BaseException:
            clients.stop()
            raise
    return clients

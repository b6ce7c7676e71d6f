"""Calls of restored programs to an address outside their site: a wall must refuse each of them.

The address is one of this machine on which the drill listens, and which a program without a wall reaches.
"""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Thread

from harness.core.clock import NotYet, wait_until
from harness.core.egress import Egress, egress_of
from harness.core.errors import Finding, HarnessError
from harness.core.node import Address, Substrate
from harness.core.service import REACHED, CallsOutside, PublicDoor, Route
from harness.drill.drill import Drill
from harness.estate.registry import kind_of
from harness.patience import PATIENCE
from harness.traffic.door import GATEWAY_KEY, basic_auth

ELSEWHERE = ("192.0.2.1", 9)  # an address for documentation (RFC 5737): asks which of its own this machine would use


@dataclass(slots=True)
class Listener:
    """A server of the drill outside the DR site. `arrived`: number of connections."""

    address: Address
    arrived: int = 0

    def serve(self, server: socket.socket) -> None:
        """Accept and close connections until the server is closed."""
        with contextlib.suppress(OSError):
            while True:
                taken, _ = server.accept()
                self.arrived += 1
                taken.close()


@dataclass(frozen=True, slots=True)
class Calls:
    """What came of calls. `told`: service -> what it says; `refused`: service -> packets refused during its call."""

    told: Mapping[str, str]
    arrived: int
    refused: Mapping[str, int] = field(default_factory=dict)


def outside_of(substrate: Substrate) -> str:
    """Return an address of this machine that is outside every site of a substrate. Raises HarnessError."""
    if substrate.name == "embedded":
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
                asked.connect(ELSEWHERE)  # sends nothing
                return str(asked.getsockname()[0])
        except OSError:
            raise HarnessError("this machine has no address but that of loopback; connect it to a network") from None
    from harness.substrate.docker.egress import gateway_of  # noqa: PLC0415 - clients of engines are slow to import
    from harness.substrate.docker.substrate import Docker  # noqa: PLC0415

    if isinstance(substrate, Docker):
        return gateway_of(substrate.owned.shared_network("beyond"))
    from harness.substrate.kind.substrate import Kind  # noqa: PLC0415

    if isinstance(substrate, Kind):
        return gateway_of(substrate.around.owned.outside)
    raise HarnessError(f"substrate {substrate.name}: no address is known that is outside its sites")


@contextmanager
def listening(host: str) -> Iterator[Listener]:
    """Listen on an address of this machine while the block runs. Raises HarnessError when it cannot be reached."""
    with contextlib.ExitStack() as opened:
        try:
            server = opened.enter_context(socket.create_server((host, 0)))
            found = Listener(Address(host, int(server.getsockname()[1])))
            Thread(target=found.serve, args=(server,), daemon=True).start()
            socket.create_connection((host, found.address.port), PATIENCE.probe_connect).close()
        except OSError as error:
            raise HarnessError(f"{host}: cannot listen there ({error.strerror}); the wall is not tested") from None
        opened.callback(lambda: server.shutdown(socket.SHUT_RDWR))
        wait_until(lambda: _require_arrived(found), patience=PATIENCE.probe_connect, what=f"own call to {host}")
        found.arrived = 0
        yield found


def _require_arrived(listener: Listener) -> None:
    if not listener.arrived:
        raise NotYet("not arrived")


def call_outside(drill: Drill) -> Calls:
    """Have every restored program that can be told to call an address outside. Raises HarnessError when none can."""
    dr, told, refused = drill.environment.dr.site, {}, {}
    with listening(outside_of(drill.environment.substrate)) as outside:
        for name, call in callers(drill).items():
            before = counted(egress_of(dr))
            told[name] = call(outside.address)
            more = {where: packets - before.get(where, 0) for where, packets in counted(egress_of(dr)).items()}
            refused[name] = more[name] if name in more else sum(more.values())
            drill.journal.mark("called outside", name, said=told[name], refused=refused[name])
        arrived = outside.arrived
    if not told:
        raise HarnessError("no service of this estate can be told to call an address; drill one that can")
    return Calls(told, arrived, refused)


def counted(egress: Egress | None) -> Mapping[str, int]:
    """Return the packets that a wall refused, where they were measured. Raises Finding without a wall."""
    if egress is None:
        raise Finding("nothing keeps the programs of the DR site from other addresses")
    return {one.where: one.packets for one in egress.refused if one.packets is not None}


def callers(drill: Drill) -> Mapping[str, Callable[[Address], str]]:
    """Return by the name of its service what has it call an address, and returns REACHED or what it said."""
    environment = drill.environment
    secrets = {**environment.secrets.of("primary"), **environment.secrets.of("clients")}
    found: dict[str, Callable[[Address], str]] = {}
    for service in environment.services:
        if isinstance(service, CallsOutside):
            at = environment.dr.nodes[service.name].endpoint("http").outside
            found[service.name] = partial(service.call_outside, environment.door, secrets, at)
    for name, table in environment.config.services.items():
        route = kind_of(environment.config, name).route(name, table)
        if table.kind == "http" and route is not None:
            found[name] = partial(own_program, environment.door, route, basic_auth(secrets[GATEWAY_KEY]))
    return found


def own_program(door: PublicDoor, route: Route, headers: Mapping[str, str], to: Address) -> str:
    """Ask a declared program of a drill (`features/estates`) to connect to an address. Raises Finding, OSError."""
    path = f"{route.prefix.rstrip('/')}/call/{to.host}/{to.port}"
    answer = door.request("GET", path, headers=headers, patience=PATIENCE.http_ready)
    try:
        return str(json.loads(answer.body)["called"])
    except (ValueError, KeyError, TypeError):
        raise Finding(f"GET {path}: answered {answer.status}, and not what came of a call") from None


def require_refused(calls: Calls) -> None:
    """Raise Finding unless every call failed, none arrived, and the wall counted each."""
    through = sorted(name for name, said in calls.told.items() if said == REACHED)
    if through or calls.arrived:
        raise Finding(f"{calls.arrived} calls outside arrived; through the wall: {', '.join(through) or 'unknown'}")
    if uncounted := sorted(name for name in calls.told if calls.refused.get(name, 0) < 1):
        raise Finding(
            f"the wall counted no packet of {', '.join(uncounted)} while it called; counted: {dict(calls.refused)}"
        )

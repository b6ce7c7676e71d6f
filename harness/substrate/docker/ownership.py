"""Ownership of objects on the container engine: a run labels what it makes, and a sweep finds it by label."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from docker.models.networks import Network
from docker.models.volumes import Volume
from docker.types import IPAMConfig

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, PortInUse, TookTooLong
from harness.images.engine import engine, explained, reason
from harness.patience import PATIENCE
from harness.substrate.common.error_collector import MARK, ErrorCollector, mark
from harness.substrate.docker.egress import Make, closed
from harness.substrate.embedded.undo_journal import Undo, UndoJournal

RUN, SITE = "blackstart.run", "blackstart.site"
# Driver options. `inhibit_ipv4`: this machine has no address on the network; `enable_icc`: containers reach each other.
PEERS_ONLY = {"com.docker.network.bridge.inhibit_ipv4": "true"}
NO_PEERS = {"com.docker.network.bridge.enable_icc": "false"}
OUTSIDE = "outside"  # the network by which containers and this machine reach each other
NO_PROGRAM = ("executable file not found", "no such file or directory: unknown")
IN_USE = ("port is already allocated", "address already in use")
_making = Lock()


@dataclass(frozen=True, slots=True)
class Swept:
    """How many objects of a run a sweep removed from the engine."""

    containers: int = 0
    volumes: int = 0
    networks: int = 0


@dataclass(frozen=True, slots=True)
class Owned:
    """Names and labels of the engine's objects of one run. `run`: its folder."""

    run: Path

    def labels(self, site: str) -> dict[str, str]:
        """Return the labels of an object of a site; notes in the run folder, before it is made, that there is one."""
        mark(self.run)
        UndoJournal(self.run).note(Undo.LABEL, site=site)
        return {RUN: str(self.run), SITE: site}

    def name(self, site: str, thing: str) -> str:
        """Return the name of an object, different from those of any other run."""
        return f"bs-{hashlib.sha256(str(self.run).encode()).hexdigest()[:8]}-{site}-{thing}"

    def network(self, site: str) -> Network:
        """Return a site's internal network, created at first, on which its nodes are peers. Raises HarnessError."""
        return self._network(site, internal=True, options=PEERS_ONLY)

    @property
    def outside(self) -> Network:
        """The network by which containers and this machine reach each other, and nothing else. Raises HarnessError."""
        return self._network(OUTSIDE, closed, options=NO_PEERS)

    def shared_network(self, name: str) -> Network:
        """Return a network, created at first, of containers that reach each other and us. Raises HarnessError."""
        return self._network(name)

    def _network(self, site: str, made: Callable[[Make], Network] | None = None, **more: Any) -> Network:
        name = self.name(site, "net")
        with _making, explained(f"network {name}"):
            for found in engine().networks.list(names=[name]):
                if found.name == name:
                    return found
            more |= {"driver": "bridge", "labels": self.labels(site), "check_duplicate": True, "enable_ipv6": False}

            def create(ipam: IPAMConfig | None) -> Network:
                return engine().networks.create(name, ipam=ipam, **more)

            return made(create) if made else create(None)


@contextlib.contextmanager
def naming(where: str, program: str) -> Iterator[None]:
    """Like `explained`, for a start: a missing program is named, and a port that is in use raises PortInUse."""
    try:
        with explained(where):
            yield
    except HarnessError as error:
        said = str(error)
        if any(words in said for words in NO_PROGRAM):
            raise HarnessError(f"{where}: {program} is not a program here; its image has none of that name") from None
        if any(words in said for words in IN_USE):
            raise PortInUse(said) from None
        raise


def labelled_runs() -> tuple[Path, ...]:
    """Return the folder of every run that has an object on the engine, read from labels; none without an engine."""
    filters = {"label": RUN}
    try:
        client = engine()
        with explained("runs on the engine"):
            found = [
                *((one.labels or {}) for one in client.containers.list(all=True, filters=filters, ignore_removed=True)),
                *((one.attrs.get("Labels") or {}) for one in client.volumes.list(filters=filters)),
                *((one.attrs.get("Labels") or {}) for one in client.networks.list(filters=filters)),
            ]
    except HarnessError:
        return ()
    return tuple(sorted({Path(labels[RUN]) for labels in found if RUN in labels}))


def sweep_engine(run: Path, site: str = "") -> Swept:
    """Remove every container, volume and network of a run, or of one of its sites; works in another process.

    Raises HarnessError that names all that could not be removed, after everything else was.
    """
    run = run.resolve()
    if not (run / MARK).exists():
        return Swept()
    labels = [f"{RUN}={run}", *([f"{SITE}={site}"] if site else [])]
    client, cleanup, filters = engine(), ErrorCollector(), {"label": labels}
    kinds: tuple[tuple[str, Callable[[], list[Any]], Callable[[Any], None]], ...] = (
        ("container", partial(client.containers.list, all=True, filters=filters, ignore_removed=True), remove),
        ("volume", partial(client.volumes.list, filters=filters), _discard_volume),
        ("network", partial(client.networks.list, filters=filters), _discard_network),
    )
    counts = []
    for kind, listed, removal in kinds:
        found: list[Any] = []
        with cleanup.step(), explained(f"{kind}s of {run}"):
            found = listed()
        for one in found:
            with cleanup.step(), explained(f"{kind} {one.name}"):
                removal(one)
        counts.append(len(found))
    cleanup.raise_errors()
    return Swept(*counts)


def remove(container: Container) -> None:
    """Kill a container and remove it with its anonymous volumes; one that does not exist is no error."""
    with contextlib.suppress(NotFound):
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if "already in progress" not in str(error):
                raise


@contextlib.contextmanager
def discarding(container: Container) -> Iterator[None]:
    """Remove a container when the block fails to start it, because the next try needs its name.

    Errors of the removal are suppressed, so that the original start error is reported; a sweep removes leftovers.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(DockerException, OSError):
            remove(container)
        raise


def _discard_volume(volume: Volume) -> None:
    _once_free(partial(volume.remove, force=True), f"volume {volume.name}")


def _discard_network(network: Network) -> None:
    _once_free(partial(_dissolve, network), f"network {network.name}")


def _dissolve(network: Network) -> None:
    network.reload()
    for member in list(network.attrs.get("Containers") or {}):  # containers of other sites, and nodes of clusters
        with contextlib.suppress(APIError):
            network.disconnect(member, force=True)
    network.remove()


def _once_free(removal: Callable[[], object], what: str) -> None:
    def try_it() -> None:
        try:
            removal()
        except NotFound:
            return
        except APIError as error:
            raise NotYet(reason(error)) from None

    try:
        wait_until(try_it, patience=PATIENCE.engine_release, what=what)
    except TookTooLong as error:
        raise HarnessError(f"{error}; remove it by hand") from None

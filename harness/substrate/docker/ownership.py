"""What a run has on a container engine: labelled when it is made, found by label when it is swept."""

from __future__ import annotations

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

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.images.engine import engine, explained, reason
from harness.patience import PATIENCE
from harness.substrate.common.cleanup import MARK, Steps, mark
from harness.substrate.common.ports import Taken

RUN, SITE = "blackstart.run", "blackstart.site"
NO_PROGRAM = ("executable file not found", "no such file or directory: unknown")
IN_THE_WAY = ("port is already allocated", "address already in use")
_making = Lock()


@dataclass(frozen=True, slots=True)
class Swept:
    """How many things of a run were found on the engine and removed."""

    containers: int = 0
    volumes: int = 0
    networks: int = 0


@dataclass(frozen=True, slots=True)
class Owned:
    """Names and labels of what one run makes. `run`: its folder."""

    run: Path

    def labels(self, site: str) -> dict[str, str]:
        """Return the labels of a thing of a site; notes in the run folder, before it is made, that there is one."""
        mark(self.run)
        return {RUN: str(self.run), SITE: site}

    def name(self, site: str, thing: str) -> str:
        """Return the name of a thing, unlike that of any other run."""
        return f"bs-{hashlib.sha256(str(self.run).encode()).hexdigest()[:8]}-{site}-{thing}"

    def network(self, site: str) -> Network:
        """Return the network of a site, made when it is not there. Raises HarnessError."""
        name = self.name(site, "net")
        with _making, explained(f"network of site {site}"):
            for found in engine().networks.list(names=[name]):
                if found.name == name:
                    return found
            return engine().networks.create(name, driver="bridge", labels=self.labels(site), check_duplicate=True)


@contextlib.contextmanager
def naming(where: str, program: str) -> Iterator[None]:
    """As `explained`, for a start: a program that is not there is named, and a port that is taken raises Taken."""
    try:
        with explained(where):
            yield
    except HarnessError as error:
        said = str(error)
        if any(words in said for words in NO_PROGRAM):
            raise HarnessError(f"{where}: {program} is not a program here; its image has none of that name") from None
        if any(words in said for words in IN_THE_WAY):
            raise Taken(said) from None
        raise


def labelled_runs() -> tuple[Path, ...]:
    """Return the folder of every run that has something on the engine, as its labels say; none without an engine."""
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

    Raises HarnessError that names all that is left, once everything else is removed.
    """
    run = run.resolve()
    if not (run / MARK).exists():
        return Swept()
    labels = [f"{RUN}={run}", *([f"{SITE}={site}"] if site else [])]
    client, steps, filters = engine(), Steps(), {"label": labels}
    kinds: tuple[tuple[str, Callable[[], list[Any]], Callable[[Any], None]], ...] = (
        ("container", partial(client.containers.list, all=True, filters=filters, ignore_removed=True), remove),
        ("volume", partial(client.volumes.list, filters=filters), _discard_volume),
        ("network", partial(client.networks.list, filters=filters), _discard_network),
    )
    counts = []
    for kind, listed, removal in kinds:
        found: list[Any] = []
        with steps.step(), explained(f"{kind}s of {run}"):
            found = listed()
        for one in found:
            with steps.step(), explained(f"{kind} {one.name}"):
                removal(one)
        counts.append(len(found))
    steps.end()
    return Swept(*counts)


def remove(container: Container) -> None:
    """Kill a container if it runs and remove it with its anonymous volumes; one that is gone is left alone."""
    with contextlib.suppress(NotFound):
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if "already in progress" not in str(error):
                raise


def discard(container: Container | None) -> None:
    """Remove a container that did not start: the next try needs its name.

    What hinders that is not said, for why it did not start is; a sweep finds it.
    """
    if container is not None:
        with contextlib.suppress(DockerException, OSError):
            remove(container)


def _discard_volume(volume: Volume) -> None:
    _once_free(partial(volume.remove, force=True), f"volume {volume.name}")


def _discard_network(network: Network) -> None:
    _once_free(partial(_dissolve, network), f"network {network.name}")


def _dissolve(network: Network) -> None:
    network.reload()
    for member in list(network.attrs.get("Containers") or {}):  # guests of other sites, and of other clusters
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

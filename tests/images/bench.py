"""Runs an image as a site of containers would: any user, read-only root, a /tmp in memory, one volume."""

from __future__ import annotations

import io
import tarfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.error import HTTPError

from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.volumes import Volume

from harness.core.clock import NotYet, wait_until
from harness.core.errors import MissingPart
from harness.images.bake import Provider
from harness.images.engine import engine
from harness.images.find import BAKED, baked
from harness.images.inside import execute
from harness.images.storage import has
from harness.images.table import IMAGES, image, port_numbers

HOME = "/volumes/v"
USERS = ("1000:1000", "4711:4711")  # one that has an entry in /etc/passwd, and one that has none
PERIOD = 100_000  # microseconds
LOOPBACK = "127.0.0.1"
NO_COPY = "rw,nocopy"  # else Docker gives an empty volume the owner of the image's folder of that name: root


def kinds() -> list[tuple[str, str]]:
    """Every image of the table as baked, and as public where the engine has that one too."""
    names = [one.name for one in IMAGES if one.name != "kind-node"]
    try:
        return [(n, "baked") for n in names] + [
            (n, "public") for n in names if image(n).public and has(image(n).public)
        ]
    except MissingPart:
        return [(name, "baked") for name in names]


def of(name: str) -> list[str]:
    """Of which kinds that image is here."""
    return [kind for one, kind in kinds() if one == name]


@dataclass(frozen=True, slots=True)
class Bench:
    name: str
    reference: str
    user: str
    volume: Volume
    made: list[Container] = field(default_factory=list)

    def put(self, path: str, text: str) -> None:
        """Put a file that the user can read into the volume."""
        uid, _, gid = self.user.partition(":")
        entry = tarfile.TarInfo(path)
        data = text.encode()
        entry.size, entry.mode, entry.uid, entry.gid = len(data), 0o600, int(uid), int(gid)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(entry, io.BytesIO(data))
        holder = self._make("true", entrypoint=None, env={}, ports=())
        holder.put_archive(HOME, packed.getvalue())
        holder.remove()
        self.made.remove(holder)

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, ports: tuple[str, ...] = (), beside: str = "bridge",
        cpus: float | None = None,
    ) -> Container:  # fmt: skip
        """Start the image with these arguments, by its own entry point; `beside`: on whose network, `cpus`: so slow."""
        container = self._make(*args, entrypoint=None, env=env or {}, ports=ports, beside=beside)
        if cpus is not None:
            container.update(cpu_period=PERIOD, cpu_quota=int(cpus * PERIOD))
        container.start()
        return container

    def run(self, *args: str, entrypoint: str | None = None, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run to the end; returns the exit code and what it wrote. `entrypoint` is a bare program name."""
        container = self._make(*args, entrypoint=entrypoint, env=env or {}, ports=())
        container.start()
        code = int(container.wait(timeout=120)["StatusCode"])
        return code, container.logs().decode("utf-8", "replace")

    def number(self, port: str) -> int:
        return image(self.name).ports[port]

    def _make(
        self, *args: str, entrypoint: str | None, env: Mapping[str, str], ports: tuple[str, ...], beside: str = "bridge"
    ) -> Container:
        numbers = port_numbers(self.name, ports) if ports else {}
        container = engine().containers.create(
            self.reference, list(args), entrypoint=[entrypoint] if entrypoint else None, user=self.user,
            read_only=True, tmpfs=dict.fromkeys(("/tmp", *image(self.name).scratch), "mode=1777"),  # noqa: S108 - inside
            environment={"HOME": "/tmp", **env},  # noqa: S108
            volumes={self.volume.name: {"bind": HOME, "mode": NO_COPY}}, working_dir=HOME, network_mode=beside,
            ports={f"{number}/tcp": (LOOPBACK, None) for number in numbers.values()},
        )  # fmt: skip
        self.made.append(container)
        return container


@contextmanager
def bench(name: str, kind: str, user: str) -> Iterator[Bench]:
    """A volume that belongs to the user, and the image; everything is gone at the end."""
    # baked here if it is not there yet: the sources of ours change often
    reference = Provider(choice=BAKED).provide(name).reference if kind == "baked" else image(name).public
    volume = engine().volumes.create()
    engine().containers.run(
        baked("nginx"), [user, HOME], entrypoint=["chown"], user="0:0", network_mode="none", remove=True,
        volumes={volume.name: {"bind": HOME, "mode": NO_COPY}},
    )  # fmt: skip
    one = Bench(name, reference, user, volume)
    try:
        yield one
    finally:
        for container in one.made:
            container.remove(force=True, v=True)
        volume.remove(force=True)


def stop(container: Container) -> None:
    container.stop(timeout=20)
    container.remove()


def outside(container: Container, number: int) -> int:
    """Where this machine finds a port of a container; raises AssertionError with its log once it has ended."""

    def published() -> int:
        container.reload()
        found = container.ports.get(f"{number}/tcp")
        if not found:
            raise NotYet(container.status)
        return int(found[0]["HostPort"])

    return wait_until(published, patience=20)


def get(container: Container, number: int, path: str) -> tuple[int, str]:
    """What it answers by HTTP, once it does."""
    port = outside(container, number)

    def answer() -> tuple[int, str]:
        container.reload()
        assert container.status == "running", container.logs().decode()
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=5) as found:
                return int(found.status), found.read().decode()
        except HTTPError as error:
            with error:
                raise NotYet(f"{error.code}") from None

    return wait_until(answer, patience=90, on=(NotYet, OSError, HTTPException), every=0.2)


def says(container: Container, *argv: str, env: Mapping[str, str] | None = None) -> str:
    """What a command in a running container writes, once it ends well."""

    def done() -> str:
        container.reload()
        assert container.status == "running", container.logs().decode()
        try:
            code, said = execute(container, argv, env=env)
        except (APIError, NotFound) as error:
            raise NotYet(str(error)) from error
        if code != 0:
            raise NotYet(said.decode())
        return str(said.decode())

    return wait_until(done, patience=60, every=0.2)

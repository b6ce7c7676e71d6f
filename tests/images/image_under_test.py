"""Runs an image as a docker site does: as any user, with read-only root, /tmp in memory and one volume."""

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
USERS = ("1000:1000", "4711:4711")  # with and without an entry in /etc/passwd
PERIOD = 100_000  # microseconds
LOOPBACK = "127.0.0.1"
NO_COPY = "rw,nocopy"  # else Docker changes the owner of an empty volume to that of the image's folder, root


def kinds() -> list[tuple[str, str]]:
    """Return every image of the table as baked, and as public if the engine has that."""
    names = [one.name for one in IMAGES if one.name != "kind-node"]
    try:
        return [(n, "baked") for n in names] + [
            (n, "public") for n in names if image(n).public and has(image(n).public)
        ]
    except MissingPart:
        return [(name, "baked") for name in names]


def of(name: str) -> list[str]:
    """Return the kinds of that image: baked, public."""
    return [kind for one, kind in kinds() if one == name]


@dataclass(frozen=True, slots=True)
class ImageUnderTest:
    name: str
    reference: str
    user: str
    volume: Volume
    made: list[Container] = field(default_factory=list)

    def put(self, path: str, text: str) -> None:
        """Create a file in the volume that the user can read."""
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
        """Start the image with its entry point. `beside`: network mode; `cpus`: limit."""
        container = self._make(*args, entrypoint=None, env=env or {}, ports=ports, beside=beside)
        if cpus is not None:
            container.update(cpu_period=PERIOD, cpu_quota=int(cpus * PERIOD))
        container.start()
        return container

    def run(self, *args: str, entrypoint: str | None = None, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a program to its end; return exit code and output."""
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
def image_under_test(name: str, kind: str, user: str) -> Iterator[ImageUnderTest]:
    """Yield an image and a volume that belongs to the user; containers and volume are removed at the end."""
    reference = Provider(choice=BAKED).provide(name).reference if kind == "baked" else image(name).public
    volume = engine().volumes.create()
    engine().containers.run(
        baked("nginx"), [user, HOME], entrypoint=["chown"], user="0:0", network_mode="none", remove=True,
        volumes={volume.name: {"bind": HOME, "mode": NO_COPY}},
    )  # fmt: skip
    one = ImageUnderTest(name, reference, user, volume)
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
    """Return the port of this machine that is mapped to a container's port."""

    def published() -> int:
        container.reload()
        found = container.ports.get(f"{number}/tcp")
        if not found:
            raise NotYet(container.status)
        return int(found[0]["HostPort"])

    return wait_until(published, patience=20)


def get(container: Container, number: int, path: str) -> tuple[int, str]:
    """Return status and body of its answer to an HTTP GET, once it answers."""
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
    """Return the output of a command in a running container, once its exit code is 0."""

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

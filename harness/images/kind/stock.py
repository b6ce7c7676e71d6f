"""Preloaded images for kind nodes: unpacked once a machine into a volume (the stock), and shared by all clusters.

Importing the images of the example estate into a node takes longer than the rest of its start. Instead, a container
of the node image imports them into a volume of the engine; a node mounts it read-only and links its layers before
containerd starts (`link-stock.sh`). containerd's indexes are copied for each node.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import Mount

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.images.build import recipes
from harness.images.engine import REFUSALS, engine, explained, require_room
from harness.images.find import archive, digest, reference
from harness.images.kind.node import NAME as NODE
from harness.images.storage import making
from harness.parts.cache import alone, cache_home

IMAGES = ("postgres", "minio", "odoo", "n8n", "notifier", "traefik", "blackstart")
OURS = "blackstart"  # its sources change often, so only its base layers are in the stock's key
WHERE = "/stock"  # mount point in a node
DROP_IN = "/etc/systemd/system/containerd.service.d/stock.conf"  # in a node: creates the links before containerd starts
LINKED = "/var/lib/containerd/.stocked"  # in a node: exists once the links are created
LABEL = "blackstart.stock"  # of volumes and of the containers that fill them; value: the folder with the notes
WHAT = "stock of images"
KEPT = 2  # last used stocks of one cache
PATIENCE = 270.0  # seconds; less than the timeout of the engine's client
ROOM = 8 << 30  # bytes
_MAKE, _LINK = (Path(__file__).with_name(f"{name}-stock.sh").read_text(encoding="utf-8") for name in ("make", "link"))


@dataclass(frozen=True, slots=True)
class Stock:
    """A complete stock. `folder`: its path on the engine's machine, "" for none; `digests`: of its images."""

    folder: str = ""
    digests: frozenset[str] = frozenset()

    @property
    def mounts(self) -> dict[str, str]:
        """Return the read-only mounts of a node: path on the engine's machine -> path in the node."""
        return {self.folder: WHERE, f"{self.folder}/containerd.conf": DROP_IN} if self.folder else {}

    def has(self, image: str) -> bool:
        """Return whether it contains that image of the table, in the engine's version. Raises MissingPart."""
        return bool(self.folder) and digest(reference(image)) in self.digests


def stock(say: Callable[[str], None] = lambda _: None) -> Stock:
    """Return the stock of the engine's current images. If missing, it is built in a minute, and `say` gets a line.

    Raises MissingPart when an image is missing, HarnessError with the engine's message.
    """
    node = reference(NODE)
    held = {name: digest(reference(name)) for name in IMAGES}
    note = cache_home() / "stocks" / f"{_key(digest(node), held)}.json"
    with explained(WHAT):
        if found := _found(note):
            return found
        with alone(making("stock")):
            if found := _found(note):
                return found
            begun = SYSTEM.monotonic()
            _tidy(note.parent)
            _make(node, held, note)
            _tidy(note.parent)
            say(f"{WHAT} for clusters: built in {SYSTEM.monotonic() - begun:.1f} s")
        if found := _found(note):
            return found
    raise HarnessError(f"{WHAT}: built, but missing in the engine; does something prune its volumes?")


def _key(node: str, held: dict[str, str]) -> str:
    words = hashlib.sha256(recipes.key(recipes.recipe(OURS).stands_on).encode())
    for text in (node, *(held[name] for name in IMAGES if name != OURS), _MAKE, _LINK):
        words.update(b"\0" + text.encode())
    return words.hexdigest()[:12]


def _found(note: Path) -> Stock | None:
    """Return the stock that a note refers to, None if it is missing, and update the time of its last use."""
    said = _read(note)
    try:
        volume = engine().volumes.get(said["volume"])
    except (KeyError, NotFound):
        return None
    with suppress(OSError):
        note.touch()
    return Stock(str(volume.attrs["Mountpoint"]), frozenset(said["digests"]))


def _read(note: Path) -> dict[str, str]:
    try:
        return dict(json.loads(note.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def _make(node: str, held: dict[str, str], note: Path) -> None:
    require_room(ROOM)
    archives = [archive(name) for name in IMAGES]
    labels = {LABEL: str(note.parent)}
    volume = engine().volumes.create(f"blackstart-stock-{note.stem}-{secrets.token_hex(3)}", labels=labels)
    try:
        container = engine().containers.create(
            node, [path.name for path in archives], entrypoint=["sh", "-c", _MAKE, "make-stock"], privileged=True,
            labels=labels, environment={"LINK": _LINK}, network_mode="none",
            tmpfs={"/tmp": "", "/run": ""},  # noqa: S108 - inside
            mounts=[
                Mount(WHERE, volume.name),
                Mount("/archives", str(archives[0].parent), type="bind", read_only=True),
            ],
        )  # fmt: skip
        try:
            _finish(container)
        finally:
            container.remove(force=True, v=True)
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_name(f".{note.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps({"volume": volume.name, "digests": sorted(held.values())}), encoding="utf-8")
        partial.rename(note)
    except BaseException:
        with suppress(*REFUSALS):  # the original error is raised
            volume.remove(force=True)
        raise


def _finish(container: Container) -> None:
    container.start()
    try:
        code = container.wait(timeout=PATIENCE)["StatusCode"]
    except OSError:
        raise HarnessError(f"{WHAT}: not built within {PATIENCE:g} s; is the machine busy, or its disk slow?") from None
    if code:
        said = container.logs().decode(errors="replace").strip().rpartition("\n")[2]
        raise HarnessError(f"{WHAT}: ended with code {code}: {said or 'no output'}")


def _tidy(notes: Path) -> None:
    """Remove what a killed build left, and all but the last used stocks, except those that a node has mounted.

    The caller holds the lock, so that no build is running. Errors are suppressed; the rest is removed next time.
    """
    with suppress(*REFUSALS):
        for maker in engine().containers.list(all=True, filters={"label": f"{LABEL}={notes}"}, ignore_removed=True):
            maker.remove(force=True, v=True)
        known = sorted(notes.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        kept = {_read(path).get("volume") for path in known[:KEPT]}
        everything = engine().containers.list(all=True, ignore_removed=True)
        used = {mount.get("Source") for container in everything for mount in container.attrs["Mounts"]}
        for volume in engine().volumes.list(filters={"label": f"{LABEL}={notes}"}):
            if volume.name not in kept and volume.attrs["Mountpoint"] not in used:
                volume.remove()
        for path in known[KEPT:]:
            path.unlink()

"""What every node of kind has from the beginning: images, unpacked once a machine and shared by all clusters.

To import the images of the example estate into a node takes it more work than all the rest of its start. So one
container of the node image imports them into a volume of the engine; a node mounts that, read-only, and links its
layers before its containerd starts (`link-stock.sh`). containerd's indexes are the node's own, a copy.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import NotFound
from docker.types import Mount

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.images import recipes
from harness.images.engine import REFUSALS, engine, explained, require_room
from harness.images.find import archive, reference
from harness.images.kind.node import NAME as NODE
from harness.images.shelf import making
from harness.parts.cache import alone, cache_home

IMAGES = ("postgres", "minio", "odoo", "n8n", "notifier", "traefik", "blackstart")
OURS = "blackstart"  # its sources change daily: of the stock are the layers that it stands on
WHERE = "/stock"  # in a node
DROP_IN = "/etc/systemd/system/containerd.service.d/stock.conf"  # in a node: links before containerd starts
LABEL = "blackstart.stock"  # of a volume: the folder of the cache that knows of it
KEPT = 2  # stocks of one cache
PATIENCE = 900.0  # seconds
ROOM = 8 << 30  # bytes
_MAKE, _LINK = (Path(__file__).with_name(f"{name}-stock.sh").read_text(encoding="utf-8") for name in ("make", "link"))


@dataclass(frozen=True, slots=True)
class Stock:
    """One that is whole. `folder`: where the engine keeps it; `references`: of the images in it."""

    folder: str
    references: frozenset[str]

    @property
    def mounts(self) -> dict[str, str]:
        """What a node mounts, read-only: path of the engine's machine -> path in the node."""
        return {self.folder: WHERE, f"{self.folder}/containerd.conf": DROP_IN}


def stock(say: Callable[[str], None] = lambda _: None) -> Stock:
    """Return the stock of the images that the engine has now, made if it is not there: a minute, and `say` gets a line.

    Raises MissingPart when an image is not there, HarnessError as the engine says.
    """
    node = reference(NODE)
    held = {name: reference(name) for name in IMAGES}
    note = cache_home() / "stocks" / f"{_key(node, held)}.json"
    if found := _found(note):
        return found
    with alone(making("stock")):
        if found := _found(note):
            return found
        begun = SYSTEM.monotonic()
        _make(node, held, note)
        say(f"stock of images for clusters: made in {SYSTEM.monotonic() - begun:.1f} s")
        with suppress(*REFUSALS):  # what cannot be dropped now is dropped next time
            _tidy(note.parent)
    if found := _found(note):
        return found
    raise HarnessError(f"stock of images: made, and the engine has it not; is {LABEL} pruned meanwhile?")


def _key(node: str, held: dict[str, str]) -> str:
    digest = hashlib.sha256(recipes.key(recipes.recipe(OURS).stands_on).encode())
    for text in (node, *(held[name] for name in IMAGES if name != OURS), _MAKE, _LINK):
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()[:12]


def _found(note: Path) -> Stock | None:
    try:
        said = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    with explained("stock of images"):
        try:
            volume = engine().volumes.get(said["volume"])
        except NotFound:
            return None
    return Stock(str(volume.attrs["Mountpoint"]), frozenset(said["references"]))


def _make(node: str, held: dict[str, str], note: Path) -> None:
    require_room(ROOM)
    archives = [archive(name) for name in IMAGES]
    name = f"blackstart-stock-{note.stem}-{secrets.token_hex(3)}"
    with explained("stock of images"):
        engine().volumes.create(name, labels={LABEL: str(note.parent)})
        container = engine().containers.create(
            node, [path.name for path in archives], entrypoint=["sh", "-c", _MAKE, "make-stock"], privileged=True,
            environment={"LINK": _LINK}, network_mode="none", tmpfs={"/tmp": "", "/run": ""},  # noqa: S108 - inside
            mounts=[
                Mount(WHERE, name),
                Mount("/archives", str(archives[0].parent), type="bind", read_only=True),
            ],
        )  # fmt: skip
        try:
            container.start()
            code = container.wait(timeout=PATIENCE)["StatusCode"]
            said = container.logs().decode(errors="replace").strip()
        finally:
            container.remove(force=True, v=True)
    if code:
        raise HarnessError(f"stock of images: ended with code {code}: {said.rpartition(chr(10))[2] or 'silent'}")
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"volume": name, "references": sorted(held.values())}), encoding="utf-8")


def _tidy(notes: Path) -> None:
    """Drop all but the newest few, and what was never finished; what a node has mounted stays."""
    known = sorted(notes.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    kept = {json.loads(path.read_text(encoding="utf-8"))["volume"] for path in known[:KEPT]}
    everything = engine().containers.list(all=True, ignore_removed=True)
    used = {mount.get("Source") for container in everything for mount in container.attrs["Mounts"]}
    for volume in engine().volumes.list(filters={"label": f"{LABEL}={notes}"}):
        if volume.name not in kept and volume.attrs["Mountpoint"] not in used:
            volume.remove()
    for path in known[KEPT:]:
        path.unlink()

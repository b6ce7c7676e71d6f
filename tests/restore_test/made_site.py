"""A restore test on a DR site that it makes on the container engine, as the command line runs it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from harness.images.engine import engine
from harness.substrate.docker.ownership import RUN, Owned
from tests.cases.production import begun

STOCK = "blackstart-stock-"  # volumes of images, which are kept for the next run


def on_engine(laptop: Path) -> set[str]:
    """Return the names of the containers, nodes of clusters, volumes and networks that all runs in a folder have.

    A cluster and its volumes have no label: they are found while the folder of their run is there.
    """
    prefixes = tuple(Owned(run.resolve()).name("", "").rstrip("-") for run in (laptop / "runs").glob("*"))
    found: set[str] = set()
    for one in everything():
        labels = one.labels if isinstance(one, Container) else one.attrs["Labels"] or {}
        if one.name.startswith(prefixes) or Path(labels.get(RUN, "/")).is_relative_to(laptop.resolve()):
            found |= {one.name, *(m["Name"] for m in one.attrs.get("Mounts", ()) if m["Type"] == "volume")}
    return {name for name in found if not name.startswith(STOCK)}


def everything() -> list[Any]:
    """Return all containers, volumes and networks of the engine."""
    client = engine()
    containers = client.containers.list(all=True, ignore_removed=True)
    return [*containers, *client.volumes.list(), *client.networks.list()]


def require_nothing_left(laptop: Path, made: set[str]) -> None:
    """Assert that nothing is left of what a run had `made`, nor in the folder, nor on the engine with its label."""
    assert made
    assert made & {one.name for one in everything()} == set()
    assert on_engine(laptop) == set()
    assert list((laptop / "runs").iterdir()) == []


def await_event(running: subprocess.Popen[str], kind: str, subject: str) -> None:
    """Wait for an event of a running restore test."""
    assert running.stdout is not None
    seen = (json.loads(line) for line in running.stdout)
    assert any((one["kind"], one.get("subject")) == (kind, subject) for one in seen)


def run_until(
    laptop: Path, words: Sequence[str], event: tuple[str, str], sent: signal.Signals | None = None
) -> tuple[int, set[str]]:
    """Run a restore test, send a signal at an event (kind, subject); return its exit code and what it had made then."""
    with begun(laptop, *words) as running:
        await_event(running, *event)
        made = on_engine(laptop)
        if sent is not None:
            running.send_signal(sent)
        _, errors = running.communicate()
    assert errors == ""
    return running.returncode, made


def record_of(laptop: Path) -> dict[str, Any]:
    """Return the newest record of the folder."""
    newest = max((laptop / "reports/drills").glob("*/record.json"))
    found: dict[str, Any] = json.loads(newest.read_text())
    return found


def images_in(record: Mapping[str, Any]) -> set[str]:
    """Return the names of the images in a record, each of which is on the engine with the digest that it says."""
    images = {name: said.split() for name, said in record["versions"].items() if name.startswith("image ")}
    assert all(engine().images.get(reference).id == digest for reference, digest in images.values())
    return {name.removeprefix("image ") for name in images}

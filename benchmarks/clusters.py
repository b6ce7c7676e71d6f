"""How long a pair of clusters takes: `python -m benchmarks.clusters [--runs N]`.

Seconds until primary and DR, made together with nothing in them but their namespaces and manifests, are ready; until
the images of the example estate are in both; until one is lost; until nothing is left. A row a run is added to
`results/clusters.jsonl`. Images must be there: nothing is warmed here.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import page
from benchmarks.rows import add
from harness.core.clock import SYSTEM
from harness.substrate.kind.substrate import SITES, Kind


@dataclass(frozen=True, slots=True)
class Row:
    """One pair: seconds from the beginning, and for the two endings by themselves."""

    at: str
    processors: int
    load: float
    ready: float
    images: float
    lost: float
    swept: float


def pair() -> Row:
    """Make a pair, lose one of it, sweep the rest, and return the row."""
    with tempfile.TemporaryDirectory() as home:
        kind = Kind(Path(home) / "run", Path(home) / "logs")
        load, begun = os.getloadavg()[0], SYSTEM.monotonic()
        try:
            sites = [kind.cluster_site(name) for name in SITES]
            namespaces = [site.namespace for site in sites]
            ready = SYSTEM.monotonic()
            for one in namespaces:
                for image in one.cluster.plan.archives:
                    one.cluster.await_image(image)
            images = SYSTEM.monotonic()
            sites[0].destroy()
            lost = SYSTEM.monotonic()
        finally:
            kind.sweep()
        ended = SYSTEM.monotonic()
    figures = [ready - begun, images - begun, lost - images, ended - lost]
    at = SYSTEM.wall().isoformat(timespec="seconds")
    return Row(at, os.cpu_count() or 0, round(load, 1), *(round(figure, 1) for figure in figures))


def main() -> None:
    """Make the pairs that were asked for and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    for _ in range(parser.parse_args().runs):
        row = pair()
        print(f"ready {row.ready} s, images {row.images} s, one lost {row.lost} s, swept {row.swept} s", flush=True)
        add("clusters", row)
    page.write()


if __name__ == "__main__":
    main()

"""Registry of substrates, their images and their limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from harness.core.node import Substrate
from harness.estate.config import Config
from harness.estate.registry import kind_of
from harness.substrate.embedded.substrate import Embedded

NODE = "kind-node"  # the image that a cluster of kind is made of
SUBSTRATES = ("embedded", "docker", "kind")
INFRASTRUCTURE = ("blackstart", "postgres", "minio")
# Limits of each substrate, listed in every record as not drilled, besides the features that their tags exclude.
CONTAINED_WITHIN = "egress: no network filter around the DR site; outbound actions are contained within each service"
LIMITS: Mapping[str, tuple[str, ...]] = {
    "embedded": (CONTAINED_WITHIN,),
    "docker": (CONTAINED_WITHIN,),
    "kind": (
        "network policies: kind's network enforces none; an egress filter on DR's node takes their place",
        "machines of a cluster: there is only one, so no pod moves to another",
        "pulling images: a new cluster has them on its node before it starts",
    ),
}
MIN_MIB, DATA_FACTOR = 1024, 4  # size of the offsite store: MiB at least, and a multiple of the data


def substrate_of(name: str, config: Config) -> Callable[[Path, Path], Substrate]:
    """Return a factory of the substrate of that name: (run folder, log folder) -> substrate."""
    bounded = {"offsite/objects": MIN_MIB + DATA_FACTOR * config.data.bulk_mb}
    # Imported here because clients of engines and clusters take a second to import.
    if name == "docker":
        from harness.substrate.docker.substrate import Docker  # noqa: PLC0415

        return partial(Docker, bounded=bounded)
    if name == "kind":
        from harness.substrate.kind.substrate import Kind  # noqa: PLC0415

        return partial(Kind, strategy=config.sites.dr.strategy, images=images_for(config), bounded=bounded)
    return Embedded


def images_for(config: Config) -> tuple[str, ...]:
    """Return the images that the clusters of an estate need, in the order of their use."""
    found = [kind_of(config, name).image(table) for name, table in config.services.items()]
    return tuple(dict.fromkeys((*INFRASTRUCTURE, *(image for image in found if image))))


def label_of(name: str, config: Config) -> str:
    """Return the label of a substrate in the record; it contains a DR strategy other than the default."""
    return f"{name}, cold" if config.sites.dr.strategy == "cold" else name


def require_engine(name: str) -> None:
    """Raise MissingPart, one line with its remedy, when a requirement of that substrate is missing."""
    if name == "embedded":
        return
    from harness.images.engine import engine  # noqa: PLC0415
    from harness.images.find import reference  # noqa: PLC0415
    from harness.images.programs import kind_program, kubectl_program  # noqa: PLC0415
    from harness.images.table import IMAGES  # noqa: PLC0415

    engine()
    for image in IMAGES:
        if image.name != NODE or name == "kind":
            reference(image.name)
    if name == "kind":
        kind_program()
        kubectl_program()


def images_of(name: str) -> dict[str, str]:
    """Return the images of a substrate, `image NAME` -> reference and digest; {} for embedded."""
    if name == "embedded":
        return {}
    from harness.images.find import digest, reference  # noqa: PLC0415
    from harness.images.table import IMAGES  # noqa: PLC0415

    wanted = [image.name for image in IMAGES if image.name != NODE or name == "kind"]
    return {f"image {one}": f"{reference(one)} {digest(reference(one))}" for one in wanted}

"""The substrates: each is one value here, which says what makes it, what it needs and what it cannot show."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from harness.core.node import Substrate
from harness.estate import isolation
from harness.estate.config import Config
from harness.estate.registry import kind_of
from harness.parts.extras import lacking
from harness.substrate.embedded.substrate import Embedded

Make = Callable[[Path, Path], Substrate]  # from a run folder and a folder for logs

INFRASTRUCTURE = ("blackstart", "postgres", "minio")
NODE_IMAGE = "kind-node"
LEAST, FACTOR = 1024, 4  # the offsite store's limit: MiB at least, and how many times the size of the data more


@dataclass(frozen=True, slots=True)
class SubstrateKind:
    """A substrate."""

    name: str
    make: Callable[[Config, bool], Make]  # from a declaration and whether the primary must be isolatable
    serves: frozenset[str]  # tags of features that only some substrates can drill, which it can
    unshown: tuple[str, ...] = ()  # what no drill on it shows
    packages: tuple[str, ...] = ()  # Python packages of its extra, which has its name
    images: Callable[[], tuple[str, ...]] = tuple  # those it is made of
    programs: Callable[[], object] = tuple  # what finds its programs, or raises MissingPart
    unshown_here: Callable[[], tuple[str, ...]] = tuple  # what no drill on it shows on this machine

    @property
    def runs_here(self) -> bool:
        """Whether its nodes are processes of this machine, with their volumes in the run folder."""
        return not self.packages

    @property
    def limits(self) -> tuple[str, ...]:
        """What no drill on it shows, written into every record."""
        return (*self.unshown, *self.unshown_here())

    def label(self, config: Config) -> str:
        """Return what records and budgets call it: with the strategy of the DR site, where it is not the usual one."""
        return cold(self.name) if config.sites.dr.strategy == "cold" else self.name

    def require(self) -> None:
        """Raise MissingPart, in one line with its remedy, when a package, image or program of it is missing."""
        for package in self.packages:
            if find_spec(package) is None:
                raise lacking(package, self.name)
        if self.runs_here:
            return
        from harness.images.engine import engine  # noqa: PLC0415 - slow to import, as all clients of engines and clusters

        engine()
        self.image_versions()
        self.programs()

    def image_versions(self) -> dict[str, str]:
        """Return its images, `image NAME` -> reference and digest. Raises MissingPart when one is missing."""
        if self.runs_here:
            return {}
        from harness.images.find import digest, reference  # noqa: PLC0415

        return {f"image {one}": f"{reference(one)} {digest(reference(one))}" for one in self.images()}


def cold(name: str) -> str:
    """Return the label of a substrate whose DR site is made from nothing."""
    return f"{name}, cold"


def _limit(config: Config) -> dict[str, int]:
    return {"offsite/objects": LEAST + FACTOR * config.data.bulk_mb}


def _embedded(_config: Config, isolatable: bool) -> Make:
    return partial(Embedded, gated=("primary",) if isolatable else (), walled=("dr",))


def _docker(config: Config, _isolatable: bool) -> Make:
    from harness.substrate.docker.substrate import Docker  # noqa: PLC0415

    return partial(Docker, bounded=_limit(config))


def _kind(config: Config, _isolatable: bool) -> Make:
    from harness.substrate.kind.substrate import Kind  # noqa: PLC0415

    wanted = [kind_of(config, name).image(table) for name, table in config.services.items()]
    images = tuple(dict.fromkeys((*INFRASTRUCTURE, *filter(None, wanted))))  # the first that are needed first
    return partial(Kind, strategy=config.sites.dr.strategy, images=images, bounded=_limit(config))


def _images(but: str = "") -> tuple[str, ...]:
    from harness.images.table import IMAGES  # noqa: PLC0415

    return tuple(image.name for image in IMAGES if image.name != but)


def _programs() -> None:
    from harness.images.kind.node import kind_program, kubectl_program  # noqa: PLC0415

    kind_program()
    kubectl_program()


SUBSTRATES = {
    one.name: one
    for one in (
        SubstrateKind(
            name="embedded",
            make=_embedded,
            serves=frozenset({"needs_room"}),
            unshown_here=isolation.limits,
        ),
        SubstrateKind(
            name="docker",
            make=_docker,
            serves=frozenset({"needs_room"}),
            packages=("docker", "testcontainers"),
            images=partial(_images, NODE_IMAGE),
        ),
        SubstrateKind(
            name="kind",
            make=_kind,
            serves=frozenset({"needs_kubernetes"}),
            unshown=(
                "network policies: kind's network enforces none; an egress filter on DR's node takes their place",
                "machines of a cluster: there is only one, so no pod moves to another",
                "pulling images: a new cluster has them on its node before it starts",
            ),
            packages=("docker", "testcontainers", "kubernetes", "yaml"),
            images=_images,
            programs=_programs,
        ),
    )
}
LABELS = tuple(label for name in SUBSTRATES for label in (name, cold(name)))


def serving(tag: str) -> tuple[str, ...]:
    """Return the substrates that can drill a feature with that tag; all of them, if no substrate lists the tag."""
    able = tuple(name for name, one in SUBSTRATES.items() if tag in one.serves)
    return able or tuple(SUBSTRATES)


def extra_of(package: str) -> str:
    """Return the extra that brings a Python package, "" if none does."""
    return next((name for name, one in SUBSTRATES.items() if package in one.packages), "")

"""The substrates: each is one value here, which says what makes it, what it needs and what it cannot show."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from harness.core.errors import UsageError
from harness.core.node import Substrate
from harness.estate import isolation
from harness.estate.config import Config
from harness.estate.registry import kind_of
from harness.estate.space import MB, SITE, require_space
from harness.parts.extras import lacking
from harness.substrate.embedded.substrate import Embedded

Make = Callable[[Path, Path], Substrate]  # from a run folder and a folder for logs

INFRASTRUCTURE = ("blackstart", "postgres", "minio")
NODE_IMAGE = "kind-node"
USUAL: Final = "pilot-light"
PRIMARY, DR = "primary", "dr"
LEAST, FACTOR = 1024, 4  # the offsite store's limit: MiB at least, and how many times the size of the data more


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a substrate is made for. `isolatable`: the primary can be cut off; `primary`: there is one, not DR alone."""

    isolatable: bool = False
    primary: bool = True


@dataclass(frozen=True, slots=True)
class SubstrateKind:
    """A substrate."""

    name: str
    make: Callable[[Config, Purpose], Make]
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
        strategy = config.sites.dr.strategy
        return self.name if strategy == USUAL else with_strategy(self.name, strategy)

    def require(self, config: Config | None = None) -> None:
        """Raise MissingPart, in one line with its remedy, when a package, image or program of it is missing.

        With a declaration only the images of its DR site count. Raises UsageError for a service that declares none.
        """
        for package in self.packages:
            if find_spec(package) is None:
                raise lacking(package, self.name)
        if self.runs_here:
            return
        from harness.images.engine import engine  # noqa: PLC0415 - slow to import, as all clients of engines and clusters

        engine()
        if config is not None:
            self._require_declared(config)
        self.image_versions(config)
        self.programs()

    def _require_declared(self, config: Config) -> None:
        for name, table in config.services.items():
            if not kind_of(config, name).image(table):
                raise UsageError(
                    f"services.{name}: declares no image, and a site on {self.name} is made of images; "
                    "write `image`, one that can run the command"
                )

    def image_versions(self, config: Config | None = None) -> dict[str, str]:
        """Return its images, `image NAME` -> reference and digest; with a declaration those of its DR site alone.

        Raises MissingPart when one is missing.
        """
        if self.runs_here:
            return {}
        from harness.images.find import digest, reference  # noqa: PLC0415

        every = self.images()
        wanted = every if config is None else (*images_of(config), *(one for one in every if one == NODE_IMAGE))
        return {f"image {one}": f"{reference(one)} {digest(reference(one))}" for one in wanted}

    def require_room(self, runs: Path, data_mb: int) -> None:
        """Raise HarnessError where `runs` or the engine's disk has too little room for a site with so much data."""
        room = SITE + 3 * data_mb  # spool, data and WAL
        here = room if self.runs_here else SITE
        require_space({runs: here}, "make room, or name another disk with BLACKSTART_RUNS")
        if not self.runs_here:
            from harness.images.engine import require_room  # noqa: PLC0415

            require_room(room * MB)


def require_strategy(config: Config) -> None:
    """Raise UsageError for a strategy of the DR site that the mode of the backups does not allow."""
    if config.sites.dr.strategy == "warm" and config.backup.mode != "physical":
        raise UsageError(
            'sites.dr.strategy = "warm": a standby follows WAL, and [backup] mode = "logical" ships none; '
            'write mode = "physical"'
        )


def with_strategy(name: str, strategy: str) -> str:
    """Return the label of a substrate whose DR site has another strategy than the usual one."""
    return f"{name}, {strategy}"


def _limit(config: Config) -> dict[str, int]:
    return {"offsite/objects": LEAST + FACTOR * config.data.bulk_mb}


def images_of(config: Config) -> tuple[str, ...]:
    """Return the names of the images of a site of this estate, the first that are needed first."""
    wanted = (kind_of(config, name).image(table) for name, table in config.services.items())
    return tuple(dict.fromkeys((*INFRASTRUCTURE, *filter(None, wanted))))


def _embedded(_config: Config, purpose: Purpose) -> Make:
    return partial(Embedded, gated=(PRIMARY,) if purpose.isolatable else (), walled=(DR,))


def _docker(config: Config, _purpose: Purpose) -> Make:
    from harness.substrate.docker.substrate import Docker  # noqa: PLC0415

    return partial(Docker, bounded=_limit(config))


def _kind(config: Config, purpose: Purpose) -> Make:
    from harness.substrate.kind.substrate import Kind  # noqa: PLC0415

    return partial(
        Kind,
        strategy="cold" if config.sites.dr.strategy == "cold" else USUAL,
        images=images_of(config),
        bounded=_limit(config),
        clusters=(PRIMARY, DR) if purpose.primary else (DR,),
    )


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
            serves=frozenset({"needs_room", "needs_processes"}),
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
LABELS = tuple(
    label for name in SUBSTRATES for label in (name, *(with_strategy(name, one) for one in ("cold", "warm")))
)


def serving(tag: str) -> tuple[str, ...]:
    """Return the substrates that can drill a feature with that tag; all of them, if no substrate lists the tag."""
    able = tuple(name for name, one in SUBSTRATES.items() if tag in one.serves)
    return able or tuple(SUBSTRATES)


def extra_of(package: str) -> str:
    """Return the extra that brings a Python package, "" if none does."""
    return next((name for name, one in SUBSTRATES.items() if package in one.packages), "")

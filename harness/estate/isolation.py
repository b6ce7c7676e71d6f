"""Isolation of the sites of one machine: by namespaces, or else by a preflight of what is declared."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from harness.core.errors import UsageError
from harness.core.node import Address, Site
from harness.estate.config import Config
from harness.estate.registry import kind_of
from harness.substrate.embedded.isolation.namespaces import obstacle
from harness.substrate.embedded.substrate import EmbeddedSite

BY_PREFLIGHT = "isolation: by preflight alone; a path that a program makes up itself may be shared by both sites"

UNWALLED = "egress: no network filter around the DR site; outbound actions are contained within each service"


def outside_volumes(config: Config) -> tuple[str, ...]:
    """Return `services.NAME.KEY: PATH` for each path outside its volumes that a declared program may write to."""
    tables = config.services.items()
    return tuple(f"services.{n}.{found}" for n, table in tables for found in kind_of(config, n).outside(table))


def uncovered_on(site: Site, config: Config) -> tuple[str, ...]:
    """Return `uncovered_paths` where programs of the site are processes of this machine, which can read them."""
    return uncovered_paths(config) if isinstance(site, EmbeddedSite) else ()


def uncovered_paths(config: Config) -> tuple[str, ...]:
    """Return one line for each such path at which this machine has data and that [backup.exclude] does not name.

    A restored program would read it, as if it had been restored.
    """
    named = (line.rpartition(": ") for line in outside_volumes(config))
    return tuple(
        f"path {path}: {key} names it, outside its volumes; declare a volume, or give a reason in [backup.exclude]"
        for key, _, path in named
        if f"path {path}" not in config.backup.exclude and _has_data(Path(path))
    )


def _has_data(path: Path) -> bool:
    try:
        return any(path.iterdir()) if path.is_dir() else path.is_file()
    except OSError:
        return True


def admit(site: Site, sinks: Mapping[str, str]) -> None:
    """Let programs of a site with a wall reach the receivers of a drill, by their URLs. Raises HarnessError."""
    if isinstance(site, EmbeddedSite) and site.wall:
        for url in map(urlsplit, sinks.values()):
            if url.hostname and url.port:
                site.wall.admit(Address(url.hostname, url.port))


def limits() -> tuple[str, ...]:
    """Return what no drill on this machine shows because its sites cannot have namespaces of their own."""
    if why := obstacle():
        return (f"{BY_PREFLIGHT} (no namespaces: {why})", f"{UNWALLED} (no namespaces: {why})")
    return (f"{UNWALLED} (no network of its own: {why})",) if (why := obstacle(walled=True)) else ()


def require_separate(config: Config) -> None:
    """Raise UsageError that names each path that programs of both sites would share, where they have no namespaces."""
    if obstacle() and (found := outside_volumes(config)):
        raise UsageError(
            f"{'; '.join(found)}: outside its volumes, and both sites would use it, because they cannot have "
            f"namespaces of their own here ({obstacle()}); write @{{volume:NAME}}, or make it read-only"
        )

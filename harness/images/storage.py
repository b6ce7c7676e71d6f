"""Storage of baked images: in the engine, tagged with their content key, and as archives in the cache."""

import os
import tarfile
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

from docker.errors import APIError, ImageNotFound
from docker.models.images import Image

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.images.engine import REFUSALS, engine, explained, reason
from harness.images.table import OURS
from harness.parts.cache import cache_home

_saving = Lock()
KEPT = 3  # versions of an image, because other checkouts may use earlier ones
RECENT = timedelta(hours=6)  # and all that are younger: a run of another checkout may still need them


def tag_of(name: str, key: str) -> str:
    """Return the reference of a baked image."""
    return f"{OURS}/{name}:{key}"


def archive_of(name: str, key: str) -> Path:
    """Return the path of an image's archive in the cache, which may not exist."""
    return cache_home() / "images" / f"{name}-{key}.tar"


def making(name: str) -> Path:
    """Return the lock file for baking an image of that name."""
    return cache_home() / "images" / f".{name}.lock"


def has(reference: str) -> bool:
    """Return whether the engine has that image. Raises MissingPart without an engine, HarnessError."""
    with explained(f"image {reference}"):
        try:
            engine().images.get(reference)
        except ImageNotFound:
            return False
    return True


def release(name: str, reference: str, version: str) -> str:
    """Tag an image that is not public with its version as well, which `deploy/` refers to; return that reference."""
    with explained(f"image {name}"):
        engine().images.get(reference).tag(f"{OURS}/{name}", version)
    return f"{OURS}/{name}:{version}"


def load(archive: Path, reference: str) -> bool:
    """Load an archive into the engine; return whether it has `reference` then. A damaged archive is removed.

    Raises HarnessError when the engine refuses an undamaged archive, which is kept.
    """
    try:
        with archive.open("rb") as file:
            engine().images.load(file)
    except REFUSALS as error:
        if _damaged(archive):
            archive.unlink(missing_ok=True)
            return False
        raise HarnessError(
            f"image {reference}: not loaded from its archive: {reason(error)}; {archive} is kept, remove it to rebake"
        ) from error
    return has(reference)


def _damaged(archive: Path) -> bool:
    """Return whether a docker archive is incomplete or missing; False when the disk cannot be read."""
    try:
        with tarfile.open(archive, "r:") as packed:
            return not {"manifest.json", "index.json"} & set(packed.getnames())
    except (tarfile.TarError, EOFError, FileNotFoundError):
        return True
    except OSError:
        return False


def save(reference: str, archive: Path) -> Path:
    """Save the image as a docker archive, atomically, and return `archive`. Raises HarnessError."""
    partial = archive.with_name(f".{archive.name}.{os.getpid()}.partial")
    with _saving:  # two clusters of a drill may need the same one
        if archive.is_file():
            return archive
        try:
            with explained(f"image {reference}: cannot be saved as {archive}"):
                archive.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("wb") as file:
                    for piece in engine().api.get_image(reference):
                        file.write(piece)
                partial.rename(archive)
        finally:
            with suppress(OSError):  # the folder may be missing
                partial.unlink(missing_ok=True)
    return archive


def tidy(name: str) -> None:
    """Remove all but the newest few and the recent images and archives of that name, and what a container uses.

    Errors are suppressed; what could not be removed is removed next time.
    """
    with suppress(*REFUSALS):
        oldest = SYSTEM.wall() - RECENT
        images = engine().images.list(name=f"{OURS}/{name}")
        for image in sorted(images, key=_tagged, reverse=True)[KEPT:]:
            if _tagged(image) > oldest:
                continue
            for reference in image.tags:
                with suppress(APIError):  # in use
                    engine().images.remove(reference, noprune=False)
        tidy_archives(name)


def tidy_archives(name: str) -> None:
    """Remove all but the newest few and the recent archives of that name. Errors of the disk are suppressed."""
    oldest = SYSTEM.wall() - RECENT
    with suppress(OSError):
        found = archive_of(name, "x").parent.glob(f"{name}-*.tar")
        # Not those of an image with a longer name such as `odoo-wheels`.
        archives = [path for path in found if "-" not in path.stem.removeprefix(f"{name}-")]
        for archive in sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            if archive.stat().st_mtime < oldest.timestamp():
                archive.unlink(missing_ok=True)


def _tagged(image: Image) -> datetime:
    """Return when an image was baked or loaded here."""
    return datetime.fromisoformat(image.attrs["Metadata"]["LastTagTime"])

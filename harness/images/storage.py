"""Where baked images are: in the engine under their content key, and as archives in the cache."""

from __future__ import annotations

import os
import tarfile
from contextlib import suppress
from pathlib import Path
from threading import Lock

from docker.errors import APIError, ImageNotFound

from harness.core.errors import HarnessError
from harness.images.engine import REFUSALS, engine, explained, reason
from harness.images.table import OURS
from harness.parts.cache import cache_home

_saving = Lock()
KEPT = 3  # images of one name: other checkouts of this machine may use those before


def tag_of(name: str, key: str) -> str:
    """Return the reference of the baked image of that name and content key."""
    return f"{OURS}/{name}:{key}"


def archive_of(name: str, key: str) -> Path:
    """Return where the cache keeps that image's archive, be it there or not."""
    return cache_home() / "images" / f"{name}-{key}.tar"


def making(name: str) -> Path:
    """Return the file that whoever makes an image of that name holds locked."""
    return cache_home() / "images" / f".{name}.lock"


def has(reference: str) -> bool:
    """Return whether the engine has that image. Raises MissingPart without an engine, HarnessError as it says."""
    with explained(f"image {reference}"):
        try:
            engine().images.get(reference)
        except ImageNotFound:
            return False
    return True


def release(name: str, reference: str, version: str) -> str:
    """Give an image that only we build the tag of its version too, by which `deploy/` names it; return that."""
    with explained(f"image {name}"):
        engine().images.get(reference).tag(f"{OURS}/{name}", version)
    return f"{OURS}/{name}:{version}"


def load(archive: Path, reference: str) -> bool:
    """Load an archive into the engine; returns whether `reference` is there now. A damaged archive is removed.

    Raises HarnessError when the engine does not take a whole one, which stays.
    """
    try:
        with archive.open("rb") as file:
            engine().images.load(file)
    except REFUSALS as error:
        if _damaged(archive):
            archive.unlink(missing_ok=True)
            return False
        raise HarnessError(
            f"image {reference}: its archive is not loaded: {reason(error)}; {archive} is kept, remove it to bake anew"
        ) from error
    return has(reference)


def _damaged(archive: Path) -> bool:
    """Return whether that is no complete docker archive, or not there. An unreadable disk says nothing of it."""
    try:
        with tarfile.open(archive, "r:") as packed:
            return not {"manifest.json", "index.json"} & set(packed.getnames())
    except (tarfile.TarError, EOFError, FileNotFoundError):
        return True
    except OSError:
        return False


def save(reference: str, archive: Path) -> Path:
    """Write the image as a docker archive, complete or not at all, and return `archive`. Raises HarnessError."""
    partial = archive.with_name(f".{archive.name}.{os.getpid()}.partial")
    with _saving:  # two clusters of a drill may want the same one
        return archive if archive.is_file() else _save(reference, archive, partial)


def _save(reference: str, archive: Path, partial: Path) -> Path:
    try:
        with explained(f"image {reference}: cannot be saved as {archive}"):
            archive.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                for piece in engine().api.get_image(reference):
                    file.write(piece)
            partial.rename(archive)
    finally:
        with suppress(OSError):  # where no folder could be made
            partial.unlink(missing_ok=True)
    return archive


def tidy(name: str) -> None:
    """Drop all but the newest few images and archives of that name; what a container uses stays.

    The image that was wanted is there: what cannot be dropped now is dropped next time.
    """
    with suppress(*REFUSALS):
        _tidy(name)


def _tidy(name: str) -> None:
    images = engine().images.list(name=f"{OURS}/{name}")
    for image in sorted(images, key=lambda one: str(one.attrs["Created"]), reverse=True)[KEPT:]:
        for reference in image.tags:
            try:
                engine().images.remove(reference, noprune=False)
            except APIError:
                continue  # in use
    archives = [path for path in archive_of(name, "x").parent.glob(f"{name}-*.tar") if _is_of(path, name)]
    for archive in sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        archive.unlink(missing_ok=True)


def _is_of(archive: Path, name: str) -> bool:
    """`odoo-*.tar` also finds what is of an image `odoo-wheels`."""
    return "-" not in archive.stem.removeprefix(f"{name}-")

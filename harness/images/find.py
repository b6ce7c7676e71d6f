"""Which reference of the engine an image of the table is."""

from __future__ import annotations

import os
from pathlib import Path

from docker.errors import ImageNotFound

from harness.core.errors import MissingPart, UsageError
from harness.images.content_key import key
from harness.images.engine import engine, explained
from harness.images.storage import archive_of, has, save, tag_of
from harness.images.table import image, known

CHOICE = "BLACKSTART_IMAGES"  # `baked` or `public`: take nothing else
BAKED, PUBLIC, EITHER = "baked", "public", ""


def choice() -> str:
    """Return what $BLACKSTART_IMAGES asks for: `baked`, `public`, or "" for what is there. Raises UsageError."""
    asked = os.environ.get(CHOICE, EITHER)
    if asked not in {BAKED, PUBLIC, EITHER}:
        raise UsageError(f"{CHOICE}={asked}: neither `baked` nor `public`")
    return asked


def baked(name: str) -> str:
    """Return the reference that the baked image of that name has, be it there or not."""
    return tag_of(name, key(name))


def reference(name: str) -> str:
    """Return the reference that the engine has for an image: the baked one, else the public one.

    A name that is not of the table is a reference of the reader's own. Raises MissingPart, in one line, when the
    engine has none or there is no engine, and UsageError as `choice` does.
    """
    if not known(name):
        if has(name):
            return name
        raise MissingPart(f"image {name}: the container engine has none of that name; `docker pull {name}`")
    wanted, public = choice(), image(name).public
    if wanted != PUBLIC and has(baked(name)):
        return baked(name)
    if wanted != BAKED and public and has(public):
        return public
    named = f"`docker pull {public}`" if wanted == PUBLIC else "run `make images`"
    raise MissingPart(f"image {name}: the container engine has not {public or baked(name)}; {named}")


def digest(ref: str) -> str:
    """Return what a record calls that image: its digest in a registry, else its id. Raises MissingPart."""
    with explained(f"image {ref}"):
        try:
            found = engine().images.get(ref)
        except ImageNotFound as error:
            raise MissingPart(f"image {ref}: the container engine has not got it; run `make images`") from error
    digests = found.attrs.get("RepoDigests") or []
    return str(digests[0]).rpartition("@")[2] if digests else str(found.id)


def archive(name: str) -> Path:
    """Return a docker archive of that image in the cache, for a cluster to import; written now if it is not there.

    It carries the reference that `reference` returns. Raises as `reference` does.
    """
    found = reference(name)
    if known(name) and found == baked(name):
        path = archive_of(name, key(name))
    else:
        path = archive_of(name.replace("/", "_").replace(":", "_"), digest(found).rpartition(":")[2][:12])
    return path if path.is_file() else save(found, path)

"""Look-up of images: the reference that the engine has for an image of the table."""

import os
from contextlib import suppress
from pathlib import Path

from docker.errors import ImageNotFound

from harness.core.errors import MissingPart, UsageError
from harness.images.build import recipes
from harness.images.engine import engine, explained
from harness.images.kind import node
from harness.images.storage import archive_of, has, save, tag_of, tidy_archives
from harness.images.table import image, known

CHOICE = "BLACKSTART_IMAGES"  # `baked` or `public`: use only these
BAKED, PUBLIC, EITHER = "baked", "public", ""


def choice() -> str:
    """Return the value of $BLACKSTART_IMAGES: `baked`, `public`, or "" for either. Raises UsageError."""
    asked = os.environ.get(CHOICE, EITHER)
    if asked not in {BAKED, PUBLIC, EITHER}:
        raise UsageError(f"{CHOICE}={asked}: must be `baked` or `public`")
    return asked


def key(name: str) -> str:
    """Return the content key of a baked image: 12 hex digits of a digest of its inputs. Raises MissingPart."""
    return node.key() if name == node.NAME else recipes.key(name)


def baked(name: str) -> str:
    """Return the reference of the baked image of that name, which may not exist."""
    return tag_of(name, key(name))


def reference(name: str) -> str:
    """Return the reference that the engine has for an image: the baked one, else the public one.

    A name that is not in the table is itself a reference. Raises MissingPart when the engine has neither or there is
    no engine, UsageError as `choice` does.
    """
    if not known(name):
        if has(name):
            return name
        raise MissingPart(f"image {name}: not found on the container engine; `docker pull {name}`")
    wanted, public = choice(), image(name).public
    if wanted != PUBLIC and has(baked(name)):
        return baked(name)
    if wanted != BAKED and public and has(public):
        return public
    missing = baked(name) if wanted == BAKED or not public else public
    remedy = f"`docker pull {public}`" if wanted == PUBLIC else "run `make images`"
    raise MissingPart(f"image {name}: {missing} not found on the container engine; {remedy}")


def digest(ref: str) -> str:
    """Return the digest of an image in its registry, else its id. Raises MissingPart."""
    with explained(f"image {ref}"):
        try:
            found = engine().images.get(ref)
        except ImageNotFound as error:
            raise MissingPart(f"image {ref}: not found on the container engine; run `make images`") from error
    digests = found.attrs.get("RepoDigests") or []
    return str(digests[0]).rpartition("@")[2] if digests else str(found.id)


def archive(name: str) -> Path:
    """Return a docker archive of that image in the cache, for import into a cluster; it is saved now if missing.

    The image in it has the reference that `reference` returns. Raises as `reference` does.
    """
    found = reference(name)
    if known(name) and found == baked(name):
        stem, version = name, key(name)
    else:
        stem, tag = split(name)
        version = "_".join(filter(None, (tag, digest(found).rpartition(":")[2][:12])))
    path = archive_of(stem, version)
    if path.is_file():
        with suppress(OSError):  # of another user
            path.touch()  # the newest are kept
        return path
    save(found, path)
    tidy_archives(stem)  # an image of the user's own is another one with each of its versions
    return path


def split(name: str) -> tuple[str, str]:
    """Return repository and tag of a reference as parts of the name of a file; the tag has no hyphen."""
    folder, _, last = name.partition("@")[0].rpartition("/")
    repository, _, tag = last.partition(":")
    return "_".join((*folder.replace(":", "_").split("/"), repository)).lstrip("_"), tag.replace("-", "_")

"""Provision of images: `python -m harness.images.bake [--baked | --public] [name ...]`.

Each image is taken from the first source that has it: the engine (by content key, then by public reference), the
archive in the cache, the registry, baking. An unreachable registry is tried once. Without names, the stock of images
for clusters is built as well.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from docker.errors import DockerException, NotFound

from harness import __version__
from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, MissingPart
from harness.images.build import recipes
from harness.images.build.base import build_base
from harness.images.context import build, new_context
from harness.images.engine import REFUSALS, ROOM, engine, explained, reason, require_room
from harness.images.find import BAKED, CHOICE, PUBLIC, baked, choice, key
from harness.images.kind import node
from harness.images.kind.stock import stock
from harness.images.storage import archive_of, has, load, making, release, save, tag_of, tidy
from harness.images.table import IMAGES, image
from harness.parts.cache import alone

Say = Callable[[str], None]
TRIES = 3


class SourcesChanged(Exception):
    """The content key changed while the sources were read."""


@dataclass(frozen=True, slots=True)
class Provided:
    """An image in the engine. `how`: `there`, `loaded`, `pulled` or `baked`; `seconds`: how long it took."""

    name: str
    reference: str
    how: str
    seconds: float


@dataclass(slots=True)
class Provider:
    """Provides images one after the other. `say` is called with a line for each that the engine did not have."""

    say: Say = field(default=lambda _: None)
    choice: str = field(default_factory=choice)
    silence: str = ""  # why the registry did not answer; it is not tried again then

    def provide(self, name: str) -> Provided:
        """Provide that image of the table and return it. Raises MissingPart, HarnessError."""
        begun = SYSTEM.monotonic()
        with explained(f"image {name}"):  # for all other errors of the disk and the engine
            public = image(name).public if self.choice != BAKED else ""
            ours = baked(name) if self.choice != PUBLIC else ""
            reference, how = self._find(name, ours, public)
            if not image(name).public:
                release(name, reference, __version__)
        done = Provided(name, reference, how, SYSTEM.monotonic() - begun)
        if how != "there":
            self.say(f"image {name}: {reference} {how} in {done.seconds:.1f} s")
        return done

    def _find(self, name: str, ours: str, public: str) -> tuple[str, str]:
        if reference := _there(ours, public):
            return reference, "there"
        with alone(making(name)):  # another process may be baking it
            if reference := _there(ours, public):
                return reference, "there"
            return self._make(name, ours, public)

    def _make(self, name: str, ours: str, public: str) -> tuple[str, str]:
        if ours and self._from_archive(name):
            return ours, "loaded"
        lacking = self._pull(public) if public else "no public image"
        if not lacking:
            return public, "pulled"
        if not ours:
            what = f"{public} cannot be pulled: {lacking}" if public else lacking
            remedy = "" if ROOM in lacking else f"; unset {CHOICE} to bake it"
            raise MissingPart(f"image {name}: {what}{remedy}")
        try:
            return self._bake(name), "baked"
        except HarnessError as error:
            if not public:
                raise
            raise type(error)(f"{error}; and {public} cannot be pulled: {lacking}") from error

    def _pull(self, public: str) -> str:
        """Pull the public image; return why that failed, "" if it succeeded."""
        if self.silence:
            return self.silence
        repository, _, tag = public.rpartition(":")
        try:
            for step in engine().api.pull(repository, tag=tag, stream=True, decode=True):
                if isinstance(step, dict) and "error" in step:  # `images.pull` hides errors of a pull that has begun
                    return reason(DockerException(step["error"]))
        except NotFound as error:  # the registry answers that there is no such image
            return reason(error)
        except REFUSALS as error:
            self.silence = reason(error)
            return self.silence
        return "" if has(public) else "pulled, but missing in the engine"

    def _from_archive(self, name: str) -> bool:
        archive = archive_of(name, key(name))
        return archive.is_file() and load(archive, tag_of(name, key(name)))

    def _bake(self, name: str) -> str:
        """Bake an image and its base image, keep its archive, and return its reference."""
        if name == node.NAME:
            reference = tag_of(name, key(name))
            node.bake(reference, archive_of(name, key(name)))
        else:
            reference = self._bake_unchanged(recipes.recipe(name))
        tidy(name)
        return reference

    def _bake_unchanged(self, how: recipes.Recipe) -> str:
        for _ in range(TRIES):
            try:
                return self._bake_recipe(how)
            except SourcesChanged:
                continue
        raise HarnessError(f"image {how.name}: its sources changed while it was baked, {TRIES} times; try again")

    def _bake_recipe(self, how: recipes.Recipe) -> str:
        base = self._stand(how.stands_on)
        require_room(how.room)
        made_of = key(how.name)
        reference = tag_of(how.name, made_of)
        with new_context() as (context, file):
            version = how.fill(context, base)
            if key(how.name) != made_of:  # the sources were edited while they were read
                raise SourcesChanged
            context.text("Dockerfile", recipes.dockerfile(how, base, version))
            build(context, file, reference, {"BASE": base})
        if how.archived:
            save(reference, archive_of(how.name, made_of))
        return reference

    def _stand(self, name: str) -> str:
        """Provide a base image and return its reference."""
        reference = tag_of(name, key(name))
        if has(reference):
            return reference
        with alone(making(name)):
            if has(reference) or self._from_archive(name):
                return reference
            if name == recipes.BASE:
                build_base(reference)
                save(reference, archive_of(name, key(name)))
            else:
                reference = self._bake_unchanged(recipes.recipe(name))
        self.say(f"image {name}: {reference} baked")
        tidy(name)
        return reference


def _there(*references: str) -> str:
    """Return the first of the references that the engine has, "" if it has none."""
    return next((one for one in references if one and has(one)), "")


def provide(names: Sequence[str] = (), say: Say = lambda _: None) -> tuple[Provided, ...]:
    """Provide the named images, by default all. Raises HarnessError at the end, with a line for each that failed."""
    asked = [image(name).name for name in names] or [one.name for one in IMAGES]
    provider = Provider(say)
    engine()
    done: list[Provided] = []
    failed: list[str] = []
    for name in asked:
        try:
            done.append(provider.provide(name))
        except HarnessError as error:
            failed.append(str(error))
    if failed:
        raise HarnessError("\n".join(failed))
    return tuple(done)


def main(argv: Sequence[str]) -> int:
    """Provide the named images; return the exit code: 0, or 3 if one failed."""
    for word in (BAKED, PUBLIC):
        if f"--{word}" in argv:
            os.environ[CHOICE] = word
    names = [word for word in argv if not word.startswith("--")]
    try:
        done = provide(names, lambda line: _say(f"  {line}"))
    except HarnessError as error:
        _say(str(error))
        return 3
    if not names:
        _stock()
    _say(f"{len(done)} images, {sum(one.how == 'there' for one in done)} of them already present")
    return 0


def _stock() -> None:
    """Build the stock for clusters. Without it, clusters import the images that they need."""
    try:
        stock(lambda line: _say(f"  {line}"))
    except HarnessError as error:
        _say(f"  {error}; clusters start more slowly without it")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

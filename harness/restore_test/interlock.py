"""The interlock: only what is on the list of drill targets is ever changed. It fails closed.

What a site really is (the database's `system_identifier`, the tag of its bucket, the uid of its cluster's namespace
`kube-system`) is compared with the list before anything is changed, scaled up included. What cannot be read, and what
is production's, is refused by name. An identity of a part that is scaled to nothing is compared as soon as it is up,
and before anything is written to it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.core.errors import HarnessError, Refused
from harness.core.service import S3, Sql
from harness.postgres.identity import system_facts
from harness.s3.client import read_tag

SAYS_NOTHING = "no tag"
Text = Annotated[str, Field(min_length=1)]


class Target(BaseModel):
    """One entry of the list. `cluster`: "" for a site that stands in none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    system: Text
    bucket: Text
    tag: Text
    cluster: str = ""


class Targets(BaseModel):
    """The file of drill targets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Production:
    """What must never be drilled, whatever the list says: what production's parts are known by."""

    systems: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """One identity: what it is called, how it is read, whether it can be read yet."""

    what: str
    read: Callable[[Target], str]
    said: Callable[[Target], str]
    forbidden: frozenset[str] = frozenset()
    asleep: bool = False


@dataclass(frozen=True, slots=True)
class Interlock:
    """The interlock of one site. `cluster` reads the uid of its cluster, None for a site that stands in none.

    `asleep`: says of `postgres` and `objects` whether it is scaled to nothing, so that nobody can ask it who it is.
    `production`: what production is known by; raises HarnessError where that cannot be read.
    """

    site: str
    targets: Path
    sql: Sql
    s3: S3
    cluster: Callable[[], str] | None = None
    asleep: Callable[[str], bool] = lambda _node: False
    production: Callable[[], Production] = Production

    def before(self) -> Sequence[Target]:
        """Return the targets that this can be, before anything is changed. Raises Refused."""
        return self._check(up=False)

    def after(self) -> Target:
        """Return the target that this is, now that all of it is up and before it is written to. Raises Refused."""
        return self._check(up=True)[0]

    def _check(self, *, up: bool) -> Sequence[Target]:
        left: Sequence[Target] = read_targets(self.targets)
        production = self._production()
        for identity in self._identities(production, up=up):
            if not identity.asleep:
                left = self._narrowed(left, identity)
        return left

    def _identities(self, production: Production, *, up: bool) -> tuple[Asked, ...]:
        def system(_target: Target) -> str:
            return system_facts(self.sql).identifier

        def tag(target: Target) -> str:
            return read_tag(self.s3, target.bucket) or SAYS_NOTHING

        def cluster(_target: Target) -> str:
            return self.cluster() if self.cluster else ""

        def sleeps(node: str) -> bool:
            return not up and self.asleep(node)

        return (
            Asked("cluster", cluster, lambda t: t.cluster, production.clusters),
            Asked("database system", system, lambda t: t.system, production.systems, sleeps("postgres")),
            Asked("bucket tag", tag, lambda t: t.tag, production.tags, sleeps("objects")),
        )

    def _narrowed(self, left: Sequence[Target], identity: Asked) -> Sequence[Target]:
        """Return those of `left` that the site can still be; raises Refused when it is none of them."""
        kept, found = [], ""
        for target in left:
            try:
                found = identity.read(target)
            except (HarnessError, OSError) as error:
                raise self._refused(f"its {identity.what} cannot be read ({error})") from error
            if found and found in identity.forbidden:
                raise self._refused(f"its {identity.what} {found} is production's, and never a drill target")
            if found == identity.said(target) != SAYS_NOTHING:
                kept.append(target)
        if not kept:
            listed = ", ".join(f"{t.name}: {identity.said(t) or 'none'}" for t in left)
            raise self._refused(f"its {identity.what} is {found or 'none'}; {self.targets.name} lists {listed}")
        return kept

    def _production(self) -> Production:
        try:
            return self.production()
        except (HarnessError, OSError) as error:
            raise self._refused(f"what production is known by cannot be read ({error})") from error

    def _refused(self, why: str) -> Refused:
        return Refused(f"site {self.site} refused as a drill target: {why}; nothing was written to it")


def read_targets(path: Path) -> tuple[Target, ...]:
    """Return the drill targets that `path` lists; raises Refused when it is missing, unreadable or empty."""
    try:
        found = Targets.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).target
    except OSError as error:
        raise Refused(f"{path}: no list of drill targets ({error.strerror}); without it nothing is drilled") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise Refused(f"{path}: unreadable list of drill targets: {where}: {first['msg'].lower()}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: unreadable list of drill targets: {error}") from None
    if not found:
        raise Refused(f"{path}: the list of drill targets is empty; nothing is drilled")
    return found

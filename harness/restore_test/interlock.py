"""The interlock: only a site on the list of drill targets is ever changed. It fails closed.

The identity of a site (the database's `system_identifier`, the tag of its bucket, the UID of its cluster's namespace
`kube-system`) is compared with the list before anything is changed, scaling up included. An identity that cannot be
read, and one that is production's, is refused by name. The identity of a part that is scaled to zero is compared as
soon as the part is up, and before anything is written to it.
"""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from harness.core.errors import HarnessError, Refused
from harness.core.service import S3, Sql
from harness.declaration import Table
from harness.postgres.identity import system_facts
from harness.s3.client import read_tag

SAYS_NOTHING = "no tag"
Text = Annotated[str, Field(min_length=1)]


class Target(Table):
    """One entry of the list. `cluster`: "" for a site in no cluster."""

    name: Text
    system: Text
    bucket: Text
    tag: Text
    cluster: str = ""


class Targets(Table):
    """The file of drill targets."""

    target: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Production:
    """The identities of production, which are refused whatever the list says."""

    systems: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """One identity: its name, how it is read, and whether its part is scaled to zero and cannot be asked yet."""

    what: str
    read: Callable[[Target], str]
    said: Callable[[Target], str]
    forbidden: frozenset[str] = frozenset()
    scaled_to_zero: bool = False


@dataclass(frozen=True, slots=True)
class Interlock:
    """The interlock of one site. `cluster` reads the UID of its cluster, None for a site in no cluster.

    `scaled_to_zero`: whether a node (`postgres`, `objects`) is, so that its identity cannot be read yet.
    `production`: the identities of production; raises HarnessError where they cannot be read.
    """

    site: str
    targets: Path
    sql: Sql
    s3: S3
    cluster: Callable[[], str] | None = None
    scaled_to_zero: Callable[[str], bool] = lambda _node: False
    production: Callable[[], Production] = Production

    def before(self) -> Sequence[Target]:
        """Return the targets that this site may be, before anything is changed. Raises Refused."""
        return self._check(up=False)

    def after(self) -> Target:
        """Return the target that this site is, once all of it is up and before it is written to. Raises Refused."""
        return self._check(up=True)[0]

    def _check(self, *, up: bool) -> Sequence[Target]:
        left: Sequence[Target] = read_targets(self.targets)
        production = self._production()
        for identity in self._identities(production, up=up):
            if not identity.scaled_to_zero:
                left = self._narrowed(left, identity)
        return left

    def _identities(self, production: Production, *, up: bool) -> tuple[Asked, ...]:
        def unreadable(node: str) -> bool:
            return not up and self.scaled_to_zero(node)

        return (
            Asked(
                "cluster", lambda _: self.cluster() if self.cluster else "", lambda t: t.cluster, production.clusters
            ),
            Asked(
                "database system", lambda _: system_facts(self.sql).identifier, lambda t: t.system,
                production.systems, unreadable("postgres"),
            ),
            Asked(
                "bucket tag", lambda t: read_tag(self.s3, t.bucket) or SAYS_NOTHING, lambda t: t.tag,
                production.tags, unreadable("objects"),
            ),
        )  # fmt: skip

    def _narrowed(self, left: Sequence[Target], identity: Asked) -> Sequence[Target]:
        """Return those of `left` that the site may still be; raises Refused when it is none of them."""
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
            raise self._refused(f"production's identity cannot be read ({error})") from error

    def _refused(self, why: str) -> Refused:
        return Refused(f"site {self.site} refused as a drill target: {why}; nothing was written to it")


def read_targets(path: Path) -> tuple[Target, ...]:
    """Return the drill targets that `path` lists; raises Refused when it is missing, unreadable or empty."""
    try:
        found = Targets.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).target
    except OSError as error:
        raise Refused(
            f"{path}: no list of drill targets ({error.strerror}); without it no restore test is run"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise Refused(f"{path}: unreadable list of drill targets: {where}: {first['msg'].lower()}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: unreadable list of drill targets: {error}") from None
    if not found:
        raise Refused(f"{path}: the list of drill targets is empty; no restore test is run")
    return found

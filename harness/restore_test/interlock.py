"""Interlock: allows a restore test only on a site on the allowlist of drill targets. It fails closed.

The identity of a site (the database's `system_identifier`, the tag of its bucket, the UID of its cluster's namespace
`kube-system`) is compared with the signed allowlist before anything is changed, scaling up included. An unreadable
identity, an identity of production and an expired entry are refused by name. The identity of a part that is scaled to
zero is checked as soon as the part is up, before anything is written to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Refused
from harness.core.service import S3, Sql
from harness.postgres.identity import system_facts
from harness.restore_test.targets import Target, read_targets, read_targets_key, unexpired
from harness.s3.client import read_tag

NO_TAG = "no tag"


def today_utc() -> date:
    """Return the date, UTC."""
    return SYSTEM.wall().date()


@dataclass(frozen=True, slots=True)
class Production:
    """Identities of production. They are refused even when the allowlist contains them."""

    systems: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """Check of one identity: its name, `read` and `expected` values, and whether its part is scaled to zero."""

    what: str
    read: Callable[[Target], str]
    expected: Callable[[Target], str]
    forbidden: frozenset[str] = frozenset()
    scaled_to_zero: bool = False


@dataclass(frozen=True, slots=True)
class Interlock:
    """The interlock of one site. `targets`: the signed list; `key`: file of the key that must have signed it."""

    site: str
    targets: Path
    key: Path | None
    sql: Sql
    s3: S3
    cluster: Callable[[], str] | None = None  # reads the UID of its cluster; None outside a cluster
    scaled_to_zero: Callable[[str], bool] = lambda _node: False  # whether a node has no identity to read
    production: Callable[[], Production] = Production  # reads the identities of production; raises HarnessError
    today: Callable[[], date] = today_utc

    def before(self) -> Sequence[Target]:
        """Return the allowlist entries that match before the site is scaled up.

        Raises Refused; UsageError without a key that verifies the list.
        """
        return self._check(up=False)

    def after(self) -> Target:
        """Return the allowlist entry of the site, all of it up, before it is written to; raises as `before`."""
        return self._check(up=True)[0]

    def _check(self, *, up: bool) -> Sequence[Target]:
        left: Sequence[Target] = read_targets(self.targets, read_targets_key(self.key))
        production = self._production()
        for identity in self._identities(production, up=up):
            if not identity.scaled_to_zero:
                left = self._narrowed(left, identity)
        return self._unexpired(left)

    def _unexpired(self, left: Sequence[Target]) -> Sequence[Target]:
        try:
            return unexpired(self.targets, left, self.today())
        except Refused as error:
            raise self._refused(str(error)) from None

    def _identities(self, production: Production, *, up: bool) -> tuple[IdentityCheck, ...]:
        def system(_target: Target) -> str:
            return system_facts(self.sql).identifier

        def tag(target: Target) -> str:
            return read_tag(self.s3, target.bucket) or NO_TAG

        def cluster(_target: Target) -> str:
            return self.cluster() if self.cluster else ""

        def unreadable(node: str) -> bool:
            return not up and self.scaled_to_zero(node)

        return (
            IdentityCheck("cluster", cluster, lambda t: t.cluster, production.clusters),
            IdentityCheck("database system", system, lambda t: t.system, production.systems, unreadable("postgres")),
            IdentityCheck("bucket tag", tag, lambda t: t.tag, production.tags, unreadable("objects")),
        )

    def _narrowed(self, left: Sequence[Target], identity: IdentityCheck) -> Sequence[Target]:
        """Return those of `left` whose identity matches the site; raises Refused when none does."""
        kept, found = [], ""
        for target in left:
            try:
                found = identity.read(target)
            except (HarnessError, OSError) as error:
                raise self._refused(f"its {identity.what} cannot be read ({error})") from error
            if found and found in identity.forbidden:
                raise self._refused(f"its {identity.what} {found} is production's; production is never a drill target")
            if found == identity.expected(target) != NO_TAG:
                kept.append(target)
        if not kept:
            listed = ", ".join(f"{t.name}: {identity.expected(t) or 'none'}" for t in left)
            raise self._refused(f"its {identity.what} is {found or 'none'}; {self.targets.name} lists {listed}")
        return kept

    def _production(self) -> Production:
        try:
            return self.production()
        except (HarnessError, OSError) as error:
            raise self._refused(f"production's identity cannot be read ({error})") from error

    def _refused(self, why: str) -> Refused:
        return Refused(f"site {self.site} refused as a drill target: {why}; nothing was written to it")

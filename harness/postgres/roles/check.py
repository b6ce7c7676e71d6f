"""Comparison of a restored server with the server-wide data of its backup.

No password verifier and no value of a setting appears in a line.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import fields, replace

from harness.core.service import Sql
from harness.postgres.contents.abilities import COMPRESSION, LZ4, has_lz4
from harness.postgres.identity import ask
from harness.postgres.roles.data import Grant, Membership, Role, ServerData, Setting, inspect

OPTIONS = 16  # the first version in which a membership has options, and a grantor that is kept valid
KNOWN = "SELECT pg_catalog.lower(name) FROM pg_catalog.pg_settings"


def differences(sql: Sql, data: ServerData, names: Collection[str], lz4: bool | None = None) -> tuple[str, ...]:
    """Return how a server differs from `data` in all but the databases' contents, one line a difference.

    `names`: the restored databases; `lz4`: as `settable` has it. The attributes and the password of the superusers
    that were on this server before are its own. Raises HarnessError.
    """
    found = inspect(sql)
    roles = {"", *(role.name for role in data.roles)}
    kept = {found.user, found.bootstrap}
    return (
        *_roles(found, data, kept),
        *_compared("membership", _members(found, data, roles), _members(data, found, roles)),
        *_settings(found, data, settable(sql, found, data, lz4), {"", *names}),
        *_compared("grant", _grants(found, roles, names), _grants(data, roles, names)),
        *_databases(found, data, names),
        *_compared("security label", _labels(found, roles, names), _labels(data, roles, names)),
    )


def settable(sql: Sql, found: ServerData, data: ServerData, lz4: bool | None = None) -> tuple[Setting, ...]:
    """Return the settings of `data` that the server `found` knows: a newer version may have dropped a parameter.

    One that was built without lz4 does not know that value either. `lz4`: whether it was built with it, None when it
    was not asked yet. Raises HarnessError.
    """
    compressed = any(by_lz4(s) for s in data.settings) and not (has_lz4(sql) if lz4 is None else lz4)
    settings = tuple(s for s in data.settings if not (compressed and by_lz4(s)))
    if found.major <= data.major:
        return settings
    known = {str(name) for (name,) in ask(sql, KNOWN)}
    return tuple(s for s in settings if "." in s.name or s.name.lower() in known)


def by_lz4(setting: Setting) -> bool:
    """Return whether a setting needs a server that was built with lz4."""
    return setting.name.lower() == COMPRESSION and setting.value.lower() == LZ4


def _roles(found: ServerData, data: ServerData, kept: Collection[str]) -> Iterator[str]:
    here = {role.name: role for role in found.roles}
    for role in data.roles:
        if role.name not in here:
            yield f"role {role.name}: missing"
            continue
        other = here[role.name]
        if role.name in kept:
            other = replace(role, comment=other.comment)
        for what in (item.name for item in fields(Role)):
            if _form(getattr(role, what), what) != _form(getattr(other, what), what):
                yield f"role {role.name}: another {what}"


def _form(value: object, what: str) -> object:
    """A validity that is not set cannot be set again once it was: NULL and infinity are the same."""
    return value or "infinity" if what == "until" else value


def _members(data: ServerData, other: ServerData, roles: Collection[str]) -> set[str]:
    """Return memberships as lines: with options and grantor only when both versions keep them."""
    exact = min(data.major, other.major) >= OPTIONS
    return {
        f"{m.member} in {m.role}{', admin' * m.admin}"
        + (f", inherit {m.inherit}, set {m.set}, by {m.grantor or 'the bootstrap superuser'}" if exact else "")
        for m in among(data.memberships, roles)
    }


def among(memberships: Iterable[Membership], roles: Collection[str]) -> Iterator[Membership]:
    """Yield the memberships of `roles` in each other and in those that PostgreSQL brings."""
    yield from (m for m in memberships if m.member in roles and (m.role in roles or m.role.startswith("pg_")))


def _settings(
    found: ServerData, data: ServerData, wanted: Collection[Setting], names: Collection[str]
) -> Iterator[str]:
    roles = {"", *(role.name for role in data.roles)}
    here = {(s.role, s.database, s.name): s.value for s in found.settings if s.role in roles and s.database in names}
    there = {(s.role, s.database, s.name): s.value for s in wanted if s.database in names}
    for key in sorted(here.keys() | there.keys()):
        if here.get(key) != there.get(key):
            role, database, name = key
            where = f"role {role or 'ALL'}" + (f" in database {database}" if database else "")
            how = "missing" if key not in here else "not in the backup" if key not in there else "another value"
            yield f"setting {name} of {where}: {how}"


def _grants(data: ServerData, roles: Collection[str], names: Collection[str]) -> set[str]:
    """Return grants on parameters and on the restored databases as lines."""
    lines = {f"parameter {_grant(g)}" for g in data.parameters if g.grantee in roles}
    return lines | {f"database {_grant(g)}" for g in data.grants if g.on in names}


def _grant(grant: Grant) -> str:
    option = " with grant option" * grant.grantable
    by = grant.grantor or "the bootstrap superuser"
    return f"{grant.on}: {grant.privilege} to {grant.grantee or 'PUBLIC'}{option} by {by}"


def _databases(found: ServerData, data: ServerData, names: Collection[str]) -> Iterator[str]:
    here = {database.name: database for database in found.databases}
    for database in (d for d in data.databases if d.name in names and d.name in here):
        for what in ("comment", "template", "limit"):
            if getattr(database, what) != getattr(here[database.name], what):
                yield f"database {database.name}: another {what}"


def _labels(data: ServerData, roles: Collection[str], names: Collection[str]) -> set[str]:
    return {
        f"{label.provider} of {label.kind} {label.name}: {label.label}"
        for label in data.labels
        if label.name in (roles if label.kind == "role" else names)
    }


def _compared(what: str, here: set[str], there: set[str]) -> Iterator[str]:
    yield from (f"{what} missing: {line}" for line in sorted(there - here))
    yield from (f"{what} not in the backup: {line}" for line in sorted(here - there))

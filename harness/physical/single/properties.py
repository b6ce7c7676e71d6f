"""Properties of one database that is copied: settings, grants, comment, limit and labels, which pg_dump leaves out.

A new database with owners gets those that its server can have; each other one is a line.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from harness.core.errors import HarnessError, RestoreFailed
from harness.physical.single.into import UNFINISHED, Into
from harness.postgres.allowed import NOTHING
from harness.postgres.contents import labels
from harness.postgres.roles import admission
from harness.postgres.roles.check import settable
from harness.postgres.roles.data import Grant, ServerData, Setting, inspect
from harness.postgres.roles.restore import grant_on_database, label_database, set_in_database

POWER = "it gives power over the server; make it there if it is wanted"
OF_ALL = ("CONNECT", "TEMPORARY")  # privileges that a new database gives to PUBLIC
OF_OWNER = (*OF_ALL, "CREATE")


@dataclass(frozen=True, slots=True)
class Properties:
    """What a database gets, under its new name, and a line for each property that it does not get.

    `wanted`: None where nothing is made.
    """

    into: Into
    wanted: ServerData | None
    found: ServerData | None
    lost: tuple[str, ...]

    def begin(self) -> tuple[str, ...]:
        """Make them before the database is filled, as what is filled may depend on them, and nobody may look into it.

        Return a line for each that the server refused. Comment and mark of a template come at the end.
        """
        if self.wanted is None or self.found is None:
            return ()
        name, wanted, found = self.into.name, self.wanted, self.found
        lines: list[str] = []
        for setting in wanted.settings:
            one = replace(wanted, settings=(setting,))
            lines += _tried(_shown(setting), lambda one=one: set_in_database(self.into.sql, one, found, name))  # type: ignore[misc]
        unfinished = replace(wanted.database(name), comment=UNFINISHED, template=False)
        lines += self._finish(replace(wanted, databases=(unfinished,)))
        return tuple(lines)

    def end(self) -> tuple[str, ...]:
        """Make the others, once the database is filled. Return a line for what the server refused."""
        return tuple(self._finish(self.wanted)) if self.wanted is not None else ()

    def _finish(self, data: ServerData) -> Iterator[str]:
        sql, name = self.into.sql, self.into.name
        yield from _tried("grants, comment and limit of the database", lambda: grant_on_database(sql, data, name))
        yield from _tried("security labels of the database", lambda: label_database(sql, data, name))


def properties_of(data: ServerData, database: str, into: Into, *, owners: bool) -> Properties:
    """Return which properties of a database its copy gets. Raises HarnessError, Unreadable.

    `data`: of the server that was backed up; `owners`: whether the copy has owners and privileges.
    """
    wanted = _renamed(data, database, into.name)
    why = ""
    if not owners:
        why = "--no-owner was given"
    elif not into.new:
        why = "the database was there before"
    elif not into.sql.superuser:
        why = f"{into.sql.user} is no superuser there"
    if why:
        return Properties(into, None, None, tuple(_all(wanted, why, grants=owners)))
    found = _without(inspect(into.sql), into.name)
    names = {"", *(role.name for role in found.roles)}
    lost = [f"{_shown(s)}: not restored: its server has no such role" for s in wanted.settings if s.role not in names]
    lost += _grants_without(wanted, names)
    wanted = replace(
        wanted,
        roles=found.roles,
        settings=tuple(s for s in wanted.settings if s.role in names),
        grants=tuple(g for g in wanted.grants if {g.grantor, g.grantee} <= names),
    )
    admitted = _admitted(wanted, found, into, lost)
    return Properties(into, admitted, found, tuple(lost))


def _without(found: ServerData, name: str) -> ServerData:
    """Return what a server has but for a database that is made anew, which a killed restore left with properties."""
    return replace(
        found,
        databases=tuple(one for one in found.databases if one.name != name),
        settings=tuple(one for one in found.settings if one.database != name),
        grants=tuple(one for one in found.grants if one.on != name),
        labels=tuple(one for one in found.labels if (one.kind, one.name) != ("database", name)),
    )


def _admitted(wanted: ServerData, found: ServerData, into: Into, lost: list[str]) -> ServerData:
    """Return what of the properties a server can have and may get; add a line for each other one to `lost`."""
    providers = labels.loaded(into.sql, (label.provider for label in wanted.labels))
    lost += [
        f"security label of {one.provider}: not restored: its server has no such provider"
        for one in wanted.labels
        if one.provider not in providers
    ]
    wanted = replace(wanted, labels=tuple(one for one in wanted.labels if one.provider in providers))
    known = settable(into.sql, found, wanted)
    lost += [f"{_shown(s)}: not restored: its server does not know it" for s in wanted.settings if s not in known]
    wanted = replace(wanted, settings=known)
    admitted = admission.admit(wanted, found, admission.contexts(into.sql), NOTHING, providers).data
    lost += [f"{_shown(s)}: not restored: {POWER}" for s in wanted.settings if s not in admitted.settings]
    return replace(wanted, settings=admitted.settings)


def _renamed(data: ServerData, database: str, name: str) -> ServerData:
    """Return the properties of one database alone, under another name. Raises Unreadable."""
    return replace(
        data,
        roles=(),
        memberships=(),
        parameters=(),
        databases=(replace(data.database(database), name=name),),
        settings=tuple(replace(one, database=name) for one in data.settings if one.database == database),
        grants=tuple(replace(one, on=name) for one in data.grants if one.on == database),
        labels=tuple(replace(one, name=name) for one in data.labels if one.kind == "database" and one.name == database),
    )


def _all(wanted: ServerData, why: str, *, grants: bool) -> Iterator[str]:
    """Yield a line for each property that is not what a new database has. `grants`: whether for those as well."""
    (database,) = wanted.databases
    yield from (f"{_shown(setting)}: not restored: {why}" for setting in wanted.settings)
    if grants and _changed(wanted.grants, database.owner):
        yield f"grants on the database: not restored: {why}; it is open to PUBLIC as every new one is"
    if database.comment is not None:
        yield f"comment on the database: not restored: {why}"
    if database.limit != -1:
        yield f"connection limit {database.limit} of the database: not restored: {why}"
    yield from (f"security label of {one.provider}: not restored: {why}" for one in wanted.labels)


def _changed(grants: Collection[Grant], owner: str) -> bool:
    new = {("", word, False) for word in OF_ALL} | {(owner, word, False) for word in OF_OWNER}
    return {(one.grantee, one.privilege, one.grantable) for one in grants} != new


def _grants_without(wanted: ServerData, names: Collection[str]) -> Iterator[str]:
    for grant in wanted.grants:
        if absent := sorted({grant.grantor, grant.grantee} - set(names)):
            to = grant.grantee or "PUBLIC"
            yield f"grant of {grant.privilege} to {to}: not restored: its server has no role {', '.join(absent)}"


def _shown(setting: Setting) -> str:
    """Return how a line names a setting: its value may be a secret."""
    return f"setting {setting.name} of role {setting.role or 'ALL'} in the database"


def _tried(what: str, work: Callable[[], None]) -> Iterator[str]:
    """Do a piece of work; yield a line when the server refuses it."""
    try:
        work()
    except (HarnessError, RestoreFailed) as error:
        yield f"{what}: not restored: {error}"

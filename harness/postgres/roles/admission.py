"""Admission of server-wide data: what gives power over the server comes back only where the declaration allows it.

Power is what lets a role run programs or read files of the server, act as a superuser, or pass over row security:
SUPERUSER, BYPASSRLS, REPLICATION, CREATEROLE before PostgreSQL 16, membership in a predefined role that is not known to
be harmless or in a role with power, a setting that only a superuser may make or that loads a library, a search path
with pg_catalog behind another schema, a grant on a parameter. What is not admitted is left out of the role, and named.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from harness.core.errors import Unreadable
from harness.core.service import Sql
from harness.postgres.allowed import Allowed, quoted, remedy
from harness.postgres.contents.labels import left_out
from harness.postgres.identity import ask
from harness.postgres.roles.data import PATH, Grant, Membership, Role, ServerData, Setting
from harness.postgres.roles.restore import split_names

CONTEXTS = "SELECT name, context FROM pg_catalog.pg_settings"
OF_SUPERUSERS = ("superuser", "superuser-backend", "sighup", "postmaster", "internal")  # contexts of parameters
# Such a setting loads a library, whatever its context is.
LOADING = ("local_preload_libraries", "session_preload_libraries", "dynamic_library_path", "extension_control_path")
OF_LANGUAGES = "pl"  # begin of the names of parameters of languages, which may name code to run
HARMLESS_LANGUAGE = "plpgsql."
OWN_ROLES = 16  # first version in which CREATEROLE reaches only roles that it was given
HARMLESS = (
    *("pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables", "pg_database_owner"),
    *("pg_read_all_data", "pg_write_all_data", "pg_signal_backend", "pg_signal_autovacuum_worker", "pg_checkpoint"),
    *("pg_maintain", "pg_use_reserved_connections"),
)
PREDEFINED = "pg_"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The data that is restored; `refused`: what is left out of it because nothing allows it, a line each.

    `excluded`: what is left out on purpose, with the reason. `allowed`: what comes back because it is allowed.
    """

    data: ServerData
    refused: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


def contexts(sql: Sql) -> dict[str, str]:
    """Return the context of every parameter that a server knows, by its name in lower case. Raises HarnessError."""
    return {str(name).lower(): str(context) for name, context in ask(sql, CONTEXTS)}


def admit(
    data: ServerData,
    found: ServerData,
    known: Mapping[str, str],
    allowed: Allowed,
    providers: Collection[str] = (),
) -> Admitted:
    """Return what of `data` is restored onto the server `found`.

    `known`: contexts of its parameters; `providers`: those of security labels that it has loaded.
    A role with power that the server has already keeps its attributes and its password: a backup takes over none.
    Raises Unreadable for data that refer to a role which they do not have.
    """
    _require_roles(data)
    work = _Admission(data, found, known, allowed)
    roles = tuple(work.role(role) for role in data.roles)
    memberships = tuple(work.memberships())
    settings = tuple(s for s in data.settings if work.setting(s))
    parameters = tuple(g for g in data.parameters if work.parameter(g))
    labels = tuple(one for one in data.labels if one.provider in providers)
    without: dict[str, str] = {}
    for one in (one for one in data.labels if one not in labels):
        without[one.provider] = ", ".join(filter(None, (without.get(one.provider), f"{one.kind} {one.name}")))
    refused, excluded = left_out(without, allowed)
    made = replace(data, roles=roles, memberships=memberships, settings=settings, parameters=parameters, labels=labels)
    return Admitted(made, (*work.refused, *refused), (*work.excluded, *excluded), tuple(work.admitted))


def _require_roles(data: ServerData) -> None:
    names = {"", *(role.name for role in data.roles)}
    used = {m.role for m in data.memberships if not m.role.startswith(PREDEFINED)}
    used |= {m.member for m in data.memberships if not m.member.startswith(PREDEFINED)}
    used |= {s.role for s in data.settings}
    if unknown := sorted(used - names):
        raise Unreadable(f"{PATH}: role {quoted(unknown[0])} is used and not in it")


def powers(role: Role, major: int) -> tuple[str, ...]:
    """Return the attributes of a role that give power over a server of that major."""
    found = [word for word in ("superuser", "bypassrls", "replication") if getattr(role, word)]
    return (*found, *(("createrole",) if role.createrole and major < OWN_ROLES else ()))


class _Admission:
    def __init__(self, data: ServerData, found: ServerData, known: Mapping[str, str], allowed: Allowed) -> None:
        self._data, self._found, self._known, self._allowed = data, found, known, allowed
        self.refused: list[str] = []
        self.excluded: list[str] = []
        self.admitted: list[str] = []
        own = {role.name: role for role in found.roles if powers(role, found.major)}
        reached = _reaching(found, {*own, found.user, found.bootstrap})
        self._kept = {role.name: role for role in found.roles if role.name in reached}
        self._powerful = set(reached)

    def _may(self, key: str, what: str) -> bool:
        """Return whether `what` comes back by the declaration of `key`, and note it."""
        line = f"{key}: {what}"
        if self._allowed.permits(key):
            self.admitted.append(line)
            return True
        if reason := self._allowed.excluded(key):
            self.excluded.append(f"{line}: left out: {reason}")
        else:
            self.refused.append(f"{line} is not restored; {remedy(key)}, or name it in [restore.exclude]")
        return False

    def role(self, role: Role) -> Role:
        """Return a role with what of its attributes is admitted."""
        if (own := self._kept.get(role.name)) is not None:
            return replace(own, comment=role.comment)
        wanted = powers(role, self._found.major)
        if not wanted or self._may(f"role {role.name}", ", ".join(wanted).upper()):
            if wanted:
                self._powerful.add(role.name)
            return role
        return replace(
            role,
            superuser=False,
            bypassrls=False,
            replication=False,
            createrole=role.createrole and "createrole" not in wanted,
        )

    def memberships(self) -> Iterator[Membership]:
        """Yield the memberships that are admitted; a role with an admitted one has power as well."""
        there = {(m.role, m.member) for m in self._found.memberships}
        of_role: dict[str, list[Membership]] = {}
        for membership in self._data.memberships:
            of_role.setdefault(membership.role, []).append(membership)
        waiting = [role for role in of_role if self._gives_power(role)]
        seen, refused = set(waiting), set[Membership]()
        while waiting:
            for one in of_role.get(waiting.pop(), ()):
                present = (one.role, one.member) in there and one.member in self._kept
                if not present and not self._may(f"role {one.member}", f"member of {one.role}"):
                    refused.add(one)
                elif one.member not in seen:
                    seen.add(one.member)
                    self._powerful.add(one.member)
                    waiting.append(one.member)
        yield from (m for m in self._data.memberships if m not in refused)

    def _gives_power(self, role: str) -> bool:
        return role in self._powerful or (role.startswith(PREDEFINED) and role not in HARMLESS)

    def setting(self, setting: Setting) -> bool:
        """Return whether a setting is admitted."""
        if not self._loads(setting):
            return True
        if setting in self._found.settings:
            return True
        where = f"of role {setting.role or 'ALL'}" + (f" in database {setting.database}" if setting.database else "")
        return self._may(f"setting {setting.name}", where)

    def _loads(self, setting: Setting) -> bool:
        name = setting.name.lower()
        if name in LOADING or self._known.get(name, "") in OF_SUPERUSERS:
            return True
        if name == "search_path":
            # Else pg_catalog is first, and nobody's function is called instead of PostgreSQL's.
            return "pg_catalog" in split_names(setting.value)[1:]
        return name.startswith(OF_LANGUAGES) and "." in name and not name.startswith(HARMLESS_LANGUAGE)

    def parameter(self, grant: Grant) -> bool:
        """Return whether a grant on a parameter is admitted."""
        if grant in self._found.parameters:
            return True
        return self._may(f"setting {grant.on}", f"{grant.privilege} granted to {grant.grantee or 'PUBLIC'}")


def _reaching(found: ServerData, powerful: set[str]) -> set[str]:
    """Return the roles of a server with power: those given, and all that are members of one, directly or not."""
    reached = set(powerful)
    while more := {
        m.member
        for m in found.memberships
        if (m.role in reached or (m.role.startswith(PREDEFINED) and m.role not in HARMLESS)) and m.member not in reached
    }:
        reached |= more
    return reached

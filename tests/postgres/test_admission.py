"""What gives power over the server comes back only where the declaration names it, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.core.errors import HarnessError, RestoreFailed
from harness.postgres.allowed import Allowed
from harness.postgres.roles.admission import Admitted, admit, contexts
from harness.postgres.roles.check import differences
from harness.postgres.roles.data import (
    Grant,
    Membership,
    Role,
    ServerData,
    Setting,
    inspect,
)
from harness.postgres.roles.restore import restore
from tests.servers import DatabaseServer

pytestmark = [pytest.mark.programs, pytest.mark.attacks("R1")]
PLAIN = Role("bob", False, True, False, False, True, False, False, -1, None, None, None)
WITHIN = Membership("", "bob", "", False, True, True)
POWERS = ("superuser", "bypassrls", "replication")


@pytest.fixture
def server(dr: DatabaseServer) -> Iterator[DatabaseServer]:
    yield dr
    for role in inspect(dr.sql).roles:
        if role.name != "postgres":
            dr.execute("postgres", f'DROP OWNED BY "{role.name}"', f'DROP ROLE "{role.name}"')
    dr.execute(
        "postgres", "ALTER ROLE ALL RESET ALL", "ALTER DATABASE postgres RESET ALL", "ALTER ROLE postgres RESET ALL"
    )


def backup(server: DatabaseServer, *roles: Role, **more: object) -> ServerData:
    """The data of a server with further roles, as a backup would have it."""
    found = inspect(server.sql)
    return replace(found, roles=(*found.roles, *roles), **more)  # type: ignore[arg-type]


def restored(
    server: DatabaseServer, data: ServerData, allow: tuple[str, ...] = (), exclude: tuple[str, ...] = ()
) -> Admitted:
    """Restore what is admitted; the server has exactly that then."""
    found = inspect(server.sql)
    allowed = Allowed(tuple((name, "a test") for name in allow), tuple((name, "not on DR") for name in exclude))
    admitted = admit(data, found, contexts(server.sql), allowed)
    restore(server.sql, admitted.data, found)
    assert differences(server.sql, admitted.data, ()) == ()
    return admitted


def bob(server: DatabaseServer) -> Role:
    return next(role for role in inspect(server.sql).roles if role.name == "bob")


@pytest.mark.parametrize("power", POWERS)
def test_an_attribute_with_power_comes_back_by_name_alone(server: DatabaseServer, power: str) -> None:
    data = backup(server, replace(PLAIN, createdb=True, **{power: True}))  # type: ignore[arg-type]
    admitted = restored(server, data)
    assert bob(server) == replace(PLAIN, createdb=True)
    assert admitted.refused == (
        f'role bob: {power.upper()} is not restored; allow it with a reason: [restore.allow] "role bob", '
        "or name it in [restore.exclude]",
    )
    admitted = restored(server, data, exclude=("role bob",))
    assert (admitted.refused, admitted.excluded) == ((), (f"role bob: {power.upper()}: left out: not on DR",))
    assert restored(server, data, allow=("role bobby", "role alice")).refused != ()
    assert getattr(bob(server), power) is False
    assert restored(server, data, allow=("role bob",)).allowed == (f"role bob: {power.upper()}",)
    assert getattr(bob(server), power) is True


@pytest.mark.parametrize(
    "group",
    [
        "pg_execute_server_program",
        "pg_read_server_files",
        "pg_write_server_files",
        "pg_create_subscription",
        "postgres",
    ],
)
def test_a_membership_with_power_comes_back_by_name_alone(server: DatabaseServer, group: str) -> None:
    data = backup(server, PLAIN, memberships=(replace(WITHIN, role=group),))
    (line,) = restored(server, data).refused
    assert line.startswith(f"role bob: member of {group} is not restored")
    query = f"SELECT pg_has_role('bob', '{group}', 'MEMBER')"
    assert server.one("postgres", query) is False
    assert restored(server, data, allow=("role bob",)).refused == ()
    assert server.one("postgres", query) is True


def test_a_membership_in_a_harmless_role_comes_back(server: DatabaseServer) -> None:
    data = backup(server, PLAIN, memberships=(replace(WITHIN, role="pg_monitor"),))
    assert restored(server, data) == Admitted(data)
    assert server.one("postgres", "SELECT pg_has_role('bob', 'pg_monitor', 'MEMBER')") is True


def test_power_is_not_reached_through_another_role(server: DatabaseServer) -> None:
    chain = ("auditor", "operator", "bob")
    roles = [replace(PLAIN, name=name) for name in chain]
    memberships = tuple(
        replace(WITHIN, role=role, member=member) for role, member in zip(("postgres", *chain), chain, strict=False)
    )
    data = backup(server, *roles, memberships=memberships)
    assert len(restored(server, data).refused) == 1  # without the first, the others lead nowhere
    assert server.one("postgres", "SELECT pg_has_role('bob', 'postgres', 'MEMBER')") is False
    assert len(restored(server, data, allow=("role auditor",)).refused) == 1
    assert server.one("postgres", "SELECT pg_has_role('operator', 'postgres', 'MEMBER')") is False
    assert restored(server, data, allow=tuple(f"role {name}" for name in chain)).refused == ()
    assert server.one("postgres", "SELECT pg_has_role('bob', 'postgres', 'MEMBER')") is True


@pytest.mark.parametrize("role", ["bob", "", "postgres"])
@pytest.mark.parametrize("database", ["", "postgres"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session_preload_libraries", "evil"),
        ("Local_Preload_Libraries", "evil"),
        ("dynamic_library_path", "/evil"),
        ("session_replication_role", "replica"),
        ("log_statement", "none"),
        ("lc_messages", "C"),
        ("plperl.on_init", "evil"),
        ("plpython3.anything", "evil"),
        ("search_path", "evil, pg_catalog"),
    ],
)
def test_a_setting_with_power_comes_back_by_name_alone(
    server: DatabaseServer, role: str, database: str, name: str, value: str
) -> None:
    data = backup(server, PLAIN, settings=(Setting(role, database, name, value),))
    if database:  # settings of databases are restored with them
        found = inspect(server.sql)
        assert admit(data, found, contexts(server.sql), Allowed()).data.settings == ()
        allowed = Allowed(((f"setting {name}", "a test"),))
        assert admit(data, found, contexts(server.sql), allowed).data.settings == data.settings
        return
    (line,) = restored(server, data).refused
    assert line.startswith(f"setting {name}: of role {role or 'ALL'} is not restored")
    assert server.one("postgres", "SELECT count(*) FROM pg_db_role_setting") == 0
    if name.islower() and name != "plperl.on_init":
        assert restored(server, data, allow=(f"setting {name}",)).refused == ()
        assert server.one("postgres", "SELECT count(*) FROM pg_db_role_setting") == 1


@pytest.mark.parametrize(
    ("name", "value"), [("work_mem", "7MB"), ("my.setting", "x"), ("search_path", "shop, public"), ("plpgsql.x", "y")]
)
def test_a_setting_of_everybody_comes_back(server: DatabaseServer, name: str, value: str) -> None:
    data = backup(server, PLAIN, settings=(Setting("bob", "", name, value),))
    assert restored(server, data) == Admitted(data)


@pytest.mark.parametrize("privilege", ["SET", "ALTER SYSTEM"])
def test_a_grant_on_a_parameter_comes_back_by_name_alone(server: DatabaseServer, privilege: str) -> None:
    data = backup(server, PLAIN, parameters=(Grant("archive_command", "", "bob", privilege, False),))
    assert len(restored(server, data).refused) == 1
    query = f"SELECT has_parameter_privilege('bob', 'archive_command', '{privilege}')"
    assert server.one("postgres", query) is False
    restored(server, data, allow=("setting archive_command",))
    assert server.one("postgres", query) is True


def test_a_role_with_power_that_the_server_has_is_not_taken_over(server: DatabaseServer) -> None:
    """Its password stays: a backup with another one for it opens no door."""
    server.execute("postgres", "CREATE ROLE admin SUPERUSER LOGIN PASSWORD 'ours'", "CREATE ROLE auditor IN ROLE admin")
    here = {role.name: role for role in inspect(server.sql).roles}
    theirs = [replace(PLAIN, name=name, verifier="md5" + "0" * 32) for name in ("admin", "auditor")]
    data = replace(backup(server), roles=(*(r for r in inspect(server.sql).roles if r.name == "postgres"), *theirs))
    assert restored(server, data).refused == ()
    after = {role.name: role for role in inspect(server.sql).roles}
    assert (after["admin"], after["auditor"]) == (here["admin"], here["auditor"])


def test_data_that_refer_to_a_role_of_the_server_that_they_do_not_have_are_refused(server: DatabaseServer) -> None:
    server.execute("postgres", "CREATE ROLE operator")
    found = inspect(server.sql)
    data = replace(found, roles=tuple(role for role in found.roles if role.name != "operator"))
    for more in (
        {"memberships": (Membership("operator", "postgres", "", False, True, True),)},
        {"memberships": (Membership("postgres", "operator", "", False, True, True),)},
        {"settings": (Setting("operator", "", "work_mem", "7MB"),)},
    ):
        with pytest.raises(HarnessError, match=r'server\.json: role "operator" is used and not in it'):
            admit(replace(data, **more), found, {}, Allowed())


NAMES = (
    'x"; CREATE ROLE evil SUPERUSER; --',
    "x'; CREATE ROLE evil SUPERUSER; --",
    "-x",
    "--help",
    "two\nlines",
    "tab\t",
    "back\\slash",
    "%s %(name)s",
    "{0}",
    "@{secret:postgres-superuser}",
    "üñí",
    "n" * 63,
    " ",
    "public role",
    "\\! touch x",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(server: DatabaseServer, name: str) -> None:
    role = replace(PLAIN, name=name, comment=name)
    data = backup(server, role, settings=(Setting(name, "", "my.setting", name),))
    data = replace(
        data, memberships=(Membership(name, name + "2" if len(name) < 60 else "bob", "", False, True, True),)
    )
    other = data.memberships[0].member
    data = replace(data, roles=(*data.roles, replace(PLAIN, name=other)))
    try:
        restored(server, data)
        assert server.one("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'evil'") == 0
    finally:
        before = backup(server)
        for one in (name, other):
            drop(server, one)
    assert len(before.roles) == 3


def drop(server: DatabaseServer, name: str) -> None:
    quoted = name.replace('"', '""')
    server.execute("postgres", f'DROP ROLE "{quoted}"')


@pytest.mark.parametrize("name", ["pg_evil", "public", "none", "current_user"])
def test_a_name_that_no_role_can_have_fails_the_restore(server: DatabaseServer, name: str) -> None:
    if name == "current_user":
        restored(server, backup(server, replace(PLAIN, name=name)))  # in quotes it is a name
        drop(server, name)
        return
    with pytest.raises(RestoreFailed, match=r"^roles at .*reserved") as said:
        restored(server, backup(server, replace(PLAIN, name=name)))
    assert "\n" not in str(said.value)

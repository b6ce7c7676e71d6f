"""Database servers and object stores as HOST:PORT, URL or table, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.node import Address
from harness.core.service import SqlTls
from harness.estate.config import load_config
from harness.estate.existing_config import ExistingSiteTable
from tests.estate.existing_servers import ESTATE


def site(tmp_path: Path, sql: str, s3: str = '"store:9000"') -> ExistingSiteTable:
    file = tmp_path / "estate.toml"
    file.write_text(f'{ESTATE}[existing.primary]\nsecrets = "s"\nsql = {sql}\ns3 = {s3}\n')
    existing = load_config(file).existing
    assert existing is not None
    assert existing.primary is not None
    return existing.primary


@pytest.mark.parametrize(
    ("declared", "hosts", "user", "database"),
    [
        ('"db:5433"', "db:5433", "postgres", "postgres"),
        ('"[fd00::1]:5433"', "[fd00::1]:5433", "postgres", "postgres"),
        ('"postgresql://db"', "db:5432", "postgres", "postgres"),
        ('"postgres://odoo@db:6000/maintenance"', "db:6000", "odoo", "maintenance"),
        ('"postgresql://o%27dd@one,two:7000/"', "one:5432,two:7000", "o'dd", "postgres"),
        ('"postgresql://[fd00::1]:6000/x"', "[fd00::1]:6000", "postgres", "x"),
        ('{ host = "db", user = "odoo" }', "db:5432", "odoo", "postgres"),
        ('{ host = ["one", "two:7"], port = 6, database = "x" }', "one:6,two:7", "postgres", "x"),
        ('{ host = ["fd00::1", "[fd00::2]:7"] }', "[fd00::1]:5432,[fd00::2]:7", "postgres", "postgres"),
    ],
)
def test_a_database_server_is_declared_in_three_ways(
    declared: str, hosts: str, user: str, database: str, tmp_path: Path
) -> None:
    found = site(tmp_path, declared).sql.connection("env:PASSWORD")
    assert (str(found), found.user, found.database, found.tls) == (hosts, user, database, SqlTls())


def test_certificates_are_beside_the_declaration_and_verified_by_default(tmp_path: Path) -> None:
    tls = site(tmp_path, '{ host = "db", ca = "ca.pem" }').sql.tls
    assert tls == SqlTls("verify-full", str(tmp_path / "ca.pem"))


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ('"db"', "'db' is not an address; write HOST:PORT"),
        ('"db:70000"', "'db:70000' is not an address"),
        ('"postgresql://odoo:hush@db/x"', "existing.primary.sql: a password in the URL; remove it and store it in"),
        ('"postgresql://db/x?password=hush"', "a password in the URL"),
        ('"postgres//odoo:hush@db:1x"', "is not an address; write HOST:PORT"),
        ('"postgresql://db:port/x"', "'db:port' is not an address; write HOST:PORT"),
        ('"postgresql://db/x?options=-c"', "unknown parameter options in the URL; known: host, port, user"),
        ('"postgresql:///x"', "no host in the URL"),
        (
            '{ host = "/var/run/postgresql" }',
            "'/var/run/postgresql' is not a host; name one that takes TCP",
        ),
        ('{ host = "db", sslmode = "verify-full" }', "sslmode verify-full needs ca"),
        ('{ host = "db", cert = "c.pem" }', "cert and key belong together"),
        ('{ host = "db", ca = "c.pem", sslmode = "prefer" }', "sslmode prefer may connect without TLS"),
        ('{ host = "db", sslmod = "require" }', "sslmod: unknown key; did you mean 'sslmode'?"),
        ("{ host = [] }", "existing.primary.sql.host"),
    ],
)
def test_a_wrong_database_server_is_one_line_without_a_password(declared: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        site(tmp_path, declared)
    assert reason in str(refused.value)
    assert "hush" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("declared", "address", "tls"),
    [
        ('"store:9000"', "store:9000", False),
        ('"https://store"', "store:443", True),
        ('{ endpoint = "http://store:9000" }', "store:9000", False),
        ('{ endpoint = "store:9000", tls = true }', "store:9000", True),
        ('{ endpoint = "store:9000", ca = "ca.pem" }', "store:9000", True),
        ('{ host = "store", port = 9000 }', "store:9000", False),
        ('{ host = "store", tls = true }', "store:443", True),
    ],
)
def test_an_object_store_is_declared_in_three_ways(declared: str, address: str, tls: bool, tmp_path: Path) -> None:
    found = site(tmp_path, '"db:1"', declared).s3.connection("env:A", "env:B")
    assert (str(found.outside), found.tls) == (address, tls)


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("{ region = 'x' }", "needs endpoint, or host and port"),
        ("{ endpoint = 'store:1', host = 'store' }", "needs endpoint, or host and port"),
        ("{ endpoint = 'ftp://store' }", "endpoint is no address of an object store"),
        ("{ endpoint = 'http://store:9', ca = 'ca.pem' }", "ca is declared and TLS is off"),
        ("{ endpoint = 'store:9', prefix = 'x' }", "prefix: unknown key"),
        ("'store'", "'store' is not an address; write HOST:PORT"),
    ],
)
def test_a_wrong_object_store_is_one_line(declared: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        site(tmp_path, '"db:1"', declared)
    assert reason in str(refused.value)


def test_a_site_that_shares_one_of_several_hosts_with_the_primary_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "estate.toml"
    text = f'{ESTATE}[existing.primary]\nsecrets = "s"\nsql = "postgresql://one,two/"\ns3 = "a:1"\n'
    file.write_text(f'{text}[existing.dr]\nsecrets = "s"\nsql = "two:5432"\ns3 = "b:1"\n')
    with pytest.raises(UsageError, match=r"dr.sql is the same address as the primary's"):
        load_config(file)
    assert Address("two", 5432) in site(tmp_path, '"postgresql://one,two/"').sql.addresses

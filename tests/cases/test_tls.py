"""Servers that are reached over TLS: PostgreSQL with an own authority and client certificates, and an object store."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.core.node import Address, Ready, Task
from harness.core.service import S3, Sql
from harness.estate.config import load_config
from harness.estate.existing import connect_offsite, connect_site
from harness.postgres.client import client_task
from harness.postgres.dump import chunks, dump_task, open_snapshot
from harness.postgres.server import SUPERUSER_PASSWORD, connect, server_spec
from harness.repository.store.s3 import S3Store
from harness.s3 import server as objects
from harness.s3.client import client, ensure_bucket
from harness.s3.replication import copy_task
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.embedded.substrate import Embedded
from harness.vault import read_text_secret
from tests.authority import Authority
from tests.cases.majors import serving
from tests.servers import Store, embedded, secret_files, start_store

pytestmark = [pytest.mark.cases, pytest.mark.night, pytest.mark.programs]

HBA = "hostssl all all all scram-sha-256 clientcert=verify-full\n"
WITH_TLS = 15  # the part's server of 18 has no TLS
ESTATE = """
[estate]
name = "shop"
zone = "shop.test"
[sites]
primary.edge = "127.0.0.2"
dr.edge = "127.0.0.3"
[services.gateway]
kind = "gateway"
[existing.primary]
secrets = "secrets"
s3 = "127.0.0.1:9"
"""


@dataclass(frozen=True)
class Encrypted:
    """A database server that takes TLS with a client certificate only. `folder`: declarations and certificates."""

    folder: Path
    local: Embedded
    port: int

    def declared(self, sql: str) -> Sql:
        """Return the connection that is declared as `sql`."""
        file = self.folder / "estate.toml"
        file.write_text(f"{ESTATE}sql = {sql}\n")
        return connect_site(load_config(file), "primary", self.local).place.sql

    def output(self, task: Task) -> bytes:
        with self.local.site("primary").run(task) as running:
            text = running.stdout.read()
            done = running.finish(30)
        assert done.code == 0, done.errors
        return text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    (folder / "ca.pem").write_text(authority.pem)
    (folder / "other.pem").write_text(Authority("somebody else").pem)
    authority.issue("postgres").write(folder, "client")
    own = authority.issue("server", "localhost")
    (folder / "secrets").mkdir()
    secrets = secret_files(folder / "secrets", dict.fromkeys((SUPERUSER_PASSWORD, "s3-access", "s3-secret"), "se:cret"))
    with embedded(folder / "home") as local, serving(WITH_TLS):
        site = local.site("primary")
        spec = server_spec(site, secrets=secrets)
        files = {"tls-cert": own.pem, "tls-key": own.key, "tls-ca": authority.pem, "hba": HBA}
        names = {"ssl": "on", "ssl_cert_file": "@{file:tls-cert}", "ssl_key_file": "@{file:tls-key}"}
        settings = [f"{name}={value}" for name, value in {**names, "ssl_ca_file": "@{file:tls-ca}"}.items()]
        argv = (*spec.argv, *(word for setting in settings for word in ("-c", setting)))
        node = site.launch(replace(spec, argv=argv, files={**spec.files, **files}))
        yield Encrypted(folder, local, node.endpoint("sql").outside.port)


def table(server: Encrypted, **more: str) -> str:
    keys = {
        "host": "localhost",
        "sslmode": "verify-full",
        "ca": "ca.pem",
        "cert": "client.pem",
        "key": "client.key",
    } | more
    return "{ " + ", ".join(f'{key} = "{value}"' for key, value in keys.items()) + f", port = {server.port} }}"


def test_a_declared_certificate_reaches_our_sessions_and_the_client_programs(server: Encrypted) -> None:
    url = f"postgresql://postgres@localhost:{server.port}/postgres?sslmode=verify-full&sslrootcert=ca.pem"
    with socket.create_server((LOOPBACK, 0)) as nobody:
        dead = nobody.getsockname()[1]
    several = f"postgresql://localhost:{dead},localhost:{server.port}/?sslmode=verify-full&sslrootcert=ca.pem"
    certificate = "&sslcert=client.pem&sslkey=client.key"
    for sql in (table(server), f'"{url}{certificate}"', f'"{several}{certificate}"'):
        found = server.declared(sql)
        query = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        with connect(found) as connection:
            assert connection.execute(query.encode()).fetchall() == [(True, "/CN=postgres")]
        site = server.local.site("primary")
        task = client_task(site, "psql", found, "-XAt", f"--command={query}", database="postgres")
        assert server.output(task) == b"t|/CN=postgres\n"
        with open_snapshot(found, "postgres") as snapshot:
            assert b"".join(chunks(site.run(dump_task(site, found, snapshot)), 60)).startswith(b"PGDMP")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"ca": "other.pem"}, "certificate verify failed"),
        ({"host": "127.0.0.1"}, 'server certificate for "localhost" .*does not match host name "127.0.0.1"'),
    ],
)
def test_a_server_that_is_not_the_declared_one_is_refused(server: Encrypted, more: dict[str, str], reason: str) -> None:
    with pytest.raises(HarnessError, match=reason) as refused:
        connect(server.declared(table(server, **more)))
    assert "\n" not in str(refused.value)


def test_a_certificate_that_is_not_there_is_found_before_anything_is_started(server: Encrypted) -> None:
    with pytest.raises(UsageError, match=r"nothere.pem is no file; put it there"):
        server.declared(table(server, ca="nothere.pem"))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3, Store, Path]]:
    """An object store with TLS, and one without; the folder has the authority's certificate."""
    folder, authority = tmp_path_factory.mktemp("stores"), Authority()
    (folder / "ca.pem").write_text(authority.pem)
    (folder / "other.pem").write_text(Authority("somebody else").pem)
    own = authority.issue("store", loopback=True)
    with embedded(folder / "home") as local:
        plain = start_store(local.site("dr"), folder)
        (folder / "secrets").mkdir()
        secrets = secret_files(folder / "secrets", {objects.ACCESS: "tls-access", objects.SECRET: "tls-secret"})
        spec = objects.server_spec(local.site("primary"), secrets=secrets)
        argv = (*spec.argv, "-s3.cert.file=@{file:tls-cert}", "-s3.key.file=@{file:tls-key}")
        files = {**spec.files, "tls-cert": own.pem, "tls-key": own.key}
        node = local.site("primary").launch(replace(spec, argv=argv, files=files, ready=Ready(port=objects.PORT)))
        made = objects.s3_of(node, secrets[objects.ACCESS], secrets[objects.SECRET])
        yield replace(made, tls=True, ca=str(folder / "ca.pem")), plain, folder


def test_a_store_with_tls_is_used_replicated_from_and_a_repository(stores: tuple[S3, Store, Path]) -> None:
    s3, plain, folder = stores
    ensure_bucket(s3, "media", versioning=False)
    at, keys = s3.outside, (read_text_secret(s3.access_key_ref), read_text_secret(s3.secret_key_ref))
    repository = S3Store.connect(at.host, at.port, *keys, "media", secure=True, ca=s3.ca, prefix="shop/backups")
    assert repository.put("one/two", iter([b"body"])) == 4
    assert [entry.key for entry in repository.list("one/")] == ["one/two"]
    assert b"".join(repository.get("one/two")) == b"body"
    assert [entry.object_name for entry in client(s3).list_objects("media", recursive=True)] == ["shop/backups/one/two"]
    ensure_bucket(plain.s3, "media", versioning=False)
    with plain.site.run(copy_task(s3, plain.s3, "media")) as running:
        done = running.finish(60)
    assert done.code == 0, done.errors
    assert plain.get("media", "shop/backups/one/two") == b"body"
    repository.delete("one/two")
    assert list(repository.list("")) == []
    with pytest.raises(HarnessError, match=r"cannot be created: .*CERTIFICATE_VERIFY_FAILED"):
        ensure_bucket(replace(s3, ca=str(folder / "other.pem")), "media")
    untrusted = S3Store.connect(at.host, at.port, *keys, "media", secure=True, ca=str(folder / "other.pem"))
    with pytest.raises(HarnessError, match=r"no trusted TLS connection .*check tls, the certificate and its ca"):
        list(untrusted.list(""))


def test_a_declared_repository_has_tls_region_style_and_prefix(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    secret_files(tmp_path / "secrets", {"s3-access": "a", "s3-secret": "b"})
    (tmp_path / "ca.pem").write_text("")
    file = tmp_path / "estate.toml"
    keys = 'endpoint = "https://s3.shop.test", ca = "ca.pem", region = "eu-central-1", path_style = false'
    keys += ', prefix = "/a/b/"'
    offsite = f'[existing.offsite]\nsecrets = "secrets"\ns3 = {{ {keys} }}\n'
    file.write_text(ESTATE.partition("[existing")[0] + offsite)
    where = connect_offsite(load_config(file))
    assert (where.address, where.tls, where.region) == (Address("s3.shop.test", 443), True, "eu-central-1")
    assert (where.ca, where.path_style, where.prefix) == (str(tmp_path / "ca.pem"), False, "a/b")


@pytest.mark.parametrize(("path_style", "host"), [(False, "media.s3.shop.test"), (True, "s3.shop.test")])
def test_the_bucket_is_in_host_or_path(path_style: bool, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "key")
    at = Address("s3.shop.test", 443)
    s3 = S3(at, at, "env:KEY", "env:KEY", tls=True, path_style=path_style)
    assert client(s3).presigned_get_object("media", "one").startswith(f"https://{host}/")

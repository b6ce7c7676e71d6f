from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from minio.error import S3Error

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.drill.template import Template, load_objects
from harness.s3.client import await_store, client, ensure_bucket, read_tag, tag
from harness.s3.server import LISTENERS, s3_of, server_spec
from harness.substrate.embedded.node import ProcessNode
from harness.substrate.embedded.substrate import Embedded
from tests.s3.conftest import Launch
from tests.servers import Store

pytestmark = pytest.mark.programs

MIB = 1024 * 1024


def test_a_store_starts_quickly(launch: Launch) -> None:
    began = SYSTEM.monotonic()
    store = launch("quick")
    assert SYSTEM.monotonic() - began < 10  # 1 s on an idle machine
    ensure_bucket(store.s3, "first")
    store.put("first", "key", b"value")
    assert store.get("first", "key") == b"value"
    store.site.destroy()


def test_it_listens_only_on_loopback_and_on_its_ports(primary: Store) -> None:
    assert isinstance(primary.node, ProcessNode)
    assert primary.node.child is not None
    expected = {primary.node.endpoint(name).inside.port for name in LISTENERS}
    listening = {
        (c.laddr.ip, c.laddr.port)
        for c in psutil.Process(primary.node.child.pid).net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    }
    assert {host for host, _port in listening} == {"127.0.0.1"}
    assert {port for _host, port in listening} <= expected


def test_only_the_owner_has_access(primary: Store, tmp_path: Path) -> None:
    ensure_bucket(primary.s3, "guarded")
    primary.put("guarded", "key", b"value")
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"http://{primary.s3.outside}/guarded/key", timeout=5)
    file_server = primary.node.endpoint("filer").outside
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"http://{file_server}/buckets/guarded/key", timeout=5)
    (tmp_path / "wrong").write_text("another secret")
    stranger = replace(primary.s3, secret_key_ref=f"file:{tmp_path / 'wrong'}")
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        client(stranger).get_object("guarded", "key")
    with pytest.raises(HarnessError, match=r"^bucket guarded at 127.0.0.1:\d+: its tag cannot be read: Signature"):
        read_tag(stranger, "guarded")


def test_specification_and_arguments_contain_no_secret(primary: Store) -> None:
    spec = server_spec(primary.site, secrets=primary.secrets)
    assert "primary-s3-secret" not in str(spec)
    assert "@{secret:" not in " ".join(spec.argv)
    assert isinstance(primary.node, ProcessNode)
    assert primary.node.child is not None
    process = psutil.Process(primary.node.child.pid)
    assert "primary-s3-secret" not in " ".join(process.cmdline())
    assert "primary-s3-secret" not in str(process.environ())
    assert "primary-s3-secret" not in primary.node.log.read_text()
    with pytest.raises(UsageError, match="no secret s3-access"):
        server_spec(primary.site, secrets={})


def test_versioning_keeps_overwritten_objects(primary: Store) -> None:
    ensure_bucket(primary.s3, "kept")
    ensure_bucket(primary.s3, "kept")
    for value in (b"one", b"two"):
        primary.put("kept", "key", value)
    versions = list(client(primary.s3).list_objects("kept", include_version=True))
    assert len(versions) == 2
    ensure_bucket(primary.s3, "plain", versioning=False)
    for value in (b"one", b"two"):
        primary.put("plain", "key", value)
    assert len(list(client(primary.s3).list_objects("plain", include_version=True))) == 1


def test_the_tag_names_the_estate(primary: Store) -> None:
    ensure_bucket(primary.s3, "tagged")
    assert read_tag(primary.s3, "tagged") is None
    tag(primary.s3, "tagged", "example-shop")
    assert read_tag(primary.s3, "tagged") == "example-shop"
    with pytest.raises(HarnessError, match="NoSuchBucket"):
        read_tag(primary.s3, "nosuch")


def test_a_dead_store_is_reported_soon_in_one_line(launch: Launch, tmp_path: Path) -> None:
    store = launch("gone")
    store.node.kill()
    began = SYSTEM.monotonic()
    with pytest.raises(HarnessError, match=r"bucket b12 at 127\.0\.0\.1:\d+: cannot be created: ") as caught:
        ensure_bucket(store.s3, "b12")
    assert "\n" not in str(caught.value)
    with pytest.raises(HarnessError, match=r"bucket b12 at 127\.0\.0\.1:\d+: cannot be tagged: "):
        tag(store.s3, "b12", "example-shop")
    (tmp_path / "identity.json").write_text('{"system": "1", "bucket": "notifications", "tag": "example-shop"}')
    with pytest.raises(HarnessError, match=r"bucket notifications at 127\.0\.0\.1:\d+: cannot be read: "):
        load_objects(Template(tmp_path), store.s3)
    with pytest.raises(TookTooLong, match=r"objects on gone: answers: not within 0.5 s \("):
        await_store(store.s3, "objects on gone", 0.5)
    assert SYSTEM.monotonic() - began < 15  # 2 s on an idle machine, 18 s more with the retries of minio
    store.site.destroy()


@pytest.mark.night
def test_stored_objects_can_be_read_as_soon_as_the_store_is_ready(launch: Launch) -> None:
    """Regression: SeaweedFS serves S3 before it has registered its volumes, and reads failed."""
    store = launch("again")
    ensure_bucket(store.s3, "first")
    store.put("first", "key", b"value")
    for _ in range(3):
        store.node.kill()
        store.node.start()
        assert store.get("first", "key") == b"value"


@pytest.mark.night
def test_data_survive_a_kill_and_other_ports(launch: Launch) -> None:
    store, data = launch("moved"), os.urandom(3 * MIB)
    ensure_bucket(store.s3, "moving")
    tag(store.s3, "moving", "example-shop")
    store.put("moving", "large", data)
    store.node.kill()
    again = store.site.launch(server_spec(store.site, secrets=store.secrets))
    there = replace(store, node=again, s3=s3_of(again, store.secrets["s3-access"], store.secrets["s3-secret"]))
    assert there.s3.outside != store.s3.outside
    assert there.get("moving", "large") == data
    assert read_tag(there.s3, "moving") == "example-shop"
    there.put("moving", "more", b"more")
    store.site.destroy()


def test_a_full_store_refuses_writes_and_serves_reads(launch: Launch) -> None:
    store, piece = launch("full", limit_mb=3), os.urandom(MIB)
    ensure_bucket(store.s3, "small", versioning=False)
    stored = 0

    def fill() -> None:
        nonlocal stored
        for stored in range(20):
            store.put("small", f"piece-{stored}", piece)

    with pytest.raises(S3Error, match="InternalError"):
        fill()
    assert 1 <= stored <= 4
    assert store.get("small", "piece-0") == piece
    store.site.destroy()


@pytest.mark.night
def test_existing_objects_count_towards_the_limit(launch: Launch) -> None:
    store, piece = launch("filled"), os.urandom(4 * MIB)
    ensure_bucket(store.s3, "backups", versioning=False)
    store.put("backups", "old", piece)
    store.node.kill()
    full = store.site.launch(server_spec(store.site, "full", secrets=store.secrets, limit_mb=1))
    small = replace(store, s3=s3_of(full, store.secrets["s3-access"], store.secrets["s3-secret"]))
    assert small.get("backups", "old") == piece
    with pytest.raises(S3Error, match="InternalError"):
        small.put("backups", "new", piece)
    store.site.destroy()


def test_a_killed_store_leaves_no_sockets(launch: Launch, substrate: Embedded) -> None:
    substrate.desk("leaving")  # whose /tmp is that of the machine
    store = launch("leaving")
    numbers = [store.node.endpoint(port).inside.port for port in LISTENERS if port.endswith("-grpc")]
    sockets = [path for number in numbers for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock")]  # noqa: S108
    assert len(sockets) >= 4  # the fifth one, of the administration server, appears a little later
    store.node.kill()
    assert not [path for path in sockets if path.exists()]
    store.site.destroy()

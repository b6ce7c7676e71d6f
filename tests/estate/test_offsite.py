"""Declarations of a repository's place: a bucket with its options, or a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.estate.config import load_config
from harness.estate.connections import Connections, offsite_at
from harness.estate.existing import connect_offsite, witness_store
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.s3 import S3Store

ESTATE = """
[estate]
name = "shop"
zone = "shop.test"
[sites.primary]
edge = "127.0.0.2"
[sites.dr]
edge = "127.0.0.3"
[services.gateway]
kind = "gateway"
"""
S3 = 'secrets = "keys"\n[existing.offsite.s3]\nendpoint = "https://store.test"\n'


def declared(tmp_path: Path, offsite: str, more: str = "") -> Path:
    (tmp_path / "keys").mkdir(exist_ok=True)
    for name in ("s3-access", "s3-secret"):
        (tmp_path / "keys" / name).write_text("value")
    file = tmp_path / "estate.toml"
    file.write_text(f"{ESTATE}{more}\n[existing.offsite]\n{offsite}")
    return file


@pytest.mark.parametrize(
    ("offsite", "reason"),
    [
        ("read_only = true\n", "existing.offsite: needs s3, or directory"),
        ('directory = "/d"\n' + S3, "existing.offsite: needs s3, or directory"),
        ('s3 = "store:9000"\n', "existing.offsite: s3 needs secrets"),
        ('directory = "/d"\nbucket = "backups"\n', "existing.offsite: a directory has no bucket"),
        ('directory = "/d"\nsecrets = "keys"\n', "existing.offsite: a directory has no secrets"),
        (S3 + 'storage_class = "GLACIER"\n', "existing.offsite.s3.storage_class: GLACIER: its objects take hours"),
        (S3 + 'storage_class = "a b"\n', "existing.offsite.s3.storage_class: must match"),
        (S3 + 'encryption = "rot13"\n', "existing.offsite.s3.encryption: must be"),
        (S3 + 'kms_key = "k"\n', "existing.offsite.s3: kms_key needs encryption"),
        (S3 + 'encryption = "aws:kms"\nkms_key = "a\\nb"\n', "existing.offsite.s3.kms_key: must match"),
        (S3 + 'region = "eu west"\n', "existing.offsite.s3.region: must match"),
        ('region = "ü"\n' + S3, "existing.offsite.region: must match"),
        (S3 + 'prefix = "../other"\n', "existing.offsite.s3.prefix: needs names between slashes"),
        (S3 + 'prefix = "a/../b"\n', "existing.offsite.s3.prefix: needs names between slashes"),
        (S3 + 'prefix = "a\\nb"\n', "existing.offsite.s3.prefix: needs names between slashes"),
        (S3 + "tls = false\n", "existing.offsite.s3: tls is false and the endpoint is https"),
        *(
            (S3.replace("store.test", odd), "existing.offsite.s3: endpoint is no address of an object store")
            for odd in ("store.test/path", "user:word@store.test", ":word@store.test", "store.test#x", "store.test?x=y")
        ),
        *(
            (S3.replace("https://store.test", odd), "existing.offsite.s3: is no name of a host")
            for odd in ("http://sto re:1", "sto re:1", "https://" + "a" * 64 + ".test")
        ),
        *(
            (f'bucket = "{odd}"\n{S3}', f"existing.offsite.bucket: {odd!r} is no name of a bucket")
            for odd in ("a", "bücket", "a/b", ":abc", "192.168.1.1", "x" * 64, " backups", "a..b", "-a-")
        ),
        (
            'directory = "/d"\n[existing.offsite.witness_store]\ns3 = "s:1"\nsecrets = "keys"\n',
            "witness_store: needs b",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, offsite: str, reason: str) -> None:
    with pytest.raises(UsageError) as failed:
        load_config(declared(tmp_path, offsite))
    assert reason in str(failed.value)


@pytest.mark.parametrize(("bucket", "prefix"), [("tenant:backups", "a//b"), ("Old_Bucket", "/a/b/"), ("b.1-2", "")])
def test_what_stores_take_is_taken(tmp_path: Path, bucket: str, prefix: str) -> None:
    """Ceph has tenants, and a key may have an empty part: without a way out, what is stored there is out of reach."""
    config = load_config(declared(tmp_path, f'bucket = "{bucket}"\n{S3}prefix = "{prefix}"\n'))
    store = Connections(config, (), connect_offsite(config)).store
    assert isinstance(store, S3Store)
    assert (store.bucket, store.prefix.strip("/")) == (bucket, prefix.strip("/"))


@pytest.mark.parametrize(("scheme", "secure"), [("HTTPS", True), ("https", True), ("HTTP", False), ("http", False)])
def test_the_scheme_of_an_endpoint_may_be_in_capitals(tmp_path: Path, scheme: str, *, secure: bool) -> None:
    text = S3.replace("https", scheme)
    assert connect_offsite(load_config(declared(tmp_path, text))).tls is secure


@pytest.mark.parametrize(
    ("name", "key", "reason"),
    [
        ("s3-access", "", "is empty"),
        ("s3-access", "zebra\r\n", "has a character U\\+000D in it, of Windows' line ends"),
        ("s3-secret", "zebra\ntwo\n", "has a character U\\+000A in it"),
        ("s3-access", "\ufeffzebra", "has a character U\\+FEFF in it"),
        ("s3-secret", " zebra", "begins or ends with a space"),
        ("s3-access", "zebré", "is not ASCII"),
    ],
)
def test_a_key_that_no_request_can_carry_is_refused_and_never_shown(
    tmp_path: Path, name: str, key: str, reason: str
) -> None:
    config = load_config(declared(tmp_path, S3))
    (tmp_path / "keys" / name).write_bytes(key.encode())
    with pytest.raises(UsageError, match=f"keys/{name}: a key of an object store {reason}") as failed:
        _ = Connections(config, (), connect_offsite(config)).store
    assert "zebr" not in str(failed.value)


@pytest.mark.parametrize("table", ["backup", "restore"])
def test_a_bandwidth_that_no_backup_survives_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(UsageError, match=rf"{table}.bandwidth: 9999 bytes per second; at least 10000, or 0"):
        load_config(declared(tmp_path, 'directory = "/d"\n', f"[{table}]\nbandwidth = 9999\n"))


def test_what_is_declared_reaches_the_store(tmp_path: Path) -> None:
    text = S3 + 'storage_class = "STANDARD_IA"\nencryption = "aws:kms"\nkms_key = "key-1"\n'
    config = load_config(declared(tmp_path, text, "[backup]\nbandwidth = 20000\n[restore]\nbandwidth = 30000\n"))
    store = Connections(config, (), connect_offsite(config)).store
    assert isinstance(store, S3Store)
    assert dict(store._client.object_headers) == {
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
    }
    assert store.download is not None
    assert store.download.rate == 30000
    assert store.patience.complete >= 600


def test_a_directory_may_keep_the_witness_as_well(tmp_path: Path) -> None:
    text = 'directory = "backups"\n[existing.offsite.witness_store]\ndirectory = "seen"\n'
    config = load_config(declared(tmp_path, text, "[backup]\nbandwidth = 20000\n"))
    where, second = connect_offsite(config), witness_store(config)
    assert second is not None
    assert (where.directory, second.directory) == (tmp_path / "backups", tmp_path / "seen")
    assert (where.read_only, str(where)) == (True, str(tmp_path / "backups"))
    store = Connections(config, (), where).store
    assert isinstance(store, DirectoryStore)
    assert store.upload is not None
    assert store.upload.rate == 20000
    assert store.download is None


def test_a_drills_store_is_given_up_within_seconds() -> None:
    assert offsite_at("127.0.0.1:9000", {}, short=True).short
    assert not offsite_at("127.0.0.1:9000", {}).short
    assert offsite_at("/mnt/backups", {}).directory == Path("/mnt/backups")
    with pytest.raises(UsageError, match="'store': not an address; write HOST:PORT, or the path of a folder"):
        offsite_at("store", {})

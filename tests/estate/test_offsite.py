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
        ('directory = "/d"\nbucket = "b"\n', "existing.offsite: a directory has no bucket"),
        ('directory = "/d"\nsecrets = "keys"\n', "existing.offsite: a directory has no secrets"),
        (S3 + 'storage_class = "GLACIER"\n', "existing.offsite.s3.storage_class: GLACIER: its objects take hours"),
        (S3 + 'storage_class = "a b"\n', "existing.offsite.s3.storage_class: must match"),
        (S3 + 'encryption = "rot13"\n', "existing.offsite.s3.encryption: must be"),
        (S3 + 'kms_key = "k"\n', "existing.offsite.s3: kms_key needs encryption"),
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

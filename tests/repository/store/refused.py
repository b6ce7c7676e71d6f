"""What the users of a repository's bucket must not be able to do, each as a request that a program of theirs sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

import pytest
from minio.commonconfig import COMPLIANCE, ENABLED, GOVERNANCE, CopySource, Filter, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.objectlockconfig import ObjectLockConfig
from minio.retention import Retention
from minio.versioningconfig import SUSPENDED, VersioningConfig

from harness.core.clock import SYSTEM
from tests.repository.store.policy_server import BESIDE, Bucket

DENIED = "AccessDenied"
LOCKED = ("InvalidRequest", "ObjectLocked", "MethodNotAllowed")  # of a request that no policy hinders
Requests = Mapping[str, Callable[[], object]]


def require_denied(requests: Requests, *also: str) -> None:
    """Send every request, and assert that the store refuses it for want of permission, or as `also` says."""
    for what, request in requests.items():
        try:
            request()
        except S3Error as error:
            code = error.code
        else:
            pytest.fail(f"{what}: was done")
        assert code in (DENIED, *also), f"{what}: {code}"


def removals(bucket: Bucket, user: str, key: str, version: str) -> Requests:
    """Return the ways to remove a version of an object."""
    client = bucket.server.client(user)

    def one_of_many() -> None:
        for error in client.remove_objects(bucket.name, (DeleteObject(key, version),)):
            raise S3Error(None, error.code, error.message, key, None, None)  # type: ignore[arg-type]

    def bypassing() -> None:
        headers = {"x-amz-bypass-governance-retention": "true"}
        client._execute("DELETE", bucket.name, key, headers=dict(headers), query_params={"versionId": version})

    return {
        f"deletion of version {version} of {key}": lambda: client.remove_object(bucket.name, key, version),
        f"deletion of {key} in a list": one_of_many,
        f"deletion of {key} that bypasses its lock": bypassing,
    }


def unlocks(bucket: Bucket, user: str, key: str, version: str) -> Requests:
    """Return the ways to lift what keeps a version of an object."""
    soon = SYSTEM.wall() + timedelta(minutes=1)
    lock = partial(bucket.server.client(user).set_object_retention, bucket.name, key, version_id=version)
    return {
        f"{mode} lock of {key} until {soon}": partial(lock, Retention(mode, soon)) for mode in (COMPLIANCE, GOVERNANCE)
    }


def settings(bucket: Bucket, user: str) -> Requests:
    """Return the changes of a bucket that would take its backups away, or who may read them."""
    client, name = bucket.server.client(user), bucket.name
    rule = Rule(ENABLED, rule_filter=Filter(prefix=""), expiration=Expiration(days=1))
    return {
        "no versions": lambda: client.set_bucket_versioning(name, VersioningConfig(SUSPENDED)),
        "a lifecycle rule": lambda: client.set_bucket_lifecycle(name, LifecycleConfig([rule])),
        "no default lock": lambda: client.set_object_lock_config(name, ObjectLockConfig(None, None, None)),
        "a policy": lambda: client.set_bucket_policy(name, "{}"),
        "no policy": lambda: client.delete_bucket_policy(name),
        "tags of the bucket": lambda: client.set_bucket_tags(name, Tags.new_bucket_tags()),
        "no bucket": lambda: client.remove_bucket(name),
        "another bucket": lambda: client.make_bucket(f"{name}-2"),
    }


def beside(bucket: Bucket, user: str) -> Requests:
    """Return what would read or change another estate in the bucket."""
    client = bucket.server.client(user)
    return {
        "read of another estate": lambda: client.get_object(bucket.name, BESIDE),
        "deletion in another estate": lambda: client.remove_object(bucket.name, BESIDE),
        "write to another estate": lambda: bucket.put(user, BESIDE),
    }


def writes(bucket: Bucket, user: str, key: str, version: str) -> Requests:
    """Return every other change of an object of the estate, and of an upload."""
    client, store = bucket.server.client(user), bucket.store(user)._client
    upload = bucket.owner._create_multipart_upload(bucket.name, key, {})
    copied = CopySource(bucket.name, key)
    return {
        "write": lambda: bucket.put(user, key),
        "write of a new object": lambda: bucket.put(user, f"{key}-new"),
        "copy": lambda: client.copy_object(bucket.name, key, copied),
        "deletion": lambda: client.remove_object(bucket.name, key),
        "an upload": lambda: store._create_multipart_upload(bucket.name, key, {}),
        "list of uploads": lambda: store.unfinished(bucket.name, key),
        "end of an upload": lambda: store._abort_multipart_upload(bucket.name, key, upload),
        "a lock": lambda: client.set_object_retention(
            bucket.name, key, Retention(COMPLIANCE, SYSTEM.wall() + timedelta(days=9)), version
        ),
        "a legal hold": lambda: client.enable_object_legal_hold(bucket.name, key, version),
        "tags": lambda: client.set_object_tags(bucket.name, key, Tags.new_object_tags()),
    }

"""A MinIO in a container, with buckets of their own for tests, and users who have the policies of `docs/policies`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from minio import Minio
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin

from harness.core.service import REGION
from harness.repository.store.http.connections import patience_of
from harness.repository.store.s3 import S3Store
from tests.images.image_under_test import LOOPBACK, USERS, get, image_under_test, outside

POLICIES = Path(__file__).resolve().parents[3] / "docs/policies"
OK = 200
PREFIX, ESTATE = "vault", "shop"
DAYS = 2  # that an object may be locked
BESIDE = f"{PREFIX}/another/commit/x.json"  # an object of another estate in the same bucket
Policy = dict[str, Any]


def policy(name: str, bucket: str) -> Policy:
    """Return a policy, filled in as `docs/STORES.md` says."""
    text = (POLICIES / f"{name}.json").read_text()
    for word, value in (("BUCKET", bucket), ("ESTATE", f"{PREFIX}/{ESTATE}"), ("DAYS", str(DAYS))):
        text = text.replace(word, value)
    return dict(json.loads(text))


def without(whole: Policy, *actions: str, effect: str = "Allow") -> Policy:
    """Return a policy that lacks some actions in its statements of an effect."""
    kept = []
    for statement in whole["Statement"]:
        left = [one for one in statement["Action"] if one not in actions or statement["Effect"] != effect]
        kept += [{**statement, "Action": left}] if left else []
    assert kept != whole["Statement"]
    return {**whole, "Statement": kept}


@dataclass(frozen=True, slots=True)
class MinioServer:
    """The server on a port of this machine. `owner`: the name of its administrator, which is the password too."""

    port: int
    owner: str

    @property
    def admin(self) -> MinioAdmin:
        """Who makes users and policies."""
        keys = StaticProvider(self.owner, self.owner)
        return MinioAdmin(endpoint=f"{LOOPBACK}:{self.port}", credentials=keys, region=REGION, secure=False)

    def client(self, user: str) -> Minio:
        """Return a plain client with a user's keys."""
        return Minio(f"{LOOPBACK}:{self.port}", user, user, secure=False, region=REGION)

    def bucket(self) -> Bucket:
        """Make a bucket with object lock, in which there is an object of another estate."""
        made = Bucket(f"offsite-{secrets.token_hex(4)}", self, self.admin, self.client(self.owner))
        made.owner.make_bucket(made.name, object_lock=True)
        made.put(self.owner, BESIDE)
        return made


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket with object lock. `owner`: a client who may do anything."""

    name: str
    server: MinioServer
    admin: MinioAdmin
    owner: Minio

    def user(self, allowed: Policy) -> str:
        """Make a user who may do what a policy allows; return the name, which is the password too."""
        name = f"user-{secrets.token_hex(8)}"
        self.admin.user_add(name, name)
        self.admin.policy_add(name, policy=allowed)
        self.admin.policy_set(name, user=name)
        return name

    def allow(self, user: str, allowed: Policy) -> None:
        """Replace what a user may do."""
        self.admin.policy_add(user, policy=allowed)

    def store(self, user: str) -> S3Store:
        """Return the store as blackstart uses it, with a user's keys."""
        short, port = patience_of(short=True), self.server.port
        return S3Store.connect(LOOPBACK, port, user, user, self.name, prefix=PREFIX, patience=short)

    def put(self, user: str, key: str) -> str:
        """Store a small object with a user's keys; return its version."""
        return str(self.server.client(user).put_object(self.name, key, BytesIO(b"x"), 1).version_id)

    def versions(self, below: str = f"{PREFIX}/") -> dict[tuple[str, str], bool]:
        """Return every version below a prefix as the owner sees it: key, version -> whether it is a delete marker."""
        found = self.owner.list_objects(self.name, below, recursive=True, include_version=True)
        return {(str(one.object_name), str(one.version_id)): one.is_delete_marker for one in found}


@contextmanager
def minio_server() -> Iterator[MinioServer]:
    """Start the server in a container of its own; it is removed with its volume at the end."""
    with image_under_test("minio", "baked", USERS[0]) as image:
        owner, number = secrets.token_hex(8), image.number("s3")
        words = ("server", "/tmp/objects", "--address", f"0.0.0.0:{number}")  # noqa: S108 - in the container, in memory
        container = image.start(*words, env={"MINIO_ROOT_USER": owner, "MINIO_ROOT_PASSWORD": owner}, ports=("s3",))
        assert get(container, number, "/minio/health/cluster")[0] == OK
        yield MinioServer(outside(container, number), owner)

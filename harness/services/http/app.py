"""HTTP service that is declared in estate.toml, without code."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.errors import HarnessError, MissingPart
from harness.core.node import NodeSpec, Ready, runs_images
from harness.core.service import KeyFunction, Objects, Place, Sources, Tree
from harness.patience import PATIENCE
from harness.postgres.server import make_database
from harness.s3.client import ensure_bucket
from harness.services.http.table import FilesTable, HttpTable
from harness.traffic.key_functions import declared_functions


@dataclass(frozen=True, slots=True)
class HttpService:
    """The service that a table declares."""

    name: str
    table: HttpTable

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names of the services that must be ready before it starts."""
        return self.table.needs

    @property
    def role(self) -> str:
        """Return the role that it connects to its databases as."""
        return self.table.role or self.name

    @property
    def ready(self) -> Ready:
        """Return the probe of its port `http`."""
        return Ready(port="http", path=self.table.ready, patience=self.table.patience or PATIENCE.http_ready)

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Return its node. Its environment has HOST and PORT, the address to listen on, besides the declared variables.

        With databases it also has DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, and DB_NAME, the first database; with buckets
        S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY, and S3_BUCKET, the first bucket. Declared variables take
        precedence. Raises HarnessError when the site lacks a secret, MissingPart without the program.
        """
        declared = self.table
        given, secrets = self._connections(place)
        images = runs_images(place.site)
        # What the command names and lies here is taken along into a container.
        taken = {word: Path(word) for word in declared.command if images and Path(word).is_file()}
        spec = NodeSpec(
            name=self.name,
            argv=tuple(f"@{{file:{taken[word].name}}}" if word in taken else word for word in declared.command),
            image=declared.image,
            ports=("http",),
            volumes=declared.all_volumes,
            env={"HOST": "@{bind:http}", "PORT": "@{port:http}", **given, **declared.environment},
            secrets={**secrets, **declared.secrets},
            files={path.name: path.read_text("utf-8") for path in taken.values()},
            ready=self.ready,
        )
        if not images:
            argv = (found(declared.command[0], self.name), *map(anchored, declared.command[1:]))
            spec = replace(spec, argv=argv)
        return (spec,)

    def _connections(self, place: Place) -> tuple[dict[str, str], dict[str, str]]:
        """Return the environment that names the site's servers, and references to its secrets."""
        env: dict[str, str] = {}
        secrets: dict[str, str] = {}
        if self.table.databases:
            secrets["db-password"] = self._password(place)
            env |= {
                "DB_HOST": place.sql.inside.host,
                "DB_PORT": str(place.sql.inside.port),
                "DB_NAME": self.table.databases[0],
                "DB_USER": self.role,
                "DB_PASSWORD": "@{secret:db-password}",
            }
        if self.table.buckets:
            secrets |= {"s3-access": place.s3.access_key_ref, "s3-secret": place.s3.secret_key_ref}
            env |= {
                "S3_ENDPOINT": f"http://{place.s3.inside}",
                "S3_REGION": place.s3.region,
                "S3_BUCKET": self.table.buckets[0].name,
                "S3_ACCESS_KEY": "@{secret:s3-access}",
                "S3_SECRET_KEY": "@{secret:s3-secret}",
            }
        return env, secrets

    def sources(self) -> Sources:
        """Return its databases, folders and buckets, and all its volumes."""
        declared = self.table
        return Sources(
            databases=declared.databases,
            trees=tuple(map(self._tree, declared.files)),
            objects=tuple(Objects(one.name, one.database, one.referenced) for one in declared.buckets),
            volumes=declared.all_volumes,
            role=declared.role,
            volatile=declared.volatile,
            read=tuple(dict.fromkeys(name for key in declared.keys for name in key.reads)),
        )

    def _tree(self, one: FilesTable) -> Tree:
        inner = [f for f in self.table.files if f.volume == one.volume and f.folder != one.folder]
        below = f"{one.folder}/" if one.folder else ""
        return Tree(
            name="/".join(filter(None, (self.name, one.volume, one.folder))),
            volume=one.volume,
            folder=one.folder,
            database=one.database,
            referenced=one.referenced,
            without=tuple(f.folder.removeprefix(below) for f in inner if f.folder.startswith(below)),
        )

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Return the declared key functions (message 2.8). Raises HarnessError without the gateway's key."""
        return declared_functions(self.name, self.table.keys, secrets, "2.8", auth=self.table.auth)

    def seed(self, place: Place) -> None:
        """Create its role, its empty databases and buckets, which it fills at its first start. Raises HarnessError."""
        for database in self.table.databases:
            make_database(place.sql, database, self.role, self._password(place))
        for bucket in self.table.buckets:
            ensure_bucket(place.s3, bucket.name)

    def _password(self, place: Place) -> str:
        secret = password_of(self.role)
        if secret not in place.secrets:
            raise HarnessError(f"{self.name}: site {place.site.name} has no secret {secret!r} for its database")
        return place.secrets[secret]


def password_of(role: str) -> str:
    """Return the name of the secret with a role's password."""
    return f"{role}-db"


def found(command: str, service: str) -> str:
    """Return the path of a program: as given, next to the running Python, or on PATH. Raises MissingPart."""
    if command.startswith("@{"):
        return command
    if "/" in command:
        return anchored(command)
    beside = str(Path(sys.executable).parent)
    path = shutil.which(command, path=os.pathsep.join((beside, os.environ.get("PATH", os.defpath))))
    if path is None:
        raise MissingPart(f"services.{service}.command: no program {command!r} on PATH; install it or write its path")
    return path


def anchored(word: str) -> str:
    """Return an argument, as absolute path if it is a file, because nodes run in another working directory."""
    return str(Path(word).resolve()) if not Path(word).is_absolute() and Path(word).is_file() else word

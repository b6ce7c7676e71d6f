"""HTTP service that is declared in estate.toml, without code."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.core.errors import Finding, HarnessError, MissingPart
from harness.core.node import NodeSpec, Ready, runs_images
from harness.core.service import KeyFunction, Place, PublicDoor, Sources
from harness.declaration import Reference, ServiceTable, Table, Word
from harness.patience import PATIENCE
from harness.postgres.server import make_database
from harness.traffic.door import GATEWAY_KEY, basic_auth

SHOWN = 200  # characters of an unexpected answer that are repeated in a finding


class KeyTable(Table):
    """Key function: an HTTP request through the front door, and the answer that is expected."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str
    json_body: Annotated[Any, Field(alias="json")] = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    status: int = 200
    contains: str = ""


class HttpTable(ServiceTable):
    """A table of kind `http`. Its command and environment may contain the placeholders of `harness.core.node`."""

    command: Annotated[tuple[Word, ...], Field(min_length=1)]  # a file beside `estate.toml` becomes its path
    image: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, Reference] = Field(default_factory=dict)  # name -> reference, for `@{secret:NAME}` above
    ready: str = "/"
    databases: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    prefix: Annotated[str, Field(min_length=1)]
    auth: bool = True  # whether requests need the gateway's key
    key: KeyTable


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
    def secret(self) -> str:
        """Return the name of the secret with the role's password."""
        return f"{self.name}-db"

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Return its node. Its environment has HOST and PORT, the address to listen on, besides the declared variables.

        With databases it also has DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, and DB_NAME, the first database. Declared
        variables take precedence. Raises HarnessError when the site lacks a secret, MissingPart without the program.
        """
        declared, secrets = self.table, dict(self.table.secrets)
        given = {"HOST": "@{bind:http}", "PORT": "@{port:http}"}
        if declared.databases:
            secrets["db-password"] = self._password(place)
            given |= {
                "DB_HOST": place.sql.inside.host,
                "DB_PORT": str(place.sql.inside.port),
                "DB_NAME": declared.databases[0],
                "DB_USER": self.name,
                "DB_PASSWORD": "@{secret:db-password}",
            }
        images = runs_images(place.site)
        # What the command names and lies here is taken along into a container.
        taken = {word: Path(word) for word in declared.command if images and Path(word).is_file()}
        spec = NodeSpec(
            name=self.name,
            argv=tuple(f"@{{file:{taken[word].name}}}" if word in taken else word for word in declared.command),
            image=declared.image,
            ports=("http",),
            volumes=declared.volumes,
            env={**given, **declared.environment},
            secrets=secrets,
            files={path.name: path.read_text("utf-8") for path in taken.values()},
            ready=Ready(port="http", path=declared.ready, patience=PATIENCE.http_ready),
        )
        if not images:
            argv = (found(declared.command[0], self.name), *map(anchored, declared.command[1:]))
            spec = replace(spec, argv=argv)
        return (spec,)

    def sources(self) -> Sources:
        """Return its databases."""
        return Sources(databases=self.table.databases)

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Return the declared key function (message 2.8). Raises HarnessError without the gateway's key."""
        auth, key = self.table.auth, self.table.key
        if auth and GATEWAY_KEY not in secrets:
            raise HarnessError(
                f"{self.name}: the clients have no secret {GATEWAY_KEY!r}; its key function cannot be tested"
            )
        reference = secrets[GATEWAY_KEY] if auth else ""
        check = partial(answers_as_declared, declared=key, reference=reference)
        return (KeyFunction(f"{key.method} {key.path}", self.name, "2.8", check),)

    def seed(self, place: Place) -> None:
        """Create its role and its empty databases, which it fills at its first start. Raises HarnessError."""
        for database in self.table.databases:
            make_database(place.sql, database, self.name, self._password(place))

    def _password(self, place: Place) -> str:
        if self.secret not in place.secrets:
            raise HarnessError(f"{self.name}: site {place.site.name} has no secret {self.secret!r} for its database")
        return place.secrets[self.secret]


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


def answers_as_declared(door: PublicDoor, declared: KeyTable, reference: str) -> str:
    """Send the declared request; return a line for the record. Raises Finding for a wrong answer, OSError."""
    headers = dict(declared.headers)
    if reference:
        headers |= basic_auth(reference)
    what = f"{declared.method} {declared.path}"
    answer = door.request(declared.method, declared.path, json=declared.json_body, headers=headers)
    text = answer.body.decode("utf-8", "replace")
    if answer.status != declared.status:
        raise Finding(f"{what}: answered {answer.status}, not {declared.status}: {text[:SHOWN]}")
    if declared.contains not in text:
        raise Finding(f"{what}: {declared.contains!r} is not in the answer: {text[:SHOWN]}")
    return f"{what}: answered {answer.status}, {len(answer.body)} bytes" + (
        f", with {declared.contains!r}" if declared.contains else ""
    )

"""The kind `http`: a program of your own, declared in estate.toml."""

import secrets as random
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.core.service import Route
from harness.declaration import Reference, SecretSpec, ServiceKind, ServiceTable, Surroundings, Table, Word
from harness.services.http.app import HttpDeclaration, HttpService


class KeyTable(Table):
    """Key function: an HTTP request through the front door, and the answer that is expected."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str
    json_body: Annotated[Any, Field(alias="json")] = None
    headers: dict[str, str] = Field(default_factory=dict)
    status: int = 200
    contains: str = ""


class HttpTable(ServiceTable):
    """A table of kind `http`. `command`: a word that is a file beside `estate.toml` becomes its absolute path."""

    command: Annotated[tuple[Word, ...], Field(min_length=1)]
    image: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, Reference] = Field(default_factory=dict)
    ready: str = "/"
    databases: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    prefix: Annotated[str, Field(min_length=1)]
    auth: bool = True
    key: KeyTable


def build(name: str, table: HttpTable, _among: Surroundings) -> HttpService:
    """Return the service that a table declares."""
    return HttpService(
        HttpDeclaration(
            name=name,
            command=table.command,
            environment=table.environment,
            image=table.image,
            ready=table.ready,
            databases=table.databases,
            volumes=table.volumes,
            needs=table.needs,
            secrets=table.secrets,
            method=table.key.method,
            path=table.key.path,
            json=table.key.json_body,
            headers=table.key.headers,
            auth=table.auth,
            status=table.key.status,
            contains=table.key.contains,
        )
    )


KIND = ServiceKind(
    name="http",
    table=HttpTable,
    build=build,
    route=lambda name, table: Route(table.prefix, name, strip=True, auth=table.auth),
    image=lambda table: table.image,
    secrets=lambda name: (SecretSpec(f"{name}-db", lambda _others: random.token_hex(16)),),
)

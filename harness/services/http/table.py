"""The table of kind `http` in estate.toml. All that can be wrong in it is found when it is read."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from harness.core.render import PLACEHOLDER
from harness.declaration import Reference, ServiceDatabase, ServiceTable, Table, VolumeName, Word, no_double, role_name
from harness.postgres.contents.rows import qualified
from harness.traffic.declared import KeyTable, texts

PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")  # of RFC 3986
NAME = r'[a-z_][a-z0-9_$]*|"(?:[^"]|"")+"'
TABLE = re.compile(rf"({NAME})\.({NAME})")
ANY = re.compile(r"@\{[a-z]+:[^}]*\}?")  # what looks like a placeholder
GIVEN_SECRETS = ("db-password", "s3-access", "s3-secret")  # those of the site, besides the declared ones


def inside(value: str) -> str:
    """Return a folder inside a volume, "" for all of it; raises ValueError for one that leads elsewhere."""
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if value.startswith("/") or ".." in parts:
        raise ValueError(f"{value!r} must be a folder inside the volume, without a leading / and without ..")
    return "/".join(parts)


def optional_role(value: str) -> str:
    """Return `value` if a role may have that name, "" for none; raises ValueError."""
    return role_name(value) if value else value


def variables(values: dict[str, str]) -> dict[str, str]:
    """Return the variables of a program; raises ValueError for a name that no variable has."""
    for name in values:
        if not name or "=" in name:
            raise ValueError(f"{name!r} is no name of a variable: it has no =, and one character at least")
    return values


def a_query(value: str) -> str:
    """Return a query, "" for none; raises ValueError for white space."""
    if value and not value.strip():
        raise ValueError("must be a query, or be left out for all that is there")
    return value


def table_name(value: str) -> str:
    """Return the name of a table as the checks of a restore write it; raises ValueError for any other form."""
    if (found := TABLE.fullmatch(value)) is None:
        raise ValueError(f'{value!r} is no table with its schema, quoted as in SQL: public.entry, or public."Entry"')
    return qualified(*(one[1:-1].replace('""', '"') if one.startswith('"') else one for one in found.groups()))


def path_prefix(value: str) -> str:
    """Return the path that a service is at; raises ValueError for one that no request has."""
    if not PATH.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise ValueError(f"{value!r} is no path: a /, then letters, digits and -._~%!$&'()*+,;=:@/, without . and ..")
    return value


TableName = Annotated[str, AfterValidator(table_name)]


class ReferencedTable(Table):
    """What of a folder or bucket a backup must hold: what `referenced` returns, a query on `database`; else all."""

    database: str = ""
    referenced: Annotated[str, AfterValidator(a_query)] = ""

    @model_validator(mode="after")
    def query_has_database(self) -> Self:
        """Refuse a query without its database, and the reverse."""
        if self.referenced and not self.database:
            raise ValueError("`referenced` is a query: add `database`, on which it is asked")
        if self.database and not self.referenced:
            raise ValueError("`database` without `referenced`: add the query, or leave `database` out for all files")
        return self


class FilesTable(ReferencedTable):
    """A folder of a volume that is backed up, "" for the whole volume. `referenced`: one path in it a row."""

    volume: VolumeName
    folder: Annotated[str, AfterValidator(inside)] = ""


class BucketTable(ReferencedTable):
    """A bucket that is backed up. `referenced`: one object key a row."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]|\.[a-z0-9]){1,61}$", max_length=63)]


class HttpTable(ServiceTable):
    """A table of kind `http`. Its command and environment may contain the placeholders of `harness.core.node`."""

    command: Annotated[tuple[Word, ...], Field(min_length=1)]  # a file beside `estate.toml` becomes its path
    image: str = ""
    environment: Annotated[dict[str, str], AfterValidator(variables)] = Field(default_factory=dict)
    secrets: dict[str, Reference] = Field(default_factory=dict)  # name -> reference, for `@{secret:NAME}` above
    ready: Annotated[str, Field(pattern=r"^/[!-~]*$")] = "/"
    patience: Annotated[float, Field(gt=0, le=3600)] | None = None  # seconds until `ready` answers 200
    databases: tuple[ServiceDatabase, ...] = ()
    role: Annotated[str, AfterValidator(optional_role)] = ""  # of its databases, "" for the name of the service
    volumes: tuple[VolumeName, ...] = ()  # those that `files` does not name
    files: tuple[FilesTable, ...] = ()
    buckets: tuple[BucketTable, ...] = ()
    volatile: tuple[
        Annotated[str, AfterValidator(table_name)], ...
    ] = ()  # tables, as `schema.name`, whose rows the program removes by itself
    prefix: Annotated[str, AfterValidator(path_prefix)]
    auth: bool = True  # whether requests need the gateway's key
    keys: tuple[KeyTable, ...]

    @property
    def all_volumes(self) -> tuple[str, ...]:
        """The names of all its volumes."""
        return tuple(dict.fromkeys((*(one.volume for one in self.files), *self.volumes)))

    @model_validator(mode="after")
    def names_are_known(self) -> Self:
        """Refuse names that nothing else in this table declares: of databases, volumes, secrets, and in `reads`."""
        for kind, entries in (("files", self.files), ("buckets", self.buckets)):
            require(kind, (one.database for one in entries if one.database), self.databases, "databases")
        no_double("databases", self.databases)
        no_double("files", (f"{one.volume}/{one.folder}" for one in self.files))
        no_double("buckets", (one.name for one in self.buckets))
        backed_up = (*(one.volume for one in self.files), *(one.name for one in self.buckets))
        for key in self.keys:
            require(f"keys: {key.title}: reads", key.reads, backed_up, "files and buckets")
        secrets = (*self.secrets, *GIVEN_SECRETS)
        if not self.command[0]:
            raise ValueError("command: its first word is empty; write the program's name")
        for text in texts((*self.command, *self.environment.values())):
            for one in ANY.findall(text):
                if not PLACEHOLDER.fullmatch(one):
                    raise ValueError(f"{one}: no such placeholder; write @{{port:http}}, @{{volume:NAME}} or another")
        for kind in ("port", "bind"):
            require(kind, self._placeholders(kind), ("http",), "the ports")
        require("volume", self._placeholders("volume"), self.all_volumes, "files and volumes")
        require("secret", self._placeholders("secret"), secrets, "secrets")
        return self

    @model_validator(mode="after")
    def has_keys(self) -> Self:
        """Refuse a table without key functions, and two of one name."""
        if not self.keys:
            raise ValueError("keys: none is declared, and without one the service cannot be tested; add [[keys]]")
        no_double("keys", (key.title for key in self.keys))
        return self

    def _placeholders(self, kind: str) -> Iterator[str]:
        for text in texts((*self.command, *self.environment.values())):
            yield from (name for of, name, _form in PLACEHOLDER.findall(text) if of == kind)


def require(what: str, names: Iterable[str], known: Iterable[str], declared_in: str) -> None:
    """Raise ValueError, with the nearest name, for a name that is not in `known`."""
    listed = list(known)
    for name in names:
        if name not in listed:
            close = difflib.get_close_matches(name, listed, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{what}: no {name!r} in {declared_in} of this service{hint}")

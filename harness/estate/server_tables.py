"""Tables of `estate.toml` for a PostgreSQL server and an object store that blackstart connects to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from harness.core.errors import UsageError
from harness.core.node import Address
from harness.core.service import REGION, S3, Sql, SqlTls
from harness.declaration import Table
from harness.estate.store_names import Prefix, Region, host_name
from harness.postgres.identity import MAINTENANCE, PRISTINE, TEMPLATE
from harness.postgres.server import SUPERUSER

LAST_PORT = 65535
SQL_PORT = 5432
HTTP, HTTPS = 80, 443
SCHEMES = ("postgresql://", "postgres://")
# Parameter of a URL -> key of the table.
OF_URL = {
    "host": "host", "port": "port", "user": "user", "dbname": "database", "sslmode": "sslmode", "sslrootcert": "ca",
    "sslcert": "cert", "sslkey": "key",
}  # fmt: skip
UNREADABLE = ("GLACIER", "DEEP_ARCHIVE")
VERIFYING = ("verify-ca", "verify-full")


def beside(value: Path, info: ValidationInfo) -> Path:
    """Return the absolute path; a relative path is relative to the folder of `estate.toml`."""
    return Path((info.context or {}).get("folder", "."), value).absolute()


def address(text: str) -> Address:
    """Return `HOST:PORT` as an address; an IPv6 address is written in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= LAST_PORT or (":" in host and host[0] != "["):
        shown = "" if "@" in text else f"{text!r} "  # what follows a user may be a password
        raise ValueError(f"{shown}is not an address; write HOST:PORT")
    return Address(host_name(host.strip("[]")), int(port))


Beside = Annotated[Path, AfterValidator(beside)]
Port = Annotated[int, Field(gt=0, le=LAST_PORT)]


def _hosts(value: object) -> object:
    return [value] if isinstance(value, str) else value


class SqlTable(Table):
    """A PostgreSQL server. Of several hosts the primary is used; `ca`, `cert`, `key`: PEM files."""

    host: Annotated[tuple[str, ...], BeforeValidator(_hosts), Field(min_length=1)]
    port: Port = SQL_PORT  # of the hosts without a port of their own
    user: Annotated[str, Field(min_length=1)] = SUPERUSER
    database: Annotated[str, Field(min_length=1)] = MAINTENANCE  # for statements that belong to no database
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    ca: Beside | None = None
    cert: Beside | None = None
    key: Beside | None = None

    @model_validator(mode="after")
    def complete(self) -> Self:
        """Refuse hosts that are none, and certificates that would not be used."""
        for found in self.addresses:
            if "/" in found.host or "," in found.host or not found.host:
                raise ValueError(f"{found.host!r} is not a host; name one that takes TCP connections")
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together; declare both")
        if self.sslmode in VERIFYING and self.ca is None:
            raise ValueError(f"sslmode {self.sslmode} needs ca, the file of the certificate authority")
        if self.sslmode in {"disable", "allow", "prefer"} and (self.ca or self.cert):
            raise ValueError(f"sslmode {self.sslmode} may connect without TLS; with ca or cert, declare verify-full")
        return self

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Address of each host."""
        return tuple(_address(host, self.port) for host in self.host)

    @property
    def tls(self) -> SqlTls:
        """How connections are encrypted; with `ca` and no `sslmode` the server's certificate and name are checked."""
        mode = self.sslmode or ("verify-full" if self.ca else "require" if self.cert else "prefer")
        return SqlTls(mode, *(str(path) if path else "" for path in (self.ca, self.cert, self.key)))

    def connection(self, password_ref: str) -> Sql:
        """Return the connection as superuser. `password_ref`: its password."""
        first, *others = self.addresses
        return Sql(first, first, self.user, password_ref, self.database, tuple(others), self.tls)


def _address(host: str, port: int) -> Address:
    """Return the address of `HOST` or `HOST:PORT`."""
    if host.count(":") == 1 or (host.startswith("[") and not host.endswith("]")):
        return address(host)
    return Address(host.strip("[]"), port)


def sql_table(value: object) -> object:
    """Return a table for `HOST:PORT` and for a URL; anything else is returned unchanged. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if not value.startswith(SCHEMES):
        found = address(value)
        return {"host": found.host, "port": found.port}
    return _of_url(value)


def _of_url(url: str) -> dict[str, object]:
    """Return the table of a URL. A message never shows the URL, which may hold a password."""
    try:
        found: Mapping[str, Any] = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError("not a PostgreSQL URL; write postgresql://USER@HOST:PORT/DATABASE") from None
    if "password" in found:
        raise ValueError("a password in the URL; remove it and store it in the folder of secrets")
    if unknown := sorted(set(found) - set(OF_URL)):
        raise ValueError(f"unknown parameter {unknown[0]} in the URL; known: {', '.join(OF_URL)}")
    if not found.get("host"):
        raise ValueError("no host in the URL; write postgresql://USER@HOST:PORT/DATABASE")
    hosts, ports = str(found["host"]).split(","), str(found.get("port", "")).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    named = {OF_URL[key]: value for key, value in found.items() if key not in {"host", "port"}}
    return {**named, "host": [_joined(*one) for one in zip(hosts, ports, strict=True)]}


def _joined(host: str, port: str) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port or SQL_PORT}"


def server_of_url(option: str, url: str, password_ref: str) -> tuple[Sql, str]:
    """Return the server of a URL, and the database that it names, "" for none. Raises UsageError with the option."""
    try:
        named = _of_url(url)
        name = str(named.pop("database", ""))
        return SqlTable.model_validate(named).connection(password_ref), name
    except ValidationError as error:
        raise UsageError(f"{option}: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def sql_of_url(option: str, url: str, password_ref: str) -> tuple[Sql, str]:
    """Return the server of a URL and the database that it names. Raises UsageError that names the option."""
    server, name = server_of_url(option, url, password_ref)
    if not name or name in (MAINTENANCE, TEMPLATE, PRISTINE):
        raise UsageError(f"{option}: names no database of a user; write postgresql://USER@HOST:PORT/DATABASE")
    return server, name


class S3Table(Table):
    """An object store. `path_style`: whether the bucket is in the path and not in the host name."""

    endpoint: str = ""  # HOST:PORT, or a URL
    host: str = ""
    port: Port | None = None
    tls: bool | None = None
    ca: Beside | None = None  # PEM file; without one the certificates that the system trusts
    region: Region | None = None
    path_style: bool | None = None  # by default true, except at Amazon

    @model_validator(mode="after")
    def complete(self) -> Self:
        """Refuse a table with two addresses, with none, or with a certificate that would not be used."""
        if bool(self.endpoint) == bool(self.host) or (self.endpoint and self.port):
            raise ValueError("needs endpoint, or host and port")
        _ = self.address
        if self.tls is not None and self._scheme not in ("", "https" if self.tls else "http"):
            raise ValueError(f"tls is {str(self.tls).lower()} and the endpoint is {self._scheme}; remove one of them")
        if self.ca and not self.encrypted(default=True):
            raise ValueError("ca is declared and TLS is off; set tls = true")
        return self

    @property
    def address(self) -> Address:
        """Host and port."""
        if self.host:
            return Address(
                host_name(self.host.strip("[]")), self.port or (HTTPS if self.encrypted(default=True) else HTTP)
            )
        if "://" not in self.endpoint:
            return address(self.endpoint)
        url = urlsplit(self.endpoint)
        beyond = url.path.strip("/") or url.query or url.fragment or "@" in url.netloc
        if url.scheme not in {"http", "https"} or not url.hostname or beyond:
            raise ValueError("endpoint is no address of an object store; write HOST:PORT or https://HOST:PORT")
        return Address(host_name(url.hostname), url.port or (HTTPS if url.scheme == "https" else HTTP))

    def encrypted(self, *, default: bool) -> bool:
        """Return whether TLS is used, `default` where neither `tls`, the endpoint nor `ca` say it."""
        if self.tls is not None:
            return self.tls
        return self._scheme == "https" if self._scheme else bool(self.ca) or default

    @property
    def _scheme(self) -> str:
        return self.endpoint.partition("://")[0].lower() if "://" in self.endpoint else ""

    def connection(self, access_ref: str, secret_ref: str) -> S3:
        """Return the connection; the references are those of its keys."""
        where, tls, ca = self.address, self.encrypted(default=False), str(self.ca or "")
        return S3(where, where, access_ref, secret_ref, tls, ca, self.region or REGION, self.path_style)


def bandwidth(value: int) -> int:
    """Return the bytes per second; raises ValueError for a limit with which no backup would end."""
    if 0 < value < LEAST_BANDWIDTH:
        raise ValueError(f"{value} bytes per second; at least {LEAST_BANDWIDTH}, or 0 for no limit")
    return value


LEAST_BANDWIDTH = 10_000
Bandwidth = Annotated[int, Field(ge=0), AfterValidator(bandwidth)]


def readable(value: str) -> str:
    """Return the storage class; raises ValueError for one whose objects cannot be read at once."""
    if value in UNREADABLE:
        raise ValueError(f"{value}: its objects take hours to be read, and each backup is read back; use another one")
    return value


class RepositoryTable(S3Table):
    """The object store of a repository. `prefix`: of the keys of all its objects, without slashes at its ends.

    `storage_class`, `encryption`, `kms_key`: of each new object, as the store names them.
    """

    prefix: Prefix = ""
    storage_class: Annotated[str, Field(pattern=r"^([A-Z][A-Z0-9_]*)?$"), AfterValidator(readable)] = ""
    encryption: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = ""
    kms_key: Annotated[str, Field(pattern=r"^[!-~]*$")] = ""

    @model_validator(mode="after")
    def keyed(self) -> Self:
        """Refuse a key of an encryption that has none."""
        if self.kms_key and not self.encryption.startswith("aws:kms"):
            raise ValueError('kms_key needs encryption = "aws:kms" or "aws:kms:dsse"')
        return self

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers of the request that makes an object."""
        named = {
            "x-amz-storage-class": self.storage_class,
            "x-amz-server-side-encryption": self.encryption,
            "x-amz-server-side-encryption-aws-kms-key-id": self.kms_key,
        }
        return tuple((name, value) for name, value in named.items() if value)


def s3_table(value: object) -> object:
    """Return a table for `HOST:PORT`; anything else is returned unchanged. Raises ValueError."""
    if not isinstance(value, str):
        return value
    return {"endpoint": value if "://" in value else str(address(value))}


SqlServer = Annotated[SqlTable, BeforeValidator(sql_table)]
S3Server = Annotated[S3Table, BeforeValidator(s3_table)]
RepositoryServer = Annotated[RepositoryTable, BeforeValidator(s3_table)]

"""Connections to the parts of an estate, built from a drill's environment, a state file or [existing]."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.node import Address
from harness.core.service import REGION, Service
from harness.estate.config import Config
from harness.estate.existing_config import ExistingOffsiteTable, WitnessStoreTable
from harness.estate.secrets import verify_keys
from harness.estate.site import EstateSite
from harness.repository.catalogue import Repository, Trust
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.http.connections import patience_of
from harness.repository.store.pace import pace_of
from harness.repository.store.port import ObjectStore
from harness.repository.store.read_only import ReadOnly
from harness.repository.store.s3 import S3Store
from harness.repository.witness import FileWitness, MemoryWitness, StoreWitness
from harness.s3.server import ACCESS, SECRET
from harness.signing import read_verify_key
from harness.vault import read_secret, read_store_keys

BUCKET = "backups"


@dataclass(frozen=True, slots=True)
class Offsite:
    """Location of the backup repository. `secrets`: name -> reference; contains the two keys of the store.

    `directory`: in place of a store's address; `headers`: of each new object; `short`: whether a store that does not
    answer is given up within seconds, as in drills; `tls`, `region`, `ca`, `path_style`: as in `S3`; `prefix`: of the
    keys of its objects.
    """

    address: Address | None
    secrets: Mapping[str, str] = field(repr=False)
    bucket: str = BUCKET
    read_only: bool = False
    tls: bool = False
    region: str = REGION
    ca: str = ""
    path_style: bool | None = None
    prefix: str = ""
    directory: Path | None = None
    headers: tuple[tuple[str, str], ...] = ()
    short: bool = False

    def __str__(self) -> str:
        return str(self.directory or self.address)


def located(table: ExistingOffsiteTable | WitnessStoreTable, secrets: Mapping[str, str]) -> Offsite:
    """Return the location that a table declares. `secrets`: the keys of its object store."""
    s3 = table.s3
    read_only = isinstance(table, ExistingOffsiteTable) and table.read_only
    if s3 is None:
        return Offsite(None, {}, read_only=read_only, directory=table.directory)
    tls, region = (table.tls, table.region) if isinstance(table, ExistingOffsiteTable) else (True, REGION)
    return Offsite(
        s3.address,
        secrets,
        table.bucket,
        read_only,
        s3.encrypted(default=tls),
        s3.region or region,
        str(s3.ca or ""),
        s3.path_style,
        s3.prefix,
        headers=s3.headers,
    )


def offsite_at(text: str, secrets: Mapping[str, str], *, short: bool = False) -> Offsite:
    """Return the location that `HOST:PORT`, or the path of a folder, stands for. `short`: as in `Offsite`.

    Raises UsageError.
    """
    if "/" in text:
        return Offsite(None, {}, directory=Path(text).absolute())
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{text!r}: not an address; write HOST:PORT, or the path of a folder")
    return Offsite(Address(host, int(port)), secrets, short=short)


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections to one estate. `recipients`: references to the public keys that its backups are sealed to.

    `trusted`: references to the public keys of writers whose backups are read, where no site has them among its
    secrets; `allow_unsigned`: whether unsigned backups are read too; `witness`: file that keeps what was seen;
    `second`: a bucket of another store that keeps it too; `systems`: the only database systems whose backups are read,
    beside those of [existing.offsite]; empty for any.
    """

    config: Config
    services: tuple[Service, ...]
    offsite: Offsite
    primary: EstateSite | None = None
    dr: EstateSite | None = None
    recipients: tuple[str, ...] = ()
    client_secrets: Mapping[str, str] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    allow_unsigned: bool = False
    witness: Path | None = None
    second: Offsite | None = None
    systems: tuple[str, ...] = ()

    @property
    def trust(self) -> Trust:
        """Whose backups are read: DR decides it where there is a DR site. Raises UsageError for a bad key."""
        site = self.dr or self.primary
        references = self.trusted or (verify_keys(site.secrets) if site is not None else ())
        existing = self.config.existing
        declared = existing.offsite.systems if existing is not None and existing.offsite is not None else ()
        systems = (*self.systems, *declared)
        return Trust(tuple(read_verify_key(read_secret(one)) for one in references), self.allow_unsigned, systems)

    @property
    def repository(self) -> Repository:
        """The backup repository, write-protected where it is read-only; raises UsageError."""
        where, estate = self.offsite, self.config.estate.name
        store = self.store
        if where.read_only:
            store = ReadOnly(store, f"repository of {estate} at {where}")
        witness = MemoryWitness() if self.witness is None else FileWitness(self.witness)
        second = () if self.second is None else (StoreWitness(self._store(self.second)),)
        return Repository(store, estate, trust=self.trust, witnesses=(witness, *second))

    @property
    def store(self) -> ObjectStore:
        """The store of the repository, which can be written to; raises UsageError."""
        return self._store(self.offsite)

    def _store(self, where: Offsite) -> ObjectStore:
        upload = pace_of("up", self.config.backup.bandwidth)
        download = pace_of("down", self.config.restore.bandwidth)
        if where.directory is not None:
            return DirectoryStore(where.directory, upload, download)
        if where.address is None:
            raise UsageError(f"estate {self.config.estate.name}: its repository has no address and no directory")
        if lacking := [name for name in (ACCESS, SECRET) if name not in where.secrets]:
            raise UsageError(f"store at {where}: no secret {lacking[0]}; add it")
        keys = read_store_keys(where.secrets[ACCESS], where.secrets[SECRET])
        return S3Store.connect(
            where.address.host,
            where.address.port,
            *keys,
            where.bucket,
            secure=where.tls,
            region=where.region,
            ca=where.ca,
            path_style=where.path_style,
            prefix=where.prefix,
            patience=patience_of(short=where.short),
            headers=dict(where.headers),
            upload=upload,
            download=download,
        )

    @property
    def live(self) -> EstateSite:
        """The primary site; raises UsageError when none is declared."""
        return self._known(self.primary, "primary")

    @property
    def recovered(self) -> EstateSite:
        """The DR site; raises UsageError when none is declared."""
        return self._known(self.dr, "DR")

    def _known(self, site: EstateSite | None, what: str) -> EstateSite:
        if site is None:
            raise UsageError(f"estate {self.config.estate.name}: no {what} site is known here")
        return site

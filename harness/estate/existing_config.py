"""The table `[existing]` of `estate.toml`: infrastructure that blackstart connects to and never creates."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from harness.core.node import Address
from harness.core.service import REGION
from harness.declaration import Name, Table
from harness.estate.server_tables import (
    Beside,
    RepositoryServer,
    S3Server,
    S3Table,
    SqlServer,
    SqlTable,
    address,
)
from harness.estate.store_names import BucketName, Region


def endpoint(value: object, _inner: ValidatorFunctionWrapHandler) -> Address:
    """Return `HOST:PORT` as an address; an address is returned unchanged. Raises ValueError."""
    return value if isinstance(value, Address) else address(str(value))


Endpoint = Annotated[Address, WrapValidator(endpoint)]
Workload = Annotated[str, Field(pattern=r"^(deployment|statefulset)/[a-z0-9][a-z0-9.-]*$")]


class ClusterTable(Table):
    """The Kubernetes cluster of a site."""

    kubeconfig: str = ""  # "" for the service account of the pod that blackstart runs in
    context: str = ""
    namespace: str = "dr"
    workloads: dict[Name, Workload] = Field(default_factory=dict)  # node -> `statefulset/NAME` or `deployment/NAME`


class ExistingSiteTable(Table):
    """An existing site: its addresses, and the folders of its secrets and volumes on this machine."""

    sql: SqlServer
    s3: S3Server
    secrets: Beside
    volumes: dict[Name, Beside] = Field(default_factory=dict)
    gateway: Endpoint | None = None
    services: dict[Name, Endpoint] = Field(default_factory=dict)  # those not in `workloads`; the operator runs them
    cluster: ClusterTable | None = None


class StoreTable(Table):
    """Where objects are kept: a bucket of an object store, or a directory (a mounted disk or network file system)."""

    s3: RepositoryServer | None = None
    secrets: Beside | None = None  # folder with the two keys of the object store
    directory: Beside | None = None

    @model_validator(mode="after")
    def one_place(self) -> Self:
        """Refuse a table with two places, with none, with keys of none, or with an object store without keys."""
        if (self.s3 is None) == (self.directory is None):
            raise ValueError("needs s3, or directory")
        if self.s3 is not None and self.secrets is None:
            raise ValueError("s3 needs secrets, the folder with its keys")
        if unused := sorted(self.model_fields_set & {"secrets", "bucket", "tls", "region"} if self.directory else ()):
            raise ValueError(f"a directory has no {unused[0]}; remove it")
        return self


class WitnessStoreTable(StoreTable):
    """Another store that keeps the newest backup seen, too: who can write to both can hide a deletion."""

    bucket: Annotated[BucketName, Field(min_length=1)] = ""

    @model_validator(mode="after")
    def named(self) -> Self:
        """Refuse an object store without a bucket."""
        if self.s3 is not None and not self.bucket:
            raise ValueError("needs bucket")
        return self


class ExistingOffsiteTable(StoreTable):
    """An existing offsite repository."""

    bucket: Annotated[BucketName, Field(min_length=1)] = "backups"
    read_only: bool = True  # nothing is written to it
    tls: bool = True  # HTTPS with certificate verification, where `s3` does not say it
    region: Region = REGION  # where `s3` does not say it
    witness: Beside | None = None  # file that keeps the newest backup seen; beside the records where it is not named
    witness_store: WitnessStoreTable | None = None
    systems: tuple[Annotated[str, Field(pattern=r"^[0-9]{1,20}$")], ...] = ()  # database systems whose backups are read


class ExistingTable(Table):
    """Existing sites.

    `targets`: file with the allowlist of restore test targets; `targets_key`: public key that must have signed it.
    """

    targets: Annotated[Beside, Field(validate_default=True)] = Path("drill-targets.toml")
    targets_key: Beside | None = None
    primary: ExistingSiteTable | None = None
    dr: ExistingSiteTable | None = None
    offsite: ExistingOffsiteTable | None = None

    @model_validator(mode="after")
    def two_sites(self) -> Self:
        """Refuse a DR site with an address of the primary."""
        if self.primary and self.dr:
            for part, theirs in self.primary:
                if _addresses(theirs) & _addresses(getattr(self.dr, part)):
                    raise ValueError(
                        f"dr.{part} is the same address as the primary's; a restore test there would destroy production"
                    )
        return self


def _addresses(part: object) -> frozenset[Address]:
    """Return the addresses in a value of a site's table."""
    match part:
        case SqlTable():
            return frozenset(part.addresses)
        case S3Table():
            return frozenset({part.address})
        case Address():
            return frozenset({part})
        case _:
            return frozenset()

"""The table `[existing]` of `estate.toml`: infrastructure that blackstart connects to and never creates."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from harness.core.node import Address
from harness.declaration import Name, Table
from harness.s3.client import REGION

LAST_PORT = 65535


def beside(value: Path, info: ValidationInfo) -> Path:
    """Return the absolute path; a relative path is relative to the folder of `estate.toml`."""
    return Path((info.context or {}).get("folder", "."), value).absolute()


def endpoint(value: object, _inner: ValidatorFunctionWrapHandler) -> Address:
    """Return `HOST:PORT` as an address; an address is returned unchanged. Raises ValueError."""
    if isinstance(value, Address):
        return value
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not host or not port.isdigit() or not 0 < int(port) <= LAST_PORT:
        raise ValueError(f"{value!r} is not an address; write HOST:PORT")
    return Address(host, int(port))


Beside = Annotated[Path, AfterValidator(beside)]
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

    sql: Endpoint
    s3: Endpoint
    secrets: Beside
    volumes: dict[Name, Beside] = Field(default_factory=dict)
    gateway: Endpoint | None = None
    services: dict[Name, Endpoint] = Field(default_factory=dict)  # those not in `workloads`; the operator runs them
    cluster: ClusterTable | None = None


class ExistingOffsiteTable(Table):
    """An existing offsite repository."""

    s3: Endpoint
    bucket: str = "backups"
    secrets: Beside
    read_only: bool = True  # nothing is written to it
    tls: bool = True  # HTTPS with certificate verification
    region: str = REGION


class ExistingTable(Table):
    """Existing sites. `targets`: file with the allowlist of restore test targets (`drill-targets.toml`)."""

    targets: Annotated[Beside, Field(validate_default=True)] = Path("drill-targets.toml")
    primary: ExistingSiteTable | None = None
    dr: ExistingSiteTable | None = None
    offsite: ExistingOffsiteTable | None = None

    @model_validator(mode="after")
    def two_sites(self) -> Self:
        """Refuse a DR site with an address of the primary."""
        if self.primary and self.dr:
            for part, theirs in self.primary:
                if isinstance(theirs, Address) and theirs == getattr(self.dr, part):
                    raise ValueError(
                        f"dr.{part} is the same address as the primary's; a restore test there would destroy production"
                    )
        return self

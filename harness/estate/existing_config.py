"""The tables of `estate.toml` for what stands already, and what all its tables are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from harness.core.node import Address
from harness.s3.client import REGION

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
LAST_PORT = 65535


def beside(value: Path, info: ValidationInfo) -> Path:
    """Return a path of the file made absolute: it is meant from the folder in which the file lies."""
    return Path((info.context or {}).get("folder", "."), value).absolute()


def endpoint(value: object, _inner: ValidatorFunctionWrapHandler) -> Address:
    """Return `HOST:PORT`, or what is an address already, as an address; raises ValueError."""
    if isinstance(value, Address):
        return value
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not host or not port.isdigit() or not 0 < int(port) <= LAST_PORT:
        raise ValueError(f"{value!r} is not an address; write HOST:PORT")
    return Address(host, int(port))


Beside = Annotated[Path, AfterValidator(beside)]
Endpoint = Annotated[Address, WrapValidator(endpoint)]
Workload = Annotated[str, Field(pattern=r"^(deployment|statefulset)/[a-z0-9][a-z0-9.-]*$")]


class Table(BaseModel):
    """A table of the file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClusterTable(Table):
    """A cluster that a site stands in. `kubeconfig`: "" for the account that a pod runs as.

    `workloads`: node -> `statefulset/NAME` or `deployment/NAME`, started and ended by its number of replicas.
    """

    kubeconfig: str = ""
    context: str = ""
    namespace: str = "dr"
    workloads: dict[Name, Workload] = {}


class ExistingSiteTable(Table):
    """A site that stands already: where it answers, and the folders of its secrets and volumes on this machine.

    `services`: where those services answer that no workload of a cluster is named for. They are yours to start when a
    restore drill asks for them, and to end after it.
    """

    sql: Endpoint
    s3: Endpoint
    secrets: Beside
    volumes: dict[Name, Beside] = {}
    gateway: Endpoint | None = None
    services: dict[Name, Endpoint] = {}
    cluster: ClusterTable | None = None


class ExistingOffsiteTable(Table):
    """An offsite repository that stands already; nothing is written to it when it is `read_only`.

    `tls`: whether it is spoken to by https, its certificate checked.
    """

    s3: Endpoint
    bucket: str = "backups"
    secrets: Beside
    read_only: bool = True
    tls: bool = True
    region: str = REGION


class ExistingTable(Table):
    """Sites that stand already. `targets`: the list of what may be drilled, without which nothing is."""

    targets: Annotated[Beside, Field(validate_default=True)] = Path("drill-targets.toml")
    primary: ExistingSiteTable | None = None
    dr: ExistingSiteTable | None = None
    offsite: ExistingOffsiteTable | None = None

    @model_validator(mode="after")
    def two_sites(self) -> ExistingTable:
        """Refuse a DR site that is the primary."""
        if self.primary and self.dr:
            for part in ("sql", "s3", "gateway"):
                theirs = getattr(self.primary, part)
                if theirs is not None and theirs == getattr(self.dr, part):
                    raise ValueError(f"dr.{part} is the primary's own; a drill on it would be its end")
        return self

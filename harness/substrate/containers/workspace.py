"""Workspace of a node or task that is a container: fixed paths, and the port numbers of its image."""

from collections.abc import Callable

from harness.core.node import Address, NodeSpec, Task, Volume
from harness.images.table import port_numbers
from harness.substrate.common.workspace import Workspace

VOLUMES, FILES, TMP = "/volumes", "/files", "/tmp"  # noqa: S108 - in the container, in memory
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of the container's own network
BASE = {"HOME": TMP, "LANG": "C.UTF-8", "TZ": "UTC"}


def workspace_of(spec: NodeSpec | Task, name: str = "") -> Workspace:
    """Return the workspace of a node or task in its container, under its own name or the one given."""
    numbers = port_numbers(spec.image, spec.ports) if isinstance(spec, NodeSpec) else {}
    ports = {port: Address(EVERYWHERE, number) for port, number in numbers.items()}
    return Workspace(name or spec.name, spec, ports, FILES, lambda volume: f"{VOLUMES}/{volume}", BASE)


def working_folder(spec: NodeSpec | Task) -> str | None:
    """Return the folder in which a container starts: its first volume, None without a volume."""
    return f"{VOLUMES}/{spec.volumes[0]}" if spec.volumes else None


def write_first_files(spec: NodeSpec, volume_of: Callable[[str], Volume]) -> None:
    """Write the first files of a node into its first volume, if that is empty. Raises OSError, HarnessError."""
    if not spec.first_files:
        return
    volume, workspace = volume_of(spec.volumes[0]), workspace_of(spec)
    if any(volume.walk()):
        return
    for path, text in spec.first_files.items():
        with volume.open(path, "wb") as file:
            file.write(workspace.text(text).encode())

"""What one node or task finds in its container: paths, addresses, files, environment; placeholders filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.core.node import NodeSpec, Task, Volume
from harness.core.render import render
from harness.images.table import port_numbers
from harness.substrate.common.names import parts_of
from harness.vault import read_text_secret

VOLUMES, FILES, TMP = "/volumes", "/files", "/tmp"  # noqa: S108 - in the container, in memory
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of the container's own network


@dataclass(frozen=True, slots=True)
class Shell:
    """The surroundings of one node or task in a container. Same names as `embedded.workspace.Room` has."""

    name: str
    image: str
    ports: Mapping[str, int]
    files: Mapping[str, str]
    secrets: Mapping[str, str]
    env: Mapping[str, str]
    volumes: tuple[str, ...]

    @classmethod
    def of(cls, spec: NodeSpec | Task, name: str = "") -> Shell:
        """Return the surroundings of a node or a task, under its own name or the one given."""
        ports = port_numbers(spec.image, spec.ports) if isinstance(spec, NodeSpec) else {}
        return cls(name or spec.name, spec.image, ports, spec.files, spec.secrets, spec.env, spec.volumes)

    def arguments(self, argv: Iterable[str]) -> list[str]:
        """Return a command with its placeholders filled in; raises HarnessError for a secret in it."""
        plain = {kind: find for kind, find in self._look_up().items() if kind != "secret"}
        return [render(argument, plain) for argument in argv]

    def environment(self) -> dict[str, str]:
        """Return its environment, filled in: what is said, over a little of our own. Raises HarnessError."""
        look = self._look_up()
        little = {"HOME": TMP, "LANG": "C.UTF-8", "TZ": "UTC"}
        return little | {name: render(value, look) for name, value in self.env.items()}

    def text(self, text: str) -> str:
        """Return `text` with its placeholders filled in."""
        return render(text, self._look_up())

    def contents(self) -> dict[str, str]:
        """Return the text of each of its files, filled in, by name. Raises UsageError, HarnessError."""
        for name in self.files:
            parts_of(f"the files of {self.name}", name)
        return {name: self.text(text) for name, text in self.files.items()}

    @property
    def folder(self) -> str | None:
        """Where it starts: in its first volume, if it has one."""
        return f"{VOLUMES}/{self.volumes[0]}" if self.volumes else None

    def _look_up(self) -> dict[str, Callable[[str], str]]:
        def file(name: str) -> str:
            if name not in self.files:
                raise KeyError(name)
            return f"{FILES}/{name}"

        def bind(name: str) -> str:
            return EVERYWHERE if self.ports[name] else ""

        return {
            "port": lambda name: str(self.ports[name]),
            "bind": bind,
            "volume": lambda name: f"{VOLUMES}/{name}",
            "file": file,
            "secret": lambda name: read_text_secret(self.secrets[name]),
        }


def write_first_files(spec: NodeSpec, volume_of: Callable[[str], Volume]) -> None:
    """Put a node's first files into its first volume, if that is empty. Raises OSError, HarnessError."""
    if not spec.first_files:
        return
    volume, shell = volume_of(spec.volumes[0]), Shell.of(spec)
    if any(volume.walk()):
        return
    for path, text in spec.first_files.items():
        with volume.open(path, "wb") as file:
            file.write(shell.text(text).encode())

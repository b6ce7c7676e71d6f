"""Workspace of a node or task: its paths, ports, secrets and environment, and its placeholders filled in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from harness.core.node import Address, NodeSpec, Task
from harness.core.render import SECRET, render
from harness.substrate.common.filesystem import parts_of
from harness.vault import for_password_file, read_text_secret


@dataclass(frozen=True, slots=True)
class Workspace:
    """What the placeholders of one spec stand for on one site.

    `ports`: where it listens, as it sees it itself; `home`: folder of its files; `volume`: name -> path; `base`: the
    environment that the substrate gives it, which its spec may override.
    """

    name: str
    spec: NodeSpec | Task
    ports: Mapping[str, Address]
    home: str
    volume: Callable[[str], str] = field(repr=False)
    base: Mapping[str, str] = field(default_factory=dict)

    def arguments(self, argv: Iterable[str]) -> list[str]:
        """Return a command with its placeholders filled in; raises HarnessError for a secret in it."""
        public = {kind: find for kind, find in self._look_up().items() if kind not in SECRET}
        return [render(argument, public) for argument in argv]

    def environment(self) -> dict[str, str]:
        """Return its environment, filled in. Raises HarnessError, UsageError."""
        return {**self.base, **{name: self.text(value) for name, value in self.spec.env.items()}}

    def contents(self) -> dict[str, str]:
        """Return the text of each of its files, filled in, by name. Raises HarnessError, UsageError."""
        for name in self.spec.files:
            self._file(name)  # refuses a name that leads out of the folder
        return {name: self.text(text) for name, text in self.spec.files.items()}

    def text(self, text: str) -> str:
        """Return `text` with its placeholders filled in. Raises HarnessError, UsageError."""
        return render(text, self._look_up())

    def _file(self, name: str) -> str:
        if name not in self.spec.files:
            raise KeyError(name)
        return "/".join((self.home, *parts_of(f"files of {self.name}", name)))

    def _look_up(self) -> dict[str, Callable[[str], str]]:
        return {
            "port": lambda name: str(self.ports[name].port),
            "bind": lambda name: self.ports[name].host,
            "volume": self.volume,
            "file": self._file,
            "secret": lambda name: read_text_secret(self.spec.secrets[name]),
            "pgpass": lambda name: for_password_file(self.spec.secrets[name]),
        }

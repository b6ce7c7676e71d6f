"""What one node or task finds around it: its folder, its files, its environment; placeholders filled in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core.node import Address
from harness.core.render import render
from harness.substrate.common.filesystem import make_folder
from harness.substrate.common.names import parts_of, plain
from harness.substrate.embedded.process_tree import NODE_TAG, RUN_TAG, Owner
from harness.vault import read_text_secret


@dataclass(frozen=True, slots=True)
class Room:
    """The surroundings of one node or task. `site` is the site's folder; `name` the node's, or `task-number`."""

    site: Path
    name: str
    owner: Owner
    files: Mapping[str, str]
    secrets: Mapping[str, str]
    ports: Mapping[str, Address]

    @property
    def home(self) -> Path:
        """The node's own folder: where it starts, and where its files lie. Made when it is not there."""
        return make_folder(self.site / "files" / self.name)

    def volume(self, name: str) -> Path:
        """The folder of a volume of the site, made when it is not there."""
        return volume_folder(self.site, name)

    def arguments(self, argv: Iterable[str]) -> tuple[str, ...]:
        """Return a command with its placeholders filled in; raises HarnessError for a secret in it."""
        plain = {kind: find for kind, find in self._look_up().items() if kind != "secret"}
        return tuple(render(argument, plain) for argument in argv)

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment: little more than `env`, and the tags that a sweep looks for."""
        look = self._look_up()
        little = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "TMPDIR": str(make_folder(self.site / "tmp")),
        }
        tags = {RUN_TAG: str(self.owner.run), NODE_TAG: self.owner.name}
        return little | {name: render(value, look) for name, value in env.items()} | tags

    def text(self, text: str) -> str:
        """Return `text` with its placeholders filled in."""
        return render(text, self._look_up())

    def write_files(self) -> None:
        """Write the node's files, each 0600, filled in."""
        look = self._look_up()
        for name, text in self.files.items():
            path = self._file(name)
            make_folder(path.parent)
            filled = render(text, look)
            path.touch(mode=0o600)
            path.chmod(0o600)  # what was there may have another mode
            path.write_text(filled, encoding="utf-8")

    def _file(self, name: str) -> Path:
        return self.home.joinpath(*parts_of(f"the files of {self.name}", name))

    def _look_up(self) -> dict[str, Callable[[str], str]]:
        def file(name: str) -> str:
            if name not in self.files:
                raise KeyError(name)
            return str(self._file(name))

        return {
            "port": lambda name: str(self.ports[name].port),
            "bind": lambda name: self.ports[name].host,
            "volume": lambda name: str(self.volume(name)),
            "file": file,
            "secret": lambda name: read_text_secret(self.secrets[name]),
        }


def volume_folder(site: Path, name: str) -> Path:
    """Return the folder of a volume of the site whose folder is `site`, made when it is not there."""
    return make_folder(site / "volumes" / plain("volume", name))

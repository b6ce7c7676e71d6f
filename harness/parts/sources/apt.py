"""Debian packages, fetched by apt with lists and cache of our own: signatures checked, the system left alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError, MissingPart
from harness.parts.command import environment, run
from harness.patience import PATIENCE

_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class AptRoot:
    """A folder that apt uses in place of the system's: `options` say so to every command."""

    folder: Path
    options: tuple[str, ...]


def has_apt() -> bool:
    """Return whether this machine has apt-get and dpkg."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def open_root(folder: Path, *, suite: str = "") -> AptRoot:
    """Make an apt root in `folder`, read its lists, and return it.

    With `suite`, its only source is that suite of the Debian mirror that this machine already uses, and nothing
    counts as installed; without, the sources and the installed packages are the machine's.
    Raises MissingPart where there is no apt-get or no Debian mirror, HarnessError as apt says.
    """
    if not has_apt():
        raise MissingPart("apt-get: not on this machine; use Debian or Ubuntu, or `--substrate=docker`")
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    options = [
        f"Dir::State::lists={folder}/lists",
        f"Dir::Cache={folder}/cache",
        "Acquire::Languages=none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        "APT::Sandbox::User=",  # the folder may be one that the user _apt cannot enter
    ]
    if suite:
        mirror = _mirror()
        (folder / "status").touch()
        (folder / "sources.list").write_text(f"deb [signed-by={_KEYS}] {mirror} {suite} main\n", encoding="utf-8")
        options += [
            f"Dir::State::status={folder}/status",
            f"Dir::Etc::sourcelist={folder}/sources.list",
            "Dir::Etc::sourceparts=-",
        ]
    root = AptRoot(folder, tuple(word for option in options for word in ("-o", option)))
    run(["apt-get", *root.options, "-qq", "update"], env=environment(LC_ALL="C"), patience=PATIENCE.part_install)
    return root


def would_install(root: AptRoot, package: str) -> tuple[str, ...]:
    """Return `package` and what it needs that this machine has not."""
    said = run(
        ["apt-get", *root.options, "install", "-s", "--no-install-recommends", package],
        env=environment(LC_ALL="C"), patience=PATIENCE.part_install,
    )  # fmt: skip
    lines = [line.split() for line in said.splitlines() if line.startswith("Inst ")]
    return tuple(dict.fromkeys([package, *(words[1] for words in lines)]))


def download(root: AptRoot, into: Path, *packages: str) -> tuple[Path, ...]:
    """Download the newest of each package into a folder, and return the files. Raises HarnessError as apt says."""
    into.mkdir(parents=True, exist_ok=True)
    run(
        ["apt-get", *root.options, "-qq", "download", *packages],
        cwd=into,
        env=environment(LC_ALL="C"),
        patience=PATIENCE.part_install,
    )
    return tuple(_file_of(into, package) for package in packages)


def version_of(deb: Path) -> str:
    """Return the version that a .deb says it is of."""
    return run(["dpkg-deb", "--field", str(deb), "Version"], patience=PATIENCE.part_install).strip()


def unpack(deb: Path, into: Path) -> None:
    """Unpack a .deb's files into a folder."""
    run(["dpkg-deb", "--extract", str(deb), str(into)], patience=PATIENCE.part_install)


def _file_of(folder: Path, package: str) -> Path:
    for file in folder.glob(f"{package}_*.deb"):
        return file
    raise HarnessError(f"{package}: apt-get download left no file in {folder}")


def _mirror() -> str:
    if not _KEYS.is_file():
        raise MissingPart(f"odoo: no {_KEYS}; `apt-get install debian-archive-keyring`, or use `--substrate=docker`")
    said = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], patience=PATIENCE.part_install)
    mirrors = sorted({line for line in said.split() if "security" not in line})
    for mirror in sorted(mirrors, key=lambda line: not line.rstrip("/").endswith("debian")):
        return mirror
    raise MissingPart("odoo: no Debian mirror among this machine's apt sources; use Debian, or `--substrate=docker`")

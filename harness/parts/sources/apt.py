"""Debian packages, downloaded by apt with verified signatures into separate folders, without changing the system."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError, MissingPart
from harness.parts.command import environment, run
from harness.patience import PATIENCE

_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class AptRoot:
    """A folder for apt's lists and cache. `options`: arguments that make apt use it."""

    folder: Path
    options: tuple[str, ...]


def has_apt() -> bool:
    """Return whether this machine has apt-get and dpkg."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def open_root(folder: Path, *, suite: str = "") -> AptRoot:
    """Create an updated apt root: of the machine, or of that suite alone. Raises MissingPart, HarnessError."""
    if not has_apt():
        raise MissingPart("apt-get: not found; use Debian or Ubuntu, or `--substrate=docker`")
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    options = [
        f"Dir::State::lists={folder}/lists",
        f"Dir::Cache={folder}/cache",
        "Acquire::Languages=none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        "APT::Sandbox::User=",  # the user _apt may have no access to the folder
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
    """Return `package` and those of its dependencies that are not installed. Raises HarnessError."""
    said = run(
        ["apt-get", *root.options, "install", "-s", "--no-install-recommends", package],
        env=environment(LC_ALL="C"), patience=PATIENCE.part_install,
    )  # fmt: skip
    lines = [line.split() for line in said.splitlines() if line.startswith("Inst ")]
    return tuple(dict.fromkeys([package, *(words[1] for words in lines)]))


def download(root: AptRoot, into: Path, *packages: str) -> tuple[Path, ...]:
    """Download the newest version of each package into a folder, and return the files. Raises HarnessError."""
    into.mkdir(parents=True, exist_ok=True)
    run(
        ["apt-get", *root.options, "-qq", "download", *packages],
        cwd=into,
        env=environment(LC_ALL="C"),
        patience=PATIENCE.part_install,
    )
    return tuple(_file_of(into, package) for package in packages)


def version_of(deb: Path) -> str:
    """Return the version of a .deb file. Raises HarnessError."""
    return run(["dpkg-deb", "--field", str(deb), "Version"], patience=PATIENCE.part_install).strip()


def unpack(deb: Path, into: Path) -> None:
    """Unpack a .deb file into a folder. Raises HarnessError."""
    run(["dpkg-deb", "--extract", str(deb), str(into)], patience=PATIENCE.part_install)


def _file_of(folder: Path, package: str) -> Path:
    for file in folder.glob(f"{package}_*.deb"):
        return file
    raise HarnessError(f"{package}: apt-get download left no file in {folder}")


def _mirror() -> str:
    if not _KEYS.is_file():
        raise MissingPart(f"{_KEYS}: missing; `apt-get install debian-archive-keyring`, or use `--substrate=docker`")
    said = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], patience=PATIENCE.part_install)
    mirrors = sorted({line for line in said.split() if "security" not in line})
    for mirror in sorted(mirrors, key=lambda line: not line.rstrip("/").endswith("debian")):
        return mirror
    raise MissingPart("apt: no Debian mirror in this machine's sources; use Debian, or `--substrate=docker`")

"""A built wheel, unpacked: what an installation has, without the time of one. And the checkout, copied."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCKER = """
from functools import partial
from importlib.machinery import PathFinder

find = PathFinder.find_spec

def find_other(name, path=None, target=None):
    return None if name.partition(".")[0] in {blocked!r} else find(name, path, target)

PathFinder.find_spec = partial(find_other)  # pytest keeps it as an attribute of a class, where a function would bind
"""


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout and return it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel, as an installation does, and return the folder that stands for site-packages."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


def block(folder: Path, *packages: str) -> Path:
    """Return a folder that keeps these packages from being imported where it is on the path: they are not installed."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKER.format(blocked=set(packages)))
    return folder


def run(code: str, *words: str, at: Path, path: tuple[Path, ...], **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these folders first on its path, in folder `at`, with nothing of the checkout's."""
    command = [sys.executable, "-P", "-c", code, *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))} | env
    return subprocess.run(
        command, cwd=at, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def blackstart(*words: str, at: Path, path: tuple[Path, ...], **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return run("from harness.cli import main; main()", *words, at=at, path=path, **env)


def pytest_run(*words: str, at: Path, path: tuple[Path, ...], **env: str) -> subprocess.CompletedProcess[str]:
    """Run pytest, as its own command does: the folder that it is run in is not on Python's path."""
    return run("import sys, pytest; sys.exit(pytest.console_main())", *words, at=at, path=path, **env)


def copy_checkout(folder: Path) -> Path:
    """Copy the files of this checkout that git knows or would add, and return the folder."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder

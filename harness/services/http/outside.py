"""Paths outside its volumes that a declared program may write to: sites that share a file system would share them."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Where the folders of a program are, from its site's folder; its working folder is that of its files.
FOLDERS = {"volume": "volumes/", "file": "files/own/"}
PLACED = re.compile(r"@\{(\w+):([^}]*)\}")
ADDRESS = re.compile(r"\w[\w+.-]*://[^/\s'\"][^\s'\"]*")  # a URL with a host: no path of this machine
# Variables that name folders of programs, which are read.
SEARCHED = frozenset(
    ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "NODE_PATH", "LD_LIBRARY_PATH", "CLASSPATH", "JAVA_HOME")
)
# Folders of the system, which hold no data of a service by the Filesystem Hierarchy Standard; root may write to them.
SYSTEM = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/boot", "/proc", "/sys", "/nix")))
TEXT = r"[^\s:;,'\"=|&<>()`]*"
ABSOLUTE = re.compile(rf"(?:(?<![\w.~/-])|(?<=(?<![\w-])-\w))/{TEXT}")  # the second after an option: `-d/srv`
LEADS_UP = re.compile(rf"(?<![\w./-])[\w./-]*\.\./{TEXT}|(?<![\w./-])[\w./-]*/?\.\.(?![\w.])")


def outside(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield `KEY: PATH` for each path in command and environment that its program could write to, outside its volumes.

    The program itself, files that are whole words of the command, and search paths are its code: they are left out.
    """
    for word in command[1:]:
        if not Path(word).is_file():
            yield from (f"command: {path}" for path in paths_in(word) if writable(path))
    for name, value in environment.items():
        if name in SEARCHED:
            continue
        yield from (f"environment.{name}: {path}" for path in paths_in(value) if writable(path))


def paths_in(text: str) -> tuple[str, ...]:
    """Return the paths in a word, a value, a list or a line for a shell that are absolute or lead out of the site."""
    if text.startswith("/") and Path(text).exists():
        return (text,)  # with blanks in it, perhaps
    left = ADDRESS.sub(" ", PLACED.sub(_placed, text))
    absolute = (f"/{found.strip('/')}" for found in ABSOLUTE.findall(left))
    upwards = (found for found in LEADS_UP.findall(left) if not found.startswith("/") and _leads_out(found))
    return tuple(dict.fromkeys((*absolute, *upwards)))


def _placed(found: re.Match[str]) -> str:
    kind, name = found.groups()
    return f"../../{FOLDERS[kind]}{name}" if kind in FOLDERS else "own"


def _leads_out(path: str) -> bool:
    return os.path.normpath(f"{FOLDERS['file']}{path}").startswith("..")


def writable(path: str) -> bool:
    """Return whether this user may write a file or folder, or make it.

    A path that leads out of its site counts, `/` and the system's folders do not.
    """
    if not path.startswith("/"):
        return True
    found = Path(path)
    if path == "/" or any(found.is_relative_to(folder) for folder in SYSTEM):
        return False
    if found.exists():
        return (found.is_dir() or found.is_file()) and os.access(found, os.W_OK)
    return next(os.access(above, os.W_OK) for above in found.parents if above.exists())

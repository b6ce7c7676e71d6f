"""Installer of parts, each once, in parallel, into the shared cache: `python -m harness.parts.install [name ...]`."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.parts.cache import cache_home, obtain, version_in
from harness.parts.recipes import recipe, where
from harness.parts.table import PARTS, part

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed part: its version, its folder, the seconds it took, whether it was installed now."""

    name: str
    version: str
    folder: Path
    seconds: float
    fresh: bool


def ensure(name: str) -> Path:
    """Return a part's folder, installed if need be. Raises MissingPart for an unknown part, HarnessError."""
    folder, _ = _ensure(name)
    return folder


def install(names: Sequence[str] | None = None, say: Callable[[str], None] = lambda _: None) -> tuple[Installed, ...]:
    """Install what is missing of `names`, else of all; return their entries. Raises HarnessError, one line each."""
    asked = [part(name).name for name in names] if names else [one.name for one in PARTS]
    longest_first = sorted(asked, key=lambda name: -recipe(name).seconds)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="part") as pool:
        attempts = [(name, pool.submit(_timed, name, say)) for name in longest_first]
    failed = [str(error) for _, attempt in attempts if (error := attempt.exception()) is not None]
    for _, attempt in attempts:
        error = attempt.exception()
        if error is not None and not isinstance(error, HarnessError):
            raise error
    if failed:
        raise HarnessError("\n".join(failed))
    return tuple(attempt.result() for _, attempt in attempts)


def _timed(name: str, say: Callable[[str], None]) -> Installed:
    begun = SYSTEM.monotonic()
    try:
        folder, fresh = _ensure(name)
    except HarnessError as error:
        message = str(error) if str(error).startswith(f"{name}:") else f"{name}: {error}"
        raise type(error)(message) from error
    done = Installed(name, version_in(folder), folder, SYSTEM.monotonic() - begun, fresh)
    if fresh:
        say(f"{done.name} {done.version}: installed in {done.seconds:.1f} s")
    return done


def _ensure(name: str) -> tuple[Path, bool]:
    how = recipe(name)
    folder = where(name)
    if folder.is_dir():
        return folder, False
    for need in how.needs:
        ensure(need)
    return folder, obtain(folder, lambda empty: how.build(part(name), empty))


def _say(line: str) -> None:
    sys.stderr.write(f"setup: {line}\n")


def main(argv: Sequence[str]) -> int:
    """Install the named parts, all when none is named; returns the exit code: 0, or 3 when a part is missing."""
    try:
        if missing := [name for name in argv or (one.name for one in PARTS) if not where(name).is_dir()]:
            _say(f"installing {', '.join(missing)} into {cache_home()}; the first time it takes minutes")
        install(argv or None, say=_say)
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

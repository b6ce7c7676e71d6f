"""PostgreSQL's own programs of one major version, run on a data folder of this machine."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import MissingPart, RestoreFailed
from harness.parts.programs import client_programs
from harness.substrate.embedded.spawn import wrapper

# What a restore runs, and since which major it is there.
NEEDED = {"pg_controldata": 0, "pg_verifybackup": 0, "pg_checksums": 0, "pg_combinebackup": 17}

# Where the C library finds locales that are not in the system's own place: the preflight asks it for them here.
LOCALES = ("LOCPATH", "LOCALE_ARCHIVE")


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs of one major version. `tags`: variables by which a sweep finds what they start."""

    folder: Path
    major: int
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def lacking(self) -> tuple[str, ...]:
        """Return which programs of a restore are not in the folder."""
        needed = [name for name, since in NEEDED.items() if since <= self.major]
        return tuple(name for name in needed if not (self.folder / name).is_file())

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of a program."""
        places = {name: os.environ[name] for name in LOCALES if name in os.environ}
        return {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath), **places, **self.tags}

    def end(
        self, name: str, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end and return how it ended. `variables`: more for its environment."""
        return subprocess.run(
            [*wrapper(), str(self.folder / name), *arguments],
            env={**self.environment, **(variables or {})},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip

    def run(self, name: str, *arguments: str) -> str:
        """Return the output of a program; raises RestoreFailed with its last line unless it exits with 0."""
        done = self.end(name, *arguments)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise RestoreFailed(f"{name}: {said[-1] if said else f'exit code {done.returncode}'}")
        return done.stdout


def programs_of(major: int, tags: Mapping[str, str] | None = None) -> Programs:
    """Return the programs of exactly that major version. Raises MissingPart with the remedy."""
    for found in client_programs():
        if found.major == major and Path(found.folder, "postgres").is_file():
            return Programs(Path(found.folder), major, tags or {})
    raise MissingPart(
        f"postgres of PostgreSQL {major} is missing: a physical backup starts with the same major version only; "
        "install it, or name its folder in BLACKSTART_PG_BIN"
    )

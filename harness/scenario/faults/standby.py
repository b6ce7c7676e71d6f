"""Faults of the warm standby: it is fed no more, or its data are damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.core.errors import HarnessError
from harness.physical.standby.standby import Standby
from harness.scenario.faults.fault import Fault, Scene, When
from harness.substrate.embedded.process_tree import end_all

STANDBY = "the standby"
PAGE = 8192  # bytes
TEMPLATE0 = "4"  # its OID, since PostgreSQL 15


def _standby(scene: Scene) -> Standby:
    if (found := scene.environment.standby) is None:
        raise HarnessError('this estate has no standby; write strategy = "warm" under [sites.dr]')
    return found


def _table(scene: Scene) -> Path:
    """Return the largest file of template0 in the standby's data.

    Nobody writes to it. A table that autovacuum changes on the primary is put right by the WAL, which has whole pages.
    """
    files = (path for path in (_standby(scene).folder.data / "base" / TEMPLATE0).glob("*") if path.name.isdigit())
    return max(files, key=lambda path: (path.stat().st_size, path.name))


def kill_follower(scene: Scene) -> None:
    """SIGKILL the follower and the server of the standby."""
    end_all((), _standby(scene).owner)


def flip_bit(scene: Scene) -> None:
    """Flip one bit in the middle of a page that nobody writes to."""
    path = _table(scene)
    with path.open("r+b") as file:
        at = path.stat().st_size // PAGE // 2 * PAGE + PAGE // 2
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def followed(scene: Scene) -> bool:
    """Return whether a follower has the lock of the standby."""
    return _standby(scene).folder.followed


def data_digest(scene: Scene) -> str:
    """Return the SHA-256 of the file that it changes."""
    return hashlib.sha256(_table(scene).read_bytes()).hexdigest()


FAULTS = (
    Fault("the death of its follower", When.NOW, kill_follower, None, followed, target=STANDBY),
    Fault("a flipped bit in its data", When.NOW, flip_bit, None, data_digest, target=STANDBY),
)

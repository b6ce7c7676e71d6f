"""A data folder that was started as a second primary on the timeline of the promoted server."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import Refused, RestoreFailed
from harness.core.journal import MemoryJournal
from harness.physical.standby.rewind import rewind
from tests.physical.test_rewind import Parted, await_rows, parted, passfile, rows, stop
from tests.physical.test_rewind_files import follows, rewound

__all__ = ["parted", "passfile"]


def started_alone(parted: Parted, passfile: Path, *statements: str) -> Path:
    """Return the folder of a rewound server that followed, and was started as a primary then; it is stopped."""
    folder = parted.use(parted.stopped)
    rewound(parted, passfile)
    follows(parted)
    stop(parted.old.db)
    (folder / "standby.signal").unlink()
    parted.old.db.node.start()
    assert parted.old.db.one("postgres", "SELECT pg_is_in_recovery()") is False
    for statement in statements:
        parted.old.db.execute("postgres", statement)
    stop(parted.old.db)
    return folder


def write(parted: Parted, row: int) -> None:
    parted.promoted.execute("postgres", f"INSERT INTO kept SELECT {row}")


@pytest.mark.night
def test_it_is_refused_with_what_it_alone_has(parted: Parted, passfile: Path) -> None:
    """Whether the promoted server has written more meanwhile or less."""
    said = r"was started as a primary on timeline 2, that of the promoted server, which lacks WAL from .* to .*, "
    started_alone(parted, passfile, "INSERT INTO kept VALUES (200)", "INSERT INTO kept VALUES (201)")
    with pytest.raises(Refused, match=f"{said}in which 2 transactions committed, from .*; restore a base backup"):
        parted.plan()
    for row in range(10, 60):
        write(parted, row)
    with pytest.raises(Refused, match=f"{said}in which 2 transactions committed"):
        parted.plan()


@pytest.mark.night
def test_one_that_only_started_is_refused_too(parted: Parted, passfile: Path) -> None:
    """It wrote a checkpoint, after which it cannot stream."""
    started_alone(parted, passfile)
    with pytest.raises(Refused, match="of timeline 2, in which no transaction committed; pg_rewind cannot"):
        parted.plan()
    write(parted, 60)
    with pytest.raises(Refused, match="of timeline 2, in which no transaction committed; pg_rewind cannot"):
        parted.plan()


@pytest.mark.night
def test_a_standby_that_is_behind_is_no_second_primary(parted: Parted, passfile: Path) -> None:
    folder = parted.use(parted.stopped)
    rewound(parted, passfile)
    follows(parted)
    parted.old.db.node.kill()
    write(parted, 70)
    assert parted.plan().followed
    (folder / "standby.signal").unlink()
    plan = parted.plan()
    assert (plan.own, plan.followed) == (None, False)  # it would start as a primary: it is told to follow
    rewind(plan, None, passfile, MemoryJournal())
    parted.old.db.node.start()
    await_rows(parted, rows(parted.promoted))


@pytest.mark.night
def test_where_its_wal_cannot_be_compared_that_is_said(parted: Parted, passfile: Path) -> None:
    """The promoted server has removed it since, and shipped nothing."""
    started_alone(parted, passfile, "INSERT INTO kept VALUES (300)")
    for row in range(80, 82):
        write(parted, row)
        parted.promoted.execute("postgres", "SELECT pg_switch_wal()", "CHECKPOINT")
    said = (
        r"pg_wal: whether the server took writes of its own on timeline 2 cannot be told: WAL 0000000\w+ is neither on"
    )
    with pytest.raises(RestoreFailed, match=said):
        parted.plan()

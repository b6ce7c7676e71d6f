"""No server starts on a data folder while it is rewound, and after the rewind was killed or failed half-way."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from harness.core.errors import Refused, RestoreFailed
from harness.physical.programs import programs_of
from tests.physical.test_rewind import Parted, parted, passfile, stop
from tests.physical.test_rewind_files import KEPT, contents, follows, killed, rewound

__all__ = ["parted", "passfile"]
OWNER = 0o700


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def starts(folder: Path, tmp_path: Path) -> str:
    """Return why no server starts on a folder, with a configuration that is right."""
    config = tmp_path / "config"
    config.write_text("listen_addresses = ''\nport = 54999\n")
    words = (
        "-D",
        str(folder),
        "-c",
        f"config_file={config}",
        "-c",
        "hba_file=",
        "-c",
        f"unix_socket_directories={tmp_path}",
    )
    done = programs_of(18).end("postgres", *words)
    assert done.returncode
    return done.stderr


def test_none_starts_after_a_rewind_that_failed_half_way(parted: Parted, passfile: Path, tmp_path: Path) -> None:
    folder = parted.use(parted.stopped)
    locked = sorted((folder / "base/5").iterdir())
    for path in locked:
        path.chmod(0o400)
    with pytest.raises(RestoreFailed, match="no server can be started on it, by its mode, before a rewind has ended"):
        rewound(parted, passfile)
    assert "has invalid permissions" in starts(folder, tmp_path)
    for path in locked:
        path.chmod(0o600)
    rewound(parted, passfile)
    assert mode(folder) == OWNER
    follows(parted)


@pytest.mark.night
def test_none_starts_between_the_control_file_and_standby_signal(
    parted: Parted, passfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = parted.use(parted.crashed)
    killed(monkeypatch, "harness.physical.standby.aside.Aside.put_back", lambda: rewound(parted, passfile))
    (folder / "standby.signal").unlink()  # what pg_rewind writes last
    assert "has invalid permissions" in starts(folder, tmp_path)
    assert parted.plan().unfinished
    rewound(parted, passfile)
    assert mode(folder) == OWNER
    follows(parted)


CASES = [
    ("_config", lambda *_words: "nonsense = 1\n", "its crash recovery failed: .* contains errors$"),
    ("BAR", None, r"data: Not yours: its mode cannot be changed, by which no server starts on it"),
    ("for_password_file", lambda _reference: "another", r"pg_rewind: .*; nothing was rewound$"),
]


@pytest.mark.parametrize(("name", "value", "said"), CASES, ids=[name for name, _, _ in CASES])
def test_the_mode_is_as_before_where_nothing_was_changed(
    parted: Parted, passfile: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, said: str
) -> None:
    folder = parted.use(parted.crashed)
    before = contents(folder)
    monkeypatch.setattr(f"harness.physical.standby.rewind.{name}", value or Unsettable())
    with pytest.raises(RestoreFailed, match=said):
        rewound(parted, passfile)
    assert (contents(folder), mode(folder)) == (before, OWNER)
    assert not (folder.parent / KEPT).exists()


class Unsettable:
    """A bit of a mode that cannot be set."""

    def __ror__(self, _mode: int) -> int:
        raise PermissionError(1, "Not yours")

    def __rand__(self, _mode: int) -> int:
        return 0


@pytest.mark.night
def test_a_rewind_that_did_not_end_is_no_standby_when_its_files_were_moved_away(parted: Parted, passfile: Path) -> None:
    """It said "nothing to rewind", and no server started on the folder."""
    folder = parted.use(parted.stopped)
    rewound(parted, passfile)
    folder.chmod(0o702)
    with pytest.raises(Refused, match=r"others may write to it, .* nothing of that rewind is in"):
        parted.plan()
    folder.chmod(OWNER)
    parted.plan()


@pytest.mark.night
def test_a_standby_whose_wal_cannot_be_read_is_not_called_one_that_follows(parted: Parted, passfile: Path) -> None:
    folder = parted.use(parted.stopped)
    rewound(parted, passfile)
    follows(parted)
    stop(parted.old.db)
    assert parted.plan().followed
    for path in (folder / "pg_wal").glob("0000000*"):
        if "." not in path.name:
            path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(RestoreFailed, match=r"its WAL from .* on cannot be read; restore a base backup"):
        parted.plan()

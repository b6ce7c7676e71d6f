"""Files that are replaced whole, on a disk that has no room."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.regular_file import replace_file
from harness.repository.witness import FileWitness, Seen


@contextmanager
def without_room() -> Iterator[None]:
    """No file of this process grows meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_replaced_is_as_it_was_and_nothing_is_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    replace_file(file, b"before", 0o644)
    with without_room(), pytest.raises(OSError, match="File too large"):
        replace_file(file, b"after")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"before", 0o644)
    assert list(tmp_path.iterdir()) == [file]


def test_a_witness_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    """Each attempt left one of a random name: a receiver of WAL tells its witness once a minute."""
    witness = FileWitness(tmp_path / "witness.json")
    witness.write("shop", Seen())
    before = sorted(tmp_path.iterdir())
    with without_room(), pytest.raises(HarnessError, match=r"witness\.json: cannot be written .*make its folder"):
        witness.write("shop", Seen())
    assert sorted(tmp_path.iterdir()) == before

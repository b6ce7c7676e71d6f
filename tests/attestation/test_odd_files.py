"""Pipes, links and folders in the place of files, in folders that others may write to: named, and not waited for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.attestation.sign_off import signed_off_by
from harness.attestation.verify import verify
from harness.core.errors import HarnessError, Unreadable
from harness.evidence.format.chain import CHAIN, OPENED, add, read_chain
from harness.evidence.format.record_file import read_record
from harness.regular_file import read_regular
from harness.repository.witness import FileWitness, Seen
from tests.attestation.conftest import Sealed
from tests.attestation.test_verify import alone

pytestmark = [pytest.mark.attacks, pytest.mark.timeout(60)]
Make = Callable[[Path], object]
ODD: dict[str, Make] = {"a pipe": os.mkfifo, "a folder": Path.mkdir}
each = pytest.mark.parametrize("make", ODD.values(), ids=ODD)


@each
def test_a_witness_that_is_no_file_is_not_waited_for(tmp_path: Path, make: Make) -> None:
    """It lies beside the records: with a pipe in its place every recovery waited for ever."""
    make(tmp_path / "witness.json")
    with pytest.raises(HarnessError, match=r"witness.json: cannot be read \(is no regular file\)"):
        FileWitness(tmp_path / "witness.json").read("shop")


def test_a_witness_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / "witness.json").symlink_to("elsewhere")
    assert FileWitness(tmp_path / "witness.json").read("shop") == Seen()


@each
def test_a_chain_that_is_no_file_is_neither_read_nor_added_to(tmp_path: Path, make: Make) -> None:
    make(tmp_path / CHAIN)
    for use in (lambda: read_chain(tmp_path), lambda: add(tmp_path, OPENED, "a")):
        with pytest.raises(Unreadable, match=r"cannot be read \(is no regular file\); look who put it there"):
            use()


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_written_where_a_chain_leads_to(tmp_path: Path, there: bool) -> None:
    """Whoever drills would write to a file of theirs that somebody else chose."""
    outside, folder = tmp_path / "outside", tmp_path / "drills"
    folder.mkdir()
    if there:
        outside.write_bytes(b"")
    (folder / CHAIN).symlink_to(outside)
    for use in (lambda: read_chain(folder), lambda: add(folder, OPENED, "a")):
        with pytest.raises(Unreadable, match=r"cannot be read \(is a symbolic link\)"):
            use()
    assert outside.exists() is there
    assert not there or outside.read_bytes() == b""


@pytest.mark.damages_records
@each
def test_a_record_that_is_no_file_is_not_waited_for(tmp_path: Path, make: Make) -> None:
    make(tmp_path / "record.json")
    with pytest.raises(Unreadable, match=r"not a drill record \(is no regular file\)"):
        read_record(tmp_path)


@each
def test_a_sign_off_that_is_no_file_is_not_waited_for(sealed: Sealed, make: Make) -> None:
    make(sealed.folder / "sign-off-0.json")
    with pytest.raises(Unreadable, match=r"sign-off-0.json: not a sign-off \(.*is no regular file"):
        signed_off_by(sealed.folder)


def test_a_file_is_read_no_further_than_it_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(json.dumps("x" * 100).encode())
    assert len(read_regular(tmp_path / "file", 10)) == 10
    assert len(read_regular(tmp_path / "file")) == 102


def test_folders_deeper_than_any_path_are_refused_by_both(sealed: Sealed) -> None:
    here = os.open(sealed.folder / "logs", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        (refusal,) = verify(sealed.folder, [sealed.public]).refusals
        assert "the folders of the record cannot be listed" in refusal
        assert alone(sealed).stderr.startswith("REFUSED")
    finally:
        subprocess.run(["/bin/rm", "-rf", str(sealed.folder / "logs/deep")], check=True)

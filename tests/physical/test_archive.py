"""The reader of a base backup's archives: it reads what `tarfile` reads, in any chunks, and nothing malformed."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import RestoreFailed
from harness.physical.archive import BLOCK, members

SIZES = (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 70_000)


def archive() -> tuple[bytes, dict[str, bytes]]:
    """Return an archive with a folder, files and a link, and its files."""
    files = {f"base/{size}": os.urandom(size) for size in SIZES}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo("base")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("pg_tblspc/16384")
        link.type, link.linkname = tarfile.SYMTYPE, "/somewhere"
        tar.addfile(link)
    return out.getvalue(), files


BODY, FILES = archive()


def chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


@settings(max_examples=30, deadline=None)
@given(size=st.one_of(st.integers(1, 2000), st.integers(60_000, 200_000)))
def test_it_reads_what_tarfile_reads_in_any_chunks(size: int) -> None:
    with tarfile.open(fileobj=io.BytesIO(BODY)) as tar:
        known = [(one.name, one.type, one.size, one.offset_data) for one in tar]
    found = []
    for member in members("base.tar", chunks(BODY, size)):
        begin = member.end - member.info.size - -member.info.size % BLOCK
        if member.info.isreg():
            assert b"".join(member.content) == FILES[member.info.name]
        found.append((member.info.name, member.info.type, member.info.size, begin))
    assert found == known


def test_what_is_not_read_of_a_member_is_passed_over() -> None:
    names = [member.info.name for member in members("base.tar", chunks(BODY, 1000))]
    assert names == ["base", *FILES, "pg_tblspc/16384"]


def test_the_chunks_are_read_to_their_end() -> None:
    """There the digest of the whole is compared."""

    def all_of() -> Iterator[bytes]:
        yield from chunks(BODY, 100_000)
        raise OSError("read to the end")

    with pytest.raises(OSError, match="read to the end"):
        list(members("base.tar", all_of()))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "ends too early"),
        (BODY[:100], "ends too early"),
        (BODY[: 3 * BLOCK], "ends too early"),
        (BODY[: BODY.rindex(b"ustar")], "ends too early"),
        (BODY.rstrip(b"\0") + bytes(BLOCK) * 3 + b"x", "something follows its end"),
        (b"x" + BODY[1:], "bad checksum"),
        (BODY[:BLOCK] + b"\x81" * BLOCK + BODY[2 * BLOCK :], "bad checksum|invalid header"),
    ],
    ids=["nothing", "half a header", "within a file", "no end", "more", "a header altered", "no header"],
)
def test_a_malformed_archive_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(RestoreFailed, match=rf"base.tar: the archive is damaged \(.*({why})"):
        list(members("base.tar", chunks(body, 5000)))


def test_a_negative_size_is_refused() -> None:
    info = tarfile.TarInfo("base/1")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12  # -1 in the encoding of sizes over 8 GiB
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(RestoreFailed, match="a size of -1 bytes"):
        list(members("base.tar", (bytes(header),)))

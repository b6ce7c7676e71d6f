"""Archives that no backup writes: each is one line that says so, before anything large is read or written."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backup.archive import KEY, SMALL, Member
from harness.backup.tar import MOST_RECORDS
from harness.backup.unpack import unpack
from harness.core.contents import Missing, TreeFacts
from harness.core.errors import RestoreFailed
from harness.core.node import Readable

pytestmark = pytest.mark.attacks("R8")
END = bytes(1024)
MB = 1 << 20


def facts(files: int = 10, size: int = MB, **more: object) -> TreeFacts:
    return TreeFacts("files", files, size, "00", **more)  # type: ignore[arg-type]


@dataclass
class Target:
    """What was written, and how many bytes of the stream were asked for."""

    written: list[str] = field(default_factory=list)
    taken: int = 0

    def unpack(self, chunks: Iterator[bytes], expected: TreeFacts) -> None:
        def counted() -> Iterator[bytes]:
            for chunk in chunks:
                self.taken += len(chunk)
                yield chunk

        unpack("files", counted(), expected, self._write)

    def _write(self, member: Member, source: Readable) -> None:
        self.written.append(member.name)
        while source.read(MB):
            pass


def info(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, records: dict[str, str] | None = None) -> bytes:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.pax_headers = kind, size, records or {}
    return made.tobuf(tarfile.PAX_FORMAT)


def raw(kind: bytes, size: int) -> bytes:
    """A header of any kind and size, with its checksum."""
    made = tarfile.TarInfo("x")
    made.type, made.size = kind, size
    return made.tobuf(tarfile.GNU_FORMAT)


def records(text: bytes, name: str = "a") -> bytes:
    return raw(tarfile.XHDTYPE, len(text)) + text + bytes(-len(text) % 512) + info(name) + END


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (tarfile.CONTTYPE, "a contiguous file"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (tarfile.GNUTYPE_LONGNAME, "a long name of GNU"),
        (tarfile.GNUTYPE_LONGLINK, "a long link of GNU"),
        (tarfile.XGLTYPE, "a global header"),
        (b"Z", "no kind at all"),
    ],
)
def test_only_files_and_folders_are_unpacked(kind: bytes, what: str) -> None:
    target = Target()
    with pytest.raises(RestoreFailed, match=r"^files: x is neither a regular file nor a folder; use another backup$"):
        target.unpack(iter([raw(kind, 0) + END]), facts())
    assert target.written == [], what


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a/.", "..", ".", "a/", "nul\0", "n" * 200 + "/.."]
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_a_path_that_leaves_its_folder_is_refused(name: str, kind: bytes) -> None:
    if kind == tarfile.DIRTYPE and name == "a/":
        return  # a folder may have the slash
    target = Target()
    with pytest.raises(RestoreFailed, match=r"^files: .* is no path below its folder; use another backup$"):
        target.unpack(iter([info("x", kind, records={"path": name}) + END]), facts())
    assert target.written == []


def test_a_member_larger_than_the_manifest_is_refused_at_its_header() -> None:
    def bomb() -> Iterator[bytes]:
        yield info("zeros", size=700 * MB)
        for _ in range(700):
            yield bytes(MB)

    target = Target()
    tracemalloc.start()
    try:
        with pytest.raises(RestoreFailed, match="zeros of 734003200 bytes is more than the manifest has: 10 files"):
            target.unpack(bomb(), facts())
        assert tracemalloc.get_traced_memory()[1] < 16 * MB
    finally:
        tracemalloc.stop()
    assert target.taken < 4 * MB
    assert target.written == []


def test_a_member_that_the_backup_names_as_missing_is_passed_over_without_being_held() -> None:
    def large() -> Iterator[bytes]:
        yield info("gone", size=100 * MB)
        for _ in range(100):
            yield bytes(MB)
        yield END

    tracemalloc.start()
    try:
        target, expected = Target(), facts(0, 0, missing=(Missing("gone", "became shorter"),))
        with pytest.raises(RestoreFailed, match="0 files, 0 bytes restored"):
            target.unpack(large(), expected)  # its digest is made up
        assert tracemalloc.get_traced_memory()[1] < 16 * MB
    finally:
        tracemalloc.stop()
    assert target.written == []


def test_more_members_than_the_manifest_has_are_refused() -> None:
    target = Target()
    with pytest.raises(RestoreFailed, match="f3 of 0 bytes is more than the manifest has: 3 files"):
        target.unpack(iter([*(info(f"f{n}") for n in range(9)), END]), facts(3))


def test_many_small_members_cannot_exceed_the_size() -> None:
    names = [info(f"{n:02}", size=SMALL) for n in range(10)]
    with pytest.raises(RestoreFailed, match="03 of 262144 bytes is more"):
        Target().unpack((part for m in names for part in (m, bytes(SMALL))), facts(100, 3 * SMALL))


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("keys/1", "keys/1")])
def test_a_name_that_is_there_twice_is_refused(first: str, second: str) -> None:
    with pytest.raises(RestoreFailed, match="is in the archive twice; use another backup"):
        Target().unpack(iter([info(first), info(second), END]), facts())


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(RestoreFailed, match="files: key is in the archive twice"):
        Target().unpack(
            iter([info("keys/1", records={KEY: "key"}), info("keys/2", records={KEY: "key"}), END]), facts()
        )


def test_an_object_that_is_a_folder_is_refused() -> None:
    with pytest.raises(RestoreFailed, match=r"^files: a is a folder and an object; use another backup$"):
        Target().unpack(iter([info("a", tarfile.DIRTYPE, records={KEY: "key"}) + END]), facts())


@pytest.mark.parametrize("size", ["-1", "-700", "1e3", "0x10", "\u0663", "9" * 30, ""])
def test_a_size_that_is_no_number_of_bytes_is_refused(size: str) -> None:
    with pytest.raises(RestoreFailed, match="files: the archive is damaged"):
        Target().unpack(iter([records(_record("size", size))]), facts())


def _record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def test_a_negative_size_in_the_block_is_refused() -> None:
    block = bytearray(info("a"))
    block[124:136] = b"\xff" * 12  # base 256, two's complement: -1
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    with pytest.raises(RestoreFailed, match="files: the archive is damaged"):
        Target().unpack(iter([bytes(block) + END]), facts())


@pytest.mark.parametrize("time", ["nan", "inf", "-inf", "1e300", "later"])
def test_a_time_that_none_has_is_refused(time: str) -> None:
    with pytest.raises(RestoreFailed, match="files: the archive is damaged"):
        Target().unpack(iter([records(_record("mtime", time))]), facts())


def test_records_are_bounded_before_they_are_read() -> None:
    def bomb(size: int) -> Iterator[bytes]:
        yield raw(tarfile.XHDTYPE, size)
        for _ in range(size // MB):
            yield b"1" * MB

    target = Target()
    with pytest.raises(RestoreFailed, match=f"PAX records of {8000 * MB} bytes"):
        target.unpack(bomb(8000 * MB), facts())
    assert target.taken < 4 * MB
    for size in (0, MOST_RECORDS + 1):
        with pytest.raises(RestoreFailed, match=f"PAX records of {size} bytes"):
            Target().unpack(bomb(size), facts())


def test_records_after_records_are_refused() -> None:
    one = raw(tarfile.XHDTYPE, len(_record("path", "a"))) + _record("path", "a").ljust(512, b"\0")
    with pytest.raises(RestoreFailed, match="neither a regular file nor a folder"):
        Target().unpack(iter([one * 5000 + info("a") + END]), facts())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"6 a=\n",
        b"9999999 path=a\n",
        b"-10 path=a\n",
        b"10 path=ab",
        b"8 patha\n",
        b"6 =aa\n",
        b"\xb2 path=a\n",
        b"path=a\n",
        _record("path", "a") * 2,
        _record("path", "a") + b"\0" * 40,
        b"9" * 5000 + b" path=a\n",
    ],
)
def test_malformed_records_are_refused(text: bytes) -> None:
    with pytest.raises(RestoreFailed, match="files: the archive is damaged"):
        Target().unpack(iter([records(text)]), facts())


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", '{"a": 1}', "nul"])
def test_headers_of_an_object_that_are_no_table_of_texts_are_refused(text: str) -> None:
    made = info("a", records={KEY: "key", "BLACKSTART.headers": text})
    with pytest.raises(RestoreFailed, match=r"^files: .* is no table of texts; use another backup$"):
        Target().unpack(iter([made + END]), facts())


def test_a_name_that_cannot_be_written_is_a_failed_restore() -> None:
    def refuse(member: Member, _source: Readable) -> None:
        member.headers["x-amz-meta-a"].encode()

    made = info("a", records={KEY: "key", "BLACKSTART.headers": '{"x-amz-meta-a": "\\ud800"}'})
    with pytest.raises(RestoreFailed, match=r"^files: key cannot be written: 'utf-8' codec can't encode"):
        unpack("files", iter([made + END]), facts(), refuse)


@pytest.mark.parametrize("end", [b"", bytes(512 - 1), info("a"), END + b"x"])
def test_an_archive_without_its_end_is_refused(end: bytes) -> None:
    with pytest.raises(RestoreFailed, match="files: the archive is damaged"):
        Target().unpack(iter([info("b") + end]), facts())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_the_bytes_the_answer_is_typed(data: st.DataObject) -> None:
    good = bytearray(info("folder/a", size=3, records={KEY: "k"}) + b"abc".ljust(512, b"\0") + info("b") + END)
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with pytest.raises(RestoreFailed):
        Target().unpack(iter([bytes(good)]), facts())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=4096))
def test_no_bytes_end_in_another_error(data: bytes) -> None:
    with pytest.raises(RestoreFailed):
        Target().unpack(iter([data]), facts())


def test_the_stream_is_read_in_any_pieces() -> None:
    made = io.BytesIO(info("a", size=5) + b"12345".ljust(512, b"\0") + END)
    target = Target()
    with pytest.raises(RestoreFailed, match="1 files, 5 bytes restored"):
        target.unpack(iter(lambda: made.read(7), b""), facts())
    assert target.written == ["a"]

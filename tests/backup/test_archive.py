"""Archives: what is unpacked is what was packed, and what cannot be packed is named and costs nothing else."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from harness.backup.archive import SMALL, Member
from harness.backup.pack import Archive, Unavailable
from harness.backup.unpack import Inventory, unpack
from harness.core.contents import Missing, TreeFacts
from harness.core.errors import RestoreFailed
from harness.core.node import Readable

LARGE = bytes(range(256)) * (SMALL // 256) + b"one more"
FILES = {"a/one.txt": b"one", "two.bin": bytes(range(256)) * 5, "empty": b"", "large": LARGE}


class Growing(io.BytesIO):
    """A file that grows while it is read."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size) or b"more"[:size]


class Failing(io.BytesIO):
    """A file whose disk fails after the first piece."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(3)


def archive(
    files: dict[str, bytes] = FILES, *, sha1_named: bool = False, kind: Callable[[bytes], Readable] = io.BytesIO
) -> Archive:
    @contextmanager
    def opened(name: str) -> Iterator[tuple[Member, Readable]]:
        if name not in files:
            raise Unavailable("no such file")
        yield Member(name, len(files[name])), kind(files[name])

    return Archive("files", lambda: sorted({*files, "gone"}), opened, sha1_named=sha1_named)


def unpacked(chunks: list[bytes], expected: TreeFacts) -> tuple[dict[str, bytes], Inventory]:
    found: dict[str, bytes] = {}

    def write(member: Member, source: Readable) -> None:
        found[member.name] = b"".join(iter(lambda: source.read(1000), b""))

    return found, unpack("files", iter(chunks), expected, write)


def test_what_is_packed_is_unpacked() -> None:
    made = archive()
    chunks = list(made.chunks())
    found, inventory = unpacked(chunks, made.facts)
    assert found == FILES
    assert (made.facts.files, made.facts.size) == (4, sum(map(len, FILES.values())))
    assert made.facts.missing == (Missing("gone", "no such file"),)
    assert {m.name: digest for m, digest in inventory.members()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()
    }
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as opened:
        assert sorted(opened.getnames()) == sorted(FILES)


def test_chunks_may_be_cut_anywhere() -> None:
    made = archive()
    text = b"".join(made.chunks())
    assert unpacked([text[at : at + 997] for at in range(0, len(text), 997)], made.facts)[0] == FILES


def test_no_files_are_an_archive_as_well() -> None:
    made = archive({})
    assert unpacked(list(made.chunks()), made.facts)[0] == {}


@pytest.mark.parametrize("right", [b"right", LARGE])
def test_a_file_that_its_name_belies_is_named_and_not_restored(right: bytes) -> None:
    name = f"ab/{hashlib.sha1(right).hexdigest()}"  # noqa: S324 - as Odoo names its files
    good = archive({name: right}, sha1_named=True)
    assert unpacked(list(good.chunks()), good.facts)[0] == {name: right}
    bad = archive({name: right[:-1] + b"!", "da/39": b""}, sha1_named=True)
    chunks = list(bad.chunks())
    assert [lost.path for lost in bad.facts.missing] == [name, "da/39", "gone"]
    assert bad.facts.missing[0].reason == "checksum mismatch: its name is the SHA-1 of other content"
    assert unpacked(chunks, bad.facts)[0] == {}


@pytest.mark.parametrize("data", [b"short", LARGE])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [(lambda data: io.BytesIO(data[:-1]), "became shorter while it was read"), (Failing, "input/output error")],
)
def test_a_file_that_cannot_be_read_to_its_end_is_named_and_the_archive_stays_whole(
    data: bytes, kind: Callable[[bytes], Readable], reason: str
) -> None:
    made = archive({"a": data, "b": data}, kind=kind)
    chunks = list(made.chunks())
    assert [lost for lost in made.facts.missing if lost.path != "gone"] == [Missing("a", reason), Missing("b", reason)]
    assert unpacked(chunks, made.facts)[0] == {}


def test_a_file_that_grows_while_it_is_read_is_as_long_as_it_was() -> None:
    made = archive(kind=Growing)
    assert unpacked(list(made.chunks()), made.facts)[0] == FILES


def test_files_other_than_the_manifest_says_are_refused() -> None:
    made = archive()
    chunks = list(made.chunks())
    with pytest.raises(RestoreFailed, match=rf"files: 4 files, {made.facts.size} bytes restored; manifest: 5 files"):
        unpacked(chunks, replace(made.facts, files=5))
    other = archive({**FILES, "a/one.txt": b"two"})
    list(other.chunks())
    with pytest.raises(RestoreFailed, match="or their contents differ"):
        unpacked(chunks, other.facts)


def test_metadata_of_an_object_is_part_of_the_digest() -> None:
    digests = set()
    for more in ({}, {"headers": {"content-type": "text/css"}}, {"tags": {"a": "b"}}, {"object": True}):
        member = Member("key", 3, **{"object": True, **more})  # type: ignore[arg-type]
        digests.add(member.line("00"))
    assert len(digests) == 3


KEYS = (
    "/lead",
    "//two",
    "a//b",
    "folder/",
    "../up",
    "a/./b",
    ".",
    "new\nline",
    "back\\slash",
    "k" * 1024,
    "nul\0",
    "=1 =",
)


@pytest.mark.parametrize("name", [*KEYS, "ü", "u\u0308"])
def test_any_key_comes_back(name: str) -> None:
    member = Member(
        name, 0, object=True, headers={"x-amz-meta-a": "=\nü", "content-type": "text/plain"}, tags={"=": "ü "}
    )
    found = [m for m, _ in unpacked_members(member)]
    assert found == [member]


@pytest.mark.parametrize("name", ["latin\udce9.txt", "new\nline", "back\\slash", "n" * 250, "a b", "ü", "u\u0308"])
def test_any_name_of_a_file_comes_back(name: str) -> None:
    member = Member(f"folder/{name}", 0, 0o640, 1234.5)
    ((found, _),) = unpacked_members(member)
    assert found.name == member.name


def unpacked_members(member: Member) -> Iterator[tuple[Member, str]]:
    @contextmanager
    def opened(_name: str) -> Iterator[tuple[Member, Readable]]:
        yield member, io.BytesIO()

    made = Archive("files", lambda: ["one"], opened)
    seen: list[Member] = []
    inventory = unpack("files", made.chunks(), facts_of(made), lambda m, _source: seen.append(m))
    assert [(m.name, m.mode, m.mtime) for m in seen] == [(member.name, member.mode, member.mtime)]
    return inventory.members()


def facts_of(made: Archive) -> TreeFacts:
    list(made.chunks())
    facts = made.facts
    made.__post_init__()
    return facts


def test_a_damaged_archive_is_refused() -> None:
    made = archive()
    text = b"".join(made.chunks())
    with pytest.raises(RestoreFailed, match="files: the archive is damaged"):
        unpacked([text[: SMALL // 2]], made.facts)

"""Archives: every file that a database refers to is in it and whole, and what is unpacked is what was packed."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from harness.backup.archive import Archive, digest_of, line_of, untar
from harness.core.contents import TreeFacts
from harness.core.errors import BackupFailed, RestoreFailed

FILES = {"a/one.txt": b"one", "two.bin": bytes(range(256)) * 5, "empty": b""}


def archive(files: dict[str, bytes] = FILES, *, sha1_named: bool = False) -> Archive:
    return Archive("files", "shop", tuple(sorted(files)), files.__getitem__, sha1_named)


def unpacked(chunks: list[bytes], expected: TreeFacts) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    untar("files", iter(chunks), expected, found.__setitem__)
    return found


def test_what_is_packed_is_unpacked() -> None:
    made = archive()
    chunks = list(made.chunks())
    assert unpacked(chunks, made.facts) == FILES
    assert (made.facts.files, made.facts.size) == (3, 3 + 1280)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as opened:
        assert sorted(opened.getnames()) == sorted(FILES)


def test_chunks_may_be_cut_anywhere() -> None:
    made = archive()
    text = b"".join(made.chunks())
    assert unpacked([text[at : at + 7] for at in range(0, len(text), 7)], made.facts) == FILES


def test_no_files_are_an_archive_as_well() -> None:
    made = archive({})
    assert unpacked(list(made.chunks()), made.facts) == {}


def test_a_file_that_its_name_belies_is_damaged() -> None:
    name = f"ab/{hashlib.sha1(b'right').hexdigest()}"  # noqa: S324 - as Odoo names its files
    list(archive({name: b"right"}, sha1_named=True).chunks())
    with pytest.raises(BackupFailed, match=f"files: {name}: checksum mismatch"):
        list(archive({name: b"wrong"}, sha1_named=True).chunks())


def test_files_other_than_the_manifest_says_are_refused() -> None:
    made = archive()
    chunks = list(made.chunks())
    more = TreeFacts("files", 4, made.facts.size, made.facts.digest)
    with pytest.raises(RestoreFailed, match="files: 3 files, 1283 bytes restored; manifest: 4 files"):
        unpacked(chunks, more)
    lines = [line_of(name, data) for name, data in {**FILES, "a/one.txt": b"two"}.items()]
    other = TreeFacts("files", 3, made.facts.size, digest_of(lines))
    with pytest.raises(RestoreFailed, match="or their contents differ"):
        unpacked(chunks, other)


def test_a_link_in_an_archive_is_refused() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as made:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.CHRTYPE, "/etc/passwd"
        made.addfile(link)
    with pytest.raises(RestoreFailed, match="files: link is not a regular file; use another backup"):
        unpacked([target.getvalue()], archive().facts)

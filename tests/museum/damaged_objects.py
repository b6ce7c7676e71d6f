"""Damages to objects, manifests and data keys of backups."""

from __future__ import annotations

from harness.pem import fingerprint
from harness.repository.format.recipients import read_private
from tests.museum.exhibit import SEGMENT, altered, exhibit, large
from tests.museum.exhibition import Exhibition

# objects of a backup


@exhibit("newest", r"databases/0001: segment 0: does not authenticate", quick=False)
def first_byte_of_the_salt_flipped(at: Exhibition) -> None:
    altered(at, large(at), 1)


@exhibit("newest", r"databases/0001: segment 1: does not authenticate", quick=False)
def one_bit_in_the_middle_flipped(at: Exhibition) -> None:
    altered(at, large(at), SEGMENT + 500)


@exhibit("newest", r"databases/0001: segment 2: does not authenticate", quick=False)
def last_byte_flipped(at: Exhibition) -> None:
    altered(at, large(at), -1)


@exhibit("newest", r"databases/0001: segment 0: not preceded by the header", quick=False)
def length_of_the_header_altered(at: Exhibition) -> None:
    altered(at, large(at), 0)


@exhibit("newest", r"objects of \d+ bytes are stored instead of|segment 2: does not authenticate")
def one_byte_cut_off(at: Exhibition) -> None:
    at.write(large(at), at.read(large(at))[:-1])


@exhibit("newest", r"objects of \d+ bytes are stored instead of|segment 1: does not authenticate")
def cut_off_at_the_edge_of_a_segment(at: Exhibition) -> None:
    at.write(large(at), at.read(large(at))[: 2 * SEGMENT])


@exhibit("newest", r"objects of \d+ bytes are stored instead of|segment \d: does not authenticate")
def bytes_after_the_end(at: Exhibition) -> None:
    at.write(large(at), at.read(large(at)) + b"more")


@exhibit("newest", r"databases/0001: segment 1: does not authenticate", quick=False)
def two_segments_swapped(at: Exhibition) -> None:
    body = at.read(large(at))
    one, two, three = body[:SEGMENT], body[SEGMENT : 2 * SEGMENT], body[2 * SEGMENT :]
    at.write(large(at), one + (three + two)[: len(two)] + (three + two)[len(two) :])


@exhibit("newest", r"databases/0001: segment 1: does not authenticate", quick=False)
def a_segment_twice_and_another_gone(at: Exhibition) -> None:
    body = at.read(large(at))
    at.write(large(at), body[:SEGMENT] + body[:SEGMENT] + body[2 * SEGMENT :])


@exhibit("newest", r"1 objects of \d+ bytes are stored instead of 2|does not exist")
def an_object_deleted(at: Exhibition) -> None:
    at.store.delete(large(at))


@exhibit("newest", r"objects of \d+ bytes are stored instead of|not preceded by the header")
def an_object_emptied(at: Exhibition) -> None:
    at.write(large(at), b"")


@exhibit("newest", r"object .*: segment 0: does not authenticate", quick=False)
def two_objects_of_a_backup_swapped(at: Exhibition) -> None:
    small = at.repository.layout.data(at.newest, "server.json")
    one, two = at.read(small), at.read(large(at))
    at.write(small, two)
    at.write(large(at), one)


@exhibit("newest", r"databases/0001: segment 0: does not authenticate", quick=False)
def the_same_object_of_an_earlier_backup(at: Exhibition) -> None:
    at.write(large(at), at.read(large(at, at.logical[0])))


@exhibit("newest", r"3 objects of \d+ bytes are stored instead of 2")
def an_object_more(at: Exhibition) -> None:
    at.write(at.repository.layout.data(at.newest, "databases/0002"), b"planted")


# manifest


@exhibit("newest", r"manifest: SHA-256 differs from the one in COMMIT", quick=False)
def a_bit_of_the_manifest_flipped(at: Exhibition) -> None:
    altered(at, at.repository.layout.manifest(at.newest), 60)


@exhibit("newest", r"its manifest has 0 bytes|manifest.*does not exist")
def manifest_deleted(at: Exhibition) -> None:
    at.store.delete(at.repository.layout.manifest(at.newest))


@exhibit("newest", r"its manifest has \d+ bytes instead of|SHA-256 differs")
def manifest_cut_off(at: Exhibition) -> None:
    key = at.repository.layout.manifest(at.newest)
    at.write(key, at.read(key)[:-7])


@exhibit("newest", r"manifest: SHA-256 differs|manifest.*larger than|its manifest has", quick=None)
def manifest_of_an_earlier_backup(at: Exhibition) -> None:
    layout = at.repository.layout
    at.write(layout.manifest(at.newest), at.read(layout.manifest(at.logical[0])))


# keys


@exhibit("newest", r"data key for .* is not there|no data key of its recipients")
def every_data_key_deleted(at: Exhibition) -> None:
    for key in at.of("keys", at.newest):
        at.store.delete(key)


@exhibit("newest", r"data key for .* is not there", quick=False)
def data_key_of_dr_deleted(at: Exhibition) -> None:
    at.store.delete(key_of_dr(at, at.newest))


@exhibit("newest", r"wrapped key|does not open|replaced|unwrap", quick=False)
def data_key_of_another_backup(at: Exhibition) -> None:
    at.write(key_of_dr(at, at.newest), at.read(key_of_dr(at, at.logical[0])))


@exhibit("newest", r"wrapped key|does not open|altered|unwrap", quick=False)
def a_bit_of_the_data_key_flipped(at: Exhibition) -> None:
    altered(at, key_of_dr(at, at.newest), -1)


def key_of_dr(at: Exhibition, backup: str) -> str:
    return at.repository.layout.keys(backup, fingerprint(read_private(at.keys.dr[0]).public_key()))


# incremental


@exhibit("incremental", r"which .* builds on, is not in the repository")
def parent_of_an_incremental_deleted(at: Exhibition) -> None:
    for kind in ("commit", "manifest", "keys", "data"):
        for key in at.of(kind, at.full):
            at.store.delete(key)


@exhibit("incremental", r"builds on .*base/base.tar: segment 0: does not authenticate", quick=False)
def parent_of_an_incremental_altered(at: Exhibition) -> None:
    altered(at, at.repository.layout.data(at.full, "base/base.tar"), 100)

"""Damages to the shipped WAL."""

from __future__ import annotations

from tests.museum.exhibit import altered, exhibit, said_otherwise
from tests.museum.exhibition import SIZE, SWITCH, Exhibition, noise

# WAL


def segments(at: Exhibition) -> list[str]:
    """Return the keys of the segments, without keys and histories."""
    return [key for key in at.of("wal", at.run) if "/keys/" not in key and "history" not in key]


@exhibit("WAL", r"000000010000000000000003: 0 bytes are stored|does not exist")
def a_segment_deleted(at: Exhibition) -> None:
    at.store.delete(segments(at)[1])


@exhibit("WAL", r"does not authenticate|SHA-256", quick=False)
def a_bit_of_a_segment_flipped(at: Exhibition) -> None:
    altered(at, segments(at)[2], 2000)


@exhibit("WAL", r"bytes are stored instead of")
def a_segment_cut_off(at: Exhibition) -> None:
    key = segments(at)[2]
    at.write(key, at.read(key)[:-20])


@exhibit("WAL", r"does not authenticate|stored instead of", quick=False)
def two_wal_segments_swapped(at: Exhibition) -> None:
    one, two = segments(at)[1:3]
    first, second = at.read(one), at.read(two)
    at.write(one, second)
    at.write(two, first)


@exhibit("WAL", r"batch 3 of WAL .* is not in the repository: it was deleted or replaced")
def a_batch_in_the_middle_deleted(at: Exhibition) -> None:
    at.store.delete(at.of("wal-batch")[2])


@exhibit("WAL", r"which was seen before, is not in the repository")
def the_newest_batch_deleted(at: Exhibition) -> None:
    at.store.delete(at.of("wal-batch")[-1])


@exhibit("WAL", r"signature|trusted")
def a_batch_edited(at: Exhibition) -> None:
    key = at.of("wal-batch")[1]
    at.write(key, said_otherwise(at.read(key)))


@exhibit("WAL", r"in another place")
def a_batch_under_another_number(at: Exhibition) -> None:
    keys = at.of("wal-batch")
    at.write(keys[-1].replace("0000000000000008", "0000000000000099"), at.read(keys[-1]))


@exhibit("WAL", r"(is|are) missing; no point in time after")
def a_hole_that_the_receiver_left(at: Exhibition) -> None:
    writer = at.wal()
    writer.commit([writer.put(2, (SWITCH + 5) * SIZE, noise(1, SIZE))], at.time.wall())


@exhibit("WAL", r"with different contents .*two servers write the same timeline")
def two_servers_on_one_timeline(at: Exhibition) -> None:
    writer = at.wal()
    writer.commit([writer.put(2, (SWITCH + 2) * SIZE, noise(99, SIZE))], at.time.wall())


@exhibit("WAL", r"WAL of database system 666 is in the repository of 7391")
def wal_of_another_server(at: Exhibition) -> None:
    writer = at.wal(system="666")
    writer.commit([writer.put(1, 9 * SIZE, noise(9, SIZE))], at.time.wall())
    at.back_up(7)  # the newest system stays that of the backups


@exhibit("WAL", r"timeline 3 has segments and no history")
def segments_of_a_timeline_without_history(at: Exhibition) -> None:
    writer = at.wal()
    writer.commit([writer.put(3, 9 * SIZE, noise(9, SIZE))], at.time.wall())


@exhibit("WAL", r"after its end at .*, where timeline 2 took over")
def an_old_primary_writes_on(at: Exhibition) -> None:
    writer = at.wal()
    writer.commit([writer.put(1, (SWITCH + 1) * SIZE, noise(9, SIZE))], at.time.wall())


@exhibit("WAL", r"cannot be restored: .* is needed")
def the_wal_that_a_backup_needs_expired(at: Exhibition) -> None:
    for key in at.of("wal-batch")[:2]:
        at.store.delete(key)


@exhibit("WAL", r"data key|not there|does not open|does not exist", quick=False)
def data_keys_of_wal_deleted(at: Exhibition) -> None:
    for key in at.of("wal", f"{at.run}/keys/"):
        at.store.delete(key)


@exhibit("WAL", r"00000002.history: 0 bytes are stored|does not exist")
def the_history_of_a_timeline_deleted(at: Exhibition) -> None:
    (key,) = (one for one in at.of("wal", at.run) if "history" in one)
    at.store.delete(key)

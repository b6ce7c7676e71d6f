"""Notes of what retention removed, as they lie in the store: whoever may write there can add as many as they like."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.core.errors import Denied, Unreadable
from harness.repository.chain import Head
from harness.repository.format.expiry import LARGEST, read_expiry
from harness.repository.format.layout import Layout
from harness.repository.reader import small_object
from harness.repository.store.port import ObjectStore

MOST_NOTES = 64  # that are read: each has all of the ones before it, which are removed after it


@dataclass(frozen=True, slots=True)
class Expired:
    """The backups that trusted notes name, the keys of all notes, and why some were not read."""

    heads: tuple[Head, ...]
    keys: tuple[str, ...]
    findings: tuple[str, ...] = ()


def read_expired(
    store: ObjectStore, layout: Layout, writers: Sequence[Ed25519PublicKey], most: int | None = MOST_NOTES
) -> Expired:
    """Return what the newest notes by name say, at most `most` of them, all for None.

    What nobody trusted signed is passed over, and so is an object too large or with another name. Raises HarnessError
    of the store; where all are asked for, Denied for one that it does not show: it may not be removed unread.
    """
    listed = sorted(store.list(layout.of("expired")), key=lambda entry: entry.key, reverse=True)
    notes = [entry for entry in listed if layout.id_in(entry.key) and entry.size <= LARGEST]
    found: dict[Head, None] = {}
    for entry in notes[:most]:
        try:
            note = read_expiry(small_object(store, entry.key, LARGEST), layout.estate, writers)
        except Denied:
            if most is None:
                raise
        except Unreadable:
            continue
        else:
            found |= dict.fromkeys(Head(one.sequence, one.backup_id, one.digest) for one in note.backups)
    more = len(notes) - len(notes[:most])
    said = (
        f"{layout.of('expired')} has {len(notes)} notes of expired backups, of which the newest {most} were read: "
        "somebody wrote there; `blackstart retention --apply` reads all and removes them"
    )
    return Expired(tuple(found), tuple(entry.key for entry in listed), (said,) if more else ())

"""Signed list of shipped WAL: segments and timeline histories, each list naming the one before by its digest.

A batch is final. A tail lists the segment that is still being written; the next batch or tail takes its place.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, Field, ValidationError, model_validator

from harness.core.errors import Unreadable
from harness.core.wal import HISTORY, SEGMENT, SIZES, place_of_segment, segment_name
from harness.repository.format.commit import MOST_RECIPIENTS, STRICT, Digest, Fingerprint, Id, Number, Size
from harness.repository.format.layout import ESTATE
from harness.repository.format.manifest import canonical, explained
from harness.repository.format.recipients import FEWEST
from harness.signing import read_envelope, sign

WAL_FORMAT = "blackstart-wal/1"
KIND = "application/vnd.blackstart.wal+json"
LARGEST_LIST = 128 << 10  # bytes
MOST_ENTRIES = 64  # of one list
MOST_SWITCHES = 1024
Position = Annotated[int, Field(ge=0, lt=1 << 64)]
Timeline = Annotated[int, Field(ge=1, lt=1 << 32)]


class TimelineEnd(BaseModel):
    """A timeline that another one follows, and where it ended."""

    model_config = STRICT

    timeline: Timeline
    at: Position


class WalEntry(BaseModel):
    """One shipped file. Sizes in bytes; `start`, `end`: positions that it contains, both 0 for a timeline history.

    `name`: of the file; `path`: of its object. `switches`: what a timeline history says, none for a segment.
    """

    model_config = STRICT

    name: Annotated[str, Field(pattern=rf"^({SEGMENT.pattern}|{HISTORY.pattern})$")]
    path: Annotated[str, Field(pattern=r"^wal/[0-9A-Za-z.]{1,80}$")]
    timeline: Timeline
    start: Position
    end: Position
    plain_size: Size
    stored_size: Size
    plain_sha256: Digest
    switches: Annotated[tuple[TimelineEnd, ...], Field(max_length=MOST_SWITCHES)] = ()

    @property
    def is_history(self) -> bool:
        """Whether it is a timeline history."""
        return bool(self.switches)


class WalLink(BaseModel):
    """A list that another one follows; `digest`: SHA-256 of its bytes."""

    model_config = STRICT

    sequence: Number
    run: Id
    digest: Digest


class WalList(BaseModel):
    """A signed list of shipped WAL. `run`: name of the writer's run, under which its objects and its key are.

    `purpose`: `archive` of a continuous archive, `backup` of what one backup needs. `follows`: the batch before;
    `tail`: number of a list that is replaced later, 0 for a batch. `covered_until`: time by the database server's
    clock; every write that was acknowledged before it is in the WAL listed so far; None: not known.
    """

    model_config = STRICT

    format: Annotated[str, Field(pattern=rf"^{WAL_FORMAT}$")] = WAL_FORMAT
    estate: Annotated[str, Field(pattern=rf"^{ESTATE.pattern}$")]
    cluster: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")]
    run: Id
    sequence: Number
    purpose: Literal["archive", "backup"]
    follows: WalLink | None
    tail: Annotated[int, Field(ge=0, lt=1 << 31)] = 0
    segment_size: int
    shipped_at: AwareDatetime
    covered_until: AwareDatetime | None
    key_check: Digest
    recipients: Annotated[tuple[Fingerprint, ...], Field(min_length=FEWEST, max_length=MOST_RECIPIENTS)]
    entries: Annotated[tuple[WalEntry, ...], Field(max_length=MOST_ENTRIES)]

    @model_validator(mode="after")
    def names_say_what_is_in_them(self) -> "WalList":
        """Refuse an entry whose name contradicts its positions."""
        if self.segment_size not in SIZES:
            raise ValueError(f"segment_size: {self.segment_size} is no size of a WAL segment")
        for entry in self.entries:
            if (wrong := _contradiction(entry, self.segment_size)) != "":
                raise ValueError(f"{entry.name}: {wrong}")
        return self

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """Return the envelope with this list, signed."""
        return sign(KIND, canonical(self.model_dump()), [key])


def _contradiction(entry: WalEntry, size: int) -> str:
    """Return how the name of an entry contradicts the rest of it, "" when it does not."""
    if entry.is_history:
        named = HISTORY.fullmatch(entry.name)
        good = named is not None and int(named[1], 16) == entry.timeline and entry.start == entry.end == 0
        return "" if good and all(one.timeline < entry.timeline for one in entry.switches) else "not a timeline history"
    try:
        timeline, start = place_of_segment(entry.name, size)
    except Unreadable as error:
        return str(error)
    if (timeline, start) != (entry.timeline, entry.start) or segment_name(timeline, start, size) != entry.name:
        return f"timeline {entry.timeline} and position {entry.start} are not those of its name"
    if not entry.start < entry.end <= entry.start + size or entry.plain_size != entry.end - entry.start:
        return f"{entry.plain_size} bytes do not reach from {entry.start} to {entry.end}"
    return ""


def read_wal_list(text: bytes, writers: Sequence[Ed25519PublicKey]) -> WalList:
    """Return the list in `text` if one of the writers signed it; raises Unreadable for anything else."""
    envelope = read_envelope(text, KIND)
    envelope.signed_by(writers)
    try:
        return WalList.model_validate_json(envelope.payload)
    except ValidationError as error:
        raise Unreadable(f"list of WAL: malformed ({explained(error)})") from None

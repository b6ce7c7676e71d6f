"""Verification of all records of a folder: each of them, and that none was removed, added or replaced."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.attestation.verify import Verified, verify
from harness.core.errors import Unreadable
from harness.evidence.folder import JOURNAL, records
from harness.evidence.format.chain import CONCLUDED, GENESIS, OPENED, WITHDRAWN, Link, read_chain


@dataclass(frozen=True, slots=True)
class AllVerified:
    """Result: each record that is here, what is wrong with the chain, what did not conclude, the head of the chain.

    `withdrawn`: scenarios that ended without a record, as they judged nothing.
    """

    records: tuple[tuple[str, Verified], ...]
    refusals: tuple[str, ...]
    unfinished: tuple[str, ...]
    head: str
    withdrawn: tuple[str, ...] = ()


def verify_all(reports: Path, keys: Sequence[Ed25519PublicKey], head: str = "") -> AllVerified:
    """Return what is wrong in a folder of reports. `head`: a head of the chain that was noted outside of it earlier."""
    folder = reports / "drills"
    try:
        links, hashes = read_chain(folder)
    except Unreadable as error:
        return AllVerified((), (f"chain: {error}",), (), "")
    concluded = {link.record: (link, number) for number, link in enumerate(links) if link.kind == CONCLUDED}
    withdrawn = tuple(link.record for link in links if link.kind == WITHDRAWN)
    ended = {*concluded, *withdrawn}
    unfinished = dict.fromkeys(link.record for link in links if link.kind == OPENED and link.record not in ended)
    found = {path.name: path for path in records(reports)}
    done = tuple((name, verify(path, keys)) for name, path in found.items() if name in concluded)
    refusals = [f"chain: record {name} was removed" for name in (*concluded, *unfinished) if name not in found]
    # Whoever can write here can add such a line for a drill that was killed: what remains of it says what it was.
    refusals += [
        f"chain: record {name} is said to be withdrawn, and its {JOURNAL} is not there"
        for name in withdrawn
        if not (folder / name / JOURNAL).is_file()
    ]
    refusals += [
        f"chain: record {name} is not in it" for name in found if name not in concluded and name not in unfinished
    ]
    for name, verified in done:
        link, number = concluded[name]
        refusals += _out_of_place(link, verified, hashes[number - 1] if number else GENESIS, links[:number])
    if head and head not in hashes:
        refusals.append(f"chain: it does not contain the head {head}: its end was removed, or it was written anew")
    return AllVerified(done, tuple(refusals), tuple(unfinished), hashes[-1] if hashes else "", withdrawn)


def _out_of_place(link: Link, verified: Verified, before: str, earlier: Sequence[Link]) -> Iterator[str]:
    if verified.statement_sha256 != link.statement_sha256:
        yield f"chain: record {link.record} has another statement than the one that was added"
    elif verified.said is not None and verified.said.get("previous_line_sha256") != before:
        yield f"chain: a line before record {link.record} was removed or changed: its statement names another"
    previous = verified.record.previous_statement_sha256 if verified.record else None
    concluded = {one.statement_sha256 for one in earlier if one.kind == CONCLUDED}
    begun = next((n for n, one in enumerate(earlier) if one.record == link.record), len(earlier))
    if previous is None and verified.record is not None and any(one.kind == CONCLUDED for one in earlier[:begun]):
        yield f"chain: record {link.record} names no record before it, and there are some"
    if previous is not None and previous not in concluded:
        yield f"chain: the record before {link.record} was removed: its statement is not in the chain"

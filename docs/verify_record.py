"""Stand-alone verifier of a blackstart record: needs Python 3.11 and `cryptography`. docs/RECORD.md has the format.

python3 verify_record.py FOLDER --key record.pub [--drill NAME] [--since 2026-05-01T00:00:00+00:00]
The key is one that you have from elsewhere. Exit code 0: signature, hashes, journal, budgets and verdict are right.
"""

import argparse
import base64
import json
import sys
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PAYLOAD, STATEMENT = "application/vnd.in-toto+json", "https://in-toto.io/Statement/v1"
BUDGETS = ("name", "owner", "reason", "rto_seconds", "rpo_seconds", "exposure_seconds", "missing_files")


class Refused(Exception): ...


def require(truth: object, reason: str) -> None:
    if not truth:
        raise Refused(reason)


def said(value: Any) -> Any:
    return "not measured" if value is None else round(value, 3) if isinstance(value, float) else value


def signed_subjects(folder: Path, key: Any) -> dict[str, str]:
    require((statement := folder / "statement.dsse.json").is_file(), "signature: the record is unsigned")
    envelope = json.loads(text := statement.read_bytes())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    mine = sha256(key.public_bytes_raw()).hexdigest()[:32]
    found = [base64.b64decode(one["sig"]) for one in envelope["signatures"] if one["keyid"] == mine]
    require(all(base64.b64encode(one) in text for one in (payload, *found)), "signature: its base64 was changed")
    require(found, f"signature: signed with another key than {mine}")
    try:
        key.verify(found[0], b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    except InvalidSignature:
        raise Refused("signature: the statement was changed after it was signed") from None
    require(kind.decode() == PAYLOAD and json.loads(payload)["_type"] == STATEMENT, "signature: no in-toto statement")
    return {one["name"]: one["digest"]["sha256"] for one in json.loads(payload)["subject"]}


def read_journal(path: Path) -> list[Any]:
    lines, last = path.read_bytes().removesuffix(b"\n").split(b"\n"), "0" * 64
    events: list[Any] = list(map(json.loads, lines))
    whole = sorted(event["n"] for event in events) == list(range(1, len(events) + 1))
    for at, (event, line) in enumerate(zip(events, lines, strict=True), 1):
        require(event["n"] == at or not whole, f"journal: events are swapped: line {at} has event {event['n']}")
        require(event["n"] == at, f"journal: event {at} is missing")
        require(event["prev"] == last, f"journal: line {at - 1} was changed")
        last = sha256(line).hexdigest()
    return events


def loss_of(ledger: Any, rows: list[Any], struck: float | None, budget: float) -> tuple[Any, dict[str, Any], bool]:
    own = [row for row in rows if row.get("ledger", "clients") == ledger["name"]]
    acked = sorted((row["acked"], row["number"]) for row in own if "acked" in row)
    owed = [one for one in acked if struck is not None and one[0] <= struck]
    last, count, found, lost, rpo, broken = owed[-1][0] if owed else None, len(acked), None, None, None, False
    if owed and "survivors" in ledger:
        runs = [(int(a), int(b or a)) for a, _, b in (run.partition("-") for run in ledger["survivors"].split())]
        alive = {n for n in {row["number"] for row in own} if any(a <= n <= b for a, b in runs)}
        lost = sorted(number for _, number in owed if number not in alive)
        gap = next((i for i, (_, number) in enumerate(owed) if number not in alive), len(owed))
        count, found, rpo = len(owed), len(owed) - len(lost), last - owed[max(0, gap - 1)][0]
        broken = gap == 0 or rpo > budget or any(n in alive and n > lost[0] for _, n in owed if lost)
        broken |= sum(b - a + 1 for a, b in runs) > len(alive)  # writes that were never sent
    told = {"name": ledger["name"], "acknowledged": count, "found": found, "lost": lost, "rpo_seconds": rpo}
    return last, {name: said(value) for name, value in told.items()}, broken


def judge(events: list[Any], rows: list[Any]) -> dict[str, Any]:
    budget = events[begin := max(i for i, event in enumerate(events) if event["kind"] == "promised")]["facts"]
    last = max(i for i, e in enumerate(events) if (e["kind"], e["subject"]) == ("judged", "observed"))
    seen, judged = events[last]["facts"], [e for e in events[last:] if e["kind"] == "judged"]
    lines = {s: [e for e in judged if e["subject"] == s] for s in ("uncovered", "not done", "finding", "doubt")}
    noted = {event["facts"].get("error") for event in events[begin:] if event["kind"] in ("finding", "doubt")} - {None}
    noted -= {event["facts"]["line"] for event in lines["finding"] + lines["doubt"]}
    require(not noted, f"verdict: the journal notes what was not judged: {noted}")
    drill, struck, witnessed = budget["mode"] == "drill", seen.get("struck"), seen.get("witnessed") is True
    broken, doubtful, origin = bool(lines["finding"]), bool(lines["doubt"]), seen.get("activated")
    ledgers, rpo, lost = [], None, None
    if drill:
        stores = [event["facts"] for event in judged if event["subject"] == "ledger"]
        found = [loss_of(one, rows, struck, budget["rpo_seconds"]) for one in [{**seen, "name": "clients"}, *stores]]
        origin, ledgers = found[0][0], [one for _, one, _ in found]
        require({r.get("ledger", "clients") for r in rows} <= {one["name"] for one in ledgers}, "ledger: not judged")
        lost, rpos = ledgers[0]["lost"], [one["rpo_seconds"] for one in ledgers]
        rpo = max(rpos) if "not measured" not in rpos else None
        broken |= any(bad for _, _, bad in found)
        doubtful |= rpo is None or any(struck - at > (30.0 if n else 2.0) for n, (at, _, _) in enumerate(found))
    took = None if origin is None or "key" not in seen else seen["key"] - origin
    phases, begun = [], {"detect": origin}
    for event in (e for e in events if origin is not None and e["at"] >= origin):
        if event["kind"] == "begin":
            begun[event["subject"]] = event["at"]
        elif event["kind"] in ("end", "failed") and event["subject"] in begun:
            phases.append(event["at"] - begun.pop(event["subject"]))
    doubtful |= drill and (not witnessed or (took is not None and took - sum(phases) > max(0.01 * took, 0.25)))
    if drill or not (lines["finding"] or lines["doubt"]):
        doubtful |= "exposure" not in seen or seen["checks"] == 0 or bool(lines["uncovered"] or lines["not done"])
    broken |= seen["missing_files"] > budget["missing_files"] or seen.get("exposure", 0) > budget["exposure_seconds"]
    broken |= drill and "key" not in seen and not lines["not done"] and bool(lines["finding"] or not lines["doubt"])
    broken |= took is not None and took > budget["rto_seconds"]
    verdict = "BROKEN" if broken and (not drill or witnessed or lines["finding"]) else "UNKNOWN" if doubtful else "KEPT"
    figures = {"verdict": verdict, "rto_seconds": took if drill else None, "exposure_seconds": seen.get("exposure")}
    return {name: said(one) for name, one in {**figures, "rpo_seconds": rpo, "lost": lost, "ledgers": ledgers}.items()}


def verify(folder: Path, key: Any, drill: str, since: datetime | None) -> str:
    subjects, events = signed_subjects(folder, key), read_journal(folder / "journal.jsonl")
    record = json.loads((folder / "record.json").read_bytes())
    for promised in (event["facts"] for event in events if event["kind"] == "promised"):
        require(record["promise"] == {name: promised[name] for name in BUDGETS}, "budget: record.json has others")
        for name in (fact.removeprefix("sha256 ") for fact in promised if fact.startswith("sha256 ")):
            here = sha256((folder / "inputs" / name).read_bytes()).hexdigest()
            require(here == promised[f"sha256 {name}"], f"budget: {name} is not the file from before the drill")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    require({"record.json", "journal.jsonl"} <= set(subjects), "file: record.json or journal.jsonl is not signed")
    for name, digest in ((n, d) for n, d in subjects.items() if not n.startswith("backup:")):
        require(name in files and sha256(files[name].read_bytes()).hexdigest() == digest, f"file: {name} was changed")
    require({n for n in files if n.startswith(("inputs/", "ledger."))} <= set(subjects), "file: one is not signed")
    rows = files["ledger.jsonl"].read_bytes().splitlines() if "ledger.jsonl" in files else ()
    for name, one in judge(events, [json.loads(row) for row in rows]).items():
        require(record[name] == one, f"verdict: {name} is {record[name]}, journal and ledger give {one}")
    require(record["record"] == folder.resolve().name, f"replay: this is the record {record['record']}")
    require(drill in ("", record["drill"]), f"replay: this is the drill {record['drill']}")
    ended = datetime.fromisoformat(record["finished"])
    require(since is None or ended >= since, f"replay: it ended at {record['finished']}")
    return f"VERIFIED {record['record']}: {record['drill']}: {record['verdict']}, ended at {record['finished']}"


if __name__ == "__main__":
    (parser := argparse.ArgumentParser()).add_argument("folder", type=Path)
    parser.add_argument("--key", type=Path, required=True, help="public key in PEM, not from the folder")
    parser.add_argument("--drill", default="", help="the drill that it must be")
    parser.add_argument("--since", type=datetime.fromisoformat, help="when it must have ended at the earliest")
    asked = parser.parse_args()
    try:
        print(verify(asked.folder, load_pem_public_key(asked.key.read_bytes()), asked.drill, asked.since))
    except (Refused, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        sys.exit(f"REFUSED  {error if isinstance(error, Refused) else f'not readable: {error!r}'}")

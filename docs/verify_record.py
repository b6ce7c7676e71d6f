"""Stand-alone verifier of a blackstart record (docs/RECORD.md): Python 3.11 and `cryptography`."""

import argparse
import base64
import json
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from runpy import run_path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PAYLOAD, STATEMENT = "application/vnd.in-toto+json", "https://in-toto.io/Statement/v1"
TEST, LISTS = "https://in-toto.io/attestation/test-result/v0.1", ("uncovered", "not done", "finding", "doubt")
BUDGETS = ("name", "owner", "reason", "rto_seconds", "rpo_seconds", "exposure_seconds", "missing_files")
UNSIGNED, NONE = ("statement.dsse.json/", "phases.svg/", "logs/", "sign-off-"), {("struck", None), ("held", None)}
said = lambda v: "not measured" if v is None else v if type(v) is not float else r if (r := round(v, 3)) % 1 else int(r)
COUNTS, SECONDS = ("missing_files", "checks"), ("struck", "activated", "key", "exposure", "copied", *BUDGETS[3:6])


def require(truth: object, reason: str) -> None:
    if not truth:
        raise SystemExit("REFUSED  " + "".join(one if one.isprintable() else ascii(one)[1:-1] for one in reason))


def loss_of(ledger: Any, rows: list[Any], struck: Any, budget: float, led: float) -> tuple[Any, Any, Any, Any]:
    own = [row for row in rows if row.get("ledger", "clients") == ledger["name"]]
    acked = sorted((row["acked"], row["number"]) for row in own if "acked" in row)
    owed = [one for one in acked if struck is not None and one[0] <= struck]
    last, count, found, lost, rpo, more = owed[-1][0] if owed else None, len(acked), None, None, None, dict[str, Any]()
    if owed and "survivors" in ledger:
        runs = [(int(a), int(b or a)) for a, _, b in (run.partition("-") for run in ledger["survivors"].split())]
        require(sorted(ends := [n for a, b in runs for n in (a, b + 1)]) == ends, "verdict: survivors out of order")
        alive, known = {n for a, b in runs for n in range(a, min(b, a + 10**7) + 1)}, {row["number"] for row in own}
        gone = [one for one in owed if one[1] not in alive]
        count, found, lost = len(owed), len(owed) - len(gone), sorted(n for _, n in gone)
        rpo = last - owed[max(0, (owed.index(gone[0]) if gone else count) - 1)][0]
        first = min((n for at, n in gone if not at > ledger.get("copied", at)), default=1e999)
        late = {n for _, n in acked} & {row["number"] for row in own if row.get("sent", 0) > led} - alive
        more = {"phantom": sorted(alive - known), "own": sorted(late), "missed": rpo > budget}
        more |= {"out_of_order": sorted(n for _, n in owed if n in alive and n > first), "none": gone[:1] == owed[:1]}
    told = {"acknowledged": count, "found": found, "lost": lost, "name": ledger["name"], "rpo_seconds": rpo}
    return last, {name: said(value) for name, value in told.items()}, more, rpo


def judge(events: list[Any], rows: list[Any]) -> dict[str, Any]:
    budget = events[begin := max(i for i, event in enumerate(events) if event["kind"] == "promised")]["facts"]
    last = max(i for i, e in enumerate(events) if (e["kind"], e["subject"]) == ("judged", "observed"))
    seen, judged = events[last]["facts"], [e for e in events[last:] if e["kind"] == "judged"]
    for n, v in (fact for e in (events[begin], *judged) for fact in e["facts"].items() if fact[0] in COUNTS + SECONDS):
        require(type(v) in (int, float)[: 2 - (n in COUNTS)] and 0 <= v < 1e11, "verdict: judged by no number")
    missed, undone, findings, doubts = ([e["facts"]["line"] for e in judged if e["subject"] == s] for s in LISTS)
    noted = {e["facts"].get("error") for e in events[begin:] if e["kind"] in LISTS} - {None, *findings, *doubts}
    noted |= {("struck", seen.get("struck")), ("held", seen.get("key"))} - {(e["kind"], e["at"]) for e in events}
    require(noted <= NONE, f"verdict: noted and not judged, or judged at other times than noted: {noted - NONE}")
    drill, struck, witnessed = budget["mode"] == "drill", seen.get("struck"), seen.get("witnessed") is True
    stores = [seen | {"name": "clients", "copied": 1e99}, *(e["facts"] for e in judged if e["subject"] == "ledger")]
    origin = loss_of(stores[0], rows, struck, 0.0, 0.0)[0] if drill else seen.get("activated")
    took = None if origin is None or "key" not in seen else seen["key"] - origin
    phases, led, begun = 0.0, 1e999, {"detect": origin}
    for e in (e for e in events[begin:last] if origin is not None and e["at"] >= origin):
        begun |= {e["subject"]: e["at"]} if e["kind"] == "begin" else {}
        if e["kind"] in ("end", "failed") and e["subject"] in begun:
            phases, led = phases + e["at"] - begun.pop(e["subject"]), e["at"] if e["subject"] == "switch" else led
    found = [loss_of(one, rows, struck, budget["rpo_seconds"], led) for one in stores if drill]
    ledgers, broken = [one[1] for one in found], bool(findings) or any(any(more.values()) for *_, more, _ in found)
    require({r.get("ledger", "clients") for r in rows if drill} <= {s["name"] for s in stores}, "ledger: not judged")
    rpo = max(rpos) if drill and "not measured" not in (rpos := [one["rpo_seconds"] for one in ledgers]) else None
    doubtful = drill and (rpo is None or any(struck - at > (30.0 if n else 2.0) for n, (at, *_) in enumerate(found)))
    doubtful |= bool(doubts) or (drill and (not witnessed or (took or 0.0) - phases > max(0.01 * (took or 0.0), 0.25)))
    doubtful |= (missed + undone or not seen["checks"] or "exposure" not in seen) and (drill or not findings + doubts)
    broken |= seen["missing_files"] > budget["missing_files"] or seen.get("exposure", 0) > budget["exposure_seconds"]
    bad = took > budget["rto_seconds"] if took else drill and not (undone or "key" in seen or (doubts and not findings))
    verdict = "BROKEN" if (broken | bad) and (not drill or witnessed or findings) else "UNKNOWN" if doubtful else "KEPT"
    figures = {"verdict": verdict, "rto_seconds": took if drill else None, "exposure_seconds": seen.get("exposure")}
    first = ledgers[0] | found[0][2] if drill else {}
    figures |= {n: first.get(n) for n in ("lost", "acknowledged", "phantom", "out_of_order")}
    return {name: said(one) for name, one in {**figures, "rpo_seconds": rpo, "ledgers": ledgers}.items()}


def verify(folder: Path, keys: list[Path], drill: str, since: datetime | None) -> str:
    odd = [p.name for p in folder.rglob("*") if p.is_symlink() or not (p.is_file() or p.is_dir())]
    require(not odd, f"file: {odd} is a link or a pipe")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    require("statement.dsse.json" in files, "signature: the record is unsigned")
    envelope, key = json.loads(files["statement.dsse.json"].decode()), load_pem_public_key(keys[0].read_bytes())
    mine, kind = sha256(key.public_bytes_raw()).hexdigest()[:32], envelope["payloadType"].encode()
    signed = dict(every := [(one["keyid"], one["sig"]) for one in envelope["signatures"]])
    payload, *found = map(base64.b64decode, texts := [envelope["payload"], *signed.values()])
    whole = [base64.b64encode(one).decode() for one in (payload, *found)] == texts and len(signed) == len(every) <= 16
    require(whole and mine in signed, f"signature: signed with another key than {mine}, twice, or in another form")
    key.verify(base64.b64decode(signed[mine]), b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    about = (kind.decode(), (made := {"expected": "not stated", **json.loads(payload)})["_type"], made["predicateType"])
    require(about == (PAYLOAD, STATEMENT, TEST), "signature: no in-toto statement about a test")
    made |= {"signing_key": f"ed25519 {mine}", "format": "blackstart-record/2", "signed_off_by": "nobody signed off"}
    lines, ledger, last = files["journal.jsonl"].decode().split("\n"), files.get("ledger.jsonl", b""), "0" * 64
    events = [json.loads(line, parse_constant=int) for line in lines[:-1]]
    for at, (e, line) in enumerate(zip(events, lines[:-1], strict=True), 1):
        require(e["n"] == at, f"journal: event {at} is missing, or events are swapped: line {at} has event {e['n']}")
        require(e["prev"] == last and json.dumps(e, ensure_ascii=False) == line, f"journal: line {at - 1} was changed")
        types, more = [*map(type, e.values())], {*map(type, e["facts"].values())} - {str, int, float, bool}
        require(types == [int, float, *[str] * 4, dict, str] and not more, f"journal: line {at} is no event")
        last, _ = sha256(line.encode()).hexdigest(), datetime.fromisoformat(e["wall"])
    require(not lines[-1], "journal: its last line is not complete")
    record, facts, test = json.loads(text := files["record.json"]), {}, made["predicate"]
    subjects, inputs = ({o["name"]: o["digest"]["sha256"] for o in p} for p in (made["subject"], test["configuration"]))
    for n, digest in subjects.items():
        allowed = record["backup"].values() if n[:7] == "backup:" else [sha256(files.get(n, b"")).hexdigest()]
        require(digest in allowed, f"file: {n} was changed")
    odd = [n for n in files if (n not in subjects or n[:7] == "backup:") and not f"{n}/".startswith(UNSIGNED)]
    form = json.dumps(record if len(record) == 57 else 0, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    require(form == text and not odd, f"file: {odd} is not signed" if odd else "file: record.json is no canonical JSON")
    rows, times = [json.loads(line, parse_constant=int) for line in ledger.splitlines()], dict[Any, Any]()
    require(b"".join(json.dumps(r).encode()[:400] + b"\n" for r in rows) == ledger, "ledger: not as it was written")
    for row in rows:
        of, kind = (row.get("ledger", "clients"), row["number"]), "acked" if "acked" in row else "sent"
        like = [("ledger", str), ("number", int), (kind, float)][-len(row) :]
        once = [(n, type(v)) for n, v in row.items()] == like and times.setdefault((of, kind), row) is row
        require(once and of[1] >= 0 and times[of, "sent"]["sent"] <= row[kind], f"ledger: {row} is no write")
    for facts in (event["facts"] for event in events if event["kind"] == "promised"):
        require(record["promise"] == {name: facts[name] for name in BUDGETS}, "budget: record.json has others")
        hashes = {name[7:]: digest for name, digest in facts.items() if name.startswith("sha256 ")}
        same = hashes == record["hashes"] == inputs == {name: subjects.get(f"inputs/{name}") for name in hashes}
        require(same, f"budget: one of {[*hashes]} is not the file from before the drill")
    facts = facts | {name: fact for e in events if e["kind"] == "recorded" for name, fact in e["facts"].items()}
    told = {name[5:]: json.loads(fact) for name, fact in facts.items() if name.startswith("json ")}
    for n, one in [*(made | facts | told | judge(events, rows)).items(), *test["blackstart"].items()]:
        require(str(record.get(n, one)) == str(one), f"verdict: {n} is {record.get(n)}, journal and ledger give {one}")
    own, it, kept = (record["record"], record["drill"]), [record["drill"]], record["verdict"] == "KEPT"
    require((folder.resolve().name, drill or own[1]) == own, f"replay: this is the record {' of the drill '.join(own)}")
    require(since is None or datetime.fromisoformat(record["finished"]) >= since, "replay: it ended at an earlier time")
    want = {"result": ("FAILED", "PASSED")[kept], "passedTests": it[:kept], "failedTests": it[kept:], "warnedTests": []}
    require(test == test | want, "statement: of another result")
    beside = Path(__file__).with_name("verify_record_more.py")
    check = run_path(str(beside))["check"] if beside.is_file() else lambda *_: f"no {beside.name}"
    words = check(record, files, events, rows, keys, loss_of)
    return f"VERIFIED {record['record']}: {own[1]!r}: {record['verdict']}, ended at {record['finished']}; {words}"


if __name__ == "__main__":
    (parser := argparse.ArgumentParser()).add_argument("folder", type=Path)
    parser.add_argument("--key", type=Path, required=True, action="append", dest="keys", help="PEM; more: of people")
    parser.add_argument("--drill", default="", help="the drill that it must be")
    parser.add_argument("--since", type=datetime.fromisoformat, help="when it must have ended at the earliest")
    try:
        print(verify(**vars(parser.parse_args())))
    except (InvalidSignature, LookupError, OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SystemExit(f"REFUSED  signature or form: it is not as it was signed: {error!r}") from None

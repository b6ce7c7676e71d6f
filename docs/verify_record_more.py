"""Second part of the stand-alone verifier, which `verify_record.py` runs: the reasons in words, and the sign-offs."""

import base64
import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_public_key

KIND, LARGEST, JOINERS = "application/vnd.blackstart.sign-off+json", 64 << 10, "\u200c\u200d"
FIELDS = {"by": "", "at": "", "record_sha256": "", "remark": "", "key": "", "format": "blackstart-sign-off/1"}
MOST, KEYID = 16, re.compile(r"[0-9a-zA-Z:._-]{1,128}").fullmatch  # signatures, and the name of the key of each
LISTS = ("uncovered", "not done", "finding", "doubt")


def require(truth: object, reason: str) -> None:
    if not truth:
        raise SystemExit("REFUSED  " + "".join(one if one.isprintable() else ascii(one)[1:-1] for one in reason))


def losses(name: str, told: Any, more: Any, rpo: float | None, budget: float) -> list[str]:
    if rpo is None:
        return []
    lost, shown = told["lost"], ", ".join(map(str, told["lost"][:5])) + " ..." * (len(told["lost"]) > 5)
    lines = {
        f"RPO missed: none of {told['acknowledged']} acknowledged writes survived": more["none"],
        f"RPO missed: {rpo:.1f} s of {budget:g} s, {len(lost)} acknowledged writes lost ({shown})": rpo > budget
        and not more["none"],
        f"the recovered system contains writes that were never sent: {tuple(more['phantom'][:5])}": more["phantom"],
        f"writes are missing although later ones survived: first {min(lost, default=0)}": more["out_of_order"],
        f"the DR site has lost writes that it acknowledged itself: {tuple(more['own'][:5])}": more["own"],
    }
    where = "" if name == "clients" else f"ledger {name}: "
    return [where + line for line, so in lines.items() if so]


def reasons(events: list[Any], rows: list[Any], loss_of: Callable[..., Any]) -> list[str]:
    budget = events[begin := max(i for i, event in enumerate(events) if event["kind"] == "promised")]["facts"]
    last = max(i for i, e in enumerate(events) if (e["kind"], e["subject"]) == ("judged", "observed"))
    seen, judged = events[last]["facts"], [e for e in events[last:] if e["kind"] == "judged"]
    missed, undone, findings, doubts = ([e["facts"]["line"] for e in judged if e["subject"] == s] for s in LISTS)
    drill, struck, key = budget["mode"] == "drill", seen.get("struck"), seen.get("key")
    witnessed = seen.get("witnessed") is True
    stores = [seen | {"name": "clients", "copied": 1e99}, *(e["facts"] for e in judged if e["subject"] == "ledger")]
    origin = loss_of(stores[0], rows, struck, 0.0, 0.0)[0] if drill else seen.get("activated")
    took, gap, led, begun = None if None in (origin, key) else key - origin, 0.0, 1e999, {"detect": origin}
    for e in (e for e in events[begin:last] if origin is not None and e["at"] >= origin):
        begun |= {e["subject"]: e["at"]} if e["kind"] == "begin" else {}
        if e["kind"] in ("end", "failed") and e["subject"] in begun:
            gap, led = gap - e["at"] + begun.pop(e["subject"]), e["at"] if e["subject"] == "switch" else led
    gap, exposure, missing, may = (
        (took or 0.0) + gap,
        seen.get("exposure"),
        seen["missing_files"],
        budget["missing_files"],
    )
    found = [(one["name"], *loss_of(one, rows, struck, 0.0, led)) for one in stores if drill]
    bad = {
        f"{missing} referenced files or objects are not on the DR site, {may} may be missing": missing > may,
        "service was not restored: the key functions did not pass": drill
        and not (undone or key is not None or (doubts and not findings)),
        f"RTO missed{' by the restore alone' * (not drill)}: {took or 0.0:.1f} s of {budget['rto_seconds']:g} s": took
        and took > budget["rto_seconds"],
        f"exposure too large: {exposure or 0.0:.0f} s of {budget['exposure_seconds']:g} s": exposure is not None
        and exposure > budget["exposure_seconds"],
    }
    unsure = {
        "no strike was carried out": drill and struck is None,
        "the strike had no effect on client requests": drill and struck is not None and not witnessed,
        "the exposure was not measured": exposure is None,
        "no assertion was made": not seen["checks"],
    }
    lines = [f"not covered by the backup: {one}" for one in missed] + [f"not done: {one}" for one in undone]
    for store, (name, at, *_) in zip(stores, found, strict=False):
        where, its, limit = ("", "the", 2) if store is stores[0] else (f"ledger {name}: ", "its", 30)
        silent = struck is not None and (at is None or struck - at > limit)
        lines += [f"{where}no acknowledged write in the {limit} s before the strike"] * silent
        lines += [f"{where}{its} surviving writes were not read"] * ("survivors" not in store)
    lines += [line for line, so in unsure.items() if so]
    lines = lines if drill or key is not None or not findings + doubts else []
    late = drill and took is not None and gap > max(0.01 * took, 0.25)
    lines += [f"{gap:.2f} s of the recovery are outside all phases"] * late
    lost = [line for name, _, told, more, rpo in found for line in losses(name, told, more, rpo, budget["rpo_seconds"])]
    return [*findings, *(line for line, so in bad.items() if so), *lost, *doubts, *lines]


def opened(text: bytes, keys: dict[str, Any]) -> tuple[bytes, list[str]]:
    envelope = json.loads(text.decode())
    names = [one["keyid"] for one in envelope["signatures"]]
    texts = [envelope["payload"], *(one["sig"] for one in envelope["signatures"])]
    payload, *signatures = map(base64.b64decode, texts)
    whole = [base64.b64encode(one).decode() for one in (payload, *signatures)] == texts and len({*names}) == len(names)
    whole = whole and len(names) <= MOST and all(map(KEYID, names)) and envelope["payloadType"] == KIND
    require(whole, "sign-off: its base64, its type or the names of its keys were changed")
    for name, signature in zip(names, signatures, strict=True):
        if name in keys:
            keys[name].verify(signature, b"DSSEv1 %d %s %d %s" % (len(KIND), KIND.encode(), len(payload), payload))
    return payload, names


def sign_off(name: str, text: bytes, record: Any, digest: str, keys: dict[str, Any]) -> tuple[str, str]:
    note, names = json.loads(text), list[str]()
    if "payload" in note:
        payload, names = opened(text, {})
        note = json.loads(payload)
        opened(text, {one: key for one, key in keys.items() if one == note.get("key")})
    note = {"key": "", "format": FIELDS["format"], **note}
    words = note["by"] + note["at"] + note["key"] + "".join(note["remark"].split("\n"))
    odd = [c for c in words if not (c.isprintable() or c in JOINERS or unicodedata.category(c) == "Zs")]
    right = note.keys() == FIELDS.keys() and {*map(type, note.values())} == {str} and note["format"] == FIELDS["format"]
    right = right and not odd and note["by"].strip() and len(text) <= LARGEST
    require(right, f"sign-off: {name} is none of this version, or has what cannot be shown")
    require(not note["key"] or note["key"] in names, f"sign-off: {name} is not signed with the key that it names")
    require(note["record_sha256"] == digest, f"sign-off: {name} is of another record, or the record was changed since")
    at, latest = datetime.fromisoformat(note["at"]), datetime.now(UTC) + timedelta(minutes=5)
    require(datetime.fromisoformat(record["finished"]) <= at <= latest, f"sign-off: {name} is old, or of the future")
    how = f"signed with key {note['key']}" if note["key"] in keys else f"says key {note['key']}, not verified"
    how = "NOT A PERSON'S key" if record["signing_key"] == f"ed25519 {note['key']}" else how
    return note["at"], f"{note['by']!r} at {note['at']} ({how if note['key'] else 'by name, without a key'})"


def check(record: Any, files: Any, events: Any, rows: Any, paths: list[Path], loss_of: Callable[..., Any]) -> str:
    why = sorted(reasons(events, rows, loss_of))
    require(sorted(record["reasons"]) == why, f"verdict: reasons {record['reasons']}: journal and ledger give {why}")
    names = [one["keyid"] for one in json.loads(files["statement.dsse.json"])["signatures"]]
    require(all(map(KEYID, names)), "signature: the name of a key in the statement is none")
    keys = [load_pem_public_key(path.read_bytes()) for path in paths]
    known = {sha256(key.public_bytes_raw()).hexdigest()[:32]: key for key in keys}
    digest = sha256(files["record.json"]).hexdigest()
    signed = dict.fromkeys(sign_off(n, files[n], record, digest, known) for n in files if n.startswith("sign-off-"))
    return f"signed off by {'; '.join(one for _, one in sorted(signed))}" if signed else "nobody signed off"

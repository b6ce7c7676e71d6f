"""Statement about a record: in-toto Statement v1 with a test result, in a DSSE envelope.

Sources: https://github.com/in-toto/attestation, spec/v1/statement.md and spec/predicates/test-result.md;
https://github.com/secure-systems-lab/dsse, envelope.md.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.core.errors import Unreadable
from harness.core.judge import Verdict
from harness.core.record import DrillRecord
from harness.evidence.folder import INPUTS, JOURNAL, LEDGER, read_record
from harness.evidence.format.chain import CONCLUDED, add
from harness.evidence.format.record_file import RECORD, canonical, sha256_of
from harness.signing import sign

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD = "application/vnd.in-toto+json"
SIGNED, UNSIGNED = "statement.dsse.json", "statement.json"
ALLURE = "allure-result.json"
TOLD = "told.json"
FILES = (RECORD, JOURNAL, LEDGER, ALLURE, TOLD)  # subjects, where they exist, beside all files of `inputs/`
BACKUP = "backup:"  # begins the name of a subject that is no file here: COMMIT of the restored backup


def seal(folder: Path, key: Ed25519PrivateKey | None) -> Path:
    """Write the statement about a concluded record, signed if there is a key, and add it to the chain; return it.

    Nothing in the folder may be changed afterwards. Raises Unreadable for a damaged record or chain.
    """
    record = read_record(folder)
    target = folder / (SIGNED if key is not None else UNSIGNED)

    def state(previous: str) -> str:
        payload = canonical(statement_of(folder, record, previous))
        target.write_bytes(sign(PAYLOAD, payload, [key]) if key is not None else payload)
        return hashlib.sha256(payload).hexdigest()

    add(folder.parent, CONCLUDED, record.record, state)
    return target


def statement_of(folder: Path, record: DrillRecord, previous: str) -> Mapping[str, Any]:
    """Return the statement. `previous`: the SHA-256 of the last line of the chain."""
    passed = record.verdict == Verdict.KEPT
    return {
        "_type": STATEMENT,
        "subject": [_named(name, digest) for name, digest in subjects(folder, record)],
        "predicateType": PREDICATE,
        "predicate": {
            "result": "PASSED" if passed else "FAILED",
            "configuration": [_named(name, digest) for name, digest in record.hashes.items()],
            "passedTests": [record.drill] if passed else [],
            "warnedTests": [],
            "failedTests": [] if passed else [record.drill],
            "blackstart": {
                "record": record.record,
                "verdict": record.verdict,
                "finished": record.finished or "not concluded",
                "previous_line_sha256": previous,
                "previous_statement_sha256": record.previous_statement_sha256 or "none",
            },
        },
    }


def subjects(folder: Path, record: DrillRecord) -> Iterator[tuple[str, str]]:
    """Yield name and SHA-256 of everything that a statement is about."""
    for path in signed_files(folder):
        yield path.relative_to(folder).as_posix(), sha256_of(path)
    # A restore test took no backup: it has the head of the repository's chain.
    for fact, name in (("commit_sha256", record.backup.get("id")), ("chain_head_sha256", "head of the chain")):
        digest = record.backup.get(fact)
        if isinstance(digest, str):
            yield f"{BACKUP}{name}/COMMIT", digest


def signed_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a record folder that a statement is about, and that may not be changed."""
    yield from (folder / name for name in FILES if (folder / name).is_file())
    yield from (path for path in sorted((folder / INPUTS).rglob("*")) if path.is_file())


def read_statement(data: Any) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the subjects of a parsed statement (name -> SHA-256) and what blackstart says in it. Raises Unreadable."""
    try:
        if data["_type"] != STATEMENT or data["predicateType"] != PREDICATE:
            raise Unreadable(f"statement: not a test result, but {data['_type']!r}, {data['predicateType']!r}")
        found = [(str(one["name"]), str(one["digest"]["sha256"])) for one in data["subject"]]
        said = {str(name): str(value) for name, value in data["predicate"]["blackstart"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"statement: not one of blackstart ({type(error).__name__}: {error})") from None
    if len(dict(found)) != len(found):
        raise Unreadable("statement: a subject is there twice")
    return dict(found), said


def _named(name: str, digest: str) -> Mapping[str, Any]:
    return {"name": name, "digest": {"sha256": digest}}

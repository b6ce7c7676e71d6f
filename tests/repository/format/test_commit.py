"""COMMIT: signed by a trusted writer, complete and bounded, or unreadable."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from harness.core.errors import Unreadable
from harness.repository.format.commit import KIND, Commit, Predecessor, key_check, read_commit
from harness.repository.format.manifest import canonical
from harness.signing import new_signing_pair, read_signing_key, read_verify_key, sign

PRIVATE, PUBLIC = new_signing_pair()
KEY, WRITERS = read_signing_key(PRIVATE), (read_verify_key(PUBLIC),)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMIT = Commit(
    estate="shop",
    cluster="7391",
    backup_id="20260301T020304.000567Z-0123456789",
    sequence=2,
    follows=(Predecessor(sequence=1, backup_id="20260228T020304.000567Z-0123456789", digest="ab" * 32),),
    started=NOON,
    snapshot_at=NOON,
    finished=NOON,
    manifest_sha256="cd" * 32,
    manifest_stored=100,
    manifest_plain=200,
    key_check="ef" * 32,
    recipients=("01" * 16, "02" * 16),
    stored_size=1,
    plain_size=2,
    objects=1,
)


def test_it_round_trips() -> None:
    text = COMMIT.signed(KEY)
    assert read_commit(text, WRITERS) == COMMIT
    assert text.count(b"\n") == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"format": "blackstart-backup/3"}, "not of format blackstart-backup/2; a newer one"),
        ({"recipients": ["01" * 16]}, "sealed to 1 recipient, at least 2"),
        ({"recipients": ["01" * 16] * 2}, "sealed to 1 recipient, at least 2"),
        ({"recipients": [f"{n:032x}" for n in range(33)]}, "recipients: "),
        ({"manifest_plain": 1 << 40}, "manifest_plain: "),
        ({"manifest_plain": "200"}, "manifest_plain: "),
        ({"stored_size": -1}, "stored_size: "),
        ({"stored_size": 1 << 70}, "stored_size: "),
        ({"sequence": 0}, "sequence: "),
        ({"sequence": 1.5}, "sequence: "),
        ({"sequence": True}, "sequence: "),
        ({"finished": "2026-03-01T12:00:00"}, "finished: "),
        ({"finished": "99999-01-01T00:00:00Z"}, "finished: "),
        ({"backup_id": "../../x"}, "backup_id: "),
        ({"backup_id": "20260301T020304.000567Z-0123456789\n"}, "backup_id: "),
        ({"estate": "shop/../other"}, "estate: "),
        ({"cluster": "7\n391"}, "cluster: "),
        ({"cluster": "\ud800"}, "COMMIT: malformed"),
        ({"follows": [{"sequence": 1}]}, "follows.0.backup_id: "),
        ({"follows": [json.loads(COMMIT.follows[0].model_dump_json())] * 17}, "follows: "),
        ({"surprise": 1}, "surprise: "),
    ],
)  # fmt: skip
def test_what_is_signed_and_malformed_is_unreadable(values: dict[str, object], reason: str) -> None:
    payload = json.dumps({**json.loads(COMMIT.model_dump_json()), **values}).encode()
    with pytest.raises(Unreadable, match=reason) as caught:
        read_commit(sign(KIND, payload, [KEY]), WRITERS)
    assert str(caught.value).isprintable()


def test_an_unsigned_and_a_foreign_one_are_unreadable() -> None:
    with pytest.raises(Unreadable, match="not signed"):
        read_commit(sign(KIND, canonical(COMMIT.model_dump()), []), WRITERS)
    with pytest.raises(Unreadable, match="which is not trusted here"):
        read_commit(COMMIT.signed(read_signing_key(new_signing_pair()[0])), WRITERS)
    with pytest.raises(Unreadable, match="trusted: no key"):
        read_commit(COMMIT.signed(KEY), ())


def test_the_key_check_depends_on_key_and_place() -> None:
    values = {key_check(*words) for words in ((bytes(32), "1", "a"), (b"\1" * 32, "1", "a"), (bytes(32), "2", "a"))}
    assert len(values) == 3

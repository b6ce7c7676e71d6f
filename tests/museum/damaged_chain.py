"""Damages to COMMITs and to the chain of backups, and what an attacker puts there."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from harness.repository.format.commit import read_commit
from harness.signing import new_signing_pair, read_signing_key
from tests.museum.exhibit import commit_of, exhibit, said_otherwise
from tests.museum.exhibition import SERVER, Exhibition
from tests.repository.store_servers import contents

# COMMIT and the chain


@exhibit("chain", r"is not in the repository")
def newest_commit_deleted(at: Exhibition) -> None:
    at.store.delete(commit_of(at, at.incremental))


@exhibit("chain", r"is not in the repository, though older ones are: it was deleted")
def commit_in_the_middle_deleted(at: Exhibition) -> None:
    at.store.delete(commit_of(at, at.logical[1]))


@exhibit("newest", r"signature")
def what_commit_says_edited(at: Exhibition) -> None:
    key = commit_of(at)
    at.write(key, said_otherwise(at.read(key)))


@exhibit("chain", r"is not in the repository, though older ones are")
def commit_written_with_other_spaces(at: Exhibition) -> None:
    at.write(commit_of(at), json.dumps(json.loads(at.read(commit_of(at))), indent=1).encode())


@exhibit("newest", r"signature|trusted")
def commit_signed_by_another_key(at: Exhibition) -> None:
    commit = read_commit(at.read(commit_of(at)), at.trust.writers)
    at.write(commit_of(at), commit.signed(read_signing_key(new_signing_pair()[0])))


@exhibit("newest", r"belongs to backup")
def commit_of_another_backup_in_its_place(at: Exhibition) -> None:
    at.write(commit_of(at), at.read(commit_of(at, at.logical[0])))


@exhibit("newest", r"COMMIT|JSON|ends|empty")
def commit_emptied(at: Exhibition) -> None:
    at.write(commit_of(at), b"")


@exhibit("newest", r"larger than the limit")
def commit_of_two_megabytes(at: Exhibition) -> None:
    at.write(commit_of(at), b'{"a":"' + b"a" * (2 << 20) + b'"}')


@exhibit("newest", r"COMMIT|not|UTF-8|signature")
def commit_that_is_no_text(at: Exhibition) -> None:
    at.write(commit_of(at), bytes(range(128, 256)))


@exhibit("newest", r"belongs to backup .* of estate another")
def commit_of_another_estate(at: Exhibition) -> None:
    other = at.back_up(9, estate="another")
    at.write(commit_of(at), at.read(f"another/commit/{other}.json"))


@exhibit("chain", r"is not in the repository")
def newest_backup_deleted_whole(at: Exhibition) -> None:
    for kind in ("commit", "manifest", "keys", "data"):
        for key in at.of(kind, at.incremental):
            at.store.delete(key)


@exhibit("chain", r"is not in the repository")
def every_backup_deleted(at: Exhibition) -> None:
    for kind in ("commit", "manifest", "keys", "data"):
        for key in at.of(kind):
            at.store.delete(key)


@exhibit("chain", r"is not in the repository")
def the_state_of_the_first_night_put_back(at: Exhibition) -> None:
    for kind in ("commit", "manifest", "keys", "data"):
        for key in at.of(kind):
            if at.logical[0] not in key:
                at.store.delete(key)


@exhibit("planted", r"which is not trusted here|signature")
def forged_backup_of_an_attacker(at: Exhibition) -> None:
    forged = replace(at.keys, writer=new_signing_pair())
    mine = replace(at.repository, witnesses=(), trust=forged.trust)
    writer = mine.begin(SERVER, at.keys.public, forged.writer[0])
    writer.add("server.json", (b'{"roles": [{"name": "backdoor", "superuser": true}]}',))
    at.planted = writer.commit(contents()).backup_id


@exhibit("planted", r"of database system 666; declared: 7391")
def backup_of_another_server_by_the_writer(at: Exhibition) -> None:
    at.planted = at.back_up(5, cluster="666")


@exhibit("chain", r"in the future: the clock of its writer is wrong")
def backup_dated_a_year_ahead(at: Exhibition) -> None:
    at.time.now += timedelta(days=366)
    at.back_up(6)
    at.time.now -= timedelta(days=366)


@exhibit("planted", r"not signed \(blackstart-backup/1\)")
def backup_of_the_unsigned_format(at: Exhibition) -> None:
    at.planted = at.newest.replace("2026", "2027", 1)
    at.write(commit_of(at, at.planted), b'{"format":"blackstart-backup/1","manifest_hmac":"00"}')


@exhibit("chain", r"is not in the repository")
def a_note_of_expiry_forged_for_a_deletion(at: Exhibition) -> None:
    at.store.delete(commit_of(at, at.logical[1]))
    note = {"format": "blackstart-expiry/1", "estate": "shop", "backups": [{"backup_id": at.logical[1]}]}
    at.write(at.repository.layout.expiry(at.logical[1]), json.dumps(note).encode())

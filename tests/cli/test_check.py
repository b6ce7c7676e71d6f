"""`blackstart check`: everything that is wrong is found at once, in one line each, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.alerts.sink import AlertSink
from harness.backup.check import check_server
from harness.estate.report import Report
from harness.postgres.server import connect
from harness.repository.format.recipients import new_pair
from harness.signing import new_signing_pair
from tests.cases.production import Production, blackstart, there

__all__ = ["there"]

pytestmark = pytest.mark.programs


@dataclass(frozen=True)
class Estate:
    """An operator's folder."""

    folder: Path
    there: Production

    def change(self, before: str, after: str) -> object:
        file = self.folder / "estate.toml"
        assert before in file.read_text()
        return file.write_text(file.read_text().replace(before, after, 1))

    def secret(self, name: str, value: bytes | None) -> object:
        path = self.folder / "secrets" / name
        path.unlink(missing_ok=True)
        return path.write_bytes(value) if value is not None else None


@pytest.fixture
def estate(there: Production, tmp_path: Path) -> Estate:
    made = Estate(there.folder(tmp_path), there)
    for holder in ("dr", "escrow"):
        made.secret(f"primary/recipient-{holder}.pub", new_pair()[1])
    private, public = new_signing_pair()
    made.secret("primary/writer.pem", private)
    made.secret("primary/writer-1.pub", public)
    return made


def test_a_right_declaration_is_said_to_be_right_and_nothing_is_left(estate: Estate) -> None:
    before = estate.there.stored()
    done = blackstart(estate.folder, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["covered: database guestbook", "estate.toml: nothing is wrong"]
    assert estate.there.stored() == before


def both(*_done: object) -> None:
    """Several changes in one expression."""


def other_key(estate: Estate) -> None:
    same = (estate.folder / "secrets/primary/recipient-dr.pub").read_bytes()
    estate.secret("primary/recipient-escrow.pub", same)


def limited(estate: Estate) -> None:
    """The superuser of the declaration is one in name alone."""
    with connect(estate.there.sql) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'r'")


WRONG: dict[str, tuple[Callable[[Estate], object], int, tuple[str, ...]]] = {
    "every mistake of the file": (
        lambda e: both(e.change("zone =", "zonne ="), e.change('needs = ["guestbook"]', 'needs = ["gestbook"]'),
                   e.change("tls = false", 'tls = "maybe"')),
        2,
        ("estate.zonne: unknown key; did you mean 'zone'?", "estate: needs zone", "existing.offsite.tls: ",
         "services.gateway.needs: no service 'gestbook'; did you mean 'guestbook'?"),
    ),
    "a key function without assertion": (
        lambda e: e.change(', status = 200, contains = "hello"', ""), 2, ("services.guestbook.keys",)),
    "every secret that is missing or empty": (
        lambda e: both(e.secret("primary/recipient-dr.pub", None), e.secret("primary/s3-access", b"\n"),
                   e.secret("offsite/s3-secret", None)),
        2,
        ("recipient-dr.pub is missing; create it with `blackstart keys new`", "s3-access is empty",
         "offsite/s3-secret is missing"),
    ),
    "no writer's key": (
        lambda e: e.secret("primary/writer.pem", None), 2,
        ("writer.pem is missing; create it with `blackstart keys new`",)),
    "another writer's key": (
        lambda e: e.secret("primary/writer-1.pub", new_signing_pair()[1]), 2,
        ("no writer-*.pub is the public half of writer.pem",)),
    "recipients that are one": (other_key, 2, ("recipient-escrow.pub is the same key as recipient-dr.pub",)),
    "a private key as recipient": (
        lambda e: e.secret("primary/recipient-escrow.pub", new_pair()[0]), 2, ("this is a private key",)),
    "endpoints that do not answer": (
        lambda e: both(e.change(f'sql = "{e.there.sql.outside}"', 'sql = "127.0.0.1:9"'),
                   e.change(f's3 = "{e.there.offsite.outside}"', 's3 = "127.0.0.1:9"')),
        1,
        ("existing.primary.sql: PostgreSQL at 127.0.0.1:9", "existing.offsite: store 127.0.0.1:9"),
    ),
    "credentials that are refused": (
        lambda e: both(e.secret("primary/postgres-superuser", b"guessed"), e.secret("offsite/s3-secret", b"guessed"),
                   e.secret("primary/s3-secret", b"guessed")),
        1,
        ("password authentication failed", "access denied (SignatureDoesNotMatch)",
         "existing.primary.s3: bucket *"),
    ),
    "a bucket that does not exist": (
        lambda e: e.change("tls = false", 'tls = false\nbucket = "elsewhere"'), 1,
        ("bucket elsewhere", "no such bucket; create it")),
    "a read-only repository for backups": (
        lambda e: e.change("read_only = false", "read_only = true"), 2,
        ("existing.offsite.read_only: a backup cannot be written",)),
    "databases, roles and buckets that are not there": (
        lambda e: e.change('databases = ["guestbook"]', 'databases = ["guestbook", "billing"]\nrole = "nobody"\n'
                           'buckets = [{ name = "uploads" }]'),
        1,
        ("services.guestbook.databases: no database 'billing' on", "no role 'nobody' on", "no bucket 'uploads' at"),
    ),
    "exclusions and assertions of nothing": (
        lambda e: e.change("[existing.primary]", '[backup.exclude]\n"database old" = "r"\n"path /nowhere" = "r"\n'
                           '[[databases.gestbook.assertions]]\nquery = "SELECT 1"\nreturns = 1\n[existing.primary]'),
        1,
        ("backup.exclude: database old: there is none to leave out", "backup.exclude: path /nowhere: there is none",
         "databases.gestbook: no database 'gestbook' on"),
    ),
    "a volume without a folder": (
        lambda e: e.change('databases = ["guestbook"]', 'databases = ["guestbook"]\nfiles = [{ volume = "uploads" }]'),
        2,
        ("existing.primary.volumes: uploads of service guestbook is not declared",),
    ),
    "targets of alerts and outcomes that cannot be read": (
        lambda e: e.change("[existing.offsite]", '[backup]\nalerts = ["env:NO_PAGER", "file:secrets/no-chat"]\n'
                           '[notify]\nbroken = "env:NO_MAIL"\nheartbeat = "env:NO_BEAT"\n[existing.offsite]'),
        2,
        ("backup.alerts: secret env:NO_PAGER: environment variable NO_PAGER is not set; set it",
         "backup.alerts: secret file:secrets/no-chat: No such file", "notify.broken: secret env:NO_MAIL",
         "notify.heartbeat: secret env:NO_BEAT"),
    ),
    "a DR site that cannot be tested": (
        lambda e: e.change("[existing.offsite]", '[existing.dr]\nsql = "127.0.0.1:8"\ns3 = "127.0.0.1:7"\n'
                           'secrets = "secrets/none"\n[existing.offsite]'),
        2,
        ("secrets/none is no folder", "existing.dr.gateway: not declared",
         "existing.targets_key: no key is declared that the allowlist of drill targets is verified with",
         "existing.dr.services: guestbook is not declared"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration(estate: Estate, name: str) -> None:
    change, code, said = WRONG[name]
    change(estate)
    done = blackstart(estate.folder, "check", "--config", "estate.toml")
    assert done.returncode == code, done.stdout + done.stderr
    for line in said:
        assert len([one for one in done.stdout.splitlines() if line in one]) == 1, (line, done.stdout)
    assert all(one.startswith(("estate.toml: ", "covered: ")) for one in done.stdout.splitlines()[:-1])
    assert "Traceback" not in done.stderr
    assert str(estate.there.secrets.of("offsite")) not in done.stdout


def test_what_would_not_be_in_a_backup_is_named(estate: Estate) -> None:
    """A closed database, files that no service declares, a volume without folder; what is excluded is no finding."""
    with connect(estate.there.sql) as connection:
        connection.execute("CREATE DATABASE closed")
        connection.execute("ALTER DATABASE closed ALLOW_CONNECTIONS false")
    (estate.folder / "spare").mkdir()
    (estate.folder / "spare/letter").write_text("dear")
    estate.change('databases = ["guestbook"]', 'databases = ["guestbook"]\nvolumes = ["cache"]')
    estate.change("[existing.primary]", '[existing.primary]\nvolumes = { spare = "spare" }')
    try:
        done = blackstart(estate.folder, "check")
        assert done.returncode == 1, done.stdout
        for line in ("database closed: would not be in a backup: it allows no connections",
                     "volume spare: would not be in a backup: no service declares its 1 files",
                     "existing.primary.volumes: cache of service guestbook is not declared"):  # fmt: skip
            assert len([one for one in done.stdout.splitlines() if line in one]) == 1, done.stdout
        assert "covered: database guestbook" in done.stdout.splitlines()
        reasons = "".join(f'"{name}" = "not needed"\n' for name in ("database closed", "volume spare", "volume cache"))
        estate.change("[existing.offsite]", f"[backup.exclude]\n{reasons}[existing.offsite]")
        done = blackstart(estate.folder, "check")
        assert done.returncode == 0, done.stdout
        assert "excluded: database closed: left out; excluded: not needed" in done.stdout.splitlines()
    finally:
        with connect(estate.there.sql) as connection:
            connection.execute("DROP DATABASE closed")


def test_a_backup_that_would_fail_is_refused_before_it_begins_and_rings(estate: Estate) -> None:
    """All reasons are in one line and in the alert; nothing is written to the repository."""
    before = estate.there.stored()
    estate.change('databases = ["guestbook"]', 'databases = ["guestbook", "billing", "crm"]')
    with AlertSink() as sink:
        estate.secret("alert", sink.url.encode())
        estate.change("[existing.offsite]", '[backup]\nalerts = ["file:secrets/alert"]\n[existing.offsite]')
        done = blackstart(estate.folder, "backup")
        assert len(sink.received) == 1
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "no database 'billing' on" in line
    assert "no database 'crm' on" in line
    assert {"1.7.1", "1.7.2"} <= {json.loads(event)["message"] for event in done.stdout.splitlines()}
    assert estate.there.stored() == before


def test_what_a_physical_backup_lacks_is_said_before_it_begins(estate: Estate) -> None:
    """By `check` and by each backup, in the same words; a danger that prevents none is a warning."""
    estate.change("[existing.offsite]", '[backup]\nmode = "physical"\n[existing.offsite]')
    done = blackstart(estate.folder, "check")
    assert done.returncode == 0, done.stdout
    warning = "warning: existing.primary.sql: max_slot_wal_keep_size is -1: a replication slot that nobody receives"
    assert next(line for line in done.stdout.splitlines() if line.startswith("warning: ")).startswith(warning)
    done = blackstart(estate.folder, "check", "--mode", "incremental")
    assert done.returncode == 1, done.stdout
    assert "estate.toml: existing.primary.sql: summarize_wal is off; ALTER SYSTEM SET summarize_wal = on" in done.stdout
    with connect(estate.there.sql) as connection:
        file = Path(str((connection.execute("SHOW hba_file").fetchone() or ("",))[0]))
    hba, before = file.read_text(), estate.there.stored()
    try:
        file.write_text(f"host replication all all reject\n{hba}")
        with connect(estate.there.sql) as connection:
            connection.execute("SELECT pg_reload_conf()")
        done = blackstart(estate.folder, "check", "--json")
        said = json.loads(done.stdout)
        ((finding,), (danger,)) = said["findings"], said["warnings"]
        assert (done.returncode, finding["where"], danger["where"]) == (1, *["existing.primary.sql"] * 2)
        assert "`host replication postgres ADDRESS/32 scram-sha-256`, and a reload" in finding["what"]
        assert blackstart(estate.folder, "check", "--mode", "logical").returncode == 0
        for words in (("backup",), ("backup", "--mode", "physical")):
            done = blackstart(estate.folder, *words)
            (line,) = done.stderr.strip().splitlines()
            assert (done.returncode, finding["what"] in line) == (1, True), line
        assert estate.there.stored() == before
    finally:
        file.write_text(hba)
        with connect(estate.there.sql) as connection:
            connection.execute("SELECT pg_reload_conf()")


def test_findings_are_json_when_asked(estate: Estate) -> None:
    estate.change("tls = false", 'tls = false\nbucket = "elsewhere"')
    done = blackstart(estate.folder, "check", "--json")
    ((finding,),) = [json.loads(done.stdout)["findings"]]
    assert (finding["where"], finding["declaration"]) == ("existing.offsite", False)


@pytest.mark.parametrize(
    ("restores", "said"),
    [(False, "user reader cannot take a full backup: lacks pg_authid, pg_read_all_data, BYPASSRLS"),
     (True, "user reader cannot restore: lacks pg_authid")],
)  # fmt: skip
def test_what_a_user_without_rights_cannot_do_is_named(estate: Estate, restores: bool, said: str) -> None:
    limited(estate)
    (estate.folder / "reader").write_text("r")
    report, reader = Report(), replace(estate.there.sql, user="reader", password_ref=f"file:{estate.folder}/reader")
    assert not check_server(report, "existing.primary.sql", reader, restores=restores)
    (defect,) = report.defects
    assert said in str(defect)
    assert not defect.declared

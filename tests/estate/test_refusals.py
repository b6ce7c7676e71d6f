"""What a declaration must have for the work that it is read for, each refusal with its message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.backup.build import signing_key_of
from harness.core.errors import BackupFailed, UsageError
from harness.core.node import Address, NodeSpec
from harness.estate import existing, mistakes
from harness.estate.backup_config import BackupTable
from harness.estate.config import RestoreTable
from harness.estate.connections import Connections, Offsite
from harness.estate.existing_config import ExistingOffsiteTable, ExistingSiteTable, WitnessStoreTable
from harness.estate.report import Report, check_files
from harness.estate.server_tables import S3Table, SqlTable
from harness.estate.state_file import address
from harness.postgres import server as postgres
from harness.s3 import server as s3
from harness.substrate.existing.site import ExistingNode, ExistingSite

ABSENT = Path("/nowhere/ca.pem")
SQL = SqlTable(host=("db",), port=5432)
S3 = S3Table(endpoint="store:9000")
NOTHING: Any = None
ALONE = ExistingSite("dr", NOTHING, {})
WITHOUT: Any = SimpleNamespace(live=SimpleNamespace(secrets={}, site=SimpleNamespace(name="primary")))


def config(**tables: Any) -> Any:
    """Return a declaration with these tables under [existing]; with none, without [existing]."""
    none = {"primary": None, "dr": None, "offsite": None}
    table = SimpleNamespace(**(none | tables)) if tables else None
    own = {"estate": SimpleNamespace(name="shop"), "backup": BackupTable(), "restore": RestoreTable()}
    return SimpleNamespace(**own, existing=table)


def site(sql: SqlTable = SQL, s3: S3Table = S3) -> ExistingSiteTable:
    return ExistingSiteTable.model_construct(sql=sql, s3=s3, secrets=Path("keys"), gateway=None)


def offsite(s3: Any = S3, **more: Any) -> ExistingOffsiteTable:
    return ExistingOffsiteTable.model_construct(s3=s3, secrets=Path("keys"), **more)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: existing.declared(config()), r"estate shop: nothing is declared under \[existing\]"),
        (
            lambda: existing.declared_site(config(dr=site()), "primary"),
            r"no site is declared under \[existing\.primary",
        ),
        (lambda: existing.connect_offsite(config(dr=site())), r"no repository is declared under \[existing\.offsite"),
        (
            lambda: existing.connect_dr(config(dr=site()), None, Path("seen")),  # type: ignore[arg-type]
            r"existing\.dr\.gateway: not declared; the key functions are tested there",
        ),
        (lambda: existing.writers_in({}, "keys"), r"keys: no writer-\*\.pub, so that no backup is trusted"),
        (lambda: ExistingNode(ALONE, NodeSpec("odoo", ())).endpoint("http"), "odoo on dr: no address of its port http"),
        (lambda: signing_key_of(WITHOUT), "site primary: no secret .*, which signs backups; make it"),
        (lambda: Connections(config(), (), Offsite(None, {})).store, "estate shop: its repository has no address and"),
        (lambda: postgres.server_spec(NOTHING, secrets={}), "node postgres: no secret postgres-superuser; add"),
        (lambda: s3.server_spec(NOTHING, secrets={"s3-access": "x"}), "node objects: no secret s3-secret; add its"),
        (lambda: address("store"), "'store': not an address; write HOST:PORT"),
        (lambda: address(":9000"), "':9000': not an address; write HOST:PORT"),
        (lambda: address("store:port"), "'store:port': not an address; write HOST:PORT"),
    ],
)
def test_what_is_not_declared_is_named(read: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read()


def test_a_certificate_that_is_no_file_is_named_before_a_connection(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        with pytest.raises(UsageError, match=r"sql: /nowhere/ca\.pem is no file; put it there"):
            existing.sql_at(site(sql=SQL.model_copy(update={name: ABSENT})), {})
    alone = S3.model_copy(update={"ca": ABSENT})
    store: Any = alone
    witness = WitnessStoreTable.model_construct(s3=store, bucket="seen", secrets=tmp_path)
    for read, where in (
        (lambda: existing.s3_at(site(s3=alone), {}), "s3"),
        (lambda: existing.connect_offsite(config(offsite=offsite(alone))), r"existing\.offsite"),
        (
            lambda: existing.witness_store(config(offsite=offsite(witness_store=witness))),
            r"existing\.offsite\.witness_store",
        ),
    ):
        with pytest.raises(UsageError, match=rf"^{where}: /nowhere/ca\.pem is no file"):
            read()


def test_a_check_notes_a_certificate_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    report = Report()
    check_files(report, "existing.dr", tmp_path / "ca.pem", None)
    assert report.defects == []
    check_files(report, "existing.dr", ABSENT)
    assert "is no file" in str(report.defects[0])


def test_recipients_of_a_read_only_repository_are_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "connect_offsite", lambda _config: SimpleNamespace(read_only=True))
    with pytest.raises(UsageError, match="read_only: nothing there can be changed or removed; set it to false"):
        existing.repository_to_write(config(), ())


def test_mistakes_are_told_before_what_the_work_would_fail_at() -> None:
    report = Report()
    report.gap("backup", "database test is in no backup")
    report.require_possible("backup of shop")
    report.found("existing.primary.sql", "connection refused")
    with pytest.raises(BackupFailed, match=r"^backup of shop: existing\.primary\.sql: connection refused$"):
        report.require_possible("backup of shop")
    report.wrong("existing.primary", "no such folder")
    with pytest.raises(UsageError, match=r"^existing\.primary: no such folder$"):
        report.require_possible("backup of shop")


def test_a_site_or_a_secret_that_is_not_known_is_named() -> None:
    where = Offsite(Address("store", 9000), {}, "backups")
    known: Any = Connections(config(), (), where)
    for site, what in (("live", "primary"), ("recovered", "DR")):
        with pytest.raises(UsageError, match=f"estate shop: no {what} site is known here"):
            getattr(known, site)
    with pytest.raises(UsageError, match=r"store at store:9000: no secret .*; add it"):
        known._store(where)


def test_a_declaration_that_is_too_large_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "LARGEST", 10)
    path = tmp_path / "estate.toml"
    path.write_text("a = 1\n")
    assert mistakes.parse_toml(path, "name another") == {"a": 1}
    path.write_text("a = 1\n# longer\n")
    with pytest.raises(UsageError, match="larger than 10 bytes, which no declaration is; name another"):
        mistakes.parse_toml(path, "name another")

"""A check says all that is wrong with the folders and servers of a declared site at once; none of them answers here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.backup.build import take_backup
from harness.backup.check import check_primary, require_backup, require_schedule
from harness.core.errors import BackupFailed, UsageError
from harness.estate.config import Config
from harness.estate.report import Report, check_services
from harness.estate.secrets import RECIPIENTS, SIGNING_KEY
from harness.repository.format.recipients import new_pair
from harness.restore_test.check import check_dr, require_restore_test
from harness.signing import new_signing_pair
from tests.memory_estate import KEY, MemoryEstate

WRONG_ON_PRIMARY = (
    "certificate or key",
    "is the same key as",
    f"no writer-*.pub is the public half of {SIGNING_KEY}",
    "shop of service shop is not declared",
    "bucket",
)
WRONG_ON_DR = (
    "certificate or key",
    "is not the private half of",
    "new backups would not be trusted",
    "existing.dr.gateway: not declared",
    "shop of service shop is not declared",
)


def site(folder: Path, port: int) -> dict[str, object]:
    """Return the declaration of a site whose servers do not listen."""
    sql = {"host": ["127.0.0.1"], "port": port, "ca": str(folder / "no-ca.pem")}
    return {"sql": sql, "s3": {"endpoint": f"http://127.0.0.1:{port}"}, "secrets": str(folder)}


@pytest.fixture
def declared(memory_estate: MemoryEstate, tmp_path: Path) -> Config:
    """An estate whose two sites have each mistake that is found without a server."""
    pair, signing, other = new_pair(), new_signing_pair(), new_signing_pair()
    common = {"postgres-superuser": b"x", "s3-access": b"x", "s3-secret": b"x", KEY: b"x"}
    primary = {**dict.fromkeys(RECIPIENTS, pair[1]), SIGNING_KEY: signing[0]}
    for name, files in {
        "primary": {**common, **primary, "writer-1.pub": other[1]},
        "dr": {**common, "recipient.pem": new_pair()[0], "writer-1.pub": other[1]},
    }.items():
        (tmp_path / "of" / name).mkdir(parents=True)
        for file, data in files.items():
            (tmp_path / "of" / name / file).write_bytes(data)
    sites = {name: site(tmp_path / "of" / name, port) for name, port in (("primary", 9), ("dr", 11))}
    targets = {"targets": str(tmp_path / "no.toml"), "targets_key": str(tmp_path / "no.pub")}
    return Config.model_validate({**memory_estate.config.model_dump(), "existing": {**sites, **targets}})


@pytest.mark.parametrize(("check", "wanted"), [(check_primary, WRONG_ON_PRIMARY), (check_dr, WRONG_ON_DR)])
def test_everything_that_is_wrong_with_a_site_is_said_at_once(
    declared: Config, check: Callable[..., None], wanted: tuple[str, ...]
) -> None:
    report = Report()
    check(report, declared, check_services(report, declared))
    said = "\n".join(map(str, report.defects))
    assert [line for line in wanted if line not in said] == [], said


@pytest.mark.parametrize("work", [require_backup, require_schedule, take_backup, require_restore_test])
def test_work_does_not_begin_with_a_wrong_declaration(
    declared: Config, work: Callable[..., Any], tmp_path: Path
) -> None:
    more = (tmp_path / "runs", lambda _event: None) if work is take_backup else ()
    with pytest.raises(UsageError) as refused:
        work(declared, *more)
    assert "existing.offsite: no repository is declared" in str(refused.value)
    assert "certificate or key" in str(refused.value)


def test_findings_of_the_estate_end_a_backup_and_not_its_schedule() -> None:
    report = Report()
    report.gap("services.shop", "no role")
    report.require_possible("backup of shop")
    report.found("existing.primary.sql", "does not answer")
    report.require_declared()
    with pytest.raises(BackupFailed, match=r"backup of shop: existing\.primary\.sql: does not answer"):
        report.require_possible("backup of shop")

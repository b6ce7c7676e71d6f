"""The interlock on real servers: identities that are unlisted, unreadable or production's are refused by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, Refused, UsageError
from harness.core.node import Address
from harness.core.service import S3, Sql
from harness.postgres.identity import system_facts
from harness.restore_test.interlock import Interlock, Production
from harness.restore_test.targets import PUBLIC, signature_of
from harness.s3.client import ensure_bucket
from tests.estate.existing_servers import BUCKET, TAG, ExistingServers

pytestmark = pytest.mark.programs
UNREACHABLE = Address("127.0.0.1", 9)


def interlock(existing: ExistingServers, targets: Path, **more: object) -> Interlock:
    place = existing.site.place
    made = Interlock("dr", targets, targets.with_name(PUBLIC), place.sql, place.s3)
    return replace(made, **more)  # type: ignore[arg-type]


def system(existing: ExistingServers) -> str:
    return system_facts(existing.site.place.sql).identifier


def listed(existing: ExistingServers, **other: str) -> Path:
    identity = {"name": "dr", "system": system(existing), "bucket": BUCKET, "tag": TAG}
    return existing.list_targets(**identity | other)


def test_a_listed_site_is_allowed(existing: ExistingServers) -> None:
    found = interlock(existing, listed(existing))
    assert [target.name for target in found.before()] == ["dr"]
    assert found.after().system == system(existing)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"system": "1234567890"}, "its database system is"),
        ({"tag": "example-shop"}, "its bucket tag is example-shop-dr; drill-targets.toml lists dr: example-shop"),
        ({"bucket": "absent"}, "its bucket tag cannot be read"),
        ({"cluster": "0000-1111"}, "its cluster is none; drill-targets.toml lists dr: 0000-1111"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_any_other_identity_is_refused_by_name(existing: ExistingServers, other: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match="refused as a drill target") as refused:
        interlock(existing, listed(existing, **other)).before()
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_store_without_a_tag_is_refused(existing: ExistingServers) -> None:
    ensure_bucket(existing.site.place.s3, "bare", versioning=False)
    for word in ("anything", "no tag"):
        with pytest.raises(Refused, match="its bucket tag is no tag"):
            interlock(existing, listed(existing, bucket="bare", tag=word)).before()


def test_a_server_that_does_not_answer_is_refused(existing: ExistingServers) -> None:
    place = existing.site.place
    sql = Sql(UNREACHABLE, UNREACHABLE, place.sql.user, place.sql.password_ref)
    with pytest.raises(Refused, match="its database system cannot be read"):
        interlock(existing, listed(existing), sql=sql).before()
    s3 = S3(UNREACHABLE, UNREACHABLE, place.s3.access_key_ref, place.s3.secret_key_ref)
    with pytest.raises(Refused, match="its bucket tag cannot be read"):
        interlock(existing, listed(existing), s3=s3).before()


def test_an_expired_entry_is_refused_by_its_day(existing: ExistingServers) -> None:
    """`until` is the last day of an entry; whatever else it says, it is not used after that."""
    lock = interlock(existing, listed(existing, until="2027-03-31"))
    assert replace(lock, today=lambda: date(2027, 3, 31)).after().name == "dr"
    late = replace(lock, today=lambda: date(2027, 4, 1))
    for check in (late.before, late.after):
        with pytest.raises(Refused, match=r"refused as a drill target: .*its entry has expired: dr on 2027-03-31"):
            check()


def test_a_list_without_the_signature_of_the_pinned_key_is_refused(existing: ExistingServers) -> None:
    """The identities are right, and nobody who holds the key said so."""
    listed(existing)
    signature_of(file := existing.folder / "drill-targets.toml").unlink()
    with pytest.raises(Refused, match="unsigned allowlist of drill targets"):
        interlock(existing, file).before()
    with pytest.raises(UsageError, match="no key is declared"):
        interlock(existing, listed(existing), key=None).before()


def test_a_server_scaled_to_zero_is_checked_once_it_is_up(existing: ExistingServers) -> None:
    place = existing.site.place
    sql = Sql(UNREACHABLE, UNREACHABLE, place.sql.user, place.sql.password_ref)
    scaled_down = interlock(existing, listed(existing), sql=sql, scaled_to_zero=lambda node: node == "postgres")
    assert scaled_down.before()
    with pytest.raises(Refused, match="its database system cannot be read"):
        scaled_down.after()


def test_another_cluster_is_refused_before_other_checks(existing: ExistingServers) -> None:
    place = existing.site.place
    sql = Sql(UNREACHABLE, UNREACHABLE, place.sql.user, place.sql.password_ref)
    with pytest.raises(Refused, match=r"its cluster is elsewhere; drill-targets\.toml lists dr: here"):
        interlock(existing, listed(existing, cluster="here"), sql=sql, cluster=lambda: "elsewhere").before()

    def unreachable() -> str:
        raise HarnessError("the API does not answer")

    with pytest.raises(Refused, match="its cluster cannot be read"):
        interlock(existing, listed(existing, cluster="here"), cluster=unreachable).before()


def test_listed_production_is_refused(existing: ExistingServers) -> None:
    own = system(existing)
    for production in (Production(systems=frozenset({own})), Production(tags=frozenset({TAG}))):
        with pytest.raises(Refused, match="is production's; production is never"):
            interlock(existing, listed(existing), production=lambda p=production: p).before()

    def unreadable() -> Production:
        raise HarnessError("the repository does not answer")

    with pytest.raises(Refused, match="production's identity cannot be read"):
        interlock(existing, listed(existing), production=unreadable).before()

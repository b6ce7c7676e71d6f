"""What was restored is compared with the backup once more before sign-off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.errors import Finding
from harness.core.service import Tree
from harness.recovery.restore import Restored
from harness.recovery.sign_off import SignOff, check_again
from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.night, pytest.mark.programs]

TREE = Tree("media", "uploads", "media", "app", "SELECT path FROM uploads")


def restored(estate: CaseEstate) -> Restored:
    """Restore a database that a service writes, one that nobody declares, and two uploads."""
    estate.create("app", "CREATE TABLE uploads (path text)", "INSERT INTO uploads VALUES ('a.txt'), ('b.txt')")
    estate.create("ledger", "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (2)")
    for name in ("a.txt", "b.txt"):
        estate.put_file("uploads", f"media/{name}", name.encode())
    estate.declare("app", trees=[TREE], volumes=["uploads"])
    estate.back_up()
    return estate.restore()


def sign_off(estate: CaseEstate, done: Restored) -> SignOff:
    return check_again(estate.dr.place, [estate.service], done, estate.newest, estate.journal, 4)


def test_what_services_wrote_since_the_restore_is_no_difference(estate: CaseEstate) -> None:
    done = restored(estate)
    estate.run("app", "INSERT INTO uploads VALUES (NULL)", site="dr")
    assert sign_off(estate, done) == SignOff(2, ())


def test_rows_that_a_service_lost_are_found(estate: CaseEstate) -> None:
    done = restored(estate)
    estate.run("app", "DELETE FROM uploads WHERE path = 'a.txt'", site="dr")
    with pytest.raises(Finding, match=r"app: table public\.uploads: 1 rows, at least 2 expected"):
        sign_off(estate, done)
    estate.service.declared = replace(estate.service.declared, volatile=("public.uploads",))
    assert sign_off(estate, done).databases == 2


def test_a_database_that_no_service_writes_must_be_equal(estate: CaseEstate) -> None:
    done = restored(estate)
    estate.run("ledger", "UPDATE t SET id = 3 WHERE id = 2", site="dr")
    with pytest.raises(Finding, match=r"ledger: table public\.t: "):
        sign_off(estate, done)


def test_a_view_that_was_dropped_there_is_found(estate: CaseEstate) -> None:
    estate.create("reports", "CREATE VIEW totals AS SELECT 1 AS n")
    done = restored(estate)
    estate.run("reports", "DROP VIEW totals", site="dr")
    with pytest.raises(Finding, match=r"reports: schema: view public\.totals"):
        sign_off(estate, done)


def test_a_file_that_is_still_referenced_and_gone_is_found(estate: CaseEstate) -> None:
    done = restored(estate)
    estate.dr.site.volume("uploads").remove("media/a.txt")
    with pytest.raises(Finding, match=r"media: a\.txt: no such file"):
        sign_off(estate, done)

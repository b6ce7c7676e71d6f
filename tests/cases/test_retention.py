"""Retention by its command, on a production with two backups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cases.production import Production, blackstart, production

pytestmark = [pytest.mark.cases, pytest.mark.night]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Production]:
    with production(tmp_path / "production") as made:
        yield made


def test_retention_removes_what_its_table_does_not_keep_and_says_so_before(there: Production, tmp_path: Path) -> None:
    folder = there.folder(tmp_path / "rétention")
    for words in (("keys", "new"), ("backup",)):
        done = blackstart(folder, *words)
        assert done.returncode == 0, done.stderr
    plain = (folder / "estate.toml").read_text()
    refusals = {"no [backup.retention]: every backup is kept": plain}
    table = "\n[backup.retention]\nlast = 1\nday = 0\nweek = 0\nmonth = 0\nverified = 1\n"
    refusals["no witness is declared"] = plain + table
    declared = plain.replace("[existing.offsite]\n", '[existing.offsite]\nwitness = "witness.json"\n') + table
    refusals["0 backups were ever opened completely"] = declared
    assert blackstart(folder, "backup").returncode == 0
    before = there.stored()
    for said, text in refusals.items():
        (folder / "estate.toml").write_text(text)
        done = blackstart(folder, "retention", "--apply")
        assert done.returncode in {2, 3}
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert there.stored() == before
    assert blackstart(folder, "verify", "--all").returncode == 0
    rows = json.loads(blackstart(folder, "retention", "--json").stdout)
    assert [row["fate"] for row in rows] == ["kept", *["expires"] * (len(rows) - 1)]
    assert len(rows) > 1
    assert there.stored() == before
    done = blackstart(folder, "retention", "--apply")
    assert done.returncode == 0, done.stderr
    assert [f"{row['id']}  removed" in done.stderr for row in rows] == [False, *[True] * (len(rows) - 1)]
    left = blackstart(folder, "backups")
    assert (left.returncode, left.stderr) == (0, "")
    assert [key for key in there.stored() if "/commit/" in key] == [f"guests/commit/{rows[0]['id']}.json"]
    assert not [key for key in there.stored() if rows[1]["id"] in key]

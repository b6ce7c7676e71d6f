"""The command line of an operator: his production's backup on his own machine, and what he is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cases.production import Production, blackstart, last, production

pytestmark = pytest.mark.cases


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    with production(tmp_path_factory.mktemp("production")) as made:
        yield made


@pytest.fixture(scope="module")
def operator(there: Production, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's folder, after `keys new` and one `backup`: nothing was renamed."""
    folder = there.folder(tmp_path_factory.mktemp("operator"))
    for words in (("keys", "new"), ("backup",)):
        done = blackstart(folder, *words)
        assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.fixture
def laptop(there: Production, operator: Path, tmp_path: Path) -> Path:
    """A folder with the declaration, keys that read the repository, and the DR key: nothing of the primary."""
    folder = there.folder(tmp_path / "my läptop", primary=False, read_only=True)
    (folder / "secrets/dr").mkdir(parents=True)
    shutil.copy2(operator / "secrets/dr/recipient.pem", folder / "secrets/dr/recipient.pem")
    return folder


def test_a_laptop_tests_the_newest_backup_of_production(there: Production, laptop: Path) -> None:
    """`restore-test --substrate embedded`: a DR site is made, tested and removed; nothing of production is reached."""
    before = there.stored()
    done = blackstart(laptop, "restore-test", "--substrate", "embedded", LC_ALL="C")
    assert done.returncode == 0, done.stderr + done.stdout
    verdict = last(done)
    assert (verdict["verdict"], verdict["reasons"]) == ("KEPT", [])
    record = json.loads((Path(str(verdict["record"])) / "record.json").read_text())
    assert record["substrate"] == "embedded"
    assert record["data_rows"] == 500
    assert [result["passed"] for result in record["key_results"]].count(True) >= 3
    assert "guestbook-db" in record["notes"]["secrets made for this site"]
    assert list((laptop / "runs").iterdir()) == []
    assert there.stored() == before

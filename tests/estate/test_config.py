"""An operator's typing error in a declaration is one line that names the file, the key and the nearest valid one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.estate.config import load_config
from harness.estate.promises import load_promises, promise_named

ROOT = Path(__file__).resolve().parents[2]
GOOD = (ROOT / "estate.toml").read_text()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "estate.toml"
    path.write_text(text)
    return path


def test_the_declarations_that_ship_are_valid() -> None:
    for path in (ROOT / "estate.toml", *sorted((ROOT / "features/estates").glob("*.toml"))):
        assert load_config(path).public_name == "www.shop.test"
    assert load_promises(ROOT / "features/budgets.toml")["site loss"].rto.total_seconds() == 4 * 3600


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("bulk_mb = 200", "bulk_mbb = 200", "data.bulk_mbb: unknown key; did you mean 'bulk_mb'?"),
        ("[backup]", "[bakcup]", "bakcup: unknown key; did you mean 'backup'?"),
        ('kind = "odoo"', 'kind = "odo"', "services.odoo.kind: Input should be"),
        ('needs = ["odoo", "n8n"', 'needs = ["odo", "n8n"', "no service 'odo'; did you mean 'odoo'?"),
        ('"0 15 2 * * *"', '"15 2 * * *"', "backup.schedule: needs six fields"),
        ('"0 15 2 * * *"', '"0 75 2 * * *"', "backup.schedule"),
        ("alerts = []", 'alerts = ["mailto://me"]', "must be a reference, env:NAME or file:PATH"),
        ("bulk_mb = 200", "bulk_mb = -1", "data.bulk_mb"),
        ("[estate]", "[estate", "not valid TOML"),
        ('kind = "odoo"', 'kind = "http"', "kind http needs command, prefix, key"),
    ],
)
def test_a_typing_error_is_one_line_with_its_place(tmp_path: Path, before: str, after: str, reason: str) -> None:
    assert before in GOOD
    path = written(tmp_path, GOOD.replace(before, after, 1))
    with pytest.raises(UsageError) as caught:
        load_config(path)
    message = str(caught.value)
    assert reason in message
    assert str(path) in message
    assert "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml")


def test_an_unknown_promise_is_named_with_the_nearest() -> None:
    promises = load_promises(ROOT / "features/budgets.toml")
    with pytest.raises(UsageError, match="did you mean 'site loss, one machine'"):
        promise_named(promises, "site los, embedded")


def test_a_promise_without_an_owner_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, '["x"]\nrto_s = 1\nrpo_s = 1\nexposure_s = 1\nowner = ""\nreason = "r"\n')
    with pytest.raises(UsageError, match="owner"):
        load_promises(path)

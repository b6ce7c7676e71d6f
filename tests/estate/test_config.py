"""Errors in a declaration are one line with file, key and nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.estate.config import load_config
from harness.estate.promises import load_promises, promise_named
from harness.services.http.table import HttpTable

ROOT = Path(__file__).resolve().parents[2]
GOOD = (ROOT / "estate.toml").read_text()
ROW = "[x]\nowner = 'o'\nreason = 'r'\nexposure_s = 1\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "estate.toml"
    path.write_text(text)
    return path


def test_the_shipped_declarations_are_valid() -> None:
    for path in (ROOT / "estate.toml", *sorted((ROOT / "features/estates").glob("*.toml"))):
        assert load_config(path).public_name == "www.shop.test"
    assert load_promises(ROOT / "features/budgets.toml")["site loss"].rto.total_seconds() == 4 * 3600


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("bulk_mb = 200", "bulk_mbb = 200", "data.bulk_mbb: unknown key; did you mean 'bulk_mb'?"),
        ('zone = "shop.test"', 'zonne = "shop.test"', "estate.zonne: unknown key; did you mean 'zone'? (and 1 more)"),
        ('zone = "shop.test"', 'zone = "shop test"', "estate.zone: must match pattern"),
        ("[data]", "[[data]]", "data: must be a table"),
        ("[data]\n", "[data.bulk]\n", "data.bulk: unknown key; did you mean 'bulk_mb'?"),
        (
            'edge = "127.0.0.3"',
            'edge = "127.0.0.2"',
            "sites: primary.edge and dr.edge are both 127.0.0.2; give",
        ),
        ('edge = "127.0.0.3"', 'edge = "dr.shop.test"', "sites.dr.edge: "),
        (
            'kind = "odoo"',
            'kind = "odoo"\nneeds = ["gateway"]',
            ": services: circular dependency: odoo needs gateway needs odoo; remove one of these from `needs`",
        ),
        ('kind = "odoo"', 'kind = "odoo"\nneeds = ["odoo"]', "circular dependency: odoo needs odoo"),
        ("[backup]", "[bakcup]", "bakcup: unknown key; did you mean 'backup'?"),
        (
            'kind = "odoo"',
            'kind = "odo"',
            "services.odoo: kind: 'odo' is none of gateway, http, n8n, notification, odoo; did you mean 'odoo'?",
        ),
        ('needs = ["odoo", "n8n"', 'needs = ["odo", "n8n"', "no service 'odo'; did you mean 'odoo'?"),
        ('"0 15 2 * * *"', '"15 2 * * *"', "backup.schedule: needs six fields"),
        ('"0 15 2 * * *"', '"0 15 2 30 feb *"', "backup.schedule: comes in no year"),
        ('"0 15 2 * * *"', '"0 75 2 * * *"', "backup.schedule"),
        ("alerts = []", 'alerts = ["mailto://me"]', "must be a reference, env:NAME or file:PATH"),
        ("bulk_mb = 200", "bulk_mb = -1", "data.bulk_mb"),
        ("[data]", '[restore.allow]\n"user bob" = "why"\n[data]', "'user bob' is none of `role NAME`, `setting NAME`,"),
        ("[data]", '[restore.allow]\n"role " = "why"\n[data]', "'role ' is none of `role NAME`, "),
        ("[data]", '[restore.allow]\n"role bob" = ""\n[data]', "restore.allow.role bob: "),
        (
            "[data]",
            '[restore.exclude]\n"language c" = "x"\n[data]',
            "'language c' is none of `role NAME`, `setting NAME`",
        ),
        (
            "[data]",
            '[restore]\nallow = { "role a" = "x" }\nexclude = { "role a" = "y" }\n[data]',
            "restore: 'role a' is in `allow` and in `exclude`; keep it in one of them",
        ),
        ("[data]", "[restore]\nalow = {}\n[data]", "restore.alow: unknown key; did you mean 'allow'?"),
        ("[estate]", "[estate", "not valid TOML"),
        ('kind = "odoo"', 'kind = "http"', "services.odoo: needs command, prefix, keys"),
    ],
)
def test_a_typing_error_is_one_line_with_file_and_key(tmp_path: Path, before: str, after: str, reason: str) -> None:
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


def test_an_unknown_promise_is_reported_with_the_nearest_name() -> None:
    promises = load_promises(ROOT / "features/budgets.toml")
    with pytest.raises(UsageError, match="did you mean 'site loss, one machine'"):
        promise_named(promises, "site los, one machine")
    with pytest.raises(UsageError, match=r"known: .*site loss, one machine"):
        promise_named(promises, "the night")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", "x: must be a table"),
        ("[x]\nrto_s = inf", "x: rto_s: must be a finite number, not inf"),
        ("[x]\nrto_s = nan", "x: rto_s: must be a finite number, not nan"),
        (ROW + "rto_s = true\nrpo_s = 1", "x: rto_s: must be a "),
        (ROW + "rto_s = 1\nrpo_s = '5'", "x: rpo_s: must be a "),
        (ROW + "rto_s = 1\nrpo_s = 1\nmissing_files = true", "x: missing_files: must be a "),
        (
            ROW + "rto_s = 1\nrpo_s = 1\nmissing_files = 99999999999",
            "x: missing_files: must be less than or equal to 1000000",
        ),
        ("[x]\nrto = 1", "x: rto: unknown key; did you mean 'rto_s'? (and 5 more)"),
        ("[x", "not valid TOML"),
        (None, "No such file or directory; promises are declared in that file; example: "),
    ],
)
def test_an_invalid_promise_is_one_line_with_file_and_key(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "budgets.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_promises(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert reason in message
    assert "--config" not in message
    assert "\n" not in message


def test_a_file_in_a_command_is_relative_to_the_declaration(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    table = '[services.mine]\nkind = "http"\ncommand = ["python3", "mine.py", "--here"]\n'
    loaded = load_config(written(tmp_path, f'{GOOD}{table}prefix = "/m"\nkeys = [{{ path = "/m", contains = "m" }}]\n'))
    table_of = loaded.services["mine"]
    assert isinstance(table_of, HttpTable)
    assert table_of.command == ("python3", str(tmp_path / "mine.py"), "--here")


def test_a_promise_without_an_owner_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, '["x"]\nrto_s = 1\nrpo_s = 1\nexposure_s = 1\nowner = ""\nreason = "r"\n')
    with pytest.raises(UsageError, match="owner"):
        load_promises(path)

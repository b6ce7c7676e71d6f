"""A declaration that was saved as JSON is the same declaration, wherever it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import Unreadable
from harness.estate.config import load_config
from harness.estate.saved_config import read_saved, saved

ROOT = Path(__file__).resolve().parents[2]
EXISTING = """
[existing]
targets = "list.toml"
[existing.primary]
sql = "postgresql://admin@one:1,two:2/postgres?sslmode=require"
s3 = { host = "::1", port = 9000, tls = false }
secrets = "secrets/primary"
volumes = { odoo = "volumes/odoo" }
[existing.dr]
sql = "[::1]:5432"
s3 = "https://store:9000"
secrets = "secrets/dr"
gateway = "[::1]:80"
services = { odoo = "127.0.0.1:1" }
[existing.dr.cluster]
namespace = "dr"
workloads = { postgres = "statefulset/postgres" }
[existing.offsite]
s3 = { endpoint = "127.0.0.1:5", prefix = "a/b" }
secrets = "secrets/offsite"
"""


@pytest.mark.parametrize(
    "file", ["estate.toml", *(f"features/estates/{n}.toml" for n in ("guestbook", "data", "shop"))]
)
def test_a_declaration_is_read_again_without_its_file(tmp_path: Path, file: str) -> None:
    text = (ROOT / file).read_text() + EXISTING
    (tmp_path / "estate.toml").write_text(text)
    config = load_config(tmp_path / "estate.toml")
    assert read_saved(saved(config)) == config


def test_what_is_no_declaration_is_named() -> None:
    with pytest.raises(Unreadable, match="estate: Field required"):
        read_saved(b"{}")
    with pytest.raises(Unreadable, match="Invalid JSON"):
        read_saved(b'{"est')

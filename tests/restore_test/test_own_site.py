"""Secrets of a DR site that is made for a test: new ones where that serves, production's where it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.estate.config import Config
from harness.estate.secrets import Secrets
from harness.restore_test.own_site import require_secrets, secrets_for
from harness.traffic.door import GATEWAY_KEY
from harness.vault import read_text_secret
from tests.servers import secret_files

TABLES = {
    "estate": {"name": "shop", "zone": "shop.test"},
    "sites": {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}},
    "services": {"n8n": {"kind": "n8n"}, "odoo": {"kind": "odoo"}, "gateway": {"kind": "gateway"}},
}
NEEDED = {"recipient.pem": "key", "n8n-key": "the key", "shop-token": "token", "odoo-admin": "admin"}
FINGERPRINTS = (("n8n-key", hashlib.sha256(b"the key").hexdigest()),)


@pytest.fixture
def config() -> Config:
    return Config.model_validate(TABLES)


def given(folder: Path, **more: str) -> Mapping[str, str]:
    return secret_files(folder, {**NEEDED, **more})


def test_passwords_of_roles_and_the_gateway_s_key_are_made_anew(config: Config, tmp_path: Path) -> None:
    made = secrets_for(config, given(tmp_path), Secrets(tmp_path / "site"))
    assert set(made.made) == {"n8n-db", "odoo-db", "gateway-key", "gateway-users"}
    assert set(made.roles) == {"n8n", "odoo"}
    key, users = (read_text_secret(made.references[name]) for name in (GATEWAY_KEY, "gateway-users"))
    assert users.startswith("clients:")
    assert key not in users


def test_what_the_operator_has_is_used(config: Config, tmp_path: Path) -> None:
    more = {"odoo-db": "production's own", "gateway-key": "k", "postgres-superuser": "of another server"}
    made = secrets_for(config, given(tmp_path, **more), Secrets(tmp_path / "site"))
    assert read_text_secret(made.references["odoo-db"]) == "production's own"
    assert "odoo" not in made.roles
    assert "gateway-key" in made.made  # its list of users is not there, so that both are new
    assert read_text_secret(made.references["postgres-superuser"]) != "of another server"


@pytest.mark.parametrize(
    ("lacking", "value", "said"),
    [
        ("n8n-key", None, "n8n-key missing (the backup needs fingerprint "),
        ("n8n-key", "another", "n8n-key has fingerprint "),
        ("odoo-admin", None, "odoo-admin missing; copy production's"),
    ],
)
def test_what_cannot_be_made_anew_is_refused_by_name(
    config: Config, tmp_path: Path, lacking: str, value: str | None, said: str
) -> None:
    known = {name: text for name, text in NEEDED.items() if name != lacking} | ({lacking: value} if value else {})
    with pytest.raises(UsageError, match="secrets of the DR site: ") as caught:
        require_secrets(config, secret_files(tmp_path, known), FINGERPRINTS)
    assert said in str(caught.value)
    assert FINGERPRINTS[0][1][:12] in str(caught.value) or lacking != "n8n-key"

"""What a prepared estate holds: what the declaration names, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.drill.seed import derive, examples, make_base, running_primary
from harness.drill.template import Template
from harness.estate.config import Config, load_config
from harness.estate.registry import parts_of
from harness.estate.secrets import make_secrets
from harness.postgres.identity import databases
from harness.postgres.server import ask_row, connect, server_spec, sql_of
from harness.s3.client import IDENTITY_BUCKET
from harness.vault import read_text_secret
from tests.servers import embedded

ROOT = Path(__file__).resolve().parents[2]
SITES = {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}}


def declare(**services: dict[str, object]) -> Config:
    return Config.model_validate(
        {"estate": {"name": "shop", "zone": "shop.test"}, "sites": SITES, "services": services}
    )


OWN: dict[str, object] = {
    "kind": "http",
    "command": ["python3"],
    "databases": ["own"],
    "role": "app",
    "prefix": "/own",
    "keys": [{"path": "/own", "contains": "x"}],
}


def test_a_kind_that_is_declared_as_in_the_example_comes_from_the_shared_base() -> None:
    kinds: dict[str, dict[str, object]] = {name: {"kind": name} for name in ("odoo", "n8n", "notification", "gateway")}
    assert examples(declare(**kinds)) == ("n8n", "notification", "odoo")
    assert examples(declare(flows={"kind": "n8n"}, odoo={"kind": "odoo"})) == ("odoo",)
    assert examples(declare(n8n={"kind": "n8n", "binary_data": "filesystem"})) == ()
    assert examples(declare(own=OWN)) == ()


def test_an_estate_needs_the_parts_of_its_kinds() -> None:
    everything = parts_of(load_config(ROOT / "estate.toml"))
    own = parts_of(declare(own=OWN, gateway={"kind": "gateway"}))
    assert set(everything) - set(own) == {"odoo", "odoo-python", "n8n"}
    assert "node" in own  # the report needs it


@pytest.fixture
def base(tmp_path: Path) -> Path:
    building = tmp_path / "base"
    building.mkdir()
    make_base(building, "shop", ("notification",), lambda _line: None)
    return building


@pytest.mark.night
@pytest.mark.programs
def test_what_is_not_declared_is_left_out(base: Path, tmp_path: Path) -> None:
    assert Template(base).identity.bucket == "notifications"
    building = tmp_path / "own"
    building.mkdir()
    derive(building, base, declare(own=OWN), lambda _line: None)
    made = Template(building)
    assert (made.identity.bucket, made.identity.tag) == (IDENTITY_BUCKET, "shop")
    assert made.identity.system == Template(base).identity.system
    assert [folder.name for folder in made.objects.iterdir()] == [IDENTITY_BUCKET]
    assert sorted(folder.name for folder in made.volumes.iterdir()) == ["objects", "postgres"]
    assert read_text_secret(f"file:{building / 'secrets' / 'dr' / 'app-db'}")
    with embedded(tmp_path / "look") as substrate:
        substrate.import_volume("primary", "postgres", made.volumes / "postgres")
        secrets = {"postgres-superuser": f"file:{building / 'secrets' / 'primary' / 'postgres-superuser'}"}
        site = substrate.site("primary")
        sql = sql_of(site.launch(server_spec(site, secrets=secrets)), secrets["postgres-superuser"])
        assert [str(getattr(d, "name", d)) for d in databases(sql)] == ["own"]


@pytest.mark.night
@pytest.mark.programs
def test_a_prepared_server_keeps_no_wal_that_it_does_not_need(tmp_path: Path) -> None:
    secrets = make_secrets(tmp_path / "secrets", ())
    with running_primary(tmp_path, secrets) as site, connect(site.place.sql) as connection:
        for number in range(5):  # a checkpoint renames segments that are no longer needed, to be written over later
            connection.execute("SELECT pg_catalog.pg_logical_emit_message(false, 'x', 'x')")
            connection.execute("SELECT pg_catalog.pg_switch_wal()")
            if number % 2:
                connection.execute("CHECKPOINT")
    volume = tmp_path / "volumes" / "postgres"
    segments = [file for file in (volume / "data" / "pg_wal").iterdir() if file.is_file()]
    assert 1 <= len(segments) <= 2  # the one in which the server ended, and at most another
    with embedded(tmp_path / "look") as substrate:
        substrate.import_volume("primary", "postgres", volume)
        password = secrets.of("primary")["postgres-superuser"]
        site_again = substrate.site("primary")
        spec = server_spec(site_again, secrets={"postgres-superuser": password})
        assert ask_row(sql_of(site_again.launch(spec), password), "SELECT 1") == (1,)

"""M2, M3, M8: a checkout in a folder with an odd name, in any locale, and on a read-only file system."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.core.node import Address, NodeSpec
from harness.core.service import Place
from harness.estate.config import load_config
from harness.estate.registry import build_services
from harness.estate.secrets import Secrets, make_secrets
from harness.estate.site import EstateSite
from harness.parts.places import runs_folder
from harness.postgres.server import connect
from harness.recovery.traffic_switch import open_edge
from harness.s3.client import ensure_bucket
from harness.services.gateway.app import Gateway
from harness.services.odoo.program import Program
from harness.substrate.common.filesystem import write_files
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.workspace import workspace_of
from tests.attacks.running_drill import own_folder, running
from tests.package.installed import ROOT, copy_checkout

ODD = """a café's "100%s" $HOME #1, & (x) \\n"""
pytestmark = pytest.mark.attacks
READ_ONLY = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"'


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("odd") / ODD)


def pytest_in(
    checkout: Path, *words: str, before: tuple[str, ...] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "pytest", "-q", *words]
    return subprocess.run(command, cwd=checkout, env=os.environ | env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_features_are_collected_there(checkout: Path, locale: str) -> None:
    done = pytest_in(checkout, "--collect-only", "features/estate", LC_ALL=locale)
    assert (done.returncode, "site_loss.feature::" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.night
def test_a_read_only_checkout_ends_with_zero(checkout: Path) -> None:
    """Every warning is an error there, that of pytest's cache too."""
    before = ("unshare", "-rm", "sh", "-c", READ_ONLY, "sh")
    done = pytest_in(checkout, "tests/core/test_time.py", before=before)
    assert (done.returncode, "passed" in done.stdout) == (0, True), done.stdout + done.stderr
    code = "from pathlib import Path; from harness.parts.places import runs_folder; print(runs_folder(Path('.')))"
    command = [*before, sys.executable, "-c", code]
    found = subprocess.run(
        command, cwd=checkout, env=os.environ | {"BLACKSTART_CACHE": "/cache", "PYTHONPATH": "."},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == "/cache/runs"


def test_runs_lie_below_a_folder_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLACKSTART_RUNS", raising=False)
    assert runs_folder(tmp_path) == tmp_path / ".blackstart/runs"
    monkeypatch.setenv("BLACKSTART_RUNS", str(tmp_path / "elsewhere"))
    assert runs_folder(tmp_path) == tmp_path / "elsewhere"


def test_python_starts_in_a_folder_with_an_accent_whatever_the_locale(checkout: Path) -> None:
    """The Makefile writes the path of the checkout into the environment: with an accent Python could not decode it."""
    written = re.search(r"echo (\S+) > (_blackstart\.pth)$", (checkout / "Makefile").read_text(), re.MULTILINE)
    assert written is not None
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=checkout, check=True)
    packages = next((checkout / ".venv/lib").glob("python3.*")) / "site-packages"
    (packages / written[2]).write_text(f"{written[1]}\n")
    command = [".venv/bin/python", "-P", "-c", "import harness; print(harness.__file__)"]
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(os.fsdecode(done.stdout).strip()).resolve() == checkout / "harness/__init__.py"


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path / ODD / "run", tmp_path / ODD / "logs")
    yield made
    made.sweep()


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return make_secrets(tmp_path / ODD / "secrets", ())


@pytest.mark.programs
def test_the_edge_starts_there(embedded: Embedded, secrets: Secrets) -> None:
    config = load_config(ROOT / "estate.toml")
    edge = open_edge(embedded.site("edge"), config, secrets.of("names"), Address("127.0.0.1", 9), "primary")
    assert edge.names.resolve(config.public_name) == config.sites.primary.edge
    edge.names.switch(edge.host, config.sites.dr.edge)
    assert edge.names.resolve(config.public_name) == config.sites.dr.edge
    edge.front.route(Address("127.0.0.1", 10), "dr")  # the new configuration is read from there


@pytest.mark.programs
def test_odoo_reads_its_settings_there(tmp_path: Path, secrets: Secrets) -> None:
    """Its own reader of settings finds the paths as they are, whatever it expands in them."""
    folder = tmp_path / ODD
    odoo = Program("odoo", ("odoo",), "odoo")
    site = Embedded(folder / "run", folder / "logs").site("primary")
    place = cast("Place", SimpleNamespace(site=site, sql=SimpleNamespace(inside=Address("127.0.0.1", 1)), sinks={}))
    spec = NodeSpec("odoo", odoo.command(site), volumes=("odoo",), env=odoo.environment(site),
                    secrets={"odoo-db": secrets.of("primary")["s3-secret"]},
                    files={"odoo.conf": odoo.server_settings(place)}, ports=("http",))  # fmt: skip
    workspace = workspace_of(site.folder, "odoo", spec, {"http": Address("127.0.0.1", 2)})
    write_files(Path(workspace.home), workspace.contents())
    python, _, *options = workspace.arguments(spec.argv)
    code = "import sys; from odoo.tools import config as c; c.parse_config(sys.argv[1:]); print(c['data_dir'])"
    done = subprocess.run(
        [python, "-c", code, *options], env=workspace.environment(), cwd=workspace.home, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == f"{site.folder.resolve()}/volumes/odoo"


@pytest.mark.night
@pytest.mark.programs
def test_a_small_drill_is_kept_there(tmp_path: Path) -> None:
    with running(own_folder(tmp_path / ODD), LC_ALL="C") as drill:
        out, err = drill.process.communicate(timeout=400)
    assert drill.process.returncode == 0, out + err


@pytest.mark.programs
def test_a_site_starts_there(embedded: Embedded, secrets: Secrets) -> None:
    site = EstateSite(embedded.site("primary"), secrets.of("primary"), {})
    site.activate()
    with connect(site.place.sql) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    ensure_bucket(site.place.s3, "kept")
    gateway = next(s for s in build_services(load_config(ROOT / "estate.toml")) if isinstance(s, Gateway))
    place: Place = site.place
    for spec in gateway.nodes(place):
        site.site.launch(spec)  # returns when it is ready

"""Case 8, second way: MEDIA_ROOT is a folder outside the volumes, and DR's program reads the lost primary's uploads."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from harness.core.errors import Finding, UsageError
from harness.core.journal import MemoryJournal
from harness.core.node import Address, Node
from harness.core.service import S3, Place, Sql
from harness.drill.traces import leave_traces, try_traces
from harness.estate import isolation
from harness.estate.config import Config, load_config
from harness.estate.registry import build_services
from harness.estate.substrates import SUBSTRATES
from harness.services.http.app import HttpService
from harness.substrate.embedded.isolation.namespaces import obstacle
from harness.substrate.embedded.substrate import EmbeddedSite
from tests.forks import COMMAND
from tests.servers import embedded

pytestmark = pytest.mark.cases
ROOT = Path(__file__).resolve().parents[2]
namespaces = pytest.mark.skipif(bool(obstacle()), reason=f"no namespaces here: {obstacle()}")

PROGRAM = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(os.environ["MEDIA_ROOT"])

class Uploads(BaseHTTPRequestHandler):
    def do_GET(self):
        file = ROOT / self.path.strip("/")
        self.answer(200, file.read_bytes()) if file.is_file() else self.answer(200 if self.path == "/" else 404, b"")
    def do_POST(self):
        ROOT.mkdir(parents=True, exist_ok=True)
        (ROOT / self.path.strip("/")).write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(201, b"")
    def log_message(self, *args): pass
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Uploads).serve_forever()
"""
DECLARATION = """
[estate]
name = "shop"
zone = "shop.test"
[sites.primary]
edge = "127.0.0.2"
[sites.dr]
edge = "127.0.0.3"
[services.shop]
kind = "http"
command = ["python3", "shop.py"]
volumes = ["media"]
prefix = "/shop"
keys = [{{ path = "/shop/1.png", contains = "pixels" }}]
[services.shop.environment]
MEDIA_ROOT = "{root}"
[services.gateway]
kind = "gateway"
needs = ["shop"]
"""


def declare(folder: Path, root: str, *more: str) -> Config:
    (folder / "shop.py").write_text(PROGRAM)
    (folder / "estate.toml").write_text("\n".join((DECLARATION.format(root=root), *more)))
    return load_config(folder / "estate.toml")


def start(config: Config, site: EmbeddedSite) -> Node:
    """Start the declared program on a site, as a drill does."""
    (service,) = (one for one in build_services(config) if isinstance(one, HttpService))
    nowhere = Address("127.0.0.1", 9)
    place = Place(site, Sql(nowhere, nowhere, "postgres", "env:NONE"), S3(nowhere, nowhere, "env:NONE", "env:NONE"), {})
    (spec,) = service.nodes(place)
    return site.launch(spec)


def upload(node: Node) -> int:
    return requests.post(f"http://{node.endpoint('http').outside}/1.png", data=b"pixels", timeout=5).status_code


def download(node: Node) -> tuple[int, bytes]:
    answer = requests.get(f"http://{node.endpoint('http').outside}/1.png", timeout=5)
    return answer.status_code, answer.content


@pytest.fixture
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedSite, EmbeddedSite]]:
    with embedded(tmp_path_factory.mktemp("sites")) as substrate:
        yield substrate.site("primary"), substrate.site("dr")


@namespaces
@pytest.mark.programs
@pytest.mark.parametrize("kind", ["a new folder", "a folder that is there", "shared memory"])
def test_uploads_outside_the_volumes_are_lost_with_the_primary(
    tmp_path: Path, sites: tuple[EmbeddedSite, EmbeddedSite], kind: str
) -> None:
    """The program of the primary serves its uploads; that of DR finds none, while the primary lives and after it."""
    root = {"a new folder": tmp_path / "new", "a folder that is there": tmp_path / "there"}.get(
        kind,
        Path(f"/dev/shm/blackstart-{os.getpid()}"),  # noqa: S108
    )
    (tmp_path / "there").mkdir()
    primary, dr = sites
    config = declare(tmp_path, str(root))
    program = start(config, primary)
    assert upload(program) == 201
    assert download(program) == (200, b"pixels")
    restored = start(config, dr)
    assert download(restored) == (404, b"")
    primary.destroy()
    assert download(restored) == (404, b"")
    assert not (root / "1.png").exists()


@namespaces
@pytest.mark.programs
def test_uploads_in_the_primarys_own_volume_cannot_be_reached_by_their_path(
    tmp_path: Path, sites: tuple[EmbeddedSite, EmbeddedSite]
) -> None:
    """MEDIA_ROOT spelled out as the path of the primary's volume."""
    primary, dr = sites
    config = declare(tmp_path, str(primary.folder / "volumes/media"))
    program = start(config, primary)
    assert upload(program) == 201
    with primary.volume("media").open("1.png", "rb") as file:
        assert file.read() == b"pixels"
    assert download(start(config, dr)) == (404, b"")


@namespaces
@pytest.mark.programs
def test_a_program_may_not_write_to_the_rest_of_the_machine(
    tmp_path: Path, sites: tuple[EmbeddedSite, EmbeddedSite]
) -> None:
    uploads = Path("/var/lib/blackstart-test-uploads")
    config = declare(tmp_path, str(uploads))
    program = start(config, sites[0])
    with pytest.raises(requests.ConnectionError):
        upload(program)
    assert f"Read-only file system: '{uploads}'" in (sites[0].logs / "shop.log").read_text()
    assert not uploads.exists()


@namespaces
@pytest.mark.programs
def test_the_drill_tries_it_and_names_what_the_primary_wrote_outside(
    tmp_path: Path, sites: tuple[EmbeddedSite, EmbeddedSite]
) -> None:
    primary, dr = sites
    journal = MemoryJournal()
    upload(start(declare(tmp_path, str(tmp_path / "uploads")), primary))
    traces = leave_traces(primary, journal)
    assert traces is not None
    primary.destroy()
    line = try_traces(dr, traces, journal)
    assert line.startswith(f"a program on dr can read none of {len(traces.tried)} paths of the lost primary")
    assert line.endswith(f"outside its volumes its programs had written {tmp_path}/uploads/1.png")
    assert str(tmp_path / "uploads/1.png") in traces.tried
    assert {Path(path).parent for path in traces.tried} >= {Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}  # noqa: S108
    told = [(event.kind, dict(event.facts)) for event in journal.events]
    assert told[-1] == ("isolation tried", {"tried": len(traces.tried), "read": 0})


@namespaces
@pytest.mark.programs
def test_what_drs_own_program_writes_under_the_same_name_is_no_trace(
    tmp_path: Path, sites: tuple[EmbeddedSite, EmbeddedSite]
) -> None:
    """Python's compiled modules, where a program lies in a folder that is each site's own."""
    primary, dr = sites
    config = declare(tmp_path, str(tmp_path / "uploads"))
    upload(start(config, primary))
    traces = leave_traces(primary, MemoryJournal())
    assert traces is not None
    primary.destroy()
    upload(start(config, dr))
    line = try_traces(dr, traces, MemoryJournal())
    assert line.startswith(f"a program on dr can read none of {len(traces.tried)} paths")


@namespaces
@pytest.mark.programs
def test_a_dr_site_that_sees_the_primarys_folders_is_a_finding(
    tmp_path: Path, sites: tuple[EmbeddedSite, EmbeddedSite]
) -> None:
    primary, dr = sites
    upload(start(declare(tmp_path, str(tmp_path / "uploads")), primary))
    traces = leave_traces(primary, MemoryJournal())
    assert traces is not None
    dr.namespaced = False  # as if isolation had failed, while the primary lives on
    folder = primary.folder
    with pytest.raises(Finding, match=f"a program on dr can read what those of the lost primary wrote: {folder}, "):
        try_traces(dr, traces, MemoryJournal())


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "obstacle", lambda: "unshare: Operation not permitted")


@pytest.mark.usefixtures("no_namespaces")
@pytest.mark.parametrize("root", ["{tmp}/uploads", "{tmp}", "file://{tmp}/uploads", "../../../../uploads"])
def test_without_namespaces_a_path_outside_the_volumes_is_refused(tmp_path: Path, root: str) -> None:
    config = declare(tmp_path, root.format(tmp=tmp_path))
    with pytest.raises(
        UsageError, match=r"^services\.shop\.environment\.MEDIA_ROOT: .*write @{volume:NAME}"
    ) as refused:
        isolation.require_separate(config)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("no_namespaces")
def test_without_namespaces_a_program_in_its_volumes_is_accepted_and_the_record_says_so(tmp_path: Path) -> None:
    isolation.require_separate(declare(tmp_path, "@{volume:media}/uploads"))
    (line,) = (line for line in SUBSTRATES["embedded"].limits if line.startswith("isolation"))
    assert line == f"{isolation.BY_PREFLIGHT} (no namespaces: unshare: Operation not permitted)"


@namespaces
def test_with_namespaces_no_limit_is_in_the_record(tmp_path: Path) -> None:
    isolation.require_separate(declare(tmp_path, str(tmp_path / "uploads")))
    assert not [line for line in SUBSTRATES["embedded"].limits if line.startswith("isolation")]


def test_a_folder_of_the_machine_with_data_in_it_is_uncovered_unless_excluded(tmp_path: Path) -> None:
    """The uploads of a production that runs on this machine: DR would read them, and they are in no backup."""
    root = tmp_path / "uploads"
    config = declare(tmp_path, str(root))
    assert not isolation.uncovered_paths(config)
    root.mkdir()
    assert not isolation.uncovered_paths(config)
    (root / "1.png").touch()
    (line,) = isolation.uncovered_paths(config)
    assert line.startswith(f"path {root}: services.shop.environment.MEDIA_ROOT names it, outside its volumes")
    excluded = declare(tmp_path, str(root), "[backup.exclude]", f'"path {root}" = "static files of the program"')
    assert not isolation.uncovered_paths(excluded)


@pytest.mark.night
@pytest.mark.programs
def test_the_command_refuses_it_before_anything_is_started(tmp_path: Path) -> None:
    """`blackstart drill` in a user namespace that allows no more of them: so it is where they are off."""
    declare(tmp_path, str(tmp_path / "uploads"))
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --ambient-caps=-all --inh-caps=-all "$@"'
    as_user = ("unshare", "--user", "--map-user=1234", "--map-group=1234", "--keep-caps", "sh", "-c", forbid, "sh")
    command = (*COMMAND, "drill", "--config", "estate.toml")
    env = os.environ | {"PYTHONPATH": str(ROOT), "BLACKSTART_RUNS": str(tmp_path / "runs")}
    done = subprocess.run((*as_user, *command), cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "MEDIA_ROOT" in line]
    assert f"services.shop.environment.MEDIA_ROOT: {tmp_path}/uploads: outside its volumes" in line
    assert "write @{volume:NAME}" in line
    assert not (tmp_path / "runs").exists()

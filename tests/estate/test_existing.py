"""Existing servers: backed up and restore-tested from their declaration alone, and never destroyed."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Timer

import pytest

from harness.backup.archive import Member
from harness.core.errors import Refused, TookTooLong, UsageError
from harness.core.node import Address, NodeSpec, Ready, Task
from harness.estate.config import load_config
from harness.estate.connections import Connections
from harness.estate.existing import connect_offsite, references
from harness.postgres.identity import system_facts
from harness.postgres.server import connect
from harness.recovery.write_files import into_bucket
from harness.repository.store.read_only import ReadOnly
from harness.restore_test.cleanup import clear, take_snapshot
from harness.s3.client import client, ensure_bucket
from harness.services.notification.app import Notification
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.existing.site import ExistingSite
from tests.estate.existing_servers import ESTATE, ExistingServers
from tests.forks import run
from tests.repository.memory_store import MemoryStore
from tests.restore_test.signed import PINNED

pytestmark = pytest.mark.programs
QUIET = (lambda *_words: None, lambda *_words: None)
ROOT = Path(__file__).resolve().parents[2]


def blackstart(existing: ExistingServers, *words: str) -> subprocess.CompletedProcess[str]:
    return run(existing.folder, *words, BLACKSTART_RUNS=str(existing.folder / "runs"))


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def seeded(servers: ExistingServers) -> Iterator[ExistingServers]:
    """The servers with the data of a notification service, as on a primary."""
    ensure_bucket(servers.site.place.s3, "backups", versioning=False)
    Notification().seed(servers.site.place)
    yield servers
    with connect(servers.site.place.sql) as connection:
        connection.execute("DROP DATABASE notification")
        connection.execute("DROP ROLE notification")


def declare(existing: ExistingServers, read_only: bool = False) -> Path:
    """Declare the servers as a primary and their store as the offsite store, as a backup needs."""
    place, root = existing.site.place, existing.folder / "secrets"
    (root / "offsite").mkdir(parents=True)
    for name, reference in (("s3-access", place.s3.access_key_ref), ("s3-secret", place.s3.secret_key_ref)):
        (root / "offsite" / name).write_bytes(Path(reference.removeprefix("file:")).read_bytes())
    primary = root / "primary"
    primary.mkdir()
    for file in sorted((existing.secrets.root / "primary").iterdir()):
        (primary / file.name).write_bytes(file.read_bytes())
    for file in sorted((existing.secrets.root / "dr").iterdir()):  # password of server and store
        if file.name.startswith(("postgres", "s3")):
            (primary / file.name).write_bytes(file.read_bytes())
    declared = existing.folder / "estate.toml"
    declared.write_text(
        ESTATE
        + f'[existing.primary]\nsql = "{place.sql.outside}"\ns3 = "{place.s3.outside}"\nsecrets = "secrets/primary"\n'
        + f'[existing.offsite]\ns3 = "{place.s3.outside}"\nsecrets = "secrets/offsite"\ntls = false\n'
        + f"read_only = {str(read_only).lower()}\n"
    )
    return declared


def test_an_existing_primary_is_backed_up_from_its_declaration(
    seeded: ExistingServers, existing: ExistingServers
) -> None:
    declare(existing)
    done = blackstart(existing, "backup", "--config", "estate.toml")
    assert done.returncode == 0, done.stderr
    log = lines(done)
    assert {"1.2", "1.3", "1.4", "1.5", "1.6"} <= {str(line.get("message")) for line in log}
    assert log[-1]["kind"] == "receipt"
    place = seeded.site.place
    kept = [entry.object_name for entry in client(place.s3).list_objects("backups", recursive=True)]
    assert any(str(log[-1]["backup"]) in str(name) and "COMMIT" in str(name).upper() for name in kept)
    assert not list((existing.folder / "runs").iterdir())


def test_a_backup_into_a_read_only_repository_is_a_usage_error(
    seeded: ExistingServers, existing: ExistingServers
) -> None:
    declare(existing, read_only=True)
    done = blackstart(existing, "backup", "--config", "estate.toml")
    assert done.returncode == 2, seeded.folder
    assert "existing.offsite.read_only: a backup cannot be written" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_restore_test_without_a_declared_site_is_a_usage_error(existing: ExistingServers) -> None:
    (existing.folder / "estate.toml").write_text(ESTATE)
    done = blackstart(existing, "restore-test", "--budgets", str(ROOT / "features/budgets.toml"))
    assert done.returncode == 2
    assert "declares no DR site under [existing.dr]" in done.stderr


def test_a_restore_test_without_an_allowlist_exits_with_3_and_the_reason(
    seeded: ExistingServers, existing: ExistingServers
) -> None:
    declare(existing)
    place = seeded.site.place
    with (existing.folder / "estate.toml").open("a") as file:
        file.write(
            '[existing]\ntargets_key = "drill-targets.pub"\n'
            f'[existing.dr]\nsql = "127.0.0.1:9"\ns3 = "127.0.0.1:9"\ngateway = "{place.s3.outside}"\n'
            'services = { notification = "127.0.0.1:9" }\n'
            f'secrets = "{existing.secrets.root / "dr"}"\n'
        )
    done = blackstart(existing, "restore-test", "--budgets", str(ROOT / "features/budgets.toml"))
    assert done.returncode == 2
    assert "existing.targets_key: " in done.stderr
    assert "key of the allowlist of drill targets cannot be read" in done.stderr
    (existing.folder / "drill-targets.pub").write_bytes(PINNED[1])
    done = blackstart(existing, "restore-test", "--budgets", str(ROOT / "features/budgets.toml"))
    assert done.returncode == 3, done.stdout + done.stderr
    verdict = lines(done)[-1]
    assert verdict["verdict"] == "UNKNOWN"
    assert "no allowlist of drill targets" in str(verdict["reasons"])
    record = Path(str(verdict["record"])) / "record.json"
    assert "2.1: a restore test destroys nothing" in json.loads(record.read_text())["not_drilled"]


def test_cleanup_removes_only_restored_data(seeded: ExistingServers, existing: ExistingServers) -> None:
    services, place = (Notification("mine", "mine", "mine-objects"),), seeded.site.place
    other = take_snapshot(place, (Notification(),))
    before = take_snapshot(place, services)
    declared = existing.estate()
    secrets = {**existing.site.secrets, "mine-db": existing.site.secrets["notification-db"]}
    services[0].seed(type(place)(place.site, place.sql, place.s3, secrets))
    assert take_snapshot(place, services) != before
    removed = clear(declared.place, BACKUP, ["mine"], before)
    assert "databases: mine; roles: mine" in removed
    assert take_snapshot(place, services) == before
    assert take_snapshot(place, (Notification(),)) == other


def test_cleanup_keeps_an_object_that_replication_added(seeded: ExistingServers) -> None:
    place, services = seeded.site.place, (Notification(),)
    (objects,) = services[0].sources().objects
    before = take_snapshot(place, services)
    client(place.s3).put_object(objects.bucket, "replicated", BytesIO(b"r"), 1)
    for key, backup_id in (("of another", "another backup"), ("restored", BACKUP)):
        into_bucket(place, objects, backup_id, *QUIET)(Member(key, 1, object=True), BytesIO(b"o"))
    assert f"bucket {objects.bucket}: 1 objects (2 others that came meanwhile were left there)" in clear(
        place, BACKUP, [], before
    )
    left = take_snapshot(place, services).objects[objects.bucket] or frozenset()
    assert left - (before.objects[objects.bucket] or frozenset()) == {"replicated", "of another"}
    for key in ("replicated", "of another"):
        client(place.s3).remove_object(objects.bucket, key)


def test_cleanup_puts_back_a_replica_over_which_the_restore_wrote(seeded: ExistingServers) -> None:
    place, services = seeded.site.place, (Notification(),)
    (objects,) = services[0].sources().objects
    client(place.s3).put_object(objects.bucket, "newer", BytesIO(b"newer"), 5)
    before = take_snapshot(place, services)
    into_bucket(place, objects, BACKUP, *QUIET)(Member("newer", 1, object=True), BytesIO(b"o"))
    assert f"bucket {objects.bucket}: 0 objects, 1 replicas put back" in clear(place, BACKUP, [], before)
    with client(place.s3).get_object(objects.bucket, "newer") as answer:
        assert answer.read() == b"newer"
    client(place.s3).remove_object(objects.bucket, "newer")


BACKUP = "20260101T000000.000000Z-0000000000"


def test_an_existing_site_is_never_destroyed(existing: ExistingServers) -> None:
    estate = existing.estate()
    estate.activate()
    with pytest.raises(Refused, match="never destroyed; strike: not drilled"):
        estate.destroy()
    with pytest.raises(Refused, match="never killed"):
        estate.nodes["postgres"].kill()
    assert system_facts(estate.place.sql).identifier == system_facts(existing.site.place.sql).identifier


def test_a_task_finds_a_mounted_volume(existing: ExistingServers, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("here\n")
    site = ExistingSite("dr", existing.local.site("dr"), {}, {"odoo": tmp_path / "kept"})
    with site.run(Task("cat", ("cat", "@{volume:odoo}/file"), volumes=("odoo",))) as running:
        assert running.stdout.read() == b"here\n"
        assert running.finish(10).code == 0
    assert list(site.volume("odoo").walk()) == ["file"]
    with pytest.raises(UsageError, match="is no folder here; mount it there"):
        ExistingSite("dr", existing.local.site("dr"), {}, {"odoo": tmp_path / "absent"}).volume("odoo")


def test_a_node_without_a_workload_must_answer(existing: ExistingServers, monkeypatch: pytest.MonkeyPatch) -> None:
    estate = existing.estate()
    assert isinstance(estate.site, ExistingSite)
    spec = NodeSpec("gateway", (), ports=("http",), ready=Ready(port="http", patience=0.2))
    with pytest.raises(TookTooLong, match="check that it is up, and its address under"):
        estate.site.launch(spec)
    with pytest.raises(UsageError, match="odoo on dr: neither its workload nor its address is declared"):
        estate.site.launch(replace(spec, name="odoo"))


def test_a_service_that_the_operator_starts_is_waited_for(
    existing: ExistingServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.workload_ready", 5.0)
    estate = existing.estate()
    assert isinstance(estate.site, ExistingSite)
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        estate.site.addresses = {"notification": {"http": (Address(*server.getsockname()),)}}
        started = Timer(0.5, server.listen)
        started.start()
        assert estate.start_service(Notification()).ready
        assert started.finished.is_set()
        started.join()


def test_a_read_only_repository_refuses_writes() -> None:
    inner = MemoryStore()
    inner.put("here", [b"kept"])
    store = ReadOnly(inner, "the repository")
    assert b"".join(store.get("here")) == b"kept"
    assert [entry.key for entry in store.list("")] == ["here"]
    for change in (lambda: store.put("x", []), lambda: store.delete("here"), lambda: store.abandon("")):
        with pytest.raises(Refused, match="the repository: read-only here"):
            change()
    assert [entry.key for entry in inner.list("")] == ["here"]


def test_the_declared_repository_is_read_only_by_default(existing: ExistingServers) -> None:

    config = load_config(declare(existing, read_only=True))
    assert isinstance(Connections(config, (), connect_offsite(config)).repository.store, ReadOnly)


def test_a_mounted_secret_is_read_without_its_hidden_folders(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "key").write_text("k")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "key").symlink_to("..data/key")
    assert references(tmp_path, "key") == {"key": f"file:{tmp_path / 'key'}"}
    with pytest.raises(UsageError, match="other: missing; add that secret"):
        references(tmp_path, "other")
    with pytest.raises(UsageError, match="secrets cannot be read"):
        references(tmp_path / "absent")


def test_a_dr_site_with_the_address_of_the_primary_is_refused(existing: ExistingServers) -> None:
    file = declare(existing)
    place = existing.site.place
    with file.open("a") as more:
        more.write(f'[existing.dr]\nsql = "{place.sql.outside}"\ns3 = "127.0.0.1:9"\nsecrets = "s"\n')

    with pytest.raises(UsageError, match=r"existing: dr.sql is the same address as the primary's"):
        load_config(file)

"""The work that is killed: a drill of a small estate, a restore test on a new site and one on an existing site."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.service import Place
from harness.estate.secrets import Secrets, make_site_secrets
from harness.estate.site import EstateSite
from harness.postgres.identity import system_facts
from harness.restore_test.server_cleanup import take
from harness.s3.client import client, ensure_bucket, tag
from harness.substrate.embedded.substrate import Embedded
from tests.attacks.running_drill import own_folder
from tests.cases.production import Production, blackstart, production
from tests.kills.residue import residue, shared_memory
from tests.restore_test.signed import signed

ROOT = Path(__file__).resolve().parents[2]
HOOK = Path(__file__).with_name("hook")
TAG = "a drill target"
OF_OTHERS = "has things on the container engine"  # in the line for a run that is in another folder of runs
DR = """
[existing]
targets_key = "drill-targets.pub"
[existing.dr]
sql = "{sql}"
s3 = "{s3}"
secrets = "secrets/dr"
gateway = "127.0.0.1:9"
services = {{ guestbook = "127.0.0.1:9" }}
"""


@dataclass
class Work:
    """One kind of work in a folder of its own. `site`: the existing DR site, which is not of the work.

    `verdict`: of a run that is not killed; `earlier`: the shared memory of this machine before it.
    """

    name: str
    folder: Path
    words: Sequence[str]
    site: Place | None = None
    env: dict[str, str] = field(default_factory=dict)
    verdict: str = "KEPT"
    earlier: frozenset[str] = field(default_factory=shared_memory)

    @property
    def residue(self) -> tuple[str, ...]:
        """What is left of its runs on this machine, a line each."""
        return residue(self.folder, self.earlier)

    def start(self, at: str) -> tuple[int, list[list[str]]]:
        """Carry it out, killed at a change; return the exit code and its changes: number, kind, what."""
        log = self.folder / "changes.log"
        log.unlink(missing_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        done = self.command(
            *self.words, PYTHONPATH=f"{HOOK}:{ROOT}", BLACKSTART_KILL_AT=at, BLACKSTART_KILL_LOG=str(log)
        )
        changes = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
        if not changes:
            raise SystemExit(f"{self.name}: it changed nothing: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode, changes

    def command(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of blackstart in its folder."""
        return blackstart(self.folder, *words, TMPDIR=str(self.folder / "tmp"), **{**self.env, **env})

    def sweep(self) -> str:
        """Sweep every run as an operator does; return what was said, but for what others have on the engine."""
        done = self.command("sweep")
        lines = (done.stdout + done.stderr).splitlines()
        own = [line for line in lines if OF_OTHERS not in line or str(self.folder) in line]
        return " ".join(" ".join(own).replace(str(self.folder / "runs"), "").split())

    def newest(self) -> dict[str, object]:
        """Return the record of the newest run, {} where it has none."""
        found = sorted((self.folder / "reports/drills").glob("*/"))
        record = found[-1] / "record.json" if found else None
        return dict(json.loads(record.read_text())) if record is not None and record.is_file() else {}

    def phase(self) -> str:
        """Return the last phase or event that the journal of the newest run has."""
        found = sorted((self.folder / "reports/drills").glob("*/"))
        journal = found[-1] / "journal.jsonl" if found else None
        text = journal.read_text() if journal is not None and journal.is_file() else ""
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        begun = [row for row in rows if row["kind"] in ("begin", "struck", "message", "opened", "promised")]
        return f"{begun[-1]['kind']} {begun[-1]['subject']}" if begun else "before its journal"

    def of_site(self) -> dict[str, object]:
        """Return what the existing site holds."""
        if self.site is None:
            return {}
        store = client(self.site.s3)
        buckets = [bucket.name for bucket in store.list_buckets()]
        objects = [
            f"{bucket}/{entry.object_name}"
            for bucket in buckets
            for entry in store.list_objects(bucket, recursive=True)
        ]
        server = take(self.site.sql)
        return {
            "databases": server.names,
            "roles": server.roles,
            "server": server,
            "objects": set(buckets) | set(objects),
        }


@contextmanager
def drill(home: Path) -> Iterator[Work]:
    """Yield a drill of the estate with the notification service: no Odoo, no n8n."""
    folder = own_folder(home / "drill")
    yield Work("drill", folder, ("drill", "features"))


def _repository(there: Production, home: Path) -> Path:
    """Take one backup of the production; return the operator's folder."""
    operator = there.folder(home / "operator")
    for words in (("keys", "new"), ("backup",)):
        done = blackstart(operator, *words)
        if done.returncode:
            raise SystemExit(done.stderr + done.stdout)
    return operator


def _laptop(there: Production, operator: Path, folder: Path) -> Path:
    (folder / "secrets/dr").mkdir(parents=True)
    there.folder(folder, primary=False, read_only=True)
    for key in (operator / "secrets/dr").iterdir():
        shutil.copy2(key, folder / "secrets/dr" / key.name)
    return folder


@contextmanager
def restore_test(home: Path) -> Iterator[Work]:
    """Yield a restore test on a DR site that is made for it."""
    with production(home / "production") as there:
        folder = _laptop(there, _repository(there, home), home / "laptop")
        yield Work("restore test", folder, ("restore-test", "--substrate", "embedded"))


@contextmanager
def on_existing(home: Path) -> Iterator[Work]:
    """Yield a restore test on existing servers. Nobody starts its services: it ends in phase app, after the restore."""
    substrate, secrets = Embedded(home / "dr/run", home / "dr/logs"), Secrets(home / "dr/secrets")
    with production(home / "production") as there:
        try:
            make_site_secrets(secrets, "dr")
            secrets.put("dr", "gateway-key", b"operations:a password")
            dr = EstateSite(substrate.site("dr"), secrets.of("dr"), {})
            dr.activate()
            ensure_bucket(dr.place.s3, "identity")
            tag(dr.place.s3, "identity", TAG)
            folder = _laptop(there, _repository(there, home), home / "nightly")
            for name in secrets.of("dr"):
                if not (folder / "secrets/dr" / name).exists():
                    shutil.copy2(secrets.root / "dr" / name, folder / "secrets/dr" / name)
            with (folder / "estate.toml").open("a") as file:
                file.write(DR.format(sql=dr.place.sql.outside, s3=dr.place.s3.outside))
            listed = {"name": "dr", "system": system_facts(dr.place.sql).identifier, "bucket": "identity", "tag": TAG}
            lines = "".join(f'{key} = "{value}"\n' for key, value in listed.items())
            signed(folder / "drill-targets.toml", f"[[target]]\n{lines}")
            env = {"BLACKSTART_PATIENCE_WORKLOAD_READY": "1", "BLACKSTART_PATIENCE_HTTP_READY": "1"}
            # BROKEN after the restore: nobody starts the services of this site.
            yield Work("restore test on an existing site", folder, ("restore-test",), dr.place, env, verdict="BROKEN")
        finally:
            substrate.sweep()


WORKS = {"drill": drill, "restore-test": restore_test, "existing": on_existing}

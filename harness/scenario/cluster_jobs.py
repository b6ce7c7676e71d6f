"""Backups and restore tests as CronJobs, on the clusters of a drill."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import HarnessError
from harness.core.node import Address
from harness.drill.drill import Drill
from harness.estate.config import Config
from harness.estate.site import INFRASTRUCTURE
from harness.images.find import reference
from harness.images.kind.node import kubectl_program
from harness.images.table import port_numbers
from harness.kubernetes.api import Api
from harness.kubernetes.deploy import FOLDER, WORKLOADS, rendered, scaled_down
from harness.kubernetes.objects import MANAGED, NAME, OWNER, Manifest, name_of
from harness.kubernetes.waiting import await_gone
from harness.patience import PATIENCE
from harness.postgres.identity import system_facts
from harness.recovery.restore_databases import SPOOL
from harness.restore_test.targets import PUBLIC, SIGNED, SUFFIX
from harness.s3.client import ensure_bucket, tag
from harness.scenario.checks.verdict import require
from harness.signing import new_signing_pair, read_signing_key, sign
from harness.substrate.embedded.relay import Relay
from harness.substrate.kind.manifests import filled
from harness.substrate.kind.site import KindSite
from harness.substrate.kind.substrate import Kind
from harness.vault import read_secret

IMAGE = "blackstart"
EVERY_MINUTE = "* * * * *"
TAG = "the DR site of a drill"
BACKUP, RESTORE_TEST = "blackstart-backup", "blackstart-restore-test"


@dataclass(frozen=True, slots=True)
class Fired:
    """A finished Job of a CronJob, and the log of its pod: one entry for each line."""

    job: str
    owner: str
    succeeded: bool
    log: tuple[Mapping[str, Any], ...]

    @property
    def last(self) -> Mapping[str, Any]:
        """The last log line; empty without any."""
        return self.log[-1] if self.log else {}


@dataclass(slots=True)
class ClusterJobs:
    """Two clusters with CronJobs. Their pods reach the offsite store through a relay on this machine."""

    drill: Drill
    _open: ExitStack = field(default_factory=ExitStack)
    _offsite: Address | None = None
    _backups: frozenset[str] = frozenset()
    _generations: Mapping[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """The substrate; raises HarnessError on a substrate without clusters."""
        if not isinstance(self.drill.environment.substrate, Kind):
            raise HarnessError("this substrate has no clusters; run this drill with --substrate=kind")
        return self.drill.environment.substrate

    def close(self) -> None:
        """Close the relay."""
        self._open.close()

    def start(self) -> ClusterJobs:
        """Start the primary's data and the offsite store; return this object. Raises HarnessError."""
        estate = self.drill.environment
        estate.start_data()
        relay = self._open.enter_context(Relay(self.kind.here, estate.offsite_s3.outside))
        self._offsite = relay.address
        self._backups = self.listed()
        return self

    def listed(self) -> frozenset[str]:
        """Return the ids of the backups in the offsite repository."""
        return frozenset(b.backup_id for b in self.drill.environment.repository.committed() if b.damaged is None)

    def schedule_backup(self) -> None:
        """Install the CronJob that backs up the primary's cluster, suspended; raises HarnessError."""
        site, secrets = self.kind.cluster_site("primary"), self.drill.environment.secrets
        existing = (
            '[existing.primary]\nsql = "postgres:5432"\ns3 = "objects:9000"\nsecrets = "/secrets/primary"\n'
            + self._volumes()
            + self._repository(read_only=False)
        )
        self._put_secret(site, "blackstart-primary", secrets.of("primary"))
        self._put_secret(site, "blackstart-offsite", secrets.of("offsite"))
        declared = declaration(self.drill.environment.config) + self._excluded() + existing
        self._install(site, "backup", {"estate.toml": declared})

    def schedule_restore_test(self, *, listed: bool) -> None:
        """Scale the DR cluster to zero, write its allowlist, and install the restore test, suspended."""
        estate, site = self.drill.environment, self.kind.cluster_site("dr")
        estate.dr.activate()
        bucket = estate.template.identity.bucket
        ensure_bucket(estate.dr.place.s3, bucket)
        tag(estate.dr.place.s3, bucket, TAG)
        cluster = site.api.identity() if listed else "another cluster"
        targets = {"name": "dr", "system": system_facts(estate.dr.place.sql).identifier, "bucket": bucket, "tag": TAG}
        self._apply_services(site)
        self._scale_down(site.api, ("StatefulSet",))
        self._generations = generations(site.api)
        workloads = {node: f"statefulset/{node}" for node in INFRASTRUCTURE}
        workloads |= {name: f"deployment/{name}" for name in estate.config.services}
        existing = (
            f'[existing]\ntargets = "drill-targets.toml"\ntargets_key = "/secrets/dr/{PUBLIC}"\n'
            '[existing.dr]\nsql = "postgres:5432"\ns3 = "objects:9000"\ngateway = "gateway:8000"\n'
            'secrets = "/secrets/dr"\n'
            + self._volumes(SPOOL)
            + f'[existing.dr.cluster]\nnamespace = "{site.name}"\n[existing.dr.cluster.workloads]\n{lines(workloads)}'
            + self._repository(read_only=True)
        )
        private, public = new_signing_pair()
        estate.secrets.put("dr", PUBLIC, public)
        self._put_secret(site, "blackstart-dr", estate.secrets.of("dr"))
        self._put_secret(site, "blackstart-offsite", estate.secrets.of("offsite"))
        allowed = f"[[target]]\n{lines({**targets, 'cluster': cluster})}"
        files = {
            "estate.toml": declaration(estate.config) + existing,
            "drill-targets.toml": allowed,
            f"drill-targets.toml{SUFFIX}": sign(SIGNED, allowed.encode(), (read_signing_key(private),)).decode(),
        }
        self._install(site, "restore-test", files)

    def _volumes(self, *more: str) -> str:
        """Return the volumes that the CronJobs of `deploy` mount: those without which a service has no files."""
        names = sorted({*more, *self._volumes_of_trees(optional=False)})
        mounted = ", ".join(f'{name} = "/volumes/{name}"' for name in names)
        return f"volumes = {{ {mounted} }}\n"

    def _excluded(self) -> str:
        """Return the table that leaves the other volumes out, as the declaration in `deploy` does."""
        names = sorted(self._volumes_of_trees(optional=True) - self._volumes_of_trees(optional=False))
        return "[backup.exclude]\n" + lines({f'"volume {name}"': "its program keeps no files there" for name in names})

    def _volumes_of_trees(self, *, optional: bool) -> frozenset[str]:
        trees = (tree for service in self.drill.environment.services for tree in service.sources().trees)
        return frozenset(tree.volume for tree in trees if tree.optional == optional)

    def _repository(self, *, read_only: bool) -> str:
        return (
            f'[existing.offsite]\ns3 = "{self._offsite}"\nsecrets = "/secrets/offsite"\n'
            f"tls = false\nread_only = {str(read_only).lower()}\n"
        )

    def _apply_services(self, site: KindSite) -> None:
        """Apply every service with its Secrets and zero replicas, as an operator does once."""
        estate, namespace = self.drill.environment, site.namespace
        for service in estate.services:
            for spec in service.nodes(estate.dr.place):
                ports = {port: namespace.ports.take() for port in spec.ports}
                given = namespace.manifests.of(name_of(spec.name))
                made = filled(spec, reference(spec.image), ports, given)
                namespace.claim(spec.volumes)
                namespace.require_image(spec.image)
                site.api.apply(map(scaled_down, made.manifests))
                if "http" in spec.ports:
                    number = port_numbers(spec.image, spec.ports)["http"]
                    estate.dr.peers[service.name] = Address(name_of(spec.name), number)

    def _scale_down(self, api: Api, kinds: Iterable[str]) -> None:
        for kind in kinds:
            for one in api.find(kind):
                name = one["metadata"]["name"]
                api.scale(kind, name, 0)
                await_gone(api, name, PATIENCE.scale_down, what=f"{name} scaled to zero")

    def _put_secret(self, site: KindSite, name: str, secrets: Mapping[str, str]) -> None:
        data = {key: base64.b64encode(read_secret(found)).decode() for key, found in secrets.items()}
        metadata = {"name": name, "labels": {MANAGED: OWNER}}
        site.api.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}])

    def _install(self, site: KindSite, folder: str, files: Mapping[str, str]) -> None:
        """Apply `deploy/cluster/FOLDER`, suspended: a restore test before the first backup would fail."""
        site.namespace.require_image(IMAGE)
        for manifest in rendered(kubectl_program(), FOLDER / "cluster" / folder).every:
            if manifest["kind"] == "ConfigMap":
                manifest["data"] |= files
            if manifest["kind"] == "CronJob":
                spec = manifest["spec"]
                spec |= {"schedule": EVERY_MINUTE, "suspend": True}
                spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = reference(IMAGE)
            site.api.apply([manifest])

    def backup_fired(self) -> Fired:
        """Return the first finished Job of the backup CronJob; raises HarnessError."""
        return self._saved(fired(self.kind.cluster_site("primary").api, BACKUP))

    def restore_test_fired(self) -> Fired:
        """Return the first finished Job of the restore test CronJob; raises HarnessError."""
        return self._saved(fired(self.kind.cluster_site("dr").api, RESTORE_TEST))

    def _saved(self, done: Fired) -> Fired:
        """Save the log of a Job in the log folder of the drill; return the Job."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in done.log)
        (self.drill.folder.logs / f"{done.job}.jsonl").write_text(text, encoding="utf-8")
        return done

    def require_backed_up(self, done: Fired) -> None:
        """Raise Finding unless the CronJob's Job succeeded and its backup is in the repository."""
        require(done.owner == f"CronJob/{BACKUP}", f"{done.job} was started by {done.owner or 'no controller'}")
        require(done.succeeded, f"{done.job} failed: {dict(done.last)}")
        new = self.listed() - self._backups
        require(
            done.last.get("backup") in new, f"the receipt is {dict(done.last)}; new in the repository: {sorted(new)}"
        )

    def require_verdict(self, done: Fired, verdict: str) -> None:
        """Raise Finding unless the CronJob's Job has that verdict in its log and the matching exit status."""
        require(done.owner == f"CronJob/{RESTORE_TEST}", f"{done.job} was started by {done.owner or 'no controller'}")
        require(done.last.get("verdict") == verdict, f"{done.job}: {dict(done.last)}")
        require(done.succeeded == (verdict == "KEPT"), f"{done.job}: its status does not fit the verdict {verdict}")

    def require_refused(self, done: Fired, named: str) -> None:
        """Raise Finding unless the verdict is UNKNOWN and the reason contains `named`."""
        self.require_verdict(done, "UNKNOWN")
        require(
            f"refused as a drill target: its {named} is" in str(done.last), f"{named} is not named: {dict(done.last)}"
        )

    def require_scaled_to_zero(self) -> None:
        """Raise Finding unless every workload of the DR cluster, except volume agents, is scaled to zero."""
        api = self.kind.cluster_site("dr").api
        replicas = {
            one["metadata"]["name"]: one["spec"].get("replicas", 1)
            for kind in WORKLOADS
            for one in api.find(kind)
            if not one["metadata"]["name"].startswith("agent-")
        }
        running = [name for name, number in replicas.items() if number]
        require(not running, f"not scaled to zero: {', '.join(sorted(running))}")

    def require_never_scaled(self) -> None:
        """Raise Finding when a workload of the DR cluster was changed since it was scaled to zero."""
        self.require_scaled_to_zero()
        found = generations(self.kind.cluster_site("dr").api)
        changed = [name for name, number in found.items() if number != self._generations.get(name)]
        require(not changed, f"changed although the restore test was refused: {', '.join(changed)}")


def generations(api: Api) -> Mapping[str, int]:
    """Return `metadata.generation` by workload, without volume agents."""
    found = [one["metadata"] for kind in WORKLOADS for one in api.find(kind)]
    return {one["name"]: int(one["generation"]) for one in found if not one["name"].startswith("agent-")}


def fired(api: Api, name: str) -> Fired:
    """Resume a CronJob until a Job of it has finished; return that Job with its log. Raises HarnessError."""
    api.patch("CronJob", name, {"spec": {"suspend": False}})
    for found in api.follow("Job", f"{NAME}={name}", PATIENCE.cron_job):
        for job in found:
            conditions = {c["type"]: c["status"] for c in job.get("status", {}).get("conditions", ())}
            if "True" in (conditions.get("Complete"), conditions.get("Failed")):
                api.patch("CronJob", name, {"spec": {"suspend": True}})
                return _fired(api, job, conditions.get("Complete") == "True")
    raise HarnessError(f"{api.where}: CronJob {name}: no Job has ended within {PATIENCE.cron_job:g} s")


def _fired(api: Api, job: Manifest, succeeded: bool) -> Fired:
    name = job["metadata"]["name"]
    owners = job["metadata"].get("ownerReferences") or [{}]
    log = b"".join(api.logs(pod.name) for pod in api.pods(f"batch.kubernetes.io/job-name={name}"))
    entries = tuple(json.loads(line) for line in log.decode(errors="replace").splitlines() if line.startswith("{"))
    return Fired(name, f"{owners[0].get('kind', '')}/{owners[0].get('name', '')}", succeeded, entries)


def scaled_to_zero(manifest: Manifest) -> Manifest:
    """Return the manifest, with zero replicas if it is a workload."""
    if manifest["kind"] in WORKLOADS:
        manifest["spec"]["replicas"] = 0
    return manifest


def declaration(config: Config) -> str:
    """Return an `estate.toml` without [existing]: name, sites, and the kind of each service."""
    estate, sites = config.estate, config.sites
    text = f"[estate]\n{lines({'name': estate.name, 'zone': estate.zone, 'host': estate.host})}"
    text += f'[sites.primary]\nedge = "{sites.primary.edge}"\n[sites.dr]\nedge = "{sites.dr.edge}"\n'
    for name, table in config.services.items():
        text += f'[services.{name}]\nkind = "{table.kind}"\nneeds = {json.dumps(list(table.needs))}\n'
    return text


def lines(facts: Mapping[str, str]) -> str:
    """Return facts as lines of TOML."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in facts.items())

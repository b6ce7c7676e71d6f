"""Restore test on a DR site that blackstart makes and removes: a production's backup is tested on any machine."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

from harness.alerts.receiver import Receiver
from harness.core.errors import REPORTED, HarnessError, Unreadable, UsageError
from harness.core.journal import Journal
from harness.core.node import Substrate
from harness.core.record import DrillRecord
from harness.core.service import Place
from harness.declaration import SecretSpec
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite
from harness.estate.existing import (
    connect_offsite,
    references,
    repository_to_read,
    witness_of,
    witness_store,
    writers_in,
)
from harness.estate.isolation import admit, require_separate
from harness.estate.registry import build_services, entry_of, kind_of, sinks_at
from harness.estate.secrets import PRIVATE_KEY, Secrets, make_site_secrets
from harness.estate.site import EstateSite
from harness.estate.space import MB
from harness.estate.substrates import DR, Purpose, SubstrateKind
from harness.evidence.folder import RecordFolder
from harness.evidence.record import RecordHeader, conclude_unstarted
from harness.parts.install import ensure
from harness.postgres.passwords import set_password
from harness.recovery.begun import note_begun
from harness.recovery.start import fingerprint_of
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.format.manifest import Manifest
from harness.restore_test.preflight import require_recipient
from harness.restore_test.restore_test import RestoreTest
from harness.vault import read_secret

SHOWN = 12  # hex digits of a fingerprint
PARTS = ("postgres", "seaweedfs")  # of every site on this machine


@dataclass(frozen=True, slots=True)
class SiteSecrets:
    """The secrets of the new DR site. `made`: names of those made for it; `roles`: of a database -> its password."""

    references: Mapping[str, str]
    made: tuple[str, ...]
    roles: Mapping[str, str]

    def set_passwords(self, place: Place) -> None:
        """Give the restored roles the passwords that were made for this site. Raises HarnessError, UsageError."""
        for role, reference in self.roles.items():
            set_password(place.sql, role, reference)


def secrets_for(config: Config, given: Mapping[str, str], into: Secrets) -> SiteSecrets:
    """Return the secrets of a new DR site: `given` ones, and new ones where another value serves as well.

    The secrets of its own servers are always new.
    """
    own = make_site_secrets(into, DR)
    made: dict[str, str] = {}
    roles: dict[str, str] = {}
    for name, table in config.services.items():
        specs = [spec for spec in kind_of(config, name).secrets(name, table) if spec.anew]
        if any(spec.name not in given for spec in specs):  # some are made from others: all of a service, or none
            made |= _make(specs, into)
            roles |= {spec.role: made[spec.name] for spec in specs if spec.role}
    found = {**given, **{name: into.of(DR)[name] for name in own}, **made}
    return SiteSecrets(found, tuple(sorted(made)), roles)


def _make(specs: list[SecretSpec], into: Secrets) -> Mapping[str, str]:
    values: dict[str, str] = {}
    for spec in specs:
        values[spec.name] = spec.make(values)
        into.put(DR, spec.name, values[spec.name].encode())
    return {name: into.of(DR)[name] for name in values}


def require_secrets(config: Config, given: Mapping[str, str], fingerprints: Sequence[tuple[str, str]]) -> None:
    """Raise UsageError, one line, for all secrets that cannot be made anew and are missing or not the backup's."""
    specs = [spec for name, table in config.services.items() for spec in kind_of(config, name).secrets(name, table)]
    wanted = dict.fromkeys((PRIVATE_KEY, *(spec.name for spec in specs if spec.needed and not spec.anew)))
    kept = dict(fingerprints)
    wrong = [f"{name} missing" + known(kept.get(name)) for name in {**wanted, **kept} if name not in given]
    for name, expected in kept.items():
        if name in given and (found := fingerprint_of(given[name])) != expected:
            wrong.append(f"{name} has fingerprint {found[:SHOWN]}, not the one" + known(expected))
    if wrong:
        raise UsageError(
            f"secrets of the DR site: {', '.join(wrong)}; copy production's into the folder of --secrets: "
            "what was encrypted or stored with them cannot be read with others"
        )


def known(expected: str | None) -> str:
    """Return a word about the fingerprint that a backup needs, "" when it has none."""
    return f" (the backup needs fingerprint {expected[:SHOWN]})" if expected else ""


@dataclass(frozen=True, slots=True)
class OwnSite:
    """What a restore test on a new DR site needs, checked. `given`: secret name -> reference; `run`: its run folder."""

    config: Config
    kind: SubstrateKind
    offsite: Offsite
    given: Mapping[str, str]
    fingerprints: Sequence[tuple[str, str]]
    unsigned: bool
    run: Path


def newest_of(repository: Repository, committed: Sequence[CommittedBackup], private_ref: str) -> Manifest | None:
    """Return the manifest of the newest backup whose manifest opens, None without one. Raises HarnessError."""
    for entry in committed:
        with suppress(Unreadable):  # the test passes over it, with the reason in its record
            return repository.open(entry, read_secret(private_ref)).manifest
    return None


def own_site(config: Config, kind: SubstrateKind, secrets: Path, run: Path, *, unsigned: bool = False) -> OwnSite:
    """Return a DR site that can be made for a test of the repository's newest backup; nothing is made yet.

    `secrets`: the folder with the DR key, the writers' keys and the secrets of production that cannot be made anew.
    `unsigned`: whether backups that nobody signed are read. Raises UsageError, HarnessError when the repository does
    not answer, a part is missing or there is too little room.
    """
    entry_of(config)
    kind.require(config)
    if kind.runs_here:
        require_separate(config)
    offsite = replace(connect_offsite(config), read_only=True)
    given = references(secrets, PRIVATE_KEY)
    trusted = writers_in(given, secrets, allow_unsigned=unsigned)
    repository = repository_to_read(config, trusted, allow_unsigned=unsigned)
    committed = repository.committed()
    require_recipient(given[PRIVATE_KEY], committed)
    newest = newest_of(repository, repository.logical(), given[PRIVATE_KEY])
    fingerprints = newest.contents.fingerprints if newest else ()
    require_secrets(config, given, fingerprints)
    kind.require_room(run.parent, newest.plain_size // MB if newest else 0)
    return OwnSite(config, kind, offsite, given, fingerprints, unsigned, run)


def run_on_own_site(
    site: OwnSite, header: RecordHeader, folder: RecordFolder, journal: Journal, given: Mapping[str, str]
) -> DrillRecord:
    """Make the site, restore and test the newest backup there, and remove it; return the record.

    `given`: the options with which it can be resumed.
    What fails before the test begins is in the record too.
    """
    with ExitStack() as ending:
        try:
            substrate = _substrate(site, header, folder, given, ending)
            work = _begin(site, substrate, header, folder, journal, ending)
        except REPORTED as error:
            return conclude_unstarted(header, folder, journal, error)
        record = work.run()
        with suppress(HarnessError):  # the record says what could not be removed, and a sweep tries it again
            ending.close()
        return record


def _substrate(
    site: OwnSite, header: RecordHeader, folder: RecordFolder, given: Mapping[str, str], ending: ExitStack
) -> Substrate:
    """Make the run folder and the substrate; `ending` sweeps both."""
    with ExitStack() as failed:
        failed.callback(rmtree, site.run, ignore_errors=True)
        note_begun(site.run, header.drill, folder.path, given)
        if site.kind.runs_here:
            kinds = (kind_of(site.config, name) for name in site.config.services)
            for part in dict.fromkeys((*PARTS, *(part for kind in kinds for part in kind.parts))):
                ensure(part)
        substrate = site.kind.make(site.config, Purpose(primary=False))(site.run, folder.logs)
        ending.callback(substrate.sweep)  # whatever happens
        failed.pop_all()  # the folder says what is on the engine: only a sweep that succeeds removes it
    return substrate


def _begin(
    site: OwnSite,
    substrate: Substrate,
    header: RecordHeader,
    folder: RecordFolder,
    journal: Journal,
    ending: ExitStack,
) -> RestoreTest:
    config, run = site.config, site.run
    secrets = secrets_for(config, site.given, Secrets(run / "secrets"))
    receiver = ending.enter_context(Receiver(substrate.here))
    sinks = sinks_at(config, receiver.url)
    dr = EstateSite(substrate.site(DR), secrets.references, sinks)
    admit(dr.site, sinks)
    services = build_services(config, receiver)
    entry = entry_of(config)
    return RestoreTest(
        header=header,
        connections=Connections(
            config,
            services,
            site.offsite,
            dr=dr,
            client_secrets=secrets.references,
            allow_unsigned=site.unsigned,
            witness=witness_of(config, folder.witness),
            second=witness_store(config),
        ),
        gateway=lambda: dr.nodes[entry].endpoint("http").outside,
        folder=folder,
        journal=journal,
        containment="disposable",
        before_start=secrets.set_passwords,
        remove=substrate.sweep,
        made_anew=secrets.made,
    )

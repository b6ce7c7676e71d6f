"""Failback: clients are led back from DR to a rebuilt primary. A drill of its own, with its own record, RTO and RPO.

DR takes no more writes before its last backup is taken, so nothing that it acknowledged may be lost. The database
server comes back from that backup, or by a rewind, where the old primary still has its data folder.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, Refused
from harness.core.journal import END, phase
from harness.core.judge import Promise
from harness.core.ledger import Ledger
from harness.declaration import ClientLoad, StoreClients
from harness.drill.drill import NO_CLIENTS, Drill
from harness.drill.live_databases import live_databases
from harness.drill.returned import NAME, PASSWORDS, Returned
from harness.drill.strike import CUT_OFF, Struck
from harness.estate.registry import store_clients
from harness.estate.secrets import PRIVATE_KEY
from harness.estate.site import DATA, DATABASE, INFRASTRUCTURE, VOLUME
from harness.evidence.folder import JOURNAL, RecordFolder
from harness.evidence.journal import JournalFile
from harness.evidence.record import open_record
from harness.patience import PATIENCE
from harness.physical.standby.old_primary import plan_rewind
from harness.physical.standby.rewind import rewind
from harness.substrate.common.filesystem import make_folder, write_files
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.embedded.process_tree import Owner
from harness.vault import for_password_file, read_secret

FAILBACK = ": failback"  # end of the name of such a drill
OBJECTIVE = "Clients are led back from the DR site to the rebuilt primary site, with all that they wrote to DR."


def begin_failback(recovered: Drill, promise: Promise | None = None) -> Drill:
    """Return the drill of the way back, under the client load of DR. `recovered`: the drill that led to DR, concluded.

    `promise`: of the way back, by default that of the drill before.

    Raises Refused while the old primary exists or DR was not tested, HarnessError.
    """
    environment, before = recovered.environment, recovered.header
    if recovered.record is None or recovered.tested is None:
        raise Refused("failback refused: the estate was not recovered on the DR site, or that drill is not concluded")
    if environment.primary.nodes:
        raise Refused("failback refused: the old primary site is still there; destroy it before it is built anew")
    header = replace(before, drill=f"{before.drill}{FAILBACK}", objective=OBJECTIVE, promise=promise or before.promise)
    folder = RecordFolder.make(recovered.folder.path.parent.parent, header.drill, recovered.folder.show)
    journal = JournalFile(folder.path / JOURNAL)
    journal.mark("opened", header.drill, promise=header.promise.name, follows=recovered.folder.path.name)
    open_record(header, folder, journal)
    environment.turn_round(journal)
    return Drill(header, environment, folder, journal, on_bytes=recovered.on_bytes, ask=recovered.ask)


def keep_data(drill: Drill) -> None:
    """Keep the data folder of a primary that was fenced, and destroy all else of that site. Raises HarnessError."""
    environment = drill.environment
    volume = environment.primary.site.volume(VOLUME)
    if not isinstance(volume, FolderVolume):
        raise HarnessError(f"site {environment.primary.site.name}: its data are in no folder of this machine")
    environment.primary.fence()  # none of its programs may have the folder open
    kept = make_folder(environment.run / NAME) / DATA
    (volume.root / DATA).rename(kept)
    environment.primary.destroy()
    drill.journal.mark("kept", "old primary", folder=str(kept))


def follow_dr(drill: Drill) -> None:
    """Rewind the data folder that was kept, and have its server follow DR. Raises Refused, HarnessError.

    Refused where it has nothing of its own: nothing would be rewound.
    """
    environment, dr = drill.environment, drill.environment.primary
    root, owner, sql = environment.run / NAME, Owner(environment.run, f"primary/{NAME}"), dr.place.sql
    key = read_secret(environment.secrets.of("dr")[PRIVATE_KEY])  # WAL of before the disaster is sealed to DR
    plan = plan_rewind(root / DATA, sql, lambda: (environment.repository, key), owner.tags)
    if plan.own is None:
        raise Refused("failback refused: the old primary has nothing of its own, so a rewind would show nothing")
    write_files(root, {PASSWORDS: f"*:*:*:*:{for_password_file(sql.password_ref)}\n"})
    rewind(plan, plan.own.fork.at, root / PASSWORDS, drill.journal)

    def cut_off() -> None:
        environment.stop_archiving()
        dr.nodes[DATABASE].kill()
        drill.journal.mark("fenced", f"{dr.site.name} site", nodes=DATABASE)

    environment.returned = Returned(root, plan.old.programs, sql, owner, drill.journal, cut_off)
    environment.returned.start()


def start_clients(drill: Drill, recovered: Drill) -> None:
    """Start the client load and the clients of all stores on DR. Their numbers go on. Raises HarnessError."""
    if drill.load is None:
        raise HarnessError(NO_CLIENTS)
    drill.load = load_after(drill.load, last_of(recovered.ledger.ledger))
    last = {store.name: last_of(store.ledger) for store in recovered.stores.observed}
    declared = store_clients(drill.environment.config)
    drill.stores.start([clients_after(one, last.get(one.name, 0)) for one in declared])
    drill.start_client_load()
    drill.stores.await_first()


def close_dr(drill: Drill) -> Struck:
    """Stop DR's services, so that it takes no more writes; return once clients are cut off.

    Raises Refused, TookTooLong. Its database server and object store go on for its last backup.
    """
    writer, site, journal = drill.writer, drill.environment.primary, drill.journal
    if writer is None or writer.consecutive_failures:
        raise Refused("failback refused: DR does not serve clients; the result would be inconclusive")
    drill.environment.stop_replication()
    drill.live = live_databases(site.place.sql, drill.failures)
    event = journal.mark("struck", f"{site.site.name} site", message="2.1", planned=True)
    for name in reversed([name for name in site.nodes if name not in INFRASTRUCTURE]):
        site.nodes[name].kill()

    def cut_off() -> None:
        if writer.consecutive_failures < CUT_OFF:
            raise NotYet("client requests are still answered")

    wait_until(cut_off, patience=PATIENCE.strike_effect, what="the end of DR's service to clients")
    journal.mark("witness", site.site.name, effect="clients are cut off")
    journal.mark(END, "detect")
    drill.struck = Struck(event.at, witnessed=True)
    return drill.struck


def lead_back(drill: Drill) -> None:
    """Take DR's last backup, and recover the rebuilt primary from it. Raises Finding, HarnessError."""
    with phase(drill.journal, "last backup"):  # a backup journals its own begin
        drill.back_up()
    drill.recover()


def last_of(ledger: Ledger) -> int:
    """Return the highest number of a ledger's writes, 0 without one."""
    return max((write.number for write in ledger.writes), default=0)


def load_after(load: ClientLoad, last: int) -> ClientLoad:
    """Return a client load that counts anew after write `last`, and finds its own writes alone."""
    return ClientLoad(
        sender=lambda door, secrets: partial(_send, load.sender(door, secrets), last),
        survivors=lambda door, secrets: _after(load.survivors(door, secrets), last),
        restored=lambda sql: _after(load.restored(sql), last),
    )


def clients_after(clients: StoreClients, last: int) -> StoreClients:
    """Return the clients of a store that count anew after write `last`, and find their own writes alone."""
    return replace(
        clients,
        sender=lambda door, secrets: partial(_send, clients.sender(door, secrets), last),
        survivors=lambda door, secrets, place: _after(clients.survivors(door, secrets, place), last),
    )


def _send(send: Callable[[int], bool], last: int, number: int) -> bool:
    return send(number + last)


def _after(numbers: frozenset[int], last: int) -> frozenset[int]:
    return frozenset(number - last for number in numbers if number > last)

"""Drills that must not end well: damaged backups, mistaken targets, restores that are disturbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from harness.core.clock import wait_until
from harness.core.errors import Finding, HarnessError, Refused
from harness.drill.drill import Drill
from harness.patience import PATIENCE
from harness.repository.catalogue import Receipt
from harness.repository.format.recipients import new_pair
from harness.scenario.faults.backup import RESTORE_TROUBLE, START_TROUBLE
from harness.scenario.faults.stored_backup import DAMAGE
from harness.traffic.witness import served_by

BAD_CONFIGURATION = "events {}\nhttp { nonsense on; }\n"


def damaged_backup(drill: Drill, damage: str) -> Receipt:
    """Take a backup and hurt it where it lies; return its receipt."""
    receipt = drill.back_up()
    hurt(drill, receipt, damage)
    return receipt


def hurt(drill: Drill, receipt: Receipt, damage: str) -> None:
    """Hurt a stored backup in the way that `damage` names."""
    DAMAGE[damage](drill.world.repository.store, drill.world.config.estate.name, receipt.backup_id)
    drill.journal.mark("damaged", receipt.backup_id, damage=damage)


def only_damaged(drill: Drill) -> None:
    """Leave one backup, and that one damaged."""
    damaged_backup(drill, "a flipped bit")


def none_for_the_key(drill: Drill) -> None:
    """Take a backup that is sealed to others than the DR site."""
    _private, public = new_pair()
    drill.world.secrets.put("primary", "recipient-dr.pub", public)
    drill.back_up()


NOTHING_USABLE: Mapping[str, Callable[[Drill], None]] = {
    "none at all": lambda _drill: None,
    "only a damaged one": only_damaged,
    "none for the DR key": none_for_the_key,
}


def recover_while(drill: Drill, word: str) -> None:
    """Attempt the recovery, and do what `word` names in the middle of it."""
    drill.attempt(partial(_disturbed, drill, word))


def _disturbed(drill: Drill, word: str) -> None:
    selected = drill.select()
    if word in RESTORE_TROUBLE:
        RESTORE_TROUBLE[word](drill.world, selected.backup.manifest.backup_id)
    drill.restored = drill.recovery.restore(selected)
    if word in START_TROUBLE:
        START_TROUBLE[word](drill.world, drill.restored)
    drill.finish(drill.restored)


def mistake_the_target(drill: Drill) -> None:
    """Let the drill believe that its target is another system than the one that runs."""
    drill.target = replace(drill.target, system="1234567890123456789")


def bad_front_door(drill: Drill) -> str:
    """Give the front door a configuration that it must refuse; return what it said."""
    try:
        drill.world.opened_edge.front.route_raw(BAD_CONFIGURATION)
    except Refused as error:
        return str(error)
    raise Finding("the front door took a configuration with a mistake in it")


def require_served_by(drill: Drill, site: str) -> None:
    """Clients are answered by that site, over new connections."""

    def answered() -> None:
        by = served_by(drill.world.door)
        if by != site:
            raise HarnessError(f"clients are answered by {by}, not by {site}")

    wait_until(answered, patience=PATIENCE.served_by, on=(HarnessError, OSError), what=f"clients served by {site}")

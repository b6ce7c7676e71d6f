"""State file of an estate that runs on this machine: its addresses, for other commands."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.node import Address
from harness.core.service import Contained
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite
from harness.estate.registry import build_services
from harness.estate.secrets import Secrets, verify_keys
from harness.estate.site import EstateSite
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.undo_journal import Undo, UndoJournal

WITNESS = "witness.json"  # in a run folder: what was seen of the repository
RECOVERED = Path(".blackstart/recovered.json")


@dataclass(frozen=True, slots=True)
class StateFile:
    """Addresses are `host:port`. `site`: the site that runs; `contained`: actions for `blackstart release`."""

    estate: str
    site: str
    run: str
    logs: str
    secrets: str
    sql: str
    s3: str
    offsite: str
    public: str
    names: str
    contained: tuple[Contained, ...] = ()

    def write(self, path: Path) -> None:
        """Write the file, 0600, which a sweep of its run removes. Raises HarnessError when the run was swept."""
        UndoJournal(Path(self.run)).note(Undo.STATE, state=str(path.resolve()))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_state(path: Path, remedy: str) -> StateFile:
    """Return the state in the file `path`; raises UsageError, with `remedy` when there is no such file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data["contained"] = tuple(Contained(c["service"], tuple(c["actions"])) for c in data.get("contained", ()))
        return StateFile(**data)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such state file; {remedy}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path}: not the state file of an estate ({error}); {remedy}") from None


def address(text: str) -> Address:
    """Return `host:port` as an address; raises UsageError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{text!r}: not an address; write HOST:PORT")
    return Address(host, int(port))


def connect(config: Config, state: StateFile) -> Connections:
    """Return the connections that a state file describes; raises UsageError. The caller must not sweep the estate."""
    secrets = Secrets(Path(state.secrets))
    site = EstateSite(Embedded(Path(state.run), Path(state.logs)).site(state.site), secrets.of(state.site), {})
    site.connect(address(state.sql), address(state.s3))
    return Connections(
        config,
        build_services(config),
        Offsite(address(state.offsite), secrets.of("offsite")),
        primary=site if state.site == "primary" else None,
        dr=site if state.site == "dr" else None,
        recipients=secrets.recipients,
        client_secrets=secrets.of("clients"),
        trusted=verify_keys(secrets.of("dr")),
        witness=Path(state.run) / WITNESS,
    )

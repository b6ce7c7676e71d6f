"""State file of an estate that runs on this machine: its addresses, for other commands."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from errno import EISDIR
from pathlib import Path

from harness.core.errors import HarnessError, UsageError
from harness.core.node import Address
from harness.core.service import Contained
from harness.estate.config import Config
from harness.estate.connections import Connections, offsite_at
from harness.estate.registry import build_services
from harness.estate.secrets import Secrets, verify_keys
from harness.estate.site import EstateSite
from harness.substrate.common.filesystem import make_folder, write_files
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.undo_journal import Undo, UndoJournal

WITNESS = "witness.json"  # in a run folder: what was seen of the repository
RECOVERED = Path(".blackstart/recovered.json")


@dataclass(frozen=True, slots=True)
class StateFile:
    """Addresses are `host:port`; `offsite` may be a folder. `site`: the site that runs.

    `contained`: actions for `blackstart release`.
    """

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

    @property
    def text(self) -> str:
        """The file's content, one line of JSON."""
        return json.dumps(asdict(self))

    def write(self, path: Path) -> None:
        """Write the file, 0600, which a sweep of its run removes; whoever reads it never has half of it.

        Raises HarnessError when it cannot be written, or the run was swept.
        """
        journal, path = UndoJournal(Path(self.run)), path.resolve()
        half = _half_of(path)
        journal.note(Undo.STATE, state=str(path))
        journal.note_file(half)
        try:
            write_files(path.parent, {half.name: self.text + "\n"})
            half.replace(path)
        except OSError as error:
            with suppress(OSError):
                half.unlink()
            raise HarnessError(f"{path}: the state file cannot be written ({error.strerror})") from None
        finally:
            journal.file_gone(half)


def require_writable(path: Path) -> None:
    """Raise UsageError unless a state file can be written at `path`, whose folder is made."""
    path = path.resolve()
    half = _half_of(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        make_folder(path.parent)
        half.touch(mode=0o600)
        half.unlink()
    except OSError as error:
        raise UsageError(
            f"{path}: the state file cannot be written there ({error.strerror}); name another one with --live"
        ) from None


def _half_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


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
        offsite_at(state.offsite, secrets.of("offsite"), short=True),
        primary=site if state.site == "primary" else None,
        dr=site if state.site == "dr" else None,
        recipients=secrets.recipients_of(state.site),
        client_secrets=secrets.of("clients"),
        trusted=verify_keys(secrets.of("dr")),
        witness=Path(state.run) / WITNESS,
    )

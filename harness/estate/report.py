"""Report of a check: everything that is wrong in a declaration and in the folders that it names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import BackupFailed, HarnessError, UsageError, reason_of
from harness.core.service import Service
from harness.declaration import Table
from harness.estate.config import Config
from harness.estate.existing import require_files
from harness.estate.registry import build_services, entry_of
from harness.vault import read_secret


@dataclass(frozen=True, slots=True)
class Defect:
    """Something wrong: its place in the declaration, and what, with the remedy.

    `declared`: the declaration itself is wrong; `gap`: it would not be in a backup, which can be taken all the same.
    """

    where: str
    what: str
    declared: bool = False
    gap: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class Report:
    """What a check found. `covered`, `excluded`: a line for each thing that would be in a backup, and would not.

    `store`: what the repository's store can do, where it was probed. `warnings`: dangers that prevent no backup.
    `absent`: what is declared and was found missing, `database NAME` and the like.
    """

    defects: list[Defect] = field(default_factory=list)
    covered: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    store: list[str] = field(default_factory=list)
    warnings: list[Defect] = field(default_factory=list)

    def wrong(self, where: str, what: str) -> None:
        """Note a mistake in the declaration, or in the folders that it names."""
        self.defects.append(Defect(where, what, declared=True))

    def found(self, where: str, what: str) -> None:
        """Note a finding about the estate, once where two checks come upon it."""
        if (found := Defect(where, what)) not in self.defects:
            self.defects.append(found)

    def gap(self, where: str, what: str) -> None:
        """Note something that would not be in a backup."""
        self.defects.append(Defect(where, what, gap=True))

    def warn(self, where: str, what: str) -> None:
        """Note a danger that prevents no backup."""
        self.warnings.append(Defect(where, what))

    @contextmanager
    def noting(self, where: str) -> Iterator[None]:
        """Note an error of the block instead of raising it."""
        try:
            yield
        except UsageError as error:
            self.wrong(where, reason_of(error))
        except (HarnessError, BackupFailed, OSError) as error:
            self.found(where, reason_of(error))

    def require_declared(self) -> None:
        """Raise UsageError, one line, for all mistakes of the declaration."""
        if lines := [str(defect) for defect in self.defects if defect.declared]:
            raise UsageError("; ".join(lines))

    def require_possible(self, what: str) -> None:
        """Raise UsageError for mistakes of the declaration, else BackupFailed for what `what` would fail at."""
        self.require_declared()
        if lines := [str(defect) for defect in self.defects if not defect.gap]:
            raise BackupFailed(f"{what}: {'; '.join(lines)}")


def check_services(report: Report, config: Config) -> tuple[Service, ...]:
    """Check what services declare, and every reference to a secret in the declaration; return the services."""
    with report.noting("services"):
        entry_of(config)
    for where, reference in _references(config, ""):
        with report.noting(where):
            read_secret(reference)
    with report.noting("services"):
        return build_services(config)
    return ()


def _references(table: Table, where: str) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every secret reference in a table."""
    for name, value in table:
        yield from _in_value(value, f"{where}.{name}".strip("."))


def _in_value(value: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Table):
        yield from _references(value, where)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _in_value(inner, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _in_value(inner, where)
    elif isinstance(value, str) and value.startswith(("env:", "file:")):
        yield where, value


def secrets_in(report: Report, where: str, folder: Path, needed: Sequence[str]) -> Mapping[str, str]:
    """Check that the folder has the needed secrets, none of them empty; return the references of all that are good."""
    if not folder.is_dir():
        report.wrong(where, f"{folder} is no folder; create or mount it, with {', '.join(needed)}")
        return {}
    found = {path.name: f"file:{path}" for path in sorted(folder.iterdir()) if path.is_file()}
    for name in needed:
        if name not in found:
            report.wrong(where, f"{folder}/{name} is missing; {_remedy(name)}")
    for name, reference in tuple(found.items()):
        if name not in needed:
            continue
        with report.noting(where):
            if not read_secret(reference).strip():
                report.wrong(where, f"{folder}/{name} is empty; write the secret into it")
                del found[name]
    return found


def check_files(report: Report, where: str, *paths: Path | None) -> None:
    """Check that declared certificates and keys are files here."""
    for path in paths:
        with report.noting(where):
            require_files("certificate or key", path)


def _remedy(name: str) -> str:
    return "create it with `blackstart keys new`" if name.startswith(("recipient", "writer")) else "add that secret"

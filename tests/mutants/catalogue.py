"""Every mutant of the project, found in its code: a new fault, check or guard is one without being listed."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutants.sites import FAULT_MODULE, Kind, Site, sites_in, with_probes_of_injections, without_injection

ROOT = Path(__file__).resolve().parents[2]
# Their conditions collect lines: a rule of the verdict, or a finding about the chain, is one condition.
CONDITIONS = (
    "harness/core/judge.py",
    "harness/core/loss.py",
    "harness/repository/chain.py",
    "harness/repository/upkeep/reaper.py",
    "harness/drill/traces.py",
)
# They compare or check: what they return are lines, and whatever they raise says that something is wrong.
ORACLES = (
    *CONDITIONS,
    "harness/scenario/checks/",
    "harness/scenario/attempts.py",
    "harness/postgres/checks.py",
    "harness/postgres/contents/schema_check.py",
    "harness/postgres/roles/check.py",
    "harness/recovery/sign_off.py",
    "harness/recovery/key_functions.py",
    "harness/recovery/restore_files.py",
    "harness/recovery/assertions.py",
)
SEARCHED = ("harness", "fixtures")
# Code for containers and clusters: what no test notices without a container engine may need one.
ENGINE = (
    "harness/images/",
    "harness/kubernetes/",
    "harness/substrate/containers/",
    "harness/substrate/docker/",
    "harness/substrate/kind/",
    "harness/scenario/checks/cluster.py",
    "harness/scenario/cluster_jobs.py",
)
# They keep a command or a task from writing or removing outside its own folder. A test runs without them behind a wall
# alone (`wall.py`), for the sake of the machine that it runs on.
UNSAFE = (
    "harness/substrate/common/filesystem.py ",
    "harness/substrate/common/folder_volume.py ",
    "harness/substrate/common/rights.py ",
    "harness/substrate/sweep.py ",
    "harness/cli/drills.py sweep",
    "harness/drill/traces.py leave_traces: not primary.namespaced",
)


class Bar(StrEnum):
    """Why a mutant is not run everywhere: where no engine is, or where no wall can be made."""

    NONE = ""
    ENGINE = "needs a container engine"
    UNSAFE = "would let a test write or remove outside its folder, and this machine can make no wall"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutant. `path`: the file that is changed; `bar`: why it is not run here, or why no test notices it."""

    kind: Kind
    name: str
    path: str
    bar: Bar = Bar.NONE


def bar_of(name: str) -> Bar:
    """Return why a mutant of a file is not run, or why no test notices it."""
    if name.startswith(UNSAFE):
        return Bar.UNSAFE
    return Bar.ENGINE if name.startswith(ENGINE) else Bar.NONE


def sites_of(path: str, tree: ast.Module) -> tuple[Site, ...]:
    """Return the sites of a file of the project."""
    return sites_in(path, tree, oracle=path.startswith(ORACLES), conditions=path.startswith(CONDITIONS))


def mutants() -> tuple[Mutant, ...]:
    """Return all mutants, those of the faults last."""
    found = []
    for folder in SEARCHED:
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            for site in sites_of(path, ast.parse(file.read_text(encoding="utf-8"))):
                found.append(Mutant(site.kind, site.name, path, bar_of(site.name)))
    return (*found, *injectors())


def injectors() -> tuple[Mutant, ...]:
    """Return a mutant for every fault of the catalogue."""
    from harness.scenario.faults.catalog import CATALOG  # noqa: PLC0415 - the hook imports this module before harness

    return tuple(
        Mutant(
            Kind.INJECTOR,
            f"fault {phrase}",
            FAULT_MODULE,
            Bar.NONE if "embedded" in fault.substrates else Bar.ENGINE,
        )
        for phrase, fault in CATALOG.items()
    )


def mutated(path: str, source: str, name: str) -> ast.Module:
    """Return the tree of a file with one mutant; raises LookupError when it has no such mutant."""
    tree = ast.parse(source)
    if name.startswith("fault "):
        without_injection(tree, name.removeprefix("fault "))
    else:
        site = next((site for site in sites_of(path, tree) if site.name == name), None)
        if site is None:
            raise LookupError(f"{path} has no mutant {name!r}")
        site.apply()
    return ast.fix_missing_locations(tree)


def probed(path: str, source: str) -> ast.Module:
    """Return the tree of a file that tells which of its mutants a test needs."""
    tree = ast.parse(source)
    for site in sites_of(path, tree):
        site.probe(site.name)
    if path == FAULT_MODULE:
        with_probes_of_injections(tree)
    return ast.fix_missing_locations(tree)


def path_of(name: str) -> str:
    """Return the file that a mutant changes."""
    return FAULT_MODULE if name.startswith("fault ") else name.partition(" ")[0]

"""Rules about modules: no import cycle of any kind, small packages, and no service kind named outside its package."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness.estate.kinds import KINDS
from harness.images.context import project_files

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("harness", "steps", "fixtures", "notifier")
LARGEST_FOLDER = 10  # .py files, __init__ not counted
REASON = re.compile(r"more than ten files because \w+", re.IGNORECASE)

# Kinds may be named where they are implemented, and where images, parts and manifests are made for them.
HOME_OF_KINDS = ("harness/services/", "harness/images/", "harness/parts/")
# Files elsewhere that name a kind, each with its reason.
NAMES_A_KIND = {
    "harness/core/sequence.py": "the mission's messages name Odoo and n8n",
    "harness/patience.py": "all patiences are in one table, those of the kinds as well",
}


def modules(root: Path = ROOT, packages: tuple[str, ...] = PACKAGES) -> Mapping[str, Path]:
    found = {}
    for path in (path for package in packages for path in sorted((root / package).rglob("*.py"))):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports_of(path: Path, known: Mapping[str, Path]) -> set[str]:
    """Return the modules of `known` that a file imports: at the top, under TYPE_CHECKING, or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            full = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in full.values()}
    return found & set(known)


def cycle_in(known: Mapping[str, Path]) -> tuple[str, ...]:
    """Return the modules of an import cycle, () when there is none."""
    graph = {name: imports_of(path, known) - {name} for name, path in known.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return tuple(error.args[1])
    return ()


def test_no_module_takes_part_in_an_import_cycle() -> None:
    assert not cycle_in(modules())


@pytest.mark.parametrize(
    "second",
    [
        "import pack.first",
        "from pack import first",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.first import Thing",
        "def work():\n    from pack.first import Thing",
    ],
    ids=["module", "from package", "TYPE_CHECKING", "function"],
)
def test_every_kind_of_import_counts_for_a_cycle(tmp_path: Path, second: str) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").touch()
    (tmp_path / "pack/first.py").write_text("import pack.second\nThing = int")
    (tmp_path / "pack/second.py").write_text(second)
    assert set(cycle_in(modules(tmp_path, ("pack",)))) == {"pack.first", "pack.second"}


def test_a_folder_of_more_than_ten_files_gives_its_reason() -> None:
    unexplained = {}
    for folder in {path.parent for path in modules().values()}:
        count = sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        init = folder / "__init__.py"
        said = ast.get_docstring(ast.parse(init.read_text())) if init.exists() else None
        if count > LARGEST_FOLDER and not REASON.search(said or ""):
            unexplained[str(folder.relative_to(ROOT))] = count
    assert not unexplained


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and value of every string in the code; docstrings are left out."""
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree)
            if isinstance(node, described) and node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def names_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and every name that a module defines: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def kinds_named(text: str) -> list[str]:
    """Return each place of a module, line and text, that names a service kind.

    `http` is also a protocol and the name of a port: only an import of its package names it. `gateway` is also the role
    of the service through which clients reach a site: a string that is that word, or an import, names the kind.
    """
    tree = ast.parse(text)
    roles = {kind.name for kind in KINDS.values() if kind.entry}
    products = "|".join(map(re.escape, sorted(set(KINDS) - roles - {"http"})))
    word, part = re.compile(rf"\b({products})\b"), re.compile(rf"(^|_)({products})(_|$)", re.IGNORECASE)
    package = re.compile(rf"harness\.services\.({'|'.join(map(re.escape, KINDS))})\b")
    found = [(at, value) for at, value in literals(tree) if word.search(value) or value in roles]
    found += [(at, name) for at, name in names_in(tree) if part.search(name)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            line = ast.unparse(node).replace("from harness.services import ", "harness.services.")
            found += [(node.lineno, line)] if package.search(line) else []
    return [f"{at}: {value[:60]!r}" for at, value in found]


def test_a_service_kind_is_named_in_its_own_package_alone() -> None:
    found = {}
    for path in sorted((ROOT / "harness").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(HOME_OF_KINDS) and (places := kinds_named(path.read_text())):
            found[name] = places
    assert {name: places for name, places in found.items() if name not in NAMES_A_KIND} == {}
    assert set(found) == set(NAMES_A_KIND), "an exception that is no longer needed: remove it"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('KIND = "odoo"', 1),
        ('SECRET = "n8n-key"', 1),
        ('raise Error(f"notification on {site}")', 1),
        ("def start_odoo() -> None: ...", 1),
        ('for part in ("sql", "gateway"): ...', 1),
        ("from harness.services.http import kind", 1),
        ("from harness.services import odoo", 1),
        ('"""The docstring of a module may name odoo."""', 0),
        ('say(f"the gateway at {address} does not answer")', 0),
        ('endpoint("http")', 0),
    ],
)
def test_what_names_a_kind(line: str, named: int) -> None:
    assert len(kinds_named(line)) == named


def test_images_contain_neither_the_strike_nor_the_faults() -> None:
    files = project_files("harness", "notifier")
    assert "harness/recovery/recovery.py" in files
    assert not [name for name in files if name.startswith(("harness/drill/", "harness/scenario/"))]

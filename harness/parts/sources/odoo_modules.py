"""Dependency resolution of Odoo modules: dependencies and automatically installed modules."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import MissingPart

_IMPORT = re.compile(r"^\s*(?:(?:from|import) odoo\.addons\.|from odoo\.addons import )(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Dependencies of a module, from its `__manifest__.py`."""

    name: str
    depends: frozenset[str]
    triggers: frozenset[str] | None = None  # modules that make Odoo install this one automatically; None: it never does
    countries: frozenset[str] = frozenset()  # limits that to companies in these countries (ISO 3166, lower case)


def read_manifests(addons: Path) -> tuple[Manifest, ...]:
    """Return the manifests of the modules in a folder. Raises MissingPart when there is none."""
    found = tuple(_parse(file.parent.name, file) for file in sorted(addons.glob("*/__manifest__.py")))
    if not found:
        raise MissingPart(f"odoo: no modules in {addons}; is the Debian package Odoo 19?")
    return found


def closure(manifests: tuple[Manifest, ...], wanted: frozenset[str], *, country: str) -> frozenset[str]:
    """Return `wanted`, what they need, and what Odoo installs with them in `country`. Raises MissingPart."""
    known = {manifest.name: manifest for manifest in manifests}
    whole = [manifest for manifest in manifests if manifest.depends <= known.keys()]
    chosen = _with_needs(known, frozenset(), wanted | {"base"})
    while True:
        beside = frozenset(
            manifest.name for manifest in whole
            if manifest.name not in chosen and _installs_itself(manifest, chosen, country)
        )  # fmt: skip
        if not beside:
            return chosen
        chosen = _with_needs(known, chosen, beside)


def imported(addons: Path, chosen: frozenset[str]) -> frozenset[str]:
    """Return the modules whose Python code is imported by `chosen` without being a dependency in a manifest."""
    found, waiting = frozenset[str](), chosen
    while waiting:
        names = {
            name for module in waiting for file in (addons / module).rglob("*.py")
            for name in _IMPORT.findall(file.read_text(encoding="utf-8"))
        }  # fmt: skip
        waiting = frozenset(name for name in names if (addons / name).is_dir()) - chosen - found
        found |= waiting
    return found


def _with_needs(known: dict[str, Manifest], chosen: frozenset[str], more: frozenset[str]) -> frozenset[str]:
    result, waiting = set(chosen), list(more)
    while waiting:
        name = waiting.pop()
        if name in result:
            continue
        if name not in known:
            raise MissingPart(f"odoo: module {name} is a dependency and missing in the Debian package")
        result.add(name)
        waiting.extend(known[name].depends)
    return frozenset(result)


def _installs_itself(manifest: Manifest, chosen: frozenset[str], country: str) -> bool:
    if manifest.triggers is None or not manifest.triggers <= chosen:
        return False
    return not manifest.countries or country in manifest.countries


def _parse(name: str, file: Path) -> Manifest:
    """Read a manifest: a Python literal (https://www.odoo.com/documentation/19.0/developer/reference/backend/module.html)."""
    said = ast.literal_eval(file.read_text(encoding="utf-8"))
    depends = frozenset(said.get("depends", ())) | (frozenset() if name == "base" else {"base"})
    auto = said.get("auto_install", False)
    triggers = None
    if auto and said.get("installable", True):
        triggers = depends if auto is True else frozenset(auto)
    return Manifest(name, depends, triggers, frozenset(said.get("countries", ())))

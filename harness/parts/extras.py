"""Python packages that only some substrates need: extras of the distribution, which a base installation lacks."""

from __future__ import annotations

from importlib.util import find_spec

from harness.core.errors import MissingPart

# Substrate, which is the name of the extra as well -> the packages that it needs.
EXTRAS = {"docker": ("docker", "testcontainers"), "kind": ("docker", "testcontainers", "kubernetes", "yaml")}
IN_NO_IMAGE = ("harness.drill", "harness.scenario")


def require_extra(substrate: str) -> None:
    """Raise MissingPart when a package that the substrate needs is not installed."""
    for package in EXTRAS.get(substrate, ()):
        if find_spec(package) is None:
            raise lacking(package, substrate)


def lacking(package: str, extra: str) -> MissingPart:
    """Return one line that says what to install."""
    return MissingPart(f"Python package {package} is not installed; run `pip install 'blackstart[{extra}]'`")


def explained(error: ModuleNotFoundError) -> MissingPart:
    """Return one line for a module that is missing; raises `error` again for one that no extra brings."""
    name = error.name or ""
    for extra, packages in EXTRAS.items():
        if name.partition(".")[0] in packages:
            return lacking(name, extra)
    if name.startswith(IN_NO_IMAGE):
        return MissingPart("drills are not in this image, which backs up and tests restores; install the package")
    raise error

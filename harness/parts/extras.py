"""Python packages that a base installation lacks: extras of the distribution, or what an image leaves out."""

from harness.core.errors import MissingPart

IN_NO_IMAGE = ("harness.drill", "harness.scenario")


def lacking(package: str, extra: str) -> MissingPart:
    """Return one line that says what to install."""
    return MissingPart(f"Python package {package} is not installed; run `pip install 'blackstart[{extra}]'`")


def explained(error: ModuleNotFoundError, extra: str) -> MissingPart:
    """Return one line for a module that is missing; raises `error` again if there is no `extra` that brings it."""
    name = error.name or ""
    if extra:
        return lacking(name, extra)
    if name.startswith(IN_NO_IMAGE):
        return MissingPart("drills are not in this image, which backs up and tests restores; install the package")
    raise error

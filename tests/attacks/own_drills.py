"""A reader's own repository with drills that need no estate, and pytest run on it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.forks import run_drills

ROOT = Path(__file__).resolve().parents[2]
STEPS = """
import os, signal, sys, time
import pytest
from pathlib import Path
from pytest_bdd import given, then, step, when
from harness.core.errors import Finding, HarnessError

def note(word):
    with Path("ran").open("a") as file:
        file.write(word)

@given("an estate")
def _(): note("g")

@when("it is hurt")
def _(): note("w")

@then("the promise is good")
def _():
    note("t")
    assert Path("ran").is_file()

@then("the promise is broken")
def _(): raise Finding("RTO missed")

@then("the store is away")
def _(): raise HarnessError("the store does not answer")

@then("nothing is asserted")
def _(): pass

@then("nothing is asserted, at length")
def _():
    '''It looks like a step.'''
    kept = True

@when("it is skipped")
def _(): pytest.skip("not today")

@when("it is expected to fail")
def _(): pytest.xfail("known")

@when("pytest is left")
def _(): pytest.exit("enough", returncode=0)

@when("the process is left")
def _(): sys.exit(0)

@when("it hangs")
def _(): time.sleep(60)
"""
GOOD = """Feature: f
  Scenario: good
    Given an estate
    When it is hurt
    Then the promise is good
"""


def scenario(*steps: str, tags: str = "", rows: str = "") -> str:
    """Return a feature with one scenario."""
    kind = "Scenario Outline" if rows else "Scenario"
    body = "".join(f"    {line}\n" for line in steps)
    return f"Feature: f\n  {tags}\n  {kind}: one\n{body}{rows}"


def own(folder: Path, feature: str = GOOD) -> Path:
    """Make the repository, with one feature, and return its folder."""
    (folder / "features").mkdir(parents=True)
    (folder / "features/one.feature").write_text(feature)
    (folder / "conftest.py").write_text(STEPS)
    shutil.copy(ROOT / "estate.toml", folder)
    shutil.copy(ROOT / "features/budgets.toml", folder / "features")
    return folder


def drill(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on the repository, as its reader does."""
    return run_drills(folder, *(words or ("features",)), **env)

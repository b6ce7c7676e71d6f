"""The verdict that a scenario expects is read from its sentences, and every sentence that judges is known."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.estate.config import load_config
from harness.estate.declared import declared_hash
from harness.scenario.expectation import expected_verdict

ROOT = Path(__file__).resolve().parents[2]
ESTATE = load_config(ROOT / "estate.toml")


@pytest.mark.parametrize(
    ("sentences", "verdict"),
    [
        (["when the primary site is lost", "then the promise is kept"], "KEPT"),
        (["then the drill is judged BROKEN because of the RTO"], "BROKEN"),
        (["then the restore test is judged UNKNOWN"], "UNKNOWN"),
        (["then its verdict is KEPT"], "KEPT"),
        (["then a backup is confirmed"], ""),
        ([], ""),
    ],
)
def test_the_expected_verdict(sentences: list[str], verdict: str) -> None:
    assert expected_verdict(sentences) == verdict


def test_every_step_that_judges_says_which_verdict_it_expects() -> None:
    for path in sorted((ROOT / "steps").glob("[!_]*.py")):
        importlib.import_module(f"steps.{path.stem}")
    judging, silent = 0, []
    for context in step_function_context_registry.values():
        if context.type == "then" and any(
            word in inspect.getsource(context.step_func) for word in (".conclude()", "require_verdict(")
        ):
            judging += 1
            sentence = context.parser.name.replace("{verdict:w}", "KEPT").replace("{judged:w}", "KEPT")
            silent += [] if expected_verdict([sentence]) else [sentence]
    assert judging > 4
    assert not silent


def test_a_weaker_declaration_is_another_scenario() -> None:
    sentences = ["then the promise is kept"]
    usual = declared_hash(sentences, ESTATE)
    assert usual == declared_hash(sentences, ESTATE)
    fewer = ESTATE.model_copy(update={"services": dict(list(ESTATE.services.items())[1:])})
    excluding = ESTATE.backup.model_copy(update={"exclude": {"database n8n": "no reason"}})
    later = ESTATE.backup.model_copy(update={"schedule": "0 0 3 * * *"})
    assert declared_hash(sentences, fewer) != usual
    assert declared_hash(["then nothing is kept"], ESTATE) != usual
    assert declared_hash(sentences, ESTATE.model_copy(update={"backup": excluding})) != usual
    assert declared_hash(sentences, ESTATE.model_copy(update={"backup": later})) == usual

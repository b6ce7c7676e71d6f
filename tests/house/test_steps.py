"""Rules about sentences: what a step parses is passed on, and every column of an Examples table is used."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from gherkin.parser import Parser
from pytest_bdd import parsers
from pytest_bdd.steps import step_function_context_registry

from fixtures.verdict.feature_rules import scenarios_in

ROOT = Path(__file__).resolve().parents[2]


def words_of(parser: object) -> set[str]:
    """Return the names that the pattern of a step parses."""
    if isinstance(parser, parsers.re):
        return set(parser.regex.groupindex)
    return set(parser.parser.named_fields) if isinstance(parser, parsers.parse) else set()


def test_every_word_that_a_step_parses_is_an_argument_of_it() -> None:
    for path in sorted((ROOT / "steps").glob("[!_]*.py")):
        importlib.import_module(f"steps.{path.stem}")
    ours = [c for c in step_function_context_registry.values() if c.step_func.__module__.startswith("steps.")]
    assert len(ours) > len(list((ROOT / "steps").glob("*.py")))
    ignored = {
        (context.step_func.__module__, word)
        for context in ours
        for word in words_of(context.parser) - set(inspect.signature(context.step_func).parameters)
    }
    assert not ignored


def test_every_column_of_an_examples_table_is_in_a_sentence() -> None:
    unused = []
    for path in sorted((ROOT / "features").rglob("*.feature")):
        for scenario in scenarios_in(Parser().parse(path.read_text())["feature"]["children"]):
            text = " ".join(step["text"] for step in scenario["steps"])
            for examples in scenario["examples"]:
                header = [cell["value"] for cell in examples["tableHeader"]["cells"]]
                unused += [f"{path.name}: {name}" for name in header if f"<{name}>" not in text]
    assert not unused

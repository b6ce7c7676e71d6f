"""House rules that no linter checks."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from gherkin.parser import Parser

from fixtures.verdict.feature_rules import scenarios_in
from harness.estate.substrates import serving

ROOT = Path(__file__).resolve().parents[2]
CODE = ("harness", "steps", "fixtures", "notifier", "tests", "benchmarks")
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_STEP, MEMBERS = 300, 60, 5, 5
# Technical terms that features must not contain.
WIRING = re.compile(r"https?:|\bSELECT\b|\bport\b|\bsleep\b|\bwait\b|docker|kubectl|json|\{|\bSIGKILL\b", re.IGNORECASE)


def sources() -> Iterator[Path]:
    for folder in CODE:
        yield from sorted((ROOT / folder).rglob("*.py"))


def features() -> list[Path]:
    return sorted((ROOT / "features").rglob("*.feature"))


def test_a_file_stays_under_300_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in sources() if (n := len(p.read_text().splitlines())) > LONGEST_FILE}
    assert not long


def test_a_function_stays_under_60_lines() -> None:
    long = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION:
                long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not long


def test_a_port_has_at_most_five_members() -> None:
    wide = []
    for path in sorted((ROOT / "harness/core").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(getattr(b, "id", "") == "Protocol" for b in node.bases):
                members = [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("__")]
                if len(members) > MEMBERS:
                    wide.append(f"{path.name}: {node.name}")
    assert not wide


def test_a_step_is_at_most_five_statements() -> None:
    long = []
    for path in sorted((ROOT / "steps").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and len(node.body) > LONGEST_STEP:
                long.append(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.FunctionDef):
                assert not any(isinstance(n, ast.If | ast.For | ast.While) for n in ast.walk(node)), path
    assert not long


def test_promises_are_declared_and_used() -> None:
    known = set(tomllib.loads((ROOT / "features/budgets.toml").read_text()))
    text = "\n".join(p.read_text() for p in features())
    used = set(re.findall(r'the "([^"]+)" promise', text)) - {"<promise>"}
    used |= known & {cell.strip() for cell in text.split("|")}  # in a column of examples
    assert used <= known, f"unknown: {used - known}"
    assert known - used <= {"site loss"}, f"unused: {known - used}"  # the mission's promise, for estates of full size


def test_features_contain_no_technical_terms() -> None:
    for path in features():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = WIRING.search(line)
            assert found is None, f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_the_number_of_drills_matches_expected_toml() -> None:
    written = tomllib.loads((ROOT / "features/expected.toml").read_text())
    named = {tag: numbers for tag, numbers in written.items() if isinstance(numbers, dict)}
    written = {"": {name: number for name, number in written.items() if name not in named}, **named}
    found = {tag: dict.fromkeys(numbers, 0) for tag, numbers in written.items()}
    for path in features():
        feature = Parser().parse(path.read_text())["feature"]
        for scenario in scenarios_in(feature["children"]):
            for examples in scenario["examples"] or ({"tags": (), "tableBody": (None,)},):
                tags = {tag["name"][1:] for tag in (*feature["tags"], *scenario["tags"], *examples["tags"])}
                for word, numbers in found.items():
                    said = [tag.rpartition("not ") for tag in word.split(" and ") if tag]
                    for substrate in numbers if all((tag in tags) != bool(but) for _, but, tag in said) else ():
                        able = all(substrate in serving(tag) for tag in tags)
                        numbers[substrate] += able * len(examples["tableBody"])
    assert found == written, "a drill was added or removed: update features/expected.toml"


@pytest.mark.parametrize(
    "name",
    [
        "requirements.lock",
        "requirements-dev.lock",
        *(str(p.relative_to(ROOT)) for p in ROOT.glob("harness/parts/locks/**/*.lock")),
    ],
)
def test_lock_files_name_no_registry(name: str) -> None:
    assert not re.search(r"https?://|--index-url|--find-links=", (ROOT / name).read_text()), name

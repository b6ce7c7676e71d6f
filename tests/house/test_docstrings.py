"""A docstring describes fields that its class has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("harness", "fixtures", "notifier")
DESCRIBED = re.compile(r"((?:`\w+`(?:, | and ))*`\w+`):(?=\s)")


def members(tree: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Return the fields, methods and parameters of a class and of its bases."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {
                t.id if isinstance(t, ast.Name) else t.attr for t in targets if isinstance(t, ast.Name | ast.Attribute)
            }
        elif isinstance(node, ast.FunctionDef):
            found |= {node.name, *(a.arg for a in (*node.args.args, *node.args.kwonlyargs))}
    for base in tree.bases:
        name = ast.unparse(base).partition("[")[0].rpartition(".")[2]
        found |= members(classes[name], classes) if name in classes else set()
    return found


def undescribed(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Return the names that the docstring of a class describes and that it does not have."""
    groups = DESCRIBED.findall(ast.get_docstring(node) or "")
    return {name for group in groups for name in re.findall(r"`(\w+)`", group)} - members(node, classes)


def test_a_field_that_a_class_lacks_is_found() -> None:
    text = 'class Record:\n    """A record.\n\n    `kept`, `inner`: two fields.\n    """\n    kept: int\n'
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.ClassDef)
    assert undescribed(node, {}) == {"inner"}


def test_the_fields_that_a_class_describes_exist() -> None:
    trees = {path: ast.parse(path.read_text()) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    every = [(path, node) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    classes = {node.name: node for _, node in every}
    absent = [
        f"{path.relative_to(ROOT)}: {node.name}.{name}" for path, node in every for name in undescribed(node, classes)
    ]
    assert not absent

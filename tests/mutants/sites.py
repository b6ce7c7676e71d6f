"""Places in the code at which one guard, oracle or injection can be taken away, found in the syntax tree."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

FAULT_MODULE = "harness/scenario/faults/fault.py"
WIDTH = 70  # characters of a condition in the name of a mutant
REFUSALS = {"Refused", "UsageError", "Unreadable", "TooLarge", "BackupFailed", "RestoreFailed", "NoValidBackup"}
FINDINGS = REFUSALS | {"Finding", "HarnessError", "NotYet"}  # what a check raises
CALLED = re.compile(r"_?(require|check|refuse|verify|signed_by)(_|$)")  # functions that are called for what they raise
LINES = re.compile(r"(tuple\[str, \.\.\.\]|list\[str\]|Iterator\[str\])$")  # what an oracle returns: a line a finding
# Builtins of a process that records.
REACHED, CALLED_IT, FOUND = "_mutant_reached", "_mutant_called", "_mutant_found"
FAULT = """
def _without(_scene):
    pass

def _mutated(self, phrase, when, inject, *rest, _made=Fault.__init__, **more):
    _made(self, phrase, when, _without if phrase == {phrase!r} else inject, *rest, **more)

Fault.__init__ = _mutated
"""
FAULTS = """
def _probed(self, phrase, when, inject, *rest, _made=Fault.__init__, **more):
    def told(scene):
        _mutant_reached("fault " + phrase)
        return inject(scene)

    _made(self, phrase, when, told, *rest, **more)

Fault.__init__ = _probed
"""


_Node = TypeVar("_Node", bound=ast.AST)


class Kind(StrEnum):
    """What a mutant takes away."""

    GUARD = "guard"  # a condition under which something is refused is never true, or the call of a guard is deleted
    ORACLE = "oracle"  # a check or a comparison finds nothing
    INJECTOR = "injector"  # a fault is not injected


@dataclass(frozen=True, slots=True)
class Site:
    """One mutant of a file. `apply` changes the tree, `probe` has the tree tell when the guard or oracle is needed."""

    kind: Kind
    name: str
    apply: Callable[[], None]
    probe: Callable[[str], None]


def sites_in(path: str, tree: ast.Module, *, oracle: bool, conditions: bool) -> tuple[Site, ...]:
    """Return the sites of a file. `oracle`: it holds checks; `conditions`: it collects lines under conditions."""
    seen: Counter[str] = Counter()
    found = []
    for where, kind, what, apply, probe in _walk(tree, "", oracle=oracle, conditions=conditions):
        name = f"{path} {where}: {what}"
        seen[name] += 1
        found.append(Site(kind, f"{name} ({seen[name]})" if seen[name] > 1 else name, apply, probe))
    return tuple(found)


def without_injection(tree: ast.Module, phrase: str) -> None:
    """Change the module that defines Fault so that the fault of that phrase injects nothing."""
    tree.body += ast.parse(FAULT.format(phrase=phrase)).body


def with_probes_of_injections(tree: ast.Module) -> None:
    """Change the module that defines Fault so that each injection tells that it was made."""
    tree.body += ast.parse(FAULTS).body


_Found = tuple[str, Kind, str, Callable[[], None], Callable[[str], None]]


def _walk(node: ast.AST, where: str, *, oracle: bool, conditions: bool) -> Iterator[_Found]:
    for child in ast.iter_child_nodes(node):
        inside = where
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{where}.{child.name}" if where else child.name
        if isinstance(child, ast.FunctionDef) and oracle and not conditions and _gives_lines(child):
            yield inside, Kind.ORACLE, "finds nothing", *_changes(child, _empty, _probe_found)
        if isinstance(child, ast.If):
            raises = _raised(child.body[-1])
            if raises & (FINDINGS if oracle else REFUSALS | {"Finding"}) or _ends_loop(child):
                kind = Kind.ORACLE if oracle or raises & {"Finding"} else Kind.GUARD
                yield inside, kind, _short(child.test), *_changes(child, _never, _probe_body)
            elif conditions and where and _collects(child.body[-1]):
                yield inside, Kind.ORACLE, _short(child.test), *_changes(child, _never, _probe_body)
        if isinstance(child, ast.ListComp | ast.GeneratorExp) and conditions and isinstance(child.elt, ast.JoinedStr):
            yield inside, Kind.ORACLE, _short(child.elt), *_changes(child, _over_nothing, _probe_line)
        if isinstance(child, ast.Expr) and CALLED.match(_called(child.value)):
            kind = Kind.ORACLE if oracle else Kind.GUARD
            yield inside, kind, _short(child.value), *_changes(child, _delete, _probe_call)
        yield from _walk(child, inside, oracle=oracle, conditions=conditions)


def _changes(
    node: _Node, apply: Callable[[_Node], None], probe: Callable[[_Node, str], None]
) -> tuple[Callable[[], None], Callable[[str], None]]:
    return lambda: apply(node), lambda name: probe(node, name)


def _called(node: ast.AST | None) -> str:
    """Return the last part of the name of what is called, "" for anything else."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _raised(node: ast.stmt) -> set[str]:
    if not isinstance(node, ast.Raise):
        return set()
    name = _called(node.exc)
    return {name, "Refused" if name == "_refused" else ""}


def _ends_loop(node: ast.If) -> bool:
    """Whether it ends a loop that became too long: a bound."""
    bound = isinstance(node.test, ast.Compare) and isinstance(node.test.ops[0], ast.Gt)
    return bound and isinstance(node.body[-1], ast.Break)


def _collects(node: ast.stmt) -> bool:
    """Whether a statement adds a line to what was found, or returns one."""
    if isinstance(node, ast.AugAssign):
        return True
    if isinstance(node, ast.Return):
        return isinstance(node.value, ast.JoinedStr | ast.Call)
    if not isinstance(node, ast.Expr):
        return False
    return isinstance(node.value, ast.Yield | ast.YieldFrom) or _called(node.value) == "append"


def _gives_lines(function: ast.FunctionDef) -> bool:
    return function.returns is not None and bool(LINES.match(ast.unparse(function.returns)))


def _short(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _never(node: ast.If) -> None:
    """Evaluate the condition, for its assignments, and take it as false."""
    node.test = ast.Tuple([node.test], ast.Load())
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _over_nothing(node: ast.ListComp | ast.GeneratorExp) -> None:
    node.generators[0].iter = ast.Tuple([], ast.Load())


def _delete(node: ast.Expr) -> None:
    node.value = ast.Constant(value=None)


def _empty(function: ast.FunctionDef) -> None:
    generator = ast.unparse(function.returns or function).startswith("Iterator")
    function.body = ast.parse("return iter(())" if generator else "return ()").body


def _probe_body(node: ast.If, name: str) -> None:
    node.body.insert(0, ast.Expr(_telling(REACHED, name)))


def _probe_found(function: ast.FunctionDef, name: str) -> None:
    function.decorator_list.append(_telling(FOUND, name))


def _probe_line(node: ast.ListComp | ast.GeneratorExp, name: str) -> None:
    node.elt = ast.Subscript(ast.Tuple([_telling(REACHED, name), node.elt], ast.Load()), ast.Constant(1), ast.Load())


def _probe_call(node: ast.Expr, name: str) -> None:
    if not any(isinstance(part, ast.Name) and part.id == "super" for part in ast.walk(node.value)):
        nothing = ast.arguments([], [], None, [], [], None, [])
        node.value = _telling(CALLED_IT, name, ast.Lambda(nothing, node.value))


def _telling(function: str, name: str, *more: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), [ast.Constant(name), *more], [])

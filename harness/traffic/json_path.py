"""Paths into JSON answers, as a declaration writes them: `entries[0].said`, `[-1]`, `rows[*].number`, `["a.b"].c`."""

import json
import re
from collections.abc import Iterator

from harness.core.errors import Finding

PART = re.compile(r'\.?(?P<key>[^.\[\]"]+)|\[(?P<place>\*|-?\d+)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]')
Step = str | int | None  # a key, a place in a list, every element of a list


def parse_path(path: str) -> tuple[Step, ...]:
    """Return the steps of a path, none for "", which names the whole answer. Raises ValueError for a malformed one."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        match = PART.match(path, at)
        if match is None or (at == 0 and path.startswith(".")):
            raise ValueError(f'{path!r} is no path into JSON; write it like entries[0].said, rows[*].id or ["a.b"].c')
        if match["key"] is not None:
            steps.append(match["key"])
        elif match["quoted"] is not None:
            steps.append(str(json.loads(match["quoted"])))
        else:
            steps.append(None if match["place"] == "*" else int(match["place"]))
        at = match.end()
    return tuple(steps)


def values_at(body: bytes, path: str) -> tuple[object, ...]:
    """Return the values at `path` of a JSON text: one, or as many as a `[*]` finds. Raises Finding."""
    try:
        whole = json.loads(body)
    except ValueError:
        raise Finding(f"not JSON: {body[:80]!r}") from None
    return tuple(_walk(whole, parse_path(path), path))


def _walk(value: object, steps: tuple[Step, ...], path: str) -> Iterator[object]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if step is None:
        if not isinstance(value, list):
            raise Finding(f"{path}: [*] needs a list, not {_short(value)}")
        for one in value:
            yield from _walk(one, rest, path)
        return
    if not _has(value, step):
        raise Finding(f"{path}: no {step!r} in {_short(value)}")
    yield from _walk(value[step], rest, path)  # type: ignore[index]


def _has(value: object, step: str | int) -> bool:
    if isinstance(step, str):
        return isinstance(value, dict) and step in value
    return isinstance(value, list) and -len(value) <= step < len(value)


def same(found: object, expected: object) -> bool:
    """Return whether two JSON values are equal; true is not 1."""
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in found)
    return isinstance(found, bool) == isinstance(expected, bool) and found == expected


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]

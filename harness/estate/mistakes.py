"""Mistakes in a TOML file: each is one line with file, key and remedy; all of them are found at once."""

from __future__ import annotations

import graphlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.core.errors import UsageError
from harness.estate.kinds import KINDS

LARGEST = 4_000_000  # bytes of a declaration; anything larger is another file
SHORT = 5  # letters up to which a word with one wrong letter is close, and one with two is another word
UNITS = ("s", "mb")  # suffixes of keys
SHOWN = 20  # known words that are listed
SHORTENED = 60  # characters of a key
# Message of pydantic -> ours, in the words of TOML.
WORDS = {
    "Input should be a valid tuple": "must be a list, in square brackets",
    "Input should be a valid list": "must be a list, in square brackets",
    "Input should be a valid string": "must be a text, in quotes",
    "Input should be a valid boolean": "must be true or false",
    "Input should be a valid integer": "must be a whole number",
    "String should match pattern '^[a-z][a-z0-9-]{0,40}$'":
        "must be small letters, digits and -, a letter first, 41 at most",
    "Input should": "must",
    "String should": "must",
    "Tuple should": "must",
    " item after validation, not 0": " item",
}  # fmt: skip


def distance(one: str, other: str) -> int:
    """Return the number of typing errors between two words: letters inserted, left out, replaced, or swapped.

    Optimal string alignment distance (Boytsov, 2011, "Indexing methods for approximate dictionary searching").
    """
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, theirs in enumerate(other, 1):
            cost = min(last[column] + 1, now[column - 1] + 1, last[column - 1] + (letter != theirs))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == theirs != letter:
                cost = min(cost, before[column - 2] + 1)
            now.append(cost)
        before, last = last, now
    return last[-1]


def spelled(word: str, known: Iterable[object]) -> str:
    """Return `; did you mean 'x'?` for a close spelling of `word`, or the word with its unit, else an empty string.

    A hint that is no close spelling leads to a loss: whoever follows it declares something else.
    """
    limit = 1 if len(word) <= SHORT else 2
    near = [(distance(word, other), other) for other in map(str, known)]
    close = [(far, other) for far, other in near if far <= limit or other in {f"{word}_{unit}" for unit in UNITS}]
    return f"; did you mean {min(close)[1]!r}?" if close else ""


def _shortened(word: str) -> str:
    return word if len(word) <= SHORTENED else f"{word[:SHORTENED]}..."


def nearest(word: str, known: Iterable[object]) -> str:
    """Return the hint of `spelled`, else `; known: ...` with the known words."""
    words = sorted(map(str, known))
    listed = ", ".join(map(_shortened, words[:SHOWN])) + (", ..." if len(words) > SHOWN else "")
    return spelled(word, words) or f"; known: {listed or 'none'}"


def parse_toml(path: Path, remedy: str) -> dict[str, Any]:
    """Return the parsed file; raises UsageError with file and line, or with `remedy` when the file cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; {remedy}") from None
    if len(text) > LARGEST:
        raise UsageError(f"{path}: larger than {LARGEST} bytes, which no declaration is; {remedy}")
    try:
        return tomllib.loads(text.decode("utf-8-sig"))  # editors of Windows write a byte order mark
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None
    except ValueError as error:  # tomllib.TOMLDecodeError, and a number with too many digits
        raise UsageError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"{path}: not valid TOML: tables or arrays are nested too deeply") from None


def mistakes(error: ValidationError, model: type[BaseModel], data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one line for each mistake that pydantic found, unknown keys first: key, what is wrong, and the remedy."""
    return tuple(dict.fromkeys(_line(one, model, data) for one in _grouped(error)))


def explain(error: ValidationError, model: type[BaseModel], path: Path, data: Mapping[str, Any]) -> UsageError:
    """Return the mistakes that pydantic found in a file as one line: the first, and the number of the others."""
    first = _grouped(error)[0]
    others = error.error_count() - len(first.missing or ("",))
    return UsageError(f"{path}: {_line(first, model, data)}" + (f" (and {others} more)" if others else ""))


@dataclass(frozen=True, slots=True)
class _Mistake:
    """One mistake: its kind and message of pydantic, the table or key, and the keys that are missing there."""

    kind: str
    said: str
    where: tuple[str, ...]
    missing: tuple[str, ...] = ()


def _grouped(error: ValidationError) -> tuple[_Mistake, ...]:
    """Return unknown keys first, and the missing keys of a table together."""
    found: dict[tuple[str, ...], _Mistake] = {}
    for one in sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden"):
        where = tuple(map(str, one["loc"]))
        if one["type"] == "missing":
            table = where[:-1]
            others = found[("", *table)].missing if ("", *table) in found else ()
            found["", *table] = _Mistake("missing", "", table, (*others, where[-1]))
        else:
            found[one["type"], one["msg"], *where] = _Mistake(one["type"], one["msg"], where)
    return tuple(found.values())


def _line(one: _Mistake, model: type[BaseModel], data: Mapping[str, Any]) -> str:
    where, reason = one.where, one.said.removeprefix("Value error, ")
    for theirs, ours in WORDS.items():
        reason = reason.replace(theirs, ours)
    if one.kind == "extra_forbidden":
        reason = f"unknown key{nearest(where[-1], known_keys(model, list(where[:-1]), data))}"
    elif one.kind in ("model_type", "dict_type"):
        reason = "must be a table"
    elif one.missing:
        reason = f"needs {', '.join(one.missing)}"
    elif where[-1:] == ("[key]",):
        where, reason = where[:-1], f"not a valid name here: {reason}"
    place = ".".join(map(_shortened, where))
    return " ".join(": ".join(filter(None, (place, reason))).split())


def known_keys(model: type[BaseModel], where: list[str], data: Mapping[str, Any]) -> list[str]:
    """Return the keys that are valid in the table at `where` of the file's `data`."""
    table: Any = model
    if where[:1] == ["services"] and len(where) > 1:  # the valid keys of a service depend on its kind
        table, where = KINDS[data["services"][where[1]]["kind"]].table, where[2:]
    for part in where:
        fields = getattr(table, "model_fields", {})
        by_alias = {f.alias or n: f for n, f in fields.items()}
        table = by_alias[part].annotation if part in by_alias else table
        table = next(_models(table), table)
    return [f.alias or n for n, f in getattr(table, "model_fields", {}).items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def wrong_needs(needs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a line for each undeclared name in `needs` (service -> the services it needs), and for a circle of them."""
    for name, wanted in needs.items():
        for need in wanted:
            if need not in needs:
                yield f"services.{name}.needs: no service {need!r}{nearest(need, needs)}"
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        yield f"services: circular dependency: {circle}; remove one of these from `needs`"

"""Format of `record.json`: canonical JSON (RFC 8785) of a `DrillRecord`, its strict reader, and its JSON Schema."""

import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from harness.core.errors import Unreadable
from harness.core.record import ABSENT, FORMAT, NOT_MEASURED, NOT_STATED, DrillRecord, Statements
from harness.regular_file import read_regular

RECORD = "record.json"
SCHEMA = "https://json-schema.org/draft/2020-12/schema"
DIGITS = 3  # decimal places of every number: milliseconds
LARGEST = 64 << 20  # bytes of a record; a larger file is refused before it is parsed


def canonical(data: object) -> bytes:
    """Return data as JSON by RFC 8785: keys sorted by UTF-16, no space, numbers as ECMAScript writes them.

    Numbers are rounded to DIGITS places; so few digits are written alike by Python and ECMAScript.
    """
    return json.dumps(_ordered(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
        "utf-8", "replace"
    )


def _ordered(data: object) -> object:
    if isinstance(data, Mapping):
        keys = sorted(data, key=lambda key: str(key).encode("utf-16-be", "surrogatepass"))
        return {key: _ordered(data[key]) for key in keys}
    if isinstance(data, list | tuple):
        return [_ordered(one) for one in data]
    if isinstance(data, float):
        rounded = round(data, DIGITS)
        return int(rounded) if rounded.is_integer() else rounded
    return data


def as_data(value: Any) -> Any:
    """Return a record, or a part of one, as JSON-ready data; what is absent is said in words."""
    if is_dataclass(value) and not isinstance(value, type):
        words = _absent(type(value))
        found = {one.name: getattr(value, one.name) for one in fields(value)}
        return {name: words[name] if part is None else as_data(part) for name, part in found.items()}
    if isinstance(value, Mapping):
        return {str(name): as_data(part) for name, part in value.items()}
    return [as_data(one) for one in value] if isinstance(value, tuple | list) else value


def written(record: DrillRecord) -> bytes:
    """Return the content of `record.json`."""
    return canonical(as_data(record)) + b"\n"


def read_record(path: Path) -> DrillRecord:
    """Return the record in a `record.json` or in a record folder; raises Unreadable."""
    file = path / RECORD if path.is_dir() else path
    try:
        text = read_regular(file, LARGEST + 1, links=True)
    except OSError as error:
        raise Unreadable(f"{file}: not a drill record ({error.strerror})") from None
    if len(text) > LARGEST:
        raise Unreadable(f"{file}: not a drill record (larger than {LARGEST} bytes)")
    return record_in(text, str(file))


def record_in(text: bytes, name: str) -> DrillRecord:
    """Return the record in the bytes of a `record.json`; raises Unreadable, which names the file `name`."""
    try:
        data = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{name}: not a drill record ({error})") from None
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise Unreadable(f"{name}: not a drill record of this version: format {found!r} is not {FORMAT!r}")
    try:
        record = _adapter().validate_json(json.dumps(_present(data, DrillRecord)), strict=True)
    except (ValidationError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(map(str, first["loc"]))
        raise Unreadable(f"{name}: not a drill record ({where}: {first['msg']})") from None
    if written(record) != text:  # a further key, a key that is there twice, or another form
        raise Unreadable(f"{name}: not a drill record as it was written: it has other keys, or is no canonical JSON")
    return record


def statements_in(data: Any) -> Statements:
    """Return the statements of a record from the data of its file; raises Unreadable."""
    try:
        return TypeAdapter(Statements).validate_json(json.dumps(_present(data, Statements)), strict=True)
    except ValidationError as error:
        raise Unreadable(f"statements: {error.errors()[0]['msg']}") from None


def schema() -> Mapping[str, Any]:
    """Return the JSON Schema of `record.json`."""
    made = _adapter().json_schema(mode="serialization", ref_template="#/$defs/{model}")
    definitions = made.get("$defs", {})
    for name, kind in (("DrillRecord", DrillRecord), *((k.__name__, k) for k in _parts(DrillRecord))):
        table = made if name == "DrillRecord" else definitions[name]
        for key, word in _absent(kind).items():
            table["properties"][key] = _said(table["properties"][key], word)
        table["required"], table["additionalProperties"] = sorted(table["properties"]), False
    made["properties"]["format"] = {"const": FORMAT}
    return {"$schema": SCHEMA, **made, "title": FORMAT}


def _said(rule: dict[str, Any], word: str) -> dict[str, Any]:
    rule = {key: value for key, value in rule.items() if key not in ("default", "title")}
    if "anyOf" in rule:
        rule["anyOf"] = [{"const": word} if one == {"type": "null"} else one for one in rule["anyOf"]]
    return rule


@cache
def _adapter() -> TypeAdapter[DrillRecord]:
    return TypeAdapter(DrillRecord)


@cache
def _absent(kind: type) -> dict[str, str]:
    """Return for each field of a dataclass the words that stand for None."""
    usual = NOT_STATED if kind is Statements else NOT_MEASURED
    return {one.name: one.metadata.get(ABSENT, usual) for one in fields(kind)}


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _inner(hint: Any) -> tuple[Any, ...]:
    """Return the types of an optional one or of a tuple's items."""
    if get_origin(hint) in (Union, types.UnionType, tuple):
        return tuple(one for one in get_args(hint) if one not in (types.NoneType, Ellipsis))
    return (hint,)


def _parts(kind: type) -> tuple[type, ...]:
    """Return the dataclasses that a dataclass is made of, at any depth."""
    inner = [one for hint in _hints(kind).values() for outer in _inner(hint) for one in _inner(outer)]
    own = [one for one in inner if isinstance(one, type) and is_dataclass(one)]
    return tuple(dict.fromkeys((*own, *(part for one in own for part in _parts(one)))))


def _present(data: Any, kind: type) -> Any:
    """Return the data of a dataclass with None in place of the words that stand for it."""
    if not isinstance(data, dict):
        return data
    words, hints = _absent(kind), _hints(kind)
    found: dict[str, Any] = {}
    for name, value in data.items():
        hint = hints.get(name, object)
        if value == words.get(name) and types.NoneType in get_args(hint):
            found[name] = None
            continue
        part = next((o for h in _inner(hint) for o in _inner(h) if isinstance(o, type) and is_dataclass(o)), None)
        if part is None:
            found[name] = value
        else:
            found[name] = [_present(o, part) for o in value] if isinstance(value, list) else _present(value, part)
    return found


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""A declaration as a line of JSON that needs neither `estate.toml` nor its folder: for work that is finished later."""

import json
from typing import Any

from pydantic import ValidationError

from harness.core.errors import Unreadable
from harness.core.node import Address
from harness.estate.config import Config

ADDRESS = frozenset({"host", "port"})


def saved(config: Config) -> bytes:
    """Return a declaration as JSON. Secrets are references in it, and paths are absolute."""
    return json.dumps(_plain(json.loads(config.model_dump_json(serialize_as_any=True, by_alias=True)))).encode()


def _plain(value: Any) -> Any:
    """Return JSON data with each address as a declaration has it."""
    if isinstance(value, dict):
        if value.keys() == ADDRESS:
            return str(Address(value["host"], value["port"]))
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def read_saved(content: bytes) -> Config:
    """Return the declaration in what `saved` returned. Raises Unreadable."""
    try:
        return Config.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unreadable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

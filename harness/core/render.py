"""Template rendering: replaces the placeholders of specs with values from the site.

`@{kind:name}` stands for the value as it is, `@{kind:name|json}` for the value within a string of JSON: a path may
contain quotes and backslashes.
"""

import json
import re
from collections.abc import Callable, Mapping

from harness.core.errors import HarnessError

PLACEHOLDER = re.compile(r"@\{(port|bind|volume|file|secret|pgpass):([A-Za-z0-9_.-]+)(?:\|(json))?\}")
SECRET = ("secret", "pgpass")  # kinds that stand for the value of a secret


def render(text: str, look_up: Mapping[str, Callable[[str], str]]) -> str:
    """Replace each `@{kind:name}` by what `look_up[kind](name)` returns. Raises HarnessError for an unknown one."""

    def fill(match: re.Match[str]) -> str:
        kind, name, form = match.groups()
        if kind not in look_up:
            raise HarnessError(f"{match.group()}: a {kind} is not allowed here")
        try:
            value = look_up[kind](name)
        except KeyError:
            raise HarnessError(f"{match.group()}: this node has no {kind} of that name") from None
        return json.dumps(value, ensure_ascii=False)[1:-1] if form else value

    return PLACEHOLDER.sub(fill, text)


def secrets_in(text: str) -> tuple[str, ...]:
    """Return the names of the secrets that have placeholders in `text`."""
    return tuple(name for kind, name, _form in PLACEHOLDER.findall(text) if kind in SECRET)

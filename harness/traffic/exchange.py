"""Sends declared requests through the front door and compares the answers with the declaration."""

import hashlib
import json
import secrets as random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from urllib3.filepost import encode_multipart_formdata

from harness.core.clock import NotYet, wait_until
from harness.core.errors import Finding, TookTooLong, UsageError
from harness.core.service import Answer, PublicDoor
from harness.traffic.declared import ANSWER, NEW, PLACEHOLDER, ExchangeTable, RequestTable, in_header
from harness.traffic.json_path import same, values_at

SAFE = "!#$%&'()*+,/:;=?@[]"  # what stays in a path as it is; a program may answer with any other character
NOT_FOUND = 404
SHOWN = 200  # characters of an unexpected answer that are repeated in a finding


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request with its placeholders filled in, as it is sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def what(self) -> str:
        """Its name in findings and records."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Late:
    """How long a program that is ready may still answer 404 to the first request, and what a 404 after it means."""

    patience: float
    hint: str


def run_exchange(
    door: PublicDoor, declared: ExchangeTable, headers: Mapping[str, str], late: Late | None = None
) -> str:
    """Send the declared requests one after the other; return a line for the record. Raises Finding, OSError.

    `headers`: sent with each, unless it declares its own. The requests share cookies.
    """
    token = random.token_hex(8)
    session, lines = f"exchange-{token}", []
    answer: Answer | None = None
    for one in declared.chain:
        look_up = partial(_placeholder, new=token, answer=answer)
        sent = encode(one, look_up)
        ask = partial(
            door.request, sent.method, sent.path, body=sent.body, headers={**headers, **sent.headers}, session=session
        )
        waits = late if answer is None and one.status != NOT_FOUND else None
        answer = _found(ask, sent.what, waits) if waits else ask()
        lines.append(_compare(one, sent, answer, look_up))
    return ", then ".join(lines)


def _found(ask: Callable[[], Answer], what: str, late: Late) -> Answer:
    """Return the first answer that is not 404. Raises Finding once the patience is over, OSError."""

    def probe() -> Answer:
        answer = ask()
        if answer.status == NOT_FOUND:
            raise NotYet(f"answered {NOT_FOUND}: {answer.body.decode('utf-8', 'replace')[:SHOWN]}")
        return answer

    try:
        return wait_until(probe, patience=late.patience, what=what)
    except TookTooLong as error:
        raise Finding(f"{error}; {late.hint}") from error


def encode(declared: RequestTable, look_up: Callable[[str], object]) -> Encoded:
    """Return the request; `look_up` returns the value of a placeholder by its name. Raises Finding as it does."""
    headers = {name: str(_filled(text, look_up)) for name, text in declared.headers.items()}
    for name, value in headers.items():
        if not in_header(value):
            raise Finding(f"header {name}: {value[:SHOWN]!r} cannot be sent in a header")
    body, kind = _body(declared, look_up)
    if body is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = kind
    return Encoded(declared.method, quote(str(_filled(declared.path, look_up)), SAFE), headers, body)


def _body(declared: RequestTable, look_up: Callable[[str], object]) -> tuple[bytes | None, str]:
    """Return the body and its content type."""
    form = {name: str(_filled(text, look_up)) for name, text in declared.form.items()}
    if declared.upload is not None:
        upload = declared.upload
        content = Path(upload.file).read_bytes() if upload.file else str(_filled(upload.content, look_up)).encode()
        name = str(_filled(upload.name, look_up)) or Path(str(upload.file)).name
        return encode_multipart_formdata({**form, upload.field: (name, content, upload.type)})
    if form:
        return urlencode(form).encode(), "application/x-www-form-urlencoded"
    if declared.json_body is not None:
        return json.dumps(_filled(declared.json_body, look_up)).encode(), "application/json"
    if declared.body is not None:
        return str(_filled(declared.body, look_up)).encode(), "text/plain; charset=utf-8"
    return None, ""


def _filled(value: Any, look_up: Callable[[str], object]) -> Any:
    """Return a value of TOML with placeholders filled in; a string that is one placeholder keeps the value's type."""
    if isinstance(value, str):
        if whole := PLACEHOLDER.fullmatch(value):
            return look_up(whole[1])
        return PLACEHOLDER.sub(lambda match: str(look_up(match[1])), value)
    if isinstance(value, dict):
        return {str(_filled(name, look_up)): _filled(one, look_up) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(one, look_up) for one in value]
    return value


def _placeholder(name: str, new: str, answer: Answer | None) -> object:
    """Return the value of `@{name}` in a key function. Raises Finding when the answer before has none."""
    if name == NEW:
        return new
    path = name.removeprefix(ANSWER)
    found = values_at(answer.body if answer else b"", path)
    if len(found) != 1:
        raise Finding(f"@{{{name}}}: {len(found)} values in the answer, not one")
    return found[0]


def _compare(declared: ExchangeTable, sent: Encoded, answer: Answer, look_up: Callable[[str], object]) -> str:
    """Return a line for the record; raises Finding for another answer than declared."""
    text = answer.body.decode("utf-8", "replace")
    if answer.status != declared.status:
        raise Finding(f"{sent.what}: answered {answer.status}, not {declared.status}: {text[:SHOWN]}")
    said = f"{sent.what}: answered {answer.status}, {len(answer.body)} bytes"
    if declared.contains is not None:
        wanted = str(_filled(declared.contains, look_up))
        if not wanted.strip():
            raise UsageError(f"{sent.what}: `contains` is empty once it is filled in, and would pass for every answer")
        if wanted not in text:
            raise Finding(f"{sent.what}: {wanted!r} is not in the answer: {text[:SHOWN]}")
        said += f", with {wanted!r}"
    if declared.sha256 is not None:
        if (found := hashlib.sha256(answer.body).hexdigest()) != declared.sha256:
            raise Finding(
                f"{sent.what}: {len(answer.body)} bytes with SHA-256 {found[:12]}, not {declared.sha256[:12]}"
            )
        said += f", SHA-256 {found[:12]}"
    if declared.value is not None:
        said += _compare_value(declared.value.path, _filled(declared.value.equals, look_up), sent, answer)
    return said


def _compare_value(path: str, expected: object, sent: Encoded, answer: Answer) -> str:
    try:
        found = values_at(answer.body, path)
    except Finding as error:
        raise Finding(f"{sent.what}: {error}") from None
    # A path with [*] names a list of values.
    value: object = list(found) if "[*]" in path else found[0]
    if not same(value, expected):
        raise Finding(f"{sent.what}: {path or 'the answer'} is {str(value)[:SHOWN]!r}, not {expected!r}")
    return f", {path or 'the answer'} is {str(value)[:40]!r}"

"""Tables of declared HTTP requests: key functions, and the writes that data loss is measured with."""

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, Field, model_validator

from harness.core.text import odd_in
from harness.declaration import Table, Word
from harness.traffic.json_path import parse_path

PLACEHOLDER = re.compile(r"@\{([^}]*)\}")
HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # sections 5.5
OF_THE_CLIENT = ("content-length", "transfer-encoding", "connection")
BODILESS = (204, 205, 304)
UNREACHED = (502, 503, 504)  # of a gateway whose service is gone
NEW, NUMBER, ANSWER = "new", "number", "answer:"  # a value that is new in each run, of a write, of the answer before
NOTHING_ASSERTED = (
    "asserts nothing but the status: add `contains`, `sha256` or `value` (of this request or of one in `then`)"
)


def request_path(value: str) -> str:
    """Return the path of a request; raises ValueError for one that servers take for another."""
    if {".", ".."} & set(unquote(value.partition("?")[0]).split("/")):
        raise ValueError(f"{value!r} has . or .. in it, and servers resolve that; write the path that is meant")
    return value


def sendable(values: dict[str, str]) -> dict[str, str]:
    """Return the headers of a request; raises ValueError for what no client can send."""
    for name, value in values.items():
        if not HEADER.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header: letters, digits and !#$%&'*+.^_`|~-")
        if name.lower() in OF_THE_CLIENT:
            raise ValueError(f"{name} is set by the client; remove it")
        if not in_header(value):
            raise ValueError(f"{name}: its value must be in one line, of characters of ISO 8859-1")
    return values


def in_header(value: str) -> bool:
    """Return whether a header can have that value."""
    return VALUE.fullmatch(value) is not None


def in_json(value: Any) -> Any:
    """Return a value of TOML that JSON has too; raises ValueError for a date, a time, and what is no number."""
    if isinstance(value, dict):
        return {name: in_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [in_json(one) for one in value]
    if not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{value} has no form in JSON; put it in quotes")
    return value


def one_line(value: str) -> str:
    """Return a name; raises ValueError for a blank one, and one of several lines."""
    if odd := odd_in(value):
        raise ValueError(f"{value!r} must be one line without control characters ({odd})")
    if value and not value.strip():
        raise ValueError("must have something in it")
    return value


def json_path(value: str) -> str:
    """Return a path into JSON that is well formed; raises ValueError."""
    parse_path(value)
    return value


def there(value: str) -> str:
    """Return the path of a file that exists; raises ValueError."""
    if not Path(value).is_file():
        raise ValueError(f"no file {value!r} beside the declaration; create it or correct the name")
    return value


def of_content(value: str) -> str:
    """Return the SHA-256 of some content; raises ValueError for that of nothing."""
    if value == hashlib.sha256().hexdigest():
        raise ValueError("is the SHA-256 of an empty answer, which an estate without data gives as well")
    return value


def visible(value: str) -> str:
    """Return a text that is more than white space, which every answer has; raises ValueError."""
    if not value.strip():
        raise ValueError("must have at least 1 character that is no white space: every answer contains the others")
    return value


JsonPath = Annotated[str, AfterValidator(json_path)]


class ValueTable(Table):
    """A value in a JSON answer: its path, and what it must be."""

    path: JsonPath
    equals: Annotated[Any, AfterValidator(in_json)]


class UploadTable(Table):
    """A file that is uploaded as multipart/form-data: `file`, beside estate.toml, or `content` with its `name`."""

    field: str = "file"
    file: Annotated[Word, AfterValidator(there)] | None = None
    content: str | None = None
    name: str = ""
    type: str = "application/octet-stream"

    @model_validator(mode="after")
    def has_content(self) -> Self:
        """Refuse an upload of nothing, and of two things."""
        if (self.file is None) == (self.content is None):
            raise ValueError("needs `file` or `content`, and not both")
        if self.content is not None and not self.name:
            raise ValueError("needs `name`, which the program sees as the file's name")
        return self


class RequestTable(Table):
    """A request. Strings may contain `@{new}`, a value that is new in each run."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: Annotated[str, Field(pattern=r"^(/|@\{answer:)"), AfterValidator(request_path)]
    headers: Annotated[dict[str, str], AfterValidator(sendable)] = Field(default_factory=dict, repr=False)
    json_body: Annotated[Any, Field(alias="json"), AfterValidator(in_json)] = None
    form: dict[str, str] = Field(default_factory=dict)
    body: str | None = None
    upload: UploadTable | None = None

    @model_validator(mode="after")
    def one_body(self) -> Self:
        """Refuse two bodies, and a GET with one."""
        kinds = (("json", self.json_body is not None), ("body", self.body is not None),
                 ("form", bool(self.form) and self.upload is None), ("upload", self.upload is not None))  # fmt: skip
        given = [name for name, present in kinds if present]
        if len(given) > 1:
            raise ValueError(f"has {' and '.join(given)}; a request has one body (`upload` may have a `form`)")
        if given and self.method == "GET":
            raise ValueError(f'method GET sends no body, and {given[0]} is one; add method = "POST"')
        return self

    def placeholders(self) -> Iterator[str]:
        """Yield what its placeholders name."""
        upload = [self.upload.content or "", self.upload.name] if self.upload else []
        given = (self.path, self.body or "", self.headers, self.form, self.json_body, upload)
        yield from (name for text in texts(given) for name in PLACEHOLDER.findall(text))


class ExchangeTable(RequestTable):
    """A request and the answer that is expected; `then`: the next one, which may contain `@{answer:JSON-PATH}`."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    contains: Annotated[str, AfterValidator(visible)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), AfterValidator(of_content)] | None = None
    value: ValueTable | None = None
    then: Annotated["ExchangeTable | None", Field()] = None

    @model_validator(mode="after")
    def answers_for_the_service(self) -> Self:
        """Refuse a status that the service does not give, and what an answer of that status cannot have."""
        if self.status in UNREACHED:
            raise ValueError(f"status: {self.status} is what the gateway answers without the service; name another")
        if self.status in BODILESS and self.asserts:
            wanted = next(name for name in ("contains", "sha256", "value") if getattr(self, name))
            raise ValueError(f"status: an answer of {self.status} has no body, and `{wanted}` asks for one")
        return self

    @property
    def chain(self) -> tuple["ExchangeTable", ...]:
        """The request itself and those after it."""
        return (self, *(self.then.chain if self.then else ()))

    @property
    def asserts(self) -> bool:
        """Whether more than the status of its answer is asserted."""
        return bool(self.contains or self.sha256 or self.value)

    def placeholders(self) -> Iterator[str]:
        """Yield what its placeholders name, those of the expected answer included."""
        yield from super().placeholders()
        expected = (self.contains or "", self.value.equals if self.value else None)
        yield from (name for text in texts(expected) for name in PLACEHOLDER.findall(text))


class KeyTable(ExchangeTable):
    """A key function. `reads`: the volumes and buckets of the service whose content the answer shows."""

    name: Annotated[str, AfterValidator(one_line)] = ""
    reads: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name in the record."""
        return self.name or ", then ".join(f"{one.method} {one.path}" for one in self.chain)

    @model_validator(mode="after")
    def asserts_something(self) -> Self:
        """Refuse a key function that would pass whatever the program answers, and unknown placeholders."""
        if not any(one.asserts for one in self.chain):
            raise ValueError(f"{self.method} {self.path}: {NOTHING_ASSERTED}")
        for place, one in enumerate(self.chain):
            require_known(one.placeholders(), answered=place > 0)
        return self


def texts(value: object) -> Iterator[str]:
    """Yield every string in a value of TOML, the keys of tables included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from (name, *texts(one))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts(one)


def require_known(names: Iterator[str], *, answered: bool = False, known: tuple[str, ...] = (NEW,)) -> None:
    """Raise ValueError for a placeholder that a request cannot fill; `answered`: it follows another request."""
    for name in names:
        if name.startswith(ANSWER):
            if not answered:
                raise ValueError(f"@{{{name}}}: there is no answer before this request; use it in `then`")
            parse_path(name.removeprefix(ANSWER))
        elif name not in known:
            listed = ", ".join(f"@{{{one}}}" for one in known)
            raise ValueError(f"@{{{name}}}: unknown in a request; known: {listed}, and @{{{ANSWER}PATH}} in `then`")


class WriteTable(RequestTable):
    """The numbered write of a client; `@{number}` is its number."""

    @model_validator(mode="after")
    def is_numbered(self) -> Self:
        """Refuse a write that could not be told from another."""
        names = tuple(self.placeholders())
        require_known(iter(names), known=(NUMBER,))
        if NUMBER not in names:
            raise ValueError(f"{self.method} {self.path}: no @{{{NUMBER}}} in it, so that writes cannot be told apart")
        return self


class ReadTable(RequestTable):
    """The request whose answer lists all writes. `values`: where in its JSON they are; without it, the whole text."""

    values: JsonPath | None = None

    @model_validator(mode="after")
    def is_fixed(self) -> Self:
        """Refuse placeholders: it is one request for all writes."""
        require_known(self.placeholders(), known=())
        return self


class RestoredTable(Table):
    """The query on a restored database that returns all writes, one a row."""

    database: Annotated[str, Field(min_length=1)]
    query: Annotated[str, Field(min_length=1)]


class ClientsTable(Table):
    """The writes of the estate's own clients, which data loss is measured with.

    `status`: answer to a write that is acknowledged. `numbers`: a regular expression whose group is the number of a
    write, in what `read` and `restored` return.
    """

    write: WriteTable
    status: Annotated[int, Field(ge=200, le=299)] = 200
    read: ReadTable
    numbers: str = r"([0-9]+)"
    restored: RestoredTable

    @model_validator(mode="after")
    def numbers_has_a_group(self) -> Self:
        """Refuse an invalid regular expression, and one without exactly one group."""
        try:
            groups = re.compile(self.numbers).groups
        except re.error as error:
            raise ValueError(f"numbers: {self.numbers!r} is no regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"numbers: {self.numbers!r} has {groups} groups; put the number into one: write-([0-9]+)")
        return self

"""Listing of a store: its XML, read as far as it is needed.

Source: the answers of ListObjectsV2 and ListMultipartUploads in the S3 API. `Minio.list_objects` takes 0.2 ms of a
processor for each object, which was a third of `verify --quick` with 10,000 segments of WAL.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from minio.error import MinioException
from urllib3 import BaseHTTPResponse

from harness.repository.store.port import StoredObject

SHOWN = 80  # characters of an answer that is no listing


class NotAListingError(MinioException):
    """An answer that is no listing, or one that cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One answer. `space`: the namespace before each of its names."""

    root: ET.Element
    space: str

    @classmethod
    def of(cls, answer: BaseHTTPResponse) -> Self:
        """Return an answer's listing. Raises NotAListingError for one that is none: a page of a proxy may be XML."""
        try:
            root = ET.fromstring(answer.data)  # noqa: S314 - expat expands no external entities
        except (ET.ParseError, ValueError):
            root = ET.Element("")
        if not root.tag.rpartition("}")[2].startswith("List"):  # ListBucketResult, ListMultipartUploadsResult
            begin = " ".join(answer.data[:SHOWN].decode(errors="replace").split())
            raise NotAListingError(f"the answer is no whole list ({begin!r}); is this an S3 store's address?")
        return cls(root, root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else "")

    def said(self, name: str) -> str:
        """Return the text of a field of the whole answer, "" where it is not there."""
        return self.root.findtext(self.space + name, "")

    def key(self, text: str) -> str:
        """Return a key of the answer, which it may have as a URL has it: not every character may be in XML."""
        return unquote_plus(text) if self.said("EncodingType") == "url" else text

    def objects(self) -> Iterator[StoredObject]:
        """Yield the objects of ListObjectsV2, without those that stand for folders. Raises NotAListingError."""
        begin = len(self.space)
        for element in self.root.iter(f"{self.space}Contents"):
            found = {field.tag[begin:]: field.text or "" for field in element}
            key = self.key(found.get("Key", ""))
            if key.endswith("/"):
                continue
            try:
                size, modified = int(found["Size"]), _time(found["LastModified"])
            except (KeyError, ValueError):
                raise NotAListingError(
                    f"{key!r} is listed without its size or its time, which ListObjectsV2 has"
                ) from None
            yield StoredObject(key, size, modified, found.get("ETag", "").replace('"', ""))

    @property
    def goes_on(self) -> bool:
        """Whether there is another page."""
        return self.said("IsTruncated").strip().lower() == "true"


class Been:
    """The places in a listing that pages began at."""

    def __init__(self) -> None:
        self._places: set[tuple[str, ...]] = set()

    def after(self, markers: dict[str, str]) -> dict[str, str]:
        """Return what the next page is asked for with: the markers with a value, of which the first must have one.

        Raises NotAListingError where the store does not say from where it goes on, or says what it said before: it
        would list the same objects without end.
        """
        place = tuple(markers.values())
        if not place[0]:
            raise NotAListingError("the store says that there is more and not from where; it must list as S3 does")
        if place in self._places:
            raise NotAListingError("the store's list comes back to where it was; it must list as S3 does")
        self._places.add(place)
        return {name: value for name, value in markers.items() if value}


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)

"""Names in the declaration of an object store: host, bucket, region, prefix of keys."""

import re
from ipaddress import IPv6Address
from typing import Annotated

from pydantic import AfterValidator, Field

from harness.core.text import odd_in

HOST = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?")
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{1,61}[A-Za-z0-9]")  # with a colon: `tenant:bucket` of Ceph
IPV4 = re.compile(r"[0-9]+(\.[0-9]+){3}")
REGION_NAME = r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$"


def host_name(text: str) -> str:
    """Return a host's name or address, an IPv6 address without brackets. Raises ValueError for what is none."""
    if ":" in text:
        IPv6Address(text)
    elif not HOST.fullmatch(text):
        raise ValueError("is no name of a host, nor its address; write HOST:PORT")
    return text


def bucket_name(value: str) -> str:
    """Return `value` if a bucket may have that name; raises ValueError."""
    if value and (not BUCKET.fullmatch(value) or re.search(r"\.\.|\.-|-\.", value) or IPV4.fullmatch(value)):
        raise ValueError(f"{value!r} is no name of a bucket; it has 3 to 63 letters, digits and `.-_:`")
    return value


def key_prefix(value: str) -> str:
    """Return a prefix of keys, without slashes at its ends. Raises ValueError for one that clients rewrite."""
    parts = value.strip("/").split("/")
    if odd_in(value) or {".", ".."} & set(parts):
        raise ValueError("needs names between slashes, none of them `.` or `..`")
    return "/".join(parts)


BucketName = Annotated[str, AfterValidator(bucket_name)]
Region = Annotated[str, Field(pattern=REGION_NAME)]
Prefix = Annotated[str, AfterValidator(key_prefix)]

"""Names of the files that keep the objects of a directory, from their keys and back.

A key is a path: `estate/data/x` is the file `x` in the folders `estate` and `data`. Everything but letters, digits and
`-_.~=+@` is percent-encoded, and a dot at the begin as well: names that begin with a dot are never objects. A name may
have 255 bytes: one that is longer than 200 is continued in a folder whose own name ends with `%+`.
"""

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

SAFE = "-_.~=+@"
LONGEST = 200  # bytes of an encoded name; a part file adds to it
DEEPEST = 64  # folders in each other; what is deeper is no object, so that no listing follows them without end
CONTINUED = "%+"  # no encoded name has it: a percent sign is `%25`
EMPTY = "%_"  # the name of an empty component
PART = re.compile(r"\..+\.[0-9a-f]{16}\.part")


def files_of(key: str) -> list[str]:
    """Return the names of the folders of an object and of its file, in this order."""
    return [name for component in key.split("/") for name in _split(_encoded(component.encode()))]


def _encoded(component: bytes) -> str:
    if not component:
        return EMPTY
    text = quote_from_bytes(component, SAFE)
    return f"%2E{text[1:]}" if text.startswith(".") else text


def _split(name: str) -> list[str]:
    names = []
    while len(name) > LONGEST:
        cut = LONGEST
        while "%" in name[cut - 2 : cut]:  # no encoded byte is divided
            cut -= 1
        names.append(name[:cut] + CONTINUED)
        name = name[cut:]
    return [*names, name]


def decoded(name: str) -> bytes | None:
    """Return the part of a key that a name stands for, without a slash; None for a name that no key has."""
    text = name.removesuffix(CONTINUED)
    if text == EMPTY:
        return b""
    if not text or not text.isascii() or len(text) > LONGEST or text.startswith("."):
        return None
    found = unquote_to_bytes(text)
    again = quote_from_bytes(found, SAFE)
    return found if text in (again, f"%2E{again[1:]}") else None


def part_of(name: str, tag: str) -> str:
    """Return the name of the file that an object is written to before it is whole. `tag`: 16 random hex digits."""
    return f".{name}.{tag}.part"


def is_part(name: str) -> bool:
    """Return whether a name is one of `part_of`."""
    return PART.fullmatch(name) is not None


def object_of(part: str) -> str:
    """Return the name of the object that a part file would have become."""
    return part[1:].rsplit(".", 2)[0]

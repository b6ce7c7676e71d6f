"""Text of others (names of databases, answers of servers, records) for terminals and pages: it controls neither."""

import unicodedata
from collections.abc import Sequence

SPACE = "Zs"  # category of no-break and ideographic spaces: harmless, and part of names
JOINERS = "\u200c\u200d"  # part of the spelling of names in Persian and in scripts of India, and of emoji
BMP = 0xFFFF  # the last code point that one escape of JSON can write


def visible(text: str) -> str:
    """Return a text on one line with an escape for each character that no font shows.

    Those are control characters, which command a terminal, marks that turn the direction of writing, line separators,
    and what UTF-8 cannot have. The escapes are those of JSON.
    """
    if text.isprintable():
        return text
    return "".join(char if shown(char) else _escape(char) for char in text)


def visible_lines(text: str) -> str:
    """Return a text of several lines, each as `visible` returns it; tabs stay."""
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def shown(char: str) -> bool:
    """Return whether a character can be shown as it is."""
    return char.isprintable() or char in JOINERS or unicodedata.category(char) == SPACE


def odd_in(text: str) -> str:
    """Return the first character that `visible` would replace, as `U+001B`; "" where there is none."""
    return next((f"U+{ord(char):04X}" for char in text if not shown(char)), "")


def some(names: Sequence[str], most: int) -> str:
    """Return the first of some names, `most` at most, and how many more there are; "" where there is none."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def same_name(one: str, other: str) -> bool:
    """Return whether two names of people look the same: case, width, spaces and what is not seen make no difference."""
    return _letters(one) == _letters(other)


def _letters(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().translate(dict.fromkeys(map(ord, JOINERS))).split())


def _escape(char: str) -> str:
    code = ord(char)
    if code > BMP:
        high, low = divmod(code - BMP - 1, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char, f"\\u{code:04x}")

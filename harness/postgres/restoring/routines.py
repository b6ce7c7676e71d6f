"""What a routine of a dump says of itself outside of its names, texts and body: as the server's lexer reads it.

Source of the forms: src/backend/parser/scan.l of PostgreSQL 14 to 18. A text with a comment is not taken apart: pg_dump
writes none there.
"""

import re

TOKEN = re.compile(
    rb"""(?s)(?P<quoted>[eE]'(?:[^'\\]++|''|\\.)*+'|'[^']*+'|"[^"]*+"
    |\$(?P<tag>(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*+)?)\$.*?\$(?P=tag)\$)
    |(?P<unsure>--|/\*|[eE]'|['"])|(?P<word>[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+)|(?P<other>.)""",
    re.VERBOSE,
)


def clauses(text: bytes) -> tuple[bytes, ...]:
    """Return the words and marks of a CREATE statement, in lower case, that are in no parentheses or SQL body.

    A quoted name or text is one word with its quotes. Marks are there because they part words: `SET x TO language, sql`
    says nothing of a language. Empty for a text that is not read with certainty: with a comment, an open quote, or a
    parenthesis without its other.
    """
    found: list[bytes] = []
    depth = 0
    for token in TOKEN.finditer(text):
        if token["unsure"]:
            return ()
        if mark := token["other"]:
            if not depth and not mark.isspace():
                found.append(mark)
            depth += {b"(": 1, b")": -1}.get(mark, 0)
            if depth < 0:
                return ()
        elif not depth:
            found.append(token["quoted"] or token["word"].lower())
            if found[-2:] == [b"begin", b"atomic"]:
                return tuple(found)
    return tuple(found) if not depth else ()

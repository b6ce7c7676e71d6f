"""Texts of a dump's entries are taken apart as the server reads them."""

from __future__ import annotations

from typing import cast

import pytest

from harness.core.errors import RestoreFailed
from harness.core.service import Sql
from harness.postgres.allowed import Allowed
from harness.postgres.contents.schema import Entry as SchemaEntry
from harness.postgres.contents.schema import Key, normalised
from harness.postgres.restoring.routines import clauses
from harness.postgres.restoring.superuser import Superuser, statements
from harness.postgres.restoring.toc import Entry

HEAD, TAIL = "CREATE FUNCTION public.f(", "\n    LANGUAGE sql LEAKPROOF\n    AS $_$ SELECT 1 $_$;\n"
SAID = (b"language", b"sql", b"leakproof", b"as", b"$_$ SELECT 1 $_$", b";")


def entry(kind: str, text: str) -> Entry:
    return Entry(1, kind, b"public", b"x", b"postgres", text.encode(), before_data=True)


@pytest.mark.parametrize(
    "arguments",
    [
        "language text)",
        "a text DEFAULT '\n    LANGUAGE c')",
        "a text DEFAULT E'it\\\\''s \\' LANGUAGE c)')",
        '"a) LANGUAGE c" int) RETURNS TABLE(language text, "b(" int)',
        "a text DEFAULT $$ ) LANGUAGE c $x$ $$)",
        "a numeric DEFAULT '-1'::integer, VARIADIC b text[] DEFAULT ARRAY[')'::text])",
    ],
)
def test_the_clauses_of_a_function_are_told_from_its_names_and_texts(arguments: str) -> None:
    assert clauses(f"{HEAD}{arguments}{TAIL}".encode())[-len(SAID) :] == SAID
    assert clauses(f"{HEAD}{arguments}{TAIL}".encode()).count(b"language") == 1


@pytest.mark.parametrize("text", ["/* a */", "-- a\n", "'a", '"a', "((", "E'\\'"])
def test_a_text_that_is_not_read_with_certainty_has_no_clauses(text: str) -> None:
    assert clauses(f"CREATE FUNCTION public.f() {text}\n LANGUAGE sql LEAKPROOF".encode()) == ()


@pytest.mark.parametrize(
    "text",
    [
        "public.f() RETURNS int SET search_path TO language, sql, begin, atomic LANGUAGE {}",
        "language.sql(OUT a int) LEAKPROOF SET search_path TO begin, atomic LANGUAGE {}",
        "public.f() RETURNS begin.atomic LEAKPROOF LANGUAGE {}",
        "public.f() RETURNS language SET x TO sql LEAKPROOF LANGUAGE {}",
        "public.f() LEAKPROOF TRANSFORM FOR TYPE language LANGUAGE {}",
        "public.f() LANGUAGE sql LEAKPROOF LANGUAGE {}",
        "public.f() LEAKPROOF ) LANGUAGE {} ( LANGUAGE sql",
    ],
)
@pytest.mark.parametrize("language", ["internal", "c", "plpython3u", '"c"', "'internal'"])
def test_a_name_makes_no_untrusted_language_a_trusted_one(text: str, language: str) -> None:
    """A superuser makes functions in trusted languages alone: of these texts none, whatever they name."""
    maker = Superuser(cast("Sql", None), "shop", Allowed())
    text = f"CREATE FUNCTION {text.format(language)} AS 'pg_reload_conf';\n"
    assert not maker.makes(entry("FUNCTION", text))
    assert maker.makes(entry("FUNCTION", f"{HEAD}){TAIL}"))


def test_nothing_of_an_sql_body_is_a_clause() -> None:
    assert clauses(b"CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT language FROM t; END")[-4:] == (
        *(b"language", b"sql", b"begin", b"atomic"),
    )


def test_statements_are_told_apart_whatever_is_quoted() -> None:
    first = 'ALTER DEFAULT PRIVILEGES FOR ROLE "o\'h;\na" GRANT SELECT ON TABLES TO one'
    second = 'ALTER DEFAULT PRIVILEGES FOR ROLE "o\'h;\na" GRANT SELECT ON TABLES TO "it\'\'s;\n"'
    assert statements(entry("DEFAULT ACL", f"{first};\n{second};\n\n")) == (first.encode(), second.encode())
    open_quote = f"{first};\n{second}'"
    assert statements(entry("DEFAULT ACL", open_quote)) == (open_quote.encode(),)
    with pytest.raises(RestoreFailed, match="not what pg_dump writes"):
        statements(entry("DEFAULT ACL", f"{first};\nDROP TABLE t;\n"))


def test_links_between_operators_are_not_compared() -> None:
    text = "CREATE OPERATOR s.==# (\n    FUNCTION = s.f,\n    RIGHTARG = integer{}{}\n);"
    links = ",\n    COMMUTATOR = OPERATOR(s.==#),\n    NEGATOR = OPERATOR(s.<>#)"
    for rest in ("", ",\n    HASHES,\n    RESTRICT = eqsel"):
        found = [
            normalised(SchemaEntry(Key("OPERATOR", "s", "==#"), "", text.format(one, rest))) for one in ("", links)
        ]
        assert found == [text.format("", rest)] * 2

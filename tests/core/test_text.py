"""Text of others on one line: nothing in it commands a terminal."""

from __future__ import annotations

import json

import pytest

from harness.core.text import odd_in, same_name, some, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain", "plain"),
        ("für 会社\u3000\u00a0x", "für 会社\u3000\u00a0x"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("a\x1b[2Jb", "a\\u001b[2Jb"),
        ("a\r\n\tb\x7f\x9b", "a\\r\\n\\tb\\u007f\\u009b"),
        ("a\u202eb\u2028", "a\\u202eb\\u2028"),
        ("a\ud800", "a\\ud800"),
        ("a\U000e0041", "a\\udb40\\udc41"),
    ],
)
def test_what_cannot_be_shown_is_escaped_as_in_json(text: str, said: str) -> None:
    assert visible(text) == said
    assert json.loads(f'"{said}"') == text


def test_a_text_of_several_lines_keeps_them() -> None:
    assert visible_lines("a\n\tb\x1b\nc") == "a\n\tb\\u001b\nc"


def test_the_first_odd_character_is_named() -> None:
    assert (odd_in("a\x1b\x07"), odd_in("a b")) == ("U+001B", "")


def test_names_that_look_the_same_are_the_same() -> None:
    assert same_name("The  Owner", "the\u200d owner ")
    assert same_name("\uff21nn", "ann")
    assert not same_name("Ann", "Anna")


@pytest.mark.parametrize(("names", "said"), [("", ""), ("ab", "a, b"), ("abc", "a, b and 1 more")])
def test_the_first_of_many_names_are_shown_and_the_others_counted(names: str, said: str) -> None:
    assert some(names, 2) == said

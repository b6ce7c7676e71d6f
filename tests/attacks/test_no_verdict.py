"""V5: a run in which a drill has no verdict does not exit with 0. What is seen at collection is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.own_drills import GOOD, STEPS, drill, own, scenario

pytestmark = pytest.mark.attacks
FULL = ("Given an estate", "When it is hurt", "Then the promise is good")
USAGE, UNKNOWN = int(pytest.ExitCode.USAGE_ERROR), 3
EMPTY = "    Examples:\n      | word |\n"


def test_a_good_drill_exits_with_zero(tmp_path: Path) -> None:
    done = drill(own(tmp_path / "own"))
    assert (done.returncode, (tmp_path / "own/ran").read_text()) == (0, "gwt"), done.stdout + done.stderr


REFUSED: dict[str, tuple[str, str]] = {
    "skip": (scenario(*FULL, tags="@skip"), "one.feature:2: tag @skip: no tag may leave a drill out"),
    "skipif": (scenario(*FULL, tags="@skipif"), "tag @skipif: no tag"),
    "xfail": (scenario("Then the promise is broken", tags="@xfail"), "tag @xfail: no tag"),
    "flaky": (scenario(*FULL, tags="@flaky"), "tag @flaky: no tag"),
    "skip of the feature": ("@skip\n" + scenario(*FULL), "one.feature:1: tag @skip"),
    "skip of a rule": (
        "Feature: f\n  @skip\n  Rule: r\n    Scenario: s\n      Then the promise is good\n", "e:2: tag @skip"),
    "skip of a row": (
        scenario("Then the promise is <word>", rows="    @skip\n    Examples:\n      | word |\n      | good |\n"),
        "one.feature:5: tag @skip"),
    "unknown tag": (scenario(*FULL, tags="@smokey"), "tag @smokey: unknown"),
    "unknown kind of tag": (scenario(*FULL, tags="@kontrol:CP-4"), "unknown tag @kontrol:CP-4"),
    "no Then": (scenario("Given an estate", "When it is hurt"), "has no Then"),
    "no step": (scenario(), "has no step"),
    "no assertion": (scenario("Then nothing is asserted"), "Then nothing is asserted: its step asserts nothing"),
    "no assertion beside one": (scenario(*FULL, "And nothing is asserted, at length"), "its step asserts nothing"),
    "no row": (scenario("Then the promise is <word>", rows=EMPTY), "the Examples of line 5 have no row"),
    "no row in one of two": (
        scenario("Then the promise is <word>", rows=f"{EMPTY}      | good |\n\n{EMPTY}"),
        "the Examples of line 9 have no row"),
    "no Examples": (scenario("Then the promise is good").replace("Scenario:", "Scenario Outline:"), "without Examples"),
    "no column": (
        scenario("Then the promise is <word>", rows="    Examples:\n      | wort |\n      | good |\n"),
        "no column word"),
    "no scenario": ("Feature: f\n", "no scenario in this file"),
    "no feature": ("# nothing\n", "no Feature in this file"),
    "no Gherkin": ("Feature: f\n  Scenario: s\n    Given an estate\n    Thn it is\n", "not valid Gherkin"),
    "two of one name": (GOOD + GOOD.partition("\n")[2], "used more than once: 'good'"),
    "no definition": (scenario("Then the promise is god"), "no step definition"),
    "a mistyped first keyword": (scenario("Givn an estate", *FULL[1:]), "e:3: Scenario: 'Givn an estate' is no"),
    "a first keyword in small letters": (scenario("given an estate", *FULL[1:]), "'given an estate' is no step"),
    "prose before the steps": (scenario("This is how it is.", *FULL), "'This is how it is.' is no step"),
    "a mistyped keyword in a background": (
        GOOD.replace("  Scenario", "  Background:\n    Whne it is hurt\n  Scenario"), "'Whne it is hurt' is no step"),
    "text before a table": (
        scenario("Then the promise is <word>", rows="    Examples:\n      broken |\n      | word |\n      | good |\n"),
        "Examples: 'broken |' is no step"),
    "a mistyped Scenario": (
        GOOD.replace("Scenario:", "Scenaro:") + "  Scenario: other\n    Then the promise is good\n",
        "Feature: 'Scenaro: good' would be part of its description"),
    "a Scenario without its keyword": (
        GOOD.replace("Scenario: ", "") + "  Scenario: other\n    Then the promise is good\n",
        "Feature: 'Given an estate' would be part"),
    "a mistyped Background in a rule": (
        "Feature: f\n  Rule: r\n    Backgrund: b\n    Scenario: s\n      Then the promise is good\n",
        "Rule: 'Backgrund: b' would be part of its description"),
    "another language": (
        "# language: de\nFunktionalität: f\n  @skip\n  Szenario: s\n    Dann the promise is good\n", "tag @skip"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_pass_without_a_verdict_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    feature, said = REFUSED[name]
    folder = own(tmp_path / "own", feature)
    done = drill(folder)
    assert done.returncode == USAGE, done.stdout + done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (folder / "ran").exists()


def test_the_description_of_a_feature_is_free_text(tmp_path: Path) -> None:
    text = "f\n  It shows: what clients lost.\n  * first\n  When it ends, nothing is left.\n"
    done = drill(own(tmp_path / "own", GOOD.replace("f\n", text.replace("  When it", "  After it"), 1)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/two.feature").write_bytes(b"Feature: \xff\n")
    done = drill(folder)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (USAGE, 1), done.stderr
    assert "two.feature: cannot be read" in done.stderr


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", scenario(*FULL, tags="@skip"))
    (folder / "features/two.feature").write_text(scenario("Then the promise is <word>", rows=EMPTY))
    done = drill(folder)
    assert done.returncode == USAGE
    assert "tag @skip" in done.stderr
    assert "have no row" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--deselect=features/one.feature::test_good",), ("--ignore=features/one.feature",),
        ("--ignore-glob=*one*",), ("--setup-only",), ("--setup-plan",), ("--lf",), ("--sw",),
    ],
    ids=lambda words: words[0].partition("=")[0],
)  # fmt: skip
def test_an_option_that_loses_a_drill_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/two.feature").write_text(GOOD.replace("good\n", "other\n", 1))
    for done in (drill(folder, "features", *words), drill(folder, "features", PYTEST_ADDOPTS=" ".join(words))):
        assert done.returncode == USAGE, done.stdout + done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert not (folder / "ran").exists()


LEAVE_OUT = """
def pytest_collection_modifyitems(items):
    del items[0]
"""
IGNORE = "collect_ignore_glob = ['features/one*']\n"
MARK = """
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.skipif(True, reason="no reason"))
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (LEAVE_OUT, "one.feature::test_good: was left out"),
        (IGNORE, "one.feature: was not collected"),
        (MARK, "mark 'skipif'"),
    ],
)
def test_a_conftest_that_loses_a_drill_is_refused(tmp_path: Path, code: str, said: str) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/two.feature").write_text(GOOD.replace("good\n", "other\n", 1))
    (folder / "conftest.py").write_text(STEPS + code)
    done = drill(folder)
    assert (done.returncode, said in done.stderr) == (USAGE, True), done.stdout + done.stderr
    assert not (folder / "ran").exists()


def test_a_folder_that_pytest_passes_over_is_named(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/build").mkdir()
    (folder / "features/build/two.feature").write_text(GOOD)
    done = drill(folder)
    assert done.returncode == USAGE, done.stdout
    assert "features/build/two.feature: was not collected" in done.stderr


def in_setup(folder: Path) -> None:
    code = "\n@pytest.fixture(autouse=True)\ndef away():\n    pytest.skip('no engine here')\n"
    (folder / "conftest.py").write_text(STEPS + code)


def twice(folder: Path) -> None:
    """What a plugin that runs failed tests again does."""
    code = """
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, nextitem=nextitem, log=False)
    runtestprotocol(item, nextitem=nextitem)
    return True
"""
    (folder / "conftest.py").write_text(STEPS + code)


def not_called(folder: Path) -> None:
    (folder / "conftest.py").write_text(STEPS + "\ndef pytest_pyfunc_call(pyfuncitem):\n    return True\n")


LATE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "skip in a step": (scenario(FULL[0], "When it is skipped", FULL[2]), lambda _: None, "was skipped: not today"),
    "skip in a fixture": (GOOD, in_setup, "was skipped: no engine here"),
    "xfail in a step": (scenario("When it is expected to fail", FULL[2]), lambda _: None, "was expected to fail"),
    "end of pytest": (scenario("When pytest is left", FULL[2]), lambda _: None, "did not run"),
    "end of the process": (scenario("When the process is left", FULL[2]), lambda _: None, ""),
    "rerun": (GOOD, twice, "ran more than once"),
    "steps that are not called": (GOOD, not_called, "no Then was carried out"),
}


@pytest.mark.parametrize("name", LATE)
def test_a_drill_that_ends_without_a_verdict_is_unknown(tmp_path: Path, name: str) -> None:
    feature, change, said = LATE[name]
    folder = own(tmp_path / "own", feature)
    change(folder)
    done = drill(folder)
    assert done.returncode == UNKNOWN, done.stdout + done.stderr
    assert said in done.stdout


HIDE: dict[str, tuple[str, str]] = {
    "another exit code": (
        "@pytest.hookimpl(trylast=True)\ndef pytest_sessionfinish(session):\n    session.exitstatus = 0", "",
    ),
    "another report": (
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport():\n"
        "    report = yield\n    report.outcome = 'passed'\n    return report", "",
    ),
    "an error that is passed over": (
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_call():\n"
        "    try:\n        yield\n    except BaseException:\n        pass",
        "a step failed, and its error was lost: Finding RTO missed",
    ),
    "the end of pytest afterwards": (
        "@pytest.fixture(autouse=True)\ndef away():\n    yield\n    pytest.exit('enough', returncode=0)", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDE)
def test_no_plugin_makes_a_broken_promise_exit_with_zero(tmp_path: Path, name: str) -> None:
    code, said = HIDE[name]
    folder = own(tmp_path / "own", scenario(*FULL, "And the promise is broken"))
    (folder / "conftest.py").write_text(f"{STEPS}\n{code}\n")
    done = drill(folder)
    assert (done.returncode, (folder / "ran").read_text()) == (UNKNOWN if said else 1, "gwt"), done.stdout + done.stderr
    assert said in done.stdout


@pytest.mark.parametrize("plugin", ["fixtures.verdict.ending", "fixtures.verdict.selection"])
def test_what_judges_a_run_cannot_be_left_out(tmp_path: Path, plugin: str) -> None:
    folder = own(tmp_path / "own", scenario(FULL[0], "When it is skipped", FULL[2]))
    done = drill(folder, "features", "-p", f"no:{plugin}")
    assert (done.returncode, f"-p no:{plugin} would leave a drill" in done.stderr) == (USAGE, True), done.stderr
    assert not (folder / "ran").exists()


@pytest.mark.night
def test_a_python_without_assertions_is_refused(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    done = drill(folder, "features", "--assert=plain", PYTHONOPTIMIZE="1")
    assert (done.returncode, "leaves assertions out" in done.stderr) == (USAGE, True), done.stdout + done.stderr
    assert not (folder / "ran").exists()


def test_a_drill_that_hangs_is_interrupted_and_unknown(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", scenario("When it hangs", FULL[2]))
    done = drill(folder, "features", "--timeout=1", "--timeout-method=thread")
    assert done.returncode == UNKNOWN, done.stdout + done.stderr
    assert "1 failed" in done.stdout


def test_expected_toml_counts_what_had_a_verdict(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", scenario(FULL[0], "When it is skipped", FULL[2]))
    (folder / "features/two.feature").write_text(GOOD)
    (folder / "features/expected.toml").write_text("embedded = 2\n")
    done = drill(folder)
    assert done.returncode == UNKNOWN
    assert "features/expected.toml: 2 drills, of which 1 had a verdict" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("embedded = 2\n", "embedded = 2, but 1 drills were found"),
        ('embedded = "1"\n', "embedded = '1' is no number of drills"),
        ("embedded = ", "expected.toml: not valid TOML"),
    ],
)
def test_another_number_of_drills_is_refused(tmp_path: Path, text: str, said: str) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/expected.toml").write_text(text)
    done = drill(folder)
    assert (done.returncode, said in done.stderr) == (USAGE, True), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_drills_are_chosen_with_k_and_m(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/two.feature").write_text(scenario(*FULL, tags="@smoke"))
    done = drill(folder, "features", "-k", "good")
    assert (done.returncode, "left out by -k or -m: 1 drills" in done.stdout) == (0, True), done.stdout
    assert drill(folder, "features", "-m", "smoke").returncode == 0
    assert drill(folder, "features", "-m", "full").returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_run_of_no_drill_does_not_exit_with_zero(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", scenario(*FULL, tags="@needs_kubernetes"))
    done = drill(folder)
    assert (done.returncode, "not drilled on embedded: 1" in done.stdout) == (5, True), done.stdout
    (folder / "features/one.feature").unlink()
    assert drill(folder).returncode == 5

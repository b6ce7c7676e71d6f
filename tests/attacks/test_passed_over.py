"""V5: nothing of a drill is passed over in silence: steps after the last Then, lists in place of runs, odd names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.own_drills import GOOD, STEPS, drill, own, scenario

pytestmark = pytest.mark.attacks
FULL = ("Given an estate", "When it is hurt", "Then the promise is good")
USAGE, UNKNOWN = int(pytest.ExitCode.USAGE_ERROR), 3
OTHER = GOOD.replace("good\n", "other\n", 1)


@pytest.mark.parametrize(
    "feature",
    [
        scenario("Given an estate", "Then the promise is good", "When it is hurt"),
        "Feature: f\n  Background:\n    Then the promise is good\n  Scenario: one\n    When it is hurt\n",
    ],
    ids=["of the scenario", "of a background"],
)
def test_what_no_then_follows_is_refused(tmp_path: Path, feature: str) -> None:
    folder = own(tmp_path / "own", feature)
    done = drill(folder)
    assert (done.returncode, "When it is hurt: no Then follows it" in done.stderr) == (USAGE, True), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (folder / "ran").exists()


LISTS = {
    "--co": "--collect-only", "--fixtures": "--fixtures", "--cache-show=*": "--cache-show", "-qh": "--help",
    "-VV": "-VV", "--generate-missing --feature=features": "--generate-missing",
}  # fmt: skip


@pytest.mark.parametrize("words", LISTS)
def test_a_list_in_place_of_a_run_is_asked_for_on_the_command_line(tmp_path: Path, words: str) -> None:
    folder = own(tmp_path / "own")
    done = drill(folder, PYTEST_ADDOPTS=words)
    said = f"{LISTS[words]} in PYTEST_ADDOPTS or `addopts` would carry out no drill"
    assert (done.returncode, said in done.stderr) == (USAGE, True), done.stdout + done.stderr


@pytest.mark.parametrize("word", ["--co", "-qh", "-VV"])
def test_a_list_that_is_asked_for_is_shown(tmp_path: Path, word: str) -> None:
    folder = own(tmp_path / "own")
    done = drill(folder, "features", word, PYTEST_ADDOPTS=word)
    assert (done.returncode, (folder / "ran").exists()) == (0, False), done.stdout + done.stderr


def test_a_configuration_of_pytest_does_not_replace_a_run_by_a_list(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -q --collect-only\n")
    done = drill(folder)
    assert (done.returncode, "--collect-only in" in done.stderr) == (USAGE, True), done.stdout + done.stderr
    assert drill(folder, "features", "--collect-only").returncode == 0


def test_other_words_of_pytest_addopts_are_no_list(tmp_path: Path) -> None:
    """The version, asked for once, is printed for the command line alone; `-k` takes the word after it."""
    done = drill(own(tmp_path / "own"), PYTEST_ADDOPTS="-q -V -k good --rootdir=.")
    assert (done.returncode, (tmp_path / "own/ran").read_text()) == (0, "gwt"), done.stdout + done.stderr


def test_the_plugin_that_collects_drills_cannot_be_left_out(tmp_path: Path) -> None:
    """Tests of another kind in the same run passed, and so did the run."""
    folder = own(tmp_path / "own")
    (folder / "test_other.py").write_text("def test_other() -> None:\n    assert __name__\n")
    done = drill(folder, "features", "test_other.py", "-p", "no:fixtures.plugin")
    assert (done.returncode, "would leave every drill out" in done.stderr) == (USAGE, True), done.stdout + done.stderr


def test_other_names_of_tests_leave_no_drill_out(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    (folder / "pytest.ini").write_text("[pytest]\npython_functions = check_*\n")
    (folder / "check_other.py").write_text("def check_other() -> None:\n    assert __name__\n")
    done = drill(folder, "features", "check_other.py")
    assert (done.returncode, (folder / "ran").read_text()) == (0, "gwt"), done.stdout + done.stderr


def test_a_feature_whose_name_ends_otherwise_is_named(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/two.Feature").write_text(OTHER)
    done = drill(folder)
    said = "features/two.Feature: was not collected; its name must end in .feature"
    assert (done.returncode, said in done.stderr) == (USAGE, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("embeded = 1\n", "'embeded' is no substrate; did you mean 'embedded'?"),
        ("embedded = 1\n[smoke]\nkinds = 1\n", "'kinds' is no substrate; did you mean 'kind'?"),
        ("embedded = 1\nkind = -1\n", "kind = -1 is no number of drills"),
    ],
)
def test_a_number_of_drills_that_would_never_be_compared_is_refused(tmp_path: Path, text: str, said: str) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/expected.toml").write_text(text)
    done = drill(folder)
    assert (done.returncode, said in done.stderr) == (USAGE, True), done.stdout + done.stderr


WITH = """
@then("its parts are good")
def _({given}):
    with {given}.test("one"):
        pytest.skip("not today")
    assert Path("ran").is_file()
"""
OWN = "\n@pytest.fixture\ndef parts(subtests):\n    return subtests\n"


def test_a_part_that_is_skipped_is_no_verdict(tmp_path: Path) -> None:
    """A skip in `subtests` of pytest ends that part alone, and the test passes."""
    folder = own(tmp_path / "own", scenario(*FULL, "And its parts are good"))
    (folder / "conftest.py").write_text(STEPS + WITH.format(given="subtests"))
    done = drill(folder)
    assert (done.returncode, "does not end it; assert in the step" in done.stderr) == (USAGE, True), done.stderr
    assert not (folder / "ran").exists()
    (folder / "conftest.py").write_text(STEPS + OWN + WITH.format(given="parts"))
    done = drill(folder)
    assert (done.returncode, "was skipped: not today" in done.stdout) == (UNKNOWN, True), done.stdout + done.stderr


QUIET = """
import functools

def quiet(step):
    @functools.wraps(step)
    def told(*words, **more):
        try:
            return step(*words, **more)
        except Exception as error:
            print(error)
    return told

@then("it is quiet")
@quiet
def _():
    {body}
"""


@pytest.mark.parametrize("body", ["assert not Path('ran').is_file()", "note('t')"])
def test_a_step_whose_decorator_catches_everything_asserts_nothing(tmp_path: Path, body: str) -> None:
    folder = own(tmp_path / "own", scenario(*FULL, "And it is quiet"))
    (folder / "conftest.py").write_text(STEPS + QUIET.format(body=body))
    done = drill(folder)
    assert (done.returncode, "its step asserts nothing" in done.stderr) == (USAGE, True), done.stdout + done.stderr
    (folder / "conftest.py").write_text((STEPS + QUIET.format(body=body)).replace("print(error)", "raise"))
    assert drill(folder).returncode == (1 if "assert" in body else 0)


def test_a_step_may_have_several_sentences(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", scenario("Given an estate", "Then all is good", "Then the promise is good"))
    steps = STEPS.replace('@then("the promise is good")', '@then("all is good")\n@then("the promise is good")')
    (folder / "conftest.py").write_text(steps)
    done = drill(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "ran").read_text() == "gtt"


def test_a_command_that_drills_does_not_end_well_without_a_drill(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    (folder / "tests").mkdir()
    (folder / "tests/test_other.py").write_text("def test_it() -> None: assert 1\n")
    done = drill(folder, "tests", "--progress")  # as `blackstart drill` does
    assert (done.returncode, "no drill is in tests; name a feature file" in done.stderr) == (USAGE, True), done.stdout

"""A step whose assertion is never carried out, or always true, asserts nothing."""

from __future__ import annotations

import linecache
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from fixtures.verdict.assertions import nothing_asserted
from tests.attacks.own_drills import STEPS, drill, own

pytestmark = pytest.mark.attacks
USAGE = 4
FILE = """
import contextlib, logging, pytest
from contextlib import suppress as quietly
from harness.core.errors import Finding

LOG = logging.getLogger()

def caught():
    try:
        assert LOG is None
    except AssertionError:
        pass

def answers(kept):
    return kept == 1

def checks(kept):
    assert kept == 1

def again(kept):
    if kept:
        again(kept - 1)
    assert kept < 3

"""
THEN = '    note("t")\n    assert Path("ran").is_file()\n'


def bodies(text: str) -> dict[str, str]:
    """Return the bodies of steps, by the comment before each."""
    found = (one.partition("\n") for one in text.strip().removeprefix("# ").split("\n# "))
    return {name: body.rstrip() for name, _, body in found}


EMPTY = bodies("""
# a tuple
assert (False, "the promise is broken")
# a constant
assert "the promise is good"
# in a function that nobody calls
def check(): assert False
return check
# in a lambda
return lambda: fail()
# in a class
class Check:
    def __init__(self): assert False
# never reached
if False: assert False
# never reached, otherwise
if 1: kept = True
else: assert False
# never in a loop
while False: assert kept
# in a loop over nothing
for one in (): assert one
# after a return
return
assert kept
# after returns
if note(): return 1
else: return 2
assert kept
# after a return in a with
with note(): return
assert kept
# after an endless loop
while True: note()
assert kept
# always true
assert kept or True
# always equal
assert kept == kept
# of constants
assert 1 < 2
# no false
assert not ()
# caught
try: assert kept
except AssertionError: pass
# caught bare
try: assert kept
except: pass
# caught by Exception
try: assert kept
except Exception: return
# caught by one of two, and printed
try: assert kept
except (OSError, AssertionError) as e: print(e)
# caught and logged
try: assert kept
except Exception as e: logging.warning(e)
# caught and logged by a logger
try: assert kept
except Exception as e: LOG.error(e)
# caught and collected
bad = []
try: assert kept
except AssertionError as e: bad.append(e)
# dropped by a return
try: assert kept
finally: return
# suppressed
with contextlib.suppress(AssertionError): assert kept
# suppressed by another name
with quietly(Exception): assert kept
# suppressed by an import
from contextlib import suppress as s
with s(AssertionError): assert kept
# expected to fail
with pytest.raises(AssertionError): assert kept
# expected to fail by its name
with pytest.raises(expected_exception=AssertionError): assert kept
# raised and caught
try:
    if kept: raise Finding('x')
except Finding: pass
# pytest.fail that is caught
try: pytest.fail('x')
except BaseException: pass
# a call that is caught
try: check()
except Exception: pass
# a check that is caught
try: check()
except AssertionError: pass
# a function of the step that is caught
def own(): assert kept
try: own()
except Exception: pass
# caught in a function of the file
caught()
# a function of the file that only answers
answers(kept)
# only printed
print(kept)
""")
FULL = bodies("""
# false
assert False
# an empty tuple
assert ()
# a comparison
kept = 1
assert kept == 1
# a call
check()
# raised
if kept: raise ValueError
# reached
if True: assert kept
# reached, otherwise
if 0: kept = True
else: assert kept
# caught and raised again
try: assert kept
except AssertionError:
    note()
    raise
# only others are caught
try: assert kept
except OSError: pass
# let out before it is caught
try: assert kept
except AssertionError: raise
except Exception: pass
# caught and told as another
try: assert kept
except AssertionError as e: raise Finding('x') from e
# caught, and failed
try: check()
except Exception as e: pytest.fail(str(e))
# a refusal is expected
try: check()
except AssertionError: return
pytest.fail('not refused')
# a refusal is expected, otherwise
try: check()
except Finding: pass
else: raise ValueError
# one of several
for one in kept:
    try:
        assert one
        return
    except AssertionError: continue
check()
# collected, and asserted
bad = []
try: assert kept
except AssertionError as e: bad.append(e)
assert not bad
# expected to raise
with pytest.raises(AssertionError): check()
# expected to raise, of the file
with pytest.raises(AssertionError): checks(kept)
# expected to raise, and what
with pytest.raises(ValueError) as e: check()
assert 'x' in str(e)
# waited for
def there(): assert kept
wait_until(there)
# a function of the step
def there(): assert kept
there()
# decorated
@check
def there(): assert kept
# a class of the step
class One:
    def there(self): assert kept
One().there()
# a function of the file
checks(kept)
# a function that calls itself
again(kept)
# got here
check()
assert True
# cleared up
check()
with quietly(OSError): kept.unlink()
# cleared up whatever happens
check()
try: kept.unlink()
except Exception: pass
# returned from early
if kept: return
assert kept
# a parameter with the name of a function
answers(kept)
# matched
match kept:
    case 1: check()
# left by a break
while True: break
assert kept
# unknown to the rule
try: assert kept
except kept.error: pass
""")


def said_of(folder: Path, name: str, before: str = "") -> str | None:
    """Return what is said of a step, with a call before its body."""
    file = folder / "steps_of_a_reader.py"
    own = "kept, answers" if "parameter" in name else "kept"
    file.write_text(f"{FILE}def step({own}):\n{indent(before + (EMPTY | FULL)[name], '    ')}\n")
    linecache.clearcache()
    places: dict[str, Any] = {"__name__": file.stem}
    exec(compile(file.read_text(), file, "exec"), places)  # noqa: S102 - written above
    return nothing_asserted(places["step"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EMPTY)
def test_what_can_never_fail_is_known_by_its_source(tmp_path: Path, name: str) -> None:
    """A call before an assertion of its own does not make up for it."""
    found = said_of(tmp_path, name)
    assert found is not None
    if found:
        assert said_of(tmp_path, name, "note()\n")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FULL)
def test_what_may_fail_is_not_refused(tmp_path: Path, name: str) -> None:
    assert said_of(tmp_path, name) is None


@pytest.mark.parametrize("name", ["in a function that nobody calls", "in a lambda", "caught", "after a return"])
def test_a_drill_with_such_a_step_is_not_started(tmp_path: Path, name: str) -> None:
    """It ended with exit code 0."""
    folder = own(tmp_path / "own")
    assert THEN in STEPS
    text = EMPTY[name].replace("kept", "Path('x').is_file()")
    (folder / "conftest.py").write_text(STEPS.replace(THEN, f"{indent(text, '    ')}\n"))
    done = drill(folder)
    assert (done.returncode, "its step asserts nothing" in done.stderr) == (USAGE, True), done.stdout + done.stderr
    assert ("its assertion in line" in done.stderr) is (name != "in a lambda")
    assert not (folder / "ran").exists()

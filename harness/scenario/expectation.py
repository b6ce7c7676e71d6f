"""What a scenario says beforehand: the verdict that it expects."""

import re
from collections.abc import Sequence

from harness.core.judge import Verdict

# Sentences that name no verdict -> the verdict that they need.
IMPLIED = {
    r"the promise is kept": Verdict.KEPT,
    r"the earlier backup was restored": Verdict.KEPT,
    r"the restore test is refused": Verdict.UNKNOWN,
}
NAMED = re.compile(r"\b(?:is judged|verdict is) (KEPT|BROKEN|UNKNOWN)\b")


def expected_verdict(sentences: Sequence[str]) -> str:
    """Return the verdict that the last sentence about a verdict expects, "" where there is none."""
    found = ""
    for sentence in sentences:
        if named := NAMED.search(sentence):
            found = named[1]
        found = next((str(verdict) for words, verdict in IMPLIED.items() if words in sentence), found)
    return found

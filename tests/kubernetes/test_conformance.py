"""Conformance suite on two clusters that are created once for the whole session."""

from __future__ import annotations

import pytest

from tests.substrate.test_conformance import *  # noqa: F403
from tests.substrate.test_conformance_volumes import *  # noqa: F403

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]

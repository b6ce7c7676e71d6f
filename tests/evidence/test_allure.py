"""Allure's page and configuration."""

from __future__ import annotations

import pytest

from harness.core.errors import HarnessError
from harness.evidence.report.allure import harden


def test_an_allure_page_is_made_safe_for_offline_reading_or_refused() -> None:
    tag = '<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>\n<script>gtag()</script>'
    page = harden(f'<html><head><meta charset="utf-8">{tag}</head></html>')
    assert "googletagmanager" not in page
    assert "Content-Security-Policy" in page
    with pytest.raises(HarnessError, match="unexpected structure"):
        harden("<html></html>")
    with pytest.raises(HarnessError, match="analytics"):
        harden(f'<meta charset="utf-8">{tag}{tag}')

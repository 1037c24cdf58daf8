"""The browser."""

from __future__ import annotations

import pytest

from chromium import launched


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser

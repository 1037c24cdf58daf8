"""Waiting until a section of the page has done its work, which goes on as it is polled."""

from __future__ import annotations

import time


def poll(section, until, seconds=30):
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        section.poll()
        time.sleep(0.02)
    assert until()

"""What is there to be corrected, in the panel and on the page."""

from __future__ import annotations

import numpy as np

SHAPE = (24, 44, 48)
#: Voxels (k, j, i): on the trunk, on a branch of it, on a loose piece, on a missed vessel and along it.
TRUNK, BRANCH, PIECE = (12, 20, 10), (12, 34, 24), (4, 6, 10)
MISSED = (18, 8, 24)
ALONG_MISSED = ((18, 8, 4), MISSED, (18, 8, 43))


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Return what was found, a trunk with a branch and a loose piece, and the truth: no piece, but a missed vessel."""
    found = np.zeros(SHAPE, np.uint8)
    found[11:14, 19:22, 2:46] = 1
    found[11:14, 22:40, 23:26] = 1
    truth = found.copy()
    found[3:6, 5:8, 4:16] = 1
    truth[17:20, 7:10, 4:44] = 1
    return found, truth

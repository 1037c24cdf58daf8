"""ITK's own words: kept off the screen, as what is wrong is said once, by us, and taken for what they mean."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_NO_MEMORY = "Failed to allocate memory"


@contextlib.contextmanager
def tell_short_memory() -> Iterator[None]:
    """Raise `MemoryError` where ITK has no memory for an image: it tells that in words only."""
    try:
        yield
    except RuntimeError as error:
        if _NO_MEMORY in str(error):
            raise MemoryError(_NO_MEMORY) from error
        raise


@contextlib.contextmanager
def quiet_itk() -> Iterator[None]:
    """Silence what ITK and the libraries in it print while an image is read."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with _quiet_standard_error():
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


@contextlib.contextmanager
def _quiet_standard_error() -> Iterator[None]:
    """Close the process's standard error, to which some readers write by themselves.

    Only in a program of our own: inside an application that shows its own messages, 3D Slicer say, it is not ours.
    """
    screen_stream = sys.__stderr__
    if screen_stream is None or sys.stderr is not screen_stream:
        yield
        return
    screen_stream.flush()
    with open(os.devnull, "w") as nowhere:
        screen = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)

"""Where the slices of a DICOM series lie: their order, and the frames of enhanced (multi-frame) objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError

if TYPE_CHECKING:
    import SimpleITK

#: ITK's reader. It is always named: for files that only look like DICOM, ITK would take another one.
DICOM_READER = "GDCMImageIO"
#: Steps between slices may differ by this share, and slices lie beside the line of the others by this share of a step.
_TOLERANCE = 0.1
#: Neither may the stack lean by more than this share of its length: an image has no place for shear.
_LEAN = 2e-3
#: Cosine of the angle between rows and columns. From 0.001 on ITK takes the identity for their directions, and gives no
#: word.
_RIGHT_ANGLE = 9e-4


def check_directions(directions: Sequence[float | str], *, where: str) -> None:
    """Refuse directions of rows and columns that are missing, or for which ITK takes others.

    Parameters
    ----------
    directions : sequence of float or str
        Image Orientation (Patient), as the header has it: three cosines of the rows, three of the columns.
    where : str
        What they belong to, for messages.

    Raises
    ------
    VesselSegError
        If they are missing, or not two directions at right angles.
    """
    if not directions:
        raise VesselSegError(f"{where} does not say how its slices lie", "export it again, or as NIfTI")
    try:
        row, column = np.array([float(value) for value in directions]).reshape(2, 3)
    except ValueError:
        row = column = np.zeros(3)
    lengths = float(np.linalg.norm(row) * np.linalg.norm(column))
    # NaN fails both.
    if not (lengths > 0 and abs(float(row @ column)) <= _RIGHT_ANGLE * lengths):
        raise VesselSegError(
            f"the axes of {where} are not at right angles",
            "export it again, or resample it to a grid without shear",
        )


def check_pixel_spacing(spacing: Sequence[float | str], *, where: str) -> None:
    """Refuse sizes of pixels that are missing, or for which ITK takes 1 mm.

    Parameters
    ----------
    spacing : sequence of float or str
        Pixel Spacing, as the header has it: distances of rows and of columns, in mm.
    where : str
        What they belong to, for messages.

    Raises
    ------
    VesselSegError
        If they are not two finite numbers above 0.
    """
    try:
        row, column = (float(value) for value in spacing)
    except ValueError:
        row = column = 0.0
    # NaN fails both.
    if not (0 < row < np.inf and 0 < column < np.inf):
        raise VesselSegError(f"{where} does not say how large its pixels are", "export it again, or as NIfTI")


def has_frames(path: str | Path) -> bool:
    """Tell whether a file is an enhanced (multi-frame) object, which says of its frames where they lie."""
    from pydicom import dcmread

    tag = "SharedFunctionalGroupsSequence"
    return tag in dcmread(path, stop_before_pixels=True, specific_tags=[tag], force=True)


def check_planes(planes: Sequence[NDArray[np.float64]], *, where: str) -> None:
    """Refuse slices that do not all lie in the same way.

    Parameters
    ----------
    planes : sequence of ndarray
        Of each slice the directions of rows and columns, and the distances between them in mm.
    where : str
        What the slices belong to, for messages.

    Raises
    ------
    VesselSegError
        If two of them differ.
    """
    if not all(np.allclose(plane, planes[0], atol=1e-3) for plane in planes):
        raise VesselSegError(
            f"{where} holds several stacks of slices, or pixels of several sizes", "export each as a series of its own"
        )


def slice_order(
    positions: NDArray[np.float64], normal: NDArray[np.float64], *, where: str
) -> tuple[NDArray[np.intp], float]:
    """Sort slices along their normal.

    Parameters
    ----------
    positions : ndarray, shape (N, 3)
        Of the first voxel of each slice, in mm.
    normal : ndarray, shape (3,)
        Of length 1.
    where : str
        What the slices belong to, for messages.

    Returns
    -------
    order : ndarray of int, shape (N,)
        The slices by rising position.
    step : float
        Mean distance between neighbours, in mm: the rounding of positions does not add up in it.

    Raises
    ------
    VesselSegError
        If one is missing, there twice, or lies beside the others: an image would place them evenly, and so wrongly.
    """
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order])
    typical = float(np.median(steps))
    if typical <= 0 or np.any(np.abs(steps / typical - 1) > _TOLERANCE):
        raise VesselSegError(
            f"the slices of {where} are not evenly spaced",
            "export the series again with all its slices, one series a folder, and each slice once",
        )
    beside = positions - np.outer(heights, normal)
    aside = float(np.linalg.norm(beside - beside[order[0]], axis=1).max())
    if aside > max(_TOLERANCE * typical, _LEAN * float(heights.max() - heights.min())):
        raise VesselSegError(
            f"the slices of {where} do not lie straight above each other", "resample them to a grid without shear"
        )
    return order, float(heights.max() - heights.min()) / (len(heights) - 1)


def read_frames(path: str | Path) -> SimpleITK.Image:
    """Read an enhanced (multi-frame) DICOM object, its frames where their own headers say.

    ITK takes frames in the order of the file, which means nothing, and gives no word where it does not find their
    spacing.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    SimpleITK.Image

    Raises
    ------
    VesselSegError
        If the frames are not one evenly spaced stack of one kind of values.
    RuntimeError
        If the object cannot be read.
    """
    import SimpleITK as sitk
    from pydicom import dcmread

    header = dcmread(path, stop_before_pixels=True)
    image = sitk.ReadImage(str(path), imageIO=DICOM_READER)
    own = list(header.get("PerFrameFunctionalGroupsSequence", []))
    shared = (list(header.get("SharedFunctionalGroupsSequence", [])) or [None])[0]
    frames = [_Frame(item, shared) for item in own]
    if len(frames) != image.GetSize()[2] or not all(frame.is_placed for frame in frames):
        raise VesselSegError(
            f"the frames of {path} do not say where they lie", "export the series as single slices, or as NIfTI"
        )
    first = frames[0]
    check_planes([frame.plane for frame in frames], where=str(path))
    check_directions(first.plane[:6].tolist(), where=str(path))
    if any(frame.rescale != first.rescale for frame in frames):
        raise VesselSegError(
            f"the frames of {path} have values on several scales", "export the series as single slices, or as NIfTI"
        )
    row, column, (height, width) = first.plane[:3], first.plane[3:6], first.plane[6:]
    normal = np.cross(row, column)
    positions = np.array([frame.position for frame in frames])
    order, step = slice_order(positions, normal, where=str(path))
    stack = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(image)[order])
    stack.SetOrigin(positions[order[0]].tolist())
    stack.SetSpacing((float(width), float(height), step))
    stack.SetDirection(np.stack([row, column, normal], axis=1).ravel().tolist())
    return stack


class _Frame:
    """What the header says of a frame, be it of this one or of all."""

    def __init__(self, own: Any, shared: Any) -> None:
        def value(group: str, key: str) -> Any:
            for item in (own, shared):
                found = None if item is None else item.get(group)
                if found and key in found[0]:
                    return found[0].get(key)
            return None

        place = value("PlanePositionSequence", "ImagePositionPatient")
        orientation = value("PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = value("PixelMeasuresSequence", "PixelSpacing")
        parts = ((place, 3), (orientation, 6), (spacing, 2))
        self.is_placed = all(part is not None and len(part) == count for part, count in parts)
        if self.is_placed:
            self.position = np.array(place, float)
            #: Directions of rows and columns, distances of rows and columns in mm.
            self.plane = np.array([*orientation, *spacing], float)
        self.rescale = tuple(
            value("PixelValueTransformationSequence", key) for key in ("RescaleSlope", "RescaleIntercept")
        )

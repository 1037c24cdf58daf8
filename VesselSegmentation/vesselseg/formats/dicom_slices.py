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
    from pydicom import Dataset

#: ITK's reader. It is always named: for files that only look like DICOM, ITK would take another one.
DICOM_READER = "GDCMImageIO"
#: Directions of rows and columns, and their distances in mm, are the same up to this.
PLANE_TOLERANCE = 1e-3
#: Steps between slices may differ by this share, and slices lie beside the line of the others by this share of a step.
_TOLERANCE = 0.1
#: Slices that are no further apart, in mm, are at the same place.
_SAME_PLACE = 0.01
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
        Of each slice the directions of rows and columns, and the distances between them in mm; of slices from several
        files, also the numbers of rows and columns.
    where : str
        What the slices belong to, for messages.

    Raises
    ------
    VesselSegError
        If two of them differ.
    """
    if not all(np.allclose(plane, planes[0], atol=PLANE_TOLERANCE) for plane in planes):
        raise VesselSegError(
            f"{where} holds several stacks of slices, or images or pixels of several sizes",
            "export each as a series of its own",
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
    apart = steps > _SAME_PLACE  # NaN is not
    uneven = f"the slices of {where} are not evenly spaced"
    if not apart.all():
        raise VesselSegError(
            f"{uneven}: {np.count_nonzero(~apart)} of them lie where another one lies (several echoes, time points or "
            "slabs, or magnitude and phase)",
            "export one of these as a series of its own",
        )
    typical = float(np.median(steps))
    if steps.max() > (1 + _TOLERANCE) * typical:
        below = int(np.argmax(steps))
        first, last = heights[order][below : below + 2]
        raise VesselSegError(
            f"{uneven}: between {first:.2f} and {last:.2f} mm along their normal there is a gap of {last - first:.2f} "
            f"mm, elsewhere {typical:.2f} mm",
            "export the series again with all its slices, or each stack as a series of its own",
        )
    if steps.min() < (1 - _TOLERANCE) * typical:
        raise VesselSegError(
            f"{uneven}: their distances are from {steps.min():.2f} to {steps.max():.2f} mm",
            "export each slab as a series of its own",
        )
    beside = positions - np.outer(heights, normal)
    aside = float(np.linalg.norm(beside - beside[order[0]], axis=1).max())
    if aside > max(_TOLERANCE * typical, _LEAN * float(heights.max() - heights.min())):
        raise VesselSegError(
            f"the slices of {where} do not lie straight above each other", "resample them to a grid without shear"
        )
    return order, float(heights.max() - heights.min()) / (len(heights) - 1)


def frame_places(header: Dataset, count: int, *, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the frames of an enhanced (multi-frame) DICOM object lie.

    Parameters
    ----------
    header : pydicom.Dataset
    count : int
        How many frames it holds.
    where : str
        Its name, for messages.

    Returns
    -------
    positions : ndarray, shape (N, 3)
        Of the first voxel of each frame, in the order of the file, in mm.
    plane : ndarray, shape (8,)
        Directions of rows and columns, and the distances between rows and between columns in mm.

    Raises
    ------
    VesselSegError
        If they do not say so, or do not all lie in the same way.
    """
    frames = _frames(header)
    if len(frames) != count or not all(frame.is_placed for frame in frames):
        raise VesselSegError(
            f"the frames of {where} do not say where they lie", "export the series as single slices, or as NIfTI"
        )
    check_planes([frame.plane for frame in frames], where=where)
    check_directions(frames[0].plane[:6].tolist(), where=where)
    return np.array([frame.position for frame in frames]), frames[0].plane


def read_frames(paths: Sequence[str | Path]) -> SimpleITK.Image:
    """Read the enhanced (multi-frame) DICOM objects of a series, their frames where their own headers say.

    ITK takes frames in the order of the file, which means nothing, gives no word where it does not find their spacing,
    and scales all of them as the first one.

    Parameters
    ----------
    paths : sequence of path-like
        The frames of all of them make up one stack.

    Returns
    -------
    SimpleITK.Image

    Raises
    ------
    VesselSegError
        If the frames are not one evenly spaced stack.
    RuntimeError
        If an object cannot be read.
    """
    import SimpleITK as sitk
    from pydicom import dcmread

    values, positions, planes = [], [], []
    for path in paths:
        header = dcmread(path, stop_before_pixels=True)
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO=DICOM_READER))
        places, plane = frame_places(header, len(stored), where=str(path))
        positions.append(places)
        planes.append(np.array([*plane, *stored.shape[1:3]]))
        values.append(_on_own_scales(stored, [frame.rescale for frame in _frames(header)]))
    where = str(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    check_planes(planes, where=where)
    row, column, (height, width) = planes[0][:3], planes[0][3:6], planes[0][6:8]
    normal = np.cross(row, column)
    places = np.concatenate(positions)
    order, step = slice_order(places, normal, where=where)
    stack = sitk.GetImageFromArray(np.concatenate(values)[order])
    stack.SetOrigin(places[order[0]].tolist())
    stack.SetSpacing((float(width), float(height), step))
    stack.SetDirection(np.stack([row, column, normal], axis=1).ravel().tolist())
    return stack


def _on_own_scales(values: NDArray[Any], scales: list[tuple[float, float]]) -> NDArray[Any]:
    """Scale frames, which ITK has scaled as the first of them, as each of them says."""
    if all(scale == scales[0] for scale in scales):
        return values
    slope, intercept = scales[0]
    slopes, intercepts = np.array(scales).T[:, :, None, None]
    return ((values - intercept) / slope * slopes + intercepts).astype(np.float32)


def _frames(header: Dataset) -> list[_Frame]:
    shared = (list(header.get("SharedFunctionalGroupsSequence", [])) or [None])[0]
    return [_Frame(item, shared) for item in header.get("PerFrameFunctionalGroupsSequence", [])]


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
        slope, intercept = (
            value("PixelValueTransformationSequence", key) for key in ("RescaleSlope", "RescaleIntercept")
        )
        self.rescale = (1.0 if slope is None else float(slope), float(intercept or 0))

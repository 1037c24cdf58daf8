"""Take back what is too much, and take over what is missing: one error at a time, or many at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box, box_between
from vesselseg.editing.edit import Edit, Mask, edit_of
from vesselseg.editing.picking import SNAP_MM, Point, check_grids, nearest_voxel
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import box_of_voxels, connected_voxels
from vesselseg.plain_text import counted
from vesselseg.review.error_components import ErrorComponent, component_mask
from vesselseg.review.error_kinds import ErrorKind


def correct_component(label: NDArray[Any], errors: NDArray[Any], geometry: Geometry, component: ErrorComponent) -> Edit:
    """Correct one error: remove a false positive, add a false negative.

    Parameters
    ----------
    label : ndarray, shape (Z, Y, X)
        The segmentation; bool, or 0 and 1.
    errors, geometry, component
        As for `vesselseg.review.error_components.component_mask`.

    Returns
    -------
    Edit
        With the measure ``volume_mm3``.

    Raises
    ------
    VesselSegError
        If the map no longer has the error.
    ValueError
        If an array does not have the shape of the grid.
    """
    check_grids(geometry, label=label, errors=errors)
    box, mask = component_mask(errors, geometry, component)
    return _correction(label, geometry, box, mask, component.kind)


def correct_error_at(label: NDArray[Any], errors: NDArray[Any], geometry: Geometry, point: Point) -> Edit:
    """Correct the error at a click: as `correct_component`.

    Parameters
    ----------
    label, errors, geometry
        As for `correct_component`.
    point : Point
        The click, as voxel indices (k, j, i); they may be fractional.

    Returns
    -------
    Edit

    Raises
    ------
    VesselSegError
        If there is no error near the click, or the click is outside the scan.
    ValueError
        If an array does not have the shape of the grid.
    """
    check_grids(geometry, label=label, errors=errors)
    start = nearest_voxel(errors, geometry, point, SNAP_MM, what="error", least=ErrorKind.FALSE_POSITIVE)
    kind = ErrorKind(int(errors[start]))
    box, mask = box_of_voxels(connected_voxels(errors == kind, start))
    return _correction(label, geometry, box, mask, kind)


def select_components(
    components: Iterable[ErrorComponent],
    geometry: Geometry,
    *,
    kind: ErrorKind | None = None,
    below_mm3: float | None = None,
    at_least_mm3: float | None = None,
    rims: bool | None = None,
    outside: NDArray[Any] | None = None,
) -> list[ErrorComponent]:
    """Choose errors that all conditions hold for.

    Parameters
    ----------
    components : iterable of ErrorComponent
    geometry : Geometry
        Grid of the error map.
    kind : ErrorKind, optional
        Of this kind only.
    below_mm3 : float, optional
        Smaller than this volume.
    at_least_mm3 : float, optional
        Of this volume or larger.
    rims : bool, optional
        True: only rims along vessels that both labels have (`ErrorComponent.is_boundary`). False: all but these.
    outside : ndarray, shape (Z, Y, X), optional
        A mask, as that of the brain: only errors whose centre is outside it.

    Returns
    -------
    list of ErrorComponent
        In the order given.

    Raises
    ------
    ValueError
        If the mask does not have the shape of the grid.
    """
    check_grids(geometry, outside=outside)
    to_ijk = np.linalg.inv(geometry.ijk_to_ras())

    def chosen(component: ErrorComponent) -> bool:
        if kind is not None and component.kind != kind:
            return False
        if below_mm3 is not None and not component.volume_mm3 < below_mm3:
            return False
        if at_least_mm3 is not None and not component.volume_mm3 >= at_least_mm3:
            return False
        if rims is not None and component.is_boundary != rims:
            return False
        if outside is None:
            return True
        k, j, i = np.rint((to_ijk @ np.append(component.centre_ras, 1.0))[2::-1]).astype(int)
        return not outside[k, j, i]

    return [component for component in components if chosen(component)]


def correct_components(
    label: NDArray[Any], errors: NDArray[Any], geometry: Geometry, components: Iterable[ErrorComponent]
) -> Edit:
    """Correct many errors in one edit.

    Parameters
    ----------
    label, errors, geometry
        As for `correct_component`.
    components : iterable of ErrorComponent
        Which.

    Returns
    -------
    Edit
        With the measures ``false_positives`` and ``false_negatives``, how many of each, and ``volume_mm3``.

    Raises
    ------
    VesselSegError
        If the map no longer has one of them, or there are none.
    ValueError
        If an array does not have the shape of the grid.
    """
    check_grids(geometry, label=label, errors=errors)
    found = [(component.kind, *component_mask(errors, geometry, component)) for component in components]
    if not found:
        raise VesselSegError("there are no such errors", "choose others")
    low = np.min([[part.start for part in box] for _, box, _ in found], axis=0)
    high = np.max([[part.stop for part in box] for _, box, _ in found], axis=0)
    added, removed = np.zeros(high - low, bool), np.zeros(high - low, bool)
    for kind, box, mask in found:
        within = tuple(slice(part.start - start, part.stop - start) for part, start in zip(box, low))
        (removed if kind == ErrorKind.FALSE_POSITIVE else added)[within] |= mask
    whole = box_between(low, high)
    inside = label[whole] != 0
    positives = sum(kind == ErrorKind.FALSE_POSITIVE for kind, _, _ in found)
    negatives = len(found) - positives
    volume = sum(int(mask.sum()) for _, _, mask in found) * geometry.voxel_volume
    return edit_of(
        added & ~inside,
        removed & inside,
        tool="correct errors",
        description=f"remove {counted(positives, 'false positive')}, add {counted(negatives, 'false negative')}, "
        f"{volume:.1f} mm³",
        box=whole,
        measures={"false_positives": positives, "false_negatives": negatives, "volume_mm3": volume},
    )


def _correction(label: NDArray[Any], geometry: Geometry, box: Box, mask: Mask, kind: ErrorKind) -> Edit:
    if kind not in (ErrorKind.FALSE_POSITIVE, ErrorKind.FALSE_NEGATIVE):
        raise ValueError(f"{kind!r} is no error")
    positive = kind == ErrorKind.FALSE_POSITIVE
    inside = label[box] != 0
    nothing = np.zeros_like(mask)
    volume = float(np.count_nonzero(mask) * geometry.voxel_volume)
    return edit_of(
        nothing if positive else mask & ~inside,
        mask & inside if positive else nothing,
        tool="reject error" if positive else "accept error",
        description=f"{'remove a' if positive else 'add a'} {kind.title} of {volume:.1f} mm³",
        box=box,
        measures={"volume_mm3": volume},
    )

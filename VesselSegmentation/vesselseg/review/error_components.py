"""The list of connected errors that a reader walks through."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box, box_between
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import box_of_voxels, connected_voxels
from vesselseg.plain_text import csv_text
from vesselseg.review.error_kinds import WITH_REFERENCE, ErrorKind, Wording
from vesselseg.review.error_lengths import BUMP_SHARE, error_lengths
from vesselseg.review.error_voxels import find_error_voxels
from vesselseg.volume import Volume

#: First and last voxel of a box along i, j, k, both included.
VoxelExtent = tuple[tuple[int, int, int], tuple[int, int, int]]

_ID_PREFIX = {ErrorKind.FALSE_POSITIVE: "FP", ErrorKind.FALSE_NEGATIVE: "FN"}


@dataclass(frozen=True)
class ErrorComponent:
    """One connected piece (26-connected) of an error.

    Parameters
    ----------
    component_id : str
        Kind and first voxel (i, j, k), as in ``FN-120-33-7``: the same as long as that piece is not edited, whatever
        changes elsewhere.
    kind : ErrorKind
        False positive or false negative.
    is_boundary : bool
        Whether it is no more than a rim one voxel thick along a vessel that both labels have: they agree about the
        vessel, not about its wall. What interrupts a vessel, or joins two, is no rim, however thin it is.
    voxels : int
        Its size.
    volume_mm3 : float
        Its volume.
    radius_mm : float
        Largest distance from one of its voxels to the nearest voxel outside it.
    length_mm : float
        Length of its skeleton: of the shortest tree that joins the skeleton's 26-neighbours by their distances. 0
        where the skeleton is a single voxel.
    affected_mm : float
        Length of vessel affected: of the centreline of a gap, of a missing branch or of one too many, or its width
        where that is larger; see `vesselseg.review.error_lengths.error_lengths`. 0 for a rim.
    boundary_share : float
        Share of its voxels, in [0, 1], that touch (26-neighbours) a true positive.
    centre_ras : tuple of float
        Position of the voxel nearest to its centroid, in mm, RAS: always inside the piece.
    box : VoxelExtent
        First and last voxel along i, j, k.
    mean_probability : float or None
        Where a probability map was given, in [0, 1].
    """

    component_id: str
    kind: ErrorKind
    is_boundary: bool
    voxels: int
    volume_mm3: float
    radius_mm: float
    length_mm: float
    affected_mm: float
    boundary_share: float
    centre_ras: tuple[float, float, float]
    box: VoxelExtent
    mean_probability: float | None = None


def error_components(errors: Volume, *, probability: Volume | None = None) -> list[ErrorComponent]:
    """List the connected pieces (26-connected) of false positives and false negatives.

    Parameters
    ----------
    errors : Volume
        As `vesselseg.review.error_map.error_map` makes it.
    probability : Volume, optional
        Probability map on the same grid.

    Returns
    -------
    list of ErrorComponent
        What matters most first: pieces that are no mere boundary, by the length of vessel affected, then by volume.
    """
    x, y, z = errors.geometry.size
    return _sorted(_find(errors, probability, ((0, 0, 0), (x - 1, y - 1, z - 1))))


def update_components(
    components: Iterable[ErrorComponent], errors: Volume, changed: VoxelExtent, *, probability: Volume | None = None
) -> list[ErrorComponent]:
    """Bring a list up to date after an edit, looking only where the edit can have had an effect.

    Parameters
    ----------
    components : iterable of ErrorComponent
        As `error_components` listed them before the edit.
    errors : Volume
        The error map after it.
    changed : VoxelExtent
        Holds all voxels of the error map that the edit has changed.
    probability : Volume, optional
        As for `error_components`.

    Returns
    -------
    list of ErrorComponent
        The same as `error_components` returns for the whole map.
    """
    # A voxel has an influence on its neighbours: they may join a piece, or touch the agreement no more.
    near = _grown(changed, 1)
    kept, region = [], near
    for component in components:
        if _meet(component.box, near):
            region = _around(region, component.box)
        else:
            kept.append(component)
    # What begins inside the region and ends outside keeps away from the edit, and was kept.
    anew = [piece for piece in _find(errors, probability, region) if _meet(piece.box, near)]
    return _sorted(kept + anew)


def component_mask(
    errors: NDArray[Any], geometry: Geometry, component: ErrorComponent
) -> tuple[Box, NDArray[np.bool_]]:
    """Find the voxels of an error component.

    Parameters
    ----------
    errors : ndarray, shape (Z, Y, X)
        The error map: values of `ErrorKind`, 0 elsewhere.
    geometry : Geometry
        Its grid.
    component : ErrorComponent
        As `error_components` lists it.

    Returns
    -------
    box : tuple of slice
        Along z, y, x.
    mask : ndarray of bool
        Of the box's shape.

    Raises
    ------
    VesselSegError
        If the map no longer has it.
    """
    low, high = (np.array(corner[::-1]) for corner in component.box)
    z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(low, high))
    inside = errors[z, y, x] == component.kind
    ijk = np.linalg.inv(geometry.ijk_to_ras()) @ np.append(component.centre_ras, 1.0)
    k, j, i = (int(v) for v in np.rint(ijk[2::-1]) - low)
    fits = all(0 <= at < size for at, size in zip((k, j, i), inside.shape))
    if not fits or not inside[k, j, i]:
        raise VesselSegError(f"the error {component.component_id} is no longer there", "choose another")
    box, mask = box_of_voxels(connected_voxels(inside, (k, j, i)) + low)
    return box, mask


def components_csv(components: Iterable[ErrorComponent], *, wording: Wording = WITH_REFERENCE) -> str:
    """Return the list as the text of a CSV file.

    Its columns are the attributes of `ErrorComponent`, with the kind in words and the centre as ``r_mm``, ``a_mm`` and
    ``s_mm``.
    """
    columns = "kind voxels volume_mm3 r_mm a_mm s_mm id boundary radius_mm length_mm affected_mm boundary_share"
    rows: list[list[Any]] = [[*columns.split(), "mean_probability"]]
    for c in components:
        probability = "" if c.mean_probability is None else f"{c.mean_probability:.4f}"
        rows.append(
            [
                wording.title(c.kind),
                c.voxels,
                f"{c.volume_mm3:.3f}",
                *(f"{round(value, 2) + 0.0:.2f}" for value in c.centre_ras),  # 0.00, not -0.00
                c.component_id,
                "yes" if c.is_boundary else "no",
                *(f"{value:.3f}" for value in (c.radius_mm, c.length_mm, c.affected_mm, c.boundary_share)),
                probability,
            ]
        )
    return csv_text(rows)


def component_record(component: ErrorComponent, *, wording: Wording = WITH_REFERENCE) -> dict[str, Any]:
    """Return a component for a JSON file: its attributes, and its kind in words."""
    return {**dataclasses.asdict(component), "kind": wording.title(component.kind)}


def components_json(components: Iterable[ErrorComponent], *, count: int, wording: Wording = WITH_REFERENCE) -> str:
    """Return the list as the text of a JSON file.

    Parameters
    ----------
    components : iterable of ErrorComponent
    count : int
        How many there are; more than are listed where only the largest are.
    wording : Wording
        What the kinds are called.

    Returns
    -------
    str
        An object with ``count`` and ``components``, each with the attributes of `ErrorComponent`.
    """
    records = [component_record(component, wording=wording) for component in components]
    return json.dumps({"count": count, "components": records}, indent=1, ensure_ascii=False) + "\n"


def read_components_json(text: str) -> tuple[list[ErrorComponent], int]:
    """Return the components of a file that `components_json` wrote, and how many there were.

    Raises
    ------
    VesselSegError
        If it is no such file.
    """
    try:
        stored = json.loads(text)
        return [_component(record) for record in stored["components"]], int(stored["count"])
    except (ValueError, KeyError, TypeError) as error:
        raise VesselSegError("the list of errors cannot be read", "make it anew") from error


def _component(record: dict[str, Any]) -> ErrorComponent:
    kinds = {prefix: kind for kind, prefix in _ID_PREFIX.items()}
    first, last = (_triple(np.asarray(corner)) for corner in record["box"])
    r, a, s = (float(value) for value in record["centre_ras"])
    kind = kinds[record["component_id"].partition("-")[0]]
    return ErrorComponent(**{**record, "kind": kind, "box": (first, last), "centre_ras": (r, a, s)})


def _sorted(components: Iterable[ErrorComponent]) -> list[ErrorComponent]:
    return sorted(components, key=lambda c: (c.is_boundary, -c.affected_mm, -c.volume_mm3, c.component_id))


def _grown(box: VoxelExtent, margin: int) -> VoxelExtent:
    (a, b, c), (d, e, f) = box
    return (a - margin, b - margin, c - margin), (d + margin, e + margin, f + margin)


def _around(one: VoxelExtent, other: VoxelExtent) -> VoxelExtent:
    low, high = np.minimum(one[0], other[0]), np.maximum(one[1], other[1])
    return _triple(low), _triple(high)


def _meet(one: VoxelExtent, other: VoxelExtent) -> bool:
    return all(a <= d and c <= b for a, b, c, d in zip(one[0], one[1], other[0], other[1]))


def _triple(values: NDArray[np.int64]) -> tuple[int, int, int]:
    i, j, k = (int(value) for value in values)
    return i, j, k


def _find(errors: Volume, probability: Volume | None, region: VoxelExtent) -> list[ErrorComponent]:
    """List the pieces inside a box; those that it cuts are listed with the part inside."""
    low, high = (np.maximum(corner[::-1], 0) for corner in (region[0], np.add(region[1], 1)))
    found = find_error_voxels(errors, box_between(low, high))
    if found is None:
        return []
    radius = np.zeros(found.count)
    np.maximum.at(radius, found.pieces, found.depths())
    length, affected = error_lengths(found)
    sizes = np.bincount(found.pieces)
    rims = found.totals(found.touching)
    chances = None
    if probability is not None:
        chances = found.totals(probability.array[tuple(found.places.T)]) / sizes
    ijk = found.places[:, ::-1]
    order = np.argsort(found.pieces, kind="stable")
    ijk_to_ras, voxel_volume = errors.geometry.ijk_to_ras(), errors.geometry.voxel_volume
    components = []
    for number, members in enumerate(np.split(order, np.cumsum(sizes)[:-1])):
        voxels = ijk[members]
        centre = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
        x, y, z = (float(v) for v in ijk_to_ras[:3] @ np.append(centre, 1.0))
        kind = ErrorKind(int(found.kinds[members[0]]))
        i, j, k = voxels[0]
        components.append(
            ErrorComponent(
                component_id=f"{_ID_PREFIX[kind]}-{i}-{j}-{k}",
                kind=kind,
                is_boundary=bool(affected[number] == 0 and sizes[number] - rims[number] <= BUMP_SHARE * sizes[number]),
                voxels=int(sizes[number]),
                volume_mm3=float(sizes[number] * voxel_volume),
                radius_mm=_micrometres(radius[number]),
                length_mm=_micrometres(length[number]),
                affected_mm=_micrometres(affected[number]),
                boundary_share=float(rims[number] / sizes[number]),
                centre_ras=(x, y, z),
                box=(_triple(voxels.min(axis=0)), _triple(voxels.max(axis=0))),
                mean_probability=None if chances is None else float(chances[number]),
            )
        )
    return components


def _micrometres(value: float) -> float:
    """Round a length in mm, so that it is the same however it was added up."""
    return round(float(value), 6)

"""A first, coarse result, long before the brain is found and the network has seen every voxel."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box, whole_box
from vesselseg.engines import Engine, Plan, make_engine
from vesselseg.models import Manifest
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.postprocessing import threshold_probability
from vesselseg.prediction.inference import predict_probability
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.resampling import AxialView
from vesselseg.volume import Volume

#: How many times coarser the network sees the scan than it was trained at, along z, y, x. Measured on three heads: 2.5
#: along z takes a quarter less time than 2 and finds as much of the arteries wider than 2 mm (98 to 100 %); within the
#: slice it would lose up to 4 % of them.
_COARSER = (2.5, 2.0, 2.0)
#: Share of a plane that is brighter than air where the head is: ears, and what noise there is, fill less.
_MIN_SHARE = 0.02
#: Skin and skull in front, behind, on both sides and on top, in mm: at most places they are thicker.
_SKULL_MM = 8.0
#: Coarse voxels around a mask or a region that the network sees beside it.
_MARGIN = 8
#: What is smaller is mostly no vessel on so coarse a grid, in mm3.
_SMALLEST_MM3 = 20.0


def preview_label(
    scan: Volume,
    manifest: Manifest,
    plan: Plan,
    threshold: float,
    *,
    mask: NDArray[np.bool_] | None = None,
    region: Box | None = None,
    whole: bool = False,
    engine: Engine | None = None,
    progress: ProgressCallback = no_progress,
) -> Volume:
    """Find the large vessels of a scan in a second or two.

    The network sees the means of blocks of voxels, two to three times as large along each axis as what it was trained
    on. The thinnest arteries are lost and others look angular. Without a mask, what lies in the box around the head
    less skin and skull is shown: some vessels of the face and the scalp may be among it.

    Parameters
    ----------
    scan : Volume
        A TOF scan, any orientation, float32.
    manifest : Manifest
        Of the model.
    plan : Plan
        What it runs on. On a CPU that is faster in bfloat16, OpenVINO takes that instead of single precision.
    threshold : float
        Of the probability, in (0, 1].
    mask : ndarray of bool, shape (Z, Y, X), optional
        On the grid of the scan: vessels are shown there alone.
    region : tuple of slice, optional
        Of the scan, along z, y, x: vessels are shown there alone.
    whole : bool
        Whether vessels are looked for up to the borders of the scan where there is no mask.
    engine : Engine, optional
        That of the plan, where it is loaded already.
    progress : callable
        Told the share of the work done; may raise to stop it.

    Returns
    -------
    Volume
        uint8, 0 or 1, on a grid of its own: its axes are the scan's in axial order, its voxels blocks of the scan's,
        and it covers the scan, beyond whose far ends the last blocks may reach.

    Raises
    ------
    VesselSegError
        If the weights are missing, damaged or do not fit, or the scan cannot be normalised.
    vesselseg.engines.DeviceOutOfMemoryError
        If the memory of the device does not suffice.
    """
    from vesselseg.preprocessing import normalise

    view = AxialView.of(scan.geometry)
    turned = view.apply(scan)
    blocks = _block_sizes(turned.geometry.spacing_zyx, manifest.spacing_mm[::-1])
    z, y, x = (length * size for length, size in zip(turned.geometry.spacing_zyx, blocks))
    coarse = Volume(_block_means(turned.array, blocks), turned.geometry.resampled((x, y, z)))

    def coarsely(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return _block_means(view.turn(inside).astype(np.float32), blocks) > 0

    shown = None if mask is None else coarsely(mask)
    if region is not None:
        asked = np.zeros(scan.array.shape, dtype=bool)
        asked[region] = True
        shown = coarsely(asked) if shown is None else shown & coarsely(asked)
    label = np.zeros(coarse.array.shape, dtype=np.uint8)
    if shown is not None:
        box = bounding_box(shown, _MARGIN)
    elif whole:
        box = whole_box(label.shape)
    else:
        box = _brain_box(coarse)
    if box is None:
        return coarse.with_array(label)
    part = np.array(normalise(coarse.array, manifest.normalisation)[box])
    quick = _quick(plan)
    if engine is None or quick is not plan:
        engine = make_engine(quick, manifest)
    probability = predict_probability(engine, part, progress=progress)
    if shown is not None:
        probability[~shown[box]] = 0.0
    found = Volume(probability, coarse.geometry.cropped(box))
    label[box] = threshold_probability(found, threshold, _SMALLEST_MM3).array
    return coarse.with_array(label)


def _quick(plan: Plan) -> Plan:
    """Return the plan in bfloat16, if that is faster; what it changes is far less than what the blocks do."""
    if plan.engine != "openvino" or plan.precision != "f32":
        return plan
    from vesselseg.engines.bfloat16_speed import bfloat16_pays
    from vesselseg.engines.openvino_engine import computes_natively

    faster = computes_natively("bf16") and bfloat16_pays()
    return dataclasses.replace(plan, precision="bf16") if faster else plan


def _block_sizes(spacing: tuple[float, ...], trained: tuple[float, ...]) -> list[int]:
    """Return how many voxels along each axis make a block of the wished size, rather more."""
    return [max(1, math.ceil(coarser * wish / own - 0.25)) for coarser, own, wish in zip(_COARSER, spacing, trained)]


def _block_means(array: NDArray[np.float32], blocks: list[int]) -> NDArray[np.float32]:
    """Average blocks of voxels; at the far ends the last voxel is repeated until its block is full."""
    for axis, size in enumerate(blocks):
        before = (slice(None),) * axis
        total = array[(*before, slice(0, None, size))].astype(np.float32)
        for start in range(1, size):
            each = array[(*before, slice(start, None, size))]
            total[(*before, slice(0, each.shape[axis]))] += each
            if each.shape[axis] < total.shape[axis]:
                total[(*before, slice(-1, None))] += array[(*before, slice(-1, None))]
        total /= size
        array = total
    return array


def _brain_box(coarse: Volume) -> Box:
    """Return the box around the head, less skin and skull: all of the scan where that leaves nothing."""
    from vesselseg.preprocessing import foreground_threshold

    head = coarse.array > foreground_threshold(coarse.array)
    box = []
    for axis, spacing in enumerate(coarse.geometry.spacing_zyx):
        filled = np.flatnonzero(head.mean(axis=tuple(other for other in range(3) if other != axis)) > _MIN_SHARE)
        skull = int(_SKULL_MM / spacing)
        # The neck goes on below: there is no skull to leave out.
        first, end = (filled[0], filled[-1] + 1) if filled.size else (0, head.shape[axis])
        first, end = int(first) + (skull if axis else 0), int(end) - skull
        box.append(slice(first, end) if end - first > skull else slice(0, head.shape[axis]))
    return box[0], box[1], box[2]

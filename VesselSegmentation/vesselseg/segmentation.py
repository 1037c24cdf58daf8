"""The main job: a scan goes in, the probability and the label of its vessels come out."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.models import Manifest, find_model, load_network
from vesselseg.postprocessing import bounding_box, check_threshold, threshold_probability
from vesselseg.progress import ProgressCallback, no_progress, stage
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")

#: Voxels around the brain that the network sees beside it.
_MARGIN = 16
#: Limits of what can be a TOF scan of a head.
_MAX_SPACING_MM, _MIN_SPACING_MM, _MAX_EXTENT_MM, _MIN_VOXELS = 5.0, 0.05, 1000.0, 4


@dataclass(frozen=True)
class SegmentationRun:
    """What ran, and what came of it, for the status line, the log and the report.

    Parameters
    ----------
    model : str
        Name of the model.
    model_sha256 : str
        Sum of its weights.
    device, device_name : str
        Device as torch names it, and its product name.
    precision : str
        In which the network was computed.
    seconds : float
        From the scan to the label, without reading and writing.
    threshold, min_component_mm3 : float
        What made the label.
    brain_mask : str
        "auto", "none" or "given".
    vessel_voxels : int
        Of the label.
    vessel_ml : float
        Its volume, in ml.
    notes : list of str
        What was done differently from what was asked, and why.
    """

    model: str
    model_sha256: str
    device: str
    device_name: str
    precision: str
    seconds: float
    threshold: float
    min_component_mm3: float
    brain_mask: str
    vessel_voxels: int
    vessel_ml: float
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return the fields as a dictionary that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Segmentation:
    """Result of `segment`.

    Parameters
    ----------
    probability : Volume
        float32 in [0, 1], on the grid of the scan; 0 outside the brain mask.
    label : Volume
        uint8, 0 or 1, on the grid of the scan.
    run : SegmentationRun
        What ran.
    """

    probability: Volume
    label: Volume
    run: SegmentationRun


def check_scan(scan: Volume) -> None:
    """Refuse what cannot be a TOF scan of a head.

    Raises
    ------
    VesselSegError
        If it has too few voxels along an axis, an impossible spacing, values that are not numbers, or no contrast.
    """
    geometry = scan.geometry
    if min(geometry.size) < _MIN_VOXELS:
        x, y, z = geometry.size
        raise VesselSegError(f"the scan has only {x} x {y} x {z} voxels", "a three-dimensional TOF scan is needed")
    spacing = " x ".join(f"{value:g}" for value in geometry.spacing)
    if not all(_MIN_SPACING_MM <= value <= _MAX_SPACING_MM for value in geometry.spacing):
        raise VesselSegError(f"the voxels of the scan measure {spacing} mm", "correct the spacing in its header")
    if max(n * s for n, s in zip(geometry.size, geometry.spacing)) > _MAX_EXTENT_MM:
        raise VesselSegError(
            f"the scan would be larger than {_MAX_EXTENT_MM / 1000:g} m, with voxels of {spacing} mm",
            "correct the spacing in its header",
        )
    # One pass finds what is not a number and a scan without contrast.
    low, high = float(scan.array.min()), float(scan.array.max())
    if not np.isfinite([low, high]).all():
        count = int(np.count_nonzero(~np.isfinite(scan.array)))
        raise VesselSegError(f"{count} voxels of the scan are not numbers", "replace them, for example by 0")
    if low == high:
        raise VesselSegError(f"every voxel of the scan is {low:g}", "check that it is the right file, exported whole")


def segment(
    scan: Volume,
    *,
    model: str = "",
    threshold: float | None = None,
    min_component_mm3: float | None = None,
    brain_mask: str | Volume = "auto",
    device: str = "auto",
    progress: ProgressCallback = no_progress,
) -> Segmentation:
    """Segment the vessels of a TOF scan.

    Parameters
    ----------
    scan : Volume
        TOF-MRA of a head, any orientation, float32.
    model : str
        Name of the model; empty for the default.
    threshold : float, optional
        Of the probability, in (0, 1]; the default is the model's.
    min_component_mm3 : float, optional
        Smallest piece that is kept, in mm3; the default is the model's.
    brain_mask : {"auto", "none"} or Volume
        "auto" finds the brain and dilates its mask by `vesselseg.brain_mask.DILATION_MM`; "none" segments the whole
        scan; a mask on the grid of the scan is taken as it is.
    device : str
        See `vesselseg.devices.choose_device`.
    progress : callable
        Told the share of the work done.

    Returns
    -------
    Segmentation

    Raises
    ------
    VesselSegError
        If the scan, the model, the mask or the device cannot be used.
    """
    from vesselseg.devices import choose_device

    started = time.perf_counter()
    check_scan(scan)
    manifest = find_model(model)
    threshold = manifest.threshold if threshold is None else threshold
    min_component_mm3 = manifest.min_component_mm3 if min_component_mm3 is None else min_component_mm3
    check_threshold(threshold, min_component_mm3)
    chosen = choose_device(device)
    logger.info("model %s on %s", manifest.name, chosen)
    mask = _resolve_mask(scan, brain_mask, stage(progress, 0.0, 0.15))
    start = 0.0 if mask is None else 0.15
    notes: list[str] = []
    probability, ran_on, precision = _probability(
        scan, mask, manifest, chosen.name, notes, stage(progress, start, 0.97)
    )
    progress(0.97, "threshold and components")
    label = threshold_probability(probability, threshold, min_component_mm3)
    voxels = int(np.count_nonzero(label.array))
    run = SegmentationRun(
        model=manifest.name,
        model_sha256=manifest.sha256,
        device=ran_on,
        device_name=chosen.label if ran_on == chosen.name else choose_device(ran_on).label,
        precision=precision,
        seconds=round(time.perf_counter() - started, 2),
        threshold=threshold,
        min_component_mm3=min_component_mm3,
        brain_mask=brain_mask if isinstance(brain_mask, str) else "given",
        vessel_voxels=voxels,
        vessel_ml=round(voxels * scan.geometry.voxel_volume / 1000, 3),
        notes=notes,
    )
    progress(1.0, "done")
    return Segmentation(probability, label, run)


def _resolve_mask(scan: Volume, wish: str | Volume, progress: ProgressCallback) -> NDArray[np.bool_] | None:
    if isinstance(wish, Volume):
        if not wish.geometry.same_grid(scan.geometry):
            raise VesselSegError("the brain mask does not lie on the grid of the scan", "resample it to the scan")
        if not wish.array.any():
            raise VesselSegError("the brain mask is empty", "give another one, or none")
        return wish.array != 0
    if wish == "none":
        return None
    if wish != "auto":
        raise VesselSegError(f"unknown brain mask '{wish}'", "choose auto, none or the path of a mask")
    # Imported here: brain extraction brings packages that the other choices do not need.
    from vesselseg import brain_mask as extraction

    progress(0.0, "brain mask")
    return extraction.dilated(extraction.brain_mask(scan)).array != 0


def _probability(
    scan: Volume,
    mask: NDArray[np.bool_] | None,
    manifest: Manifest,
    device: str,
    notes: list[str],
    progress: ProgressCallback,
) -> tuple[Volume, str, str]:
    """Run the model in the brain's box; return the probability on the scan's grid, the device and the precision."""
    from vesselseg.inference import DeviceOutOfMemoryError, default_precision, predict_probability
    from vesselseg.preprocessing import normalise
    from vesselseg.resampling import AxialView, network_spacing, resample

    network = load_network(manifest)
    view = AxialView.of(scan.geometry)
    whole = view.apply(scan)
    box = bounding_box(view.turn(mask), _MARGIN) if mask is not None else None
    if box is None:
        z, y, x = whole.array.shape
        box = slice(0, z), slice(0, y), slice(0, x)
    part = Volume(normalise(whole.array, manifest.normalisation)[box], whole.geometry.cropped(box))
    spacing = network_spacing(part.geometry.spacing, manifest.spacing_mm, manifest.spacing_tolerance)
    resampled = spacing != part.geometry.spacing
    if resampled:
        notes.append("resampled to " + " x ".join(f"{value:g}" for value in spacing) + " mm for the network")
        logger.info("%s", notes[-1])
    seen = resample(part, part.geometry.resampled(spacing)) if resampled else part
    array = np.ascontiguousarray(seen.array)
    try:
        precision = default_precision(device)
        values = predict_probability(network, array, device=device, precision=precision, progress=progress)
    except DeviceOutOfMemoryError:
        if device == "cpu":
            raise VesselSegError(
                "the memory does not suffice even for small tiles", "close other programs, or use a smaller model"
            ) from None
        notes.append(f"{device} had too little free memory even for small tiles: the CPU was used instead")
        logger.warning("%s", notes[-1])
        device, precision = "cpu", default_precision("cpu")
        values = predict_probability(network, array, device=device, precision=precision, progress=progress)
    if resampled:
        values = np.clip(resample(seen.with_array(values), part.geometry).array, 0.0, 1.0)
    probability = np.zeros(scan.array.shape, dtype=np.float32)
    view.turn(probability)[box] = values
    if mask is not None:
        probability[~mask] = 0.0
    return scan.with_array(probability), device, precision

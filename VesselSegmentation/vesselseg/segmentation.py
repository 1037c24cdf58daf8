"""The main job: a scan goes in, the probability and the label of its vessels come out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box
from vesselseg.engines import DeviceFailedError, DeviceOutOfMemoryError, Engine, Plan, make_engine, plan_run
from vesselseg.errors import Cancelled, VesselSegError
from vesselseg.formats.nifti_io import no_numbers
from vesselseg.models import Manifest, find_model
from vesselseg.postprocessing import check_threshold, threshold_probability
from vesselseg.prediction.inference import NetworkEffort, NoNumbersError, predict_probability
from vesselseg.prediction.preparation import PreparedScan, on_scan, prepare_scan
from vesselseg.prediction.preview import preview_label
from vesselseg.progress import ProgressCallback, no_progress, stage
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")

#: CT gives air -1000, and a scan of a head is air to a good part.
_AIR_OF_CT, _SHARE_OF_AIR = -500, 0.01
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
    engine : str
        What computed the network: "openvino", "onnx" or "torch".
    precision : str
        In which it was computed: "f32", "bf16", "f16" or "int8".
    seconds : float
        From the scan to the label, without reading and writing.
    threshold, min_component_mm3 : float
        What made the label.
    brain_mask : str
        "auto", "none" or "given".
    network_seconds, network_voxels : float, int
        How long the network alone took, and how many voxels it was given, see
        `vesselseg.prediction.inference.NetworkEffort`.
    vessel_voxels : int
        Of the label.
    vessel_ml : float
        Its volume, in ml.
    region : list of int or None
        x0, x1, y0, y1, z0, z1 of the only voxels that were segmented, without the upper ends; None for the whole scan.
    notes : list of str
        What was done differently from what was asked, and why.
    """

    model: str
    model_sha256: str
    device: str
    device_name: str
    engine: str
    precision: str
    seconds: float
    threshold: float
    min_component_mm3: float
    brain_mask: str
    network_seconds: float
    network_voxels: int
    vessel_voxels: int
    vessel_ml: float
    region: list[int] | None = None
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
        advice = "a three-dimensional TOF scan is needed"
        if 1 in geometry.size:
            advice += ": of a series of single slices, give the folder of the series"
        raise VesselSegError(f"the scan has only {x} x {y} x {z} voxels", advice)
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
        raise no_numbers(count, "the scan")
    if low == high:
        raise VesselSegError(f"every voxel of the scan is {low:g}", "check that it is the right file, exported whole")


def segment(
    scan: Volume | Callable[[], Volume],
    *,
    model: str | Manifest = "",
    threshold: float | None = None,
    min_component_mm3: float | None = None,
    brain_mask: str | Volume | Callable[[], Volume] = "auto",
    device: str = "auto",
    engine: str = "auto",
    precision: str = "auto",
    region: Sequence[int] | None = None,
    preview: Callable[[Volume], None] | None = None,
    progress: ProgressCallback = no_progress,
) -> Segmentation:
    """Segment the vessels of a TOF scan.

    Parameters
    ----------
    scan : Volume or callable
        TOF-MRA of a head, any orientation, float32; or what reads it: while it reads, the model is loaded, and where
        nobody else holds the scan, its memory is free while the network runs.
    model : str or Manifest
        Name of the model; empty for the default.
    threshold : float, optional
        Of the probability, in (0, 1]; the default is the model's.
    min_component_mm3 : float, optional
        Smallest piece that is kept, in mm3; the default is the model's.
    brain_mask : {"auto", "none"}, Volume or callable
        "auto" finds the brain and dilates its mask by `vesselseg.brain_mask.DILATION_MM`; "none" segments the whole
        scan; a mask on the grid of the scan, or what reads it, is taken as it is.
    device : str
        See `vesselseg.devices.choose_device`.
    engine, precision : str
        See `vesselseg.engines.plan_run`; the defaults are the fastest that leave the result what it is.
    region : sequence of int, optional
        x0, x1, y0, y1, z0, z1: only the voxels (x, y, z) of the scan with x0 <= x < x1 and so on are segmented. There
        the probability is what it is for the whole scan (of a three-dimensional network, to a few hundredths next to
        the faces of the region); elsewhere it is 0.
    preview : callable, optional
        Given a coarse label once, before the brain is looked for: uint8, on a coarser grid of its own, see
        `vesselseg.prediction.preview.preview_label`. The result is the same with and without it. Should the preview
        fail, or what is done with it, that is logged and noted, and the work goes on.
    progress : callable
        Told the share of the work done.

    Returns
    -------
    Segmentation

    Raises
    ------
    VesselSegError
        If the scan, the model, the mask, the region, the device, the engine or the precision cannot be used, or they
        do not go together.
    """
    manifest = find_model(model) if isinstance(model, str) else model
    threshold = manifest.threshold if threshold is None else threshold
    min_component_mm3 = manifest.min_component_mm3 if min_component_mm3 is None else min_component_mm3
    check_threshold(threshold, min_component_mm3)
    notes: list[str] = []
    with ThreadPoolExecutor(1) as beside:  # where the model is loaded while the scan is read and prepared
        planned = beside.submit(plan_run, manifest, device=device, engine=engine, precision=precision)
        loading = beside.submit(_load, planned, manifest)
        volume = scan() if callable(scan) else scan
        wish = brain_mask() if callable(brain_mask) else brain_mask
        del scan
        started = time.perf_counter()
        check_scan(volume)
        _warn_of_ct(volume, notes)
        within = _region_box(volume, region)
        plan = planned.result()
        logger.info("model %s on %s by %s in %s", manifest.name, plan.device, plan.engine, plan.precision)
        for note in plan.notes:
            logger.warning("%s", note)
        # What is given or needs no search comes first, as the preview takes it into account.
        mask = None if wish == "auto" else _resolve_mask(volume, wish, progress)
        if preview is not None:

            def still_making_it(_share: float, _part: str) -> None:
                progress(0.0, "preview")  # where it can be cancelled; the share of the whole work does not grow by it

            progress(0.0, "preview")
            make = partial(preview_label, mask=mask, region=within, whole=wish == "none", progress=still_making_it)
            _show_preview(preview, partial(make, volume, manifest, plan, threshold, engine=loading.result()), notes)
        if wish == "auto":
            loading.result()  # whatever is wrong with the model is told before a search that takes seconds
            mask = _resolve_mask(volume, wish, stage(progress, 0.0, 0.15))
        if mask is not None and within is not None and not mask[within].any():
            raise VesselSegError("there is no brain in the region", "choose another region, or the brain mask none")
        geometry = volume.geometry
        prepared = prepare_scan(volume, mask, within, manifest, notes)
        # Its voxels are not needed any more: a caller that does not hold them either has their memory free for the
        # network.
        del volume
    effort = NetworkEffort()
    network_progress = stage(progress, 0.0 if mask is None else 0.15, 0.97)
    plan_again = partial(plan_run, manifest, engine=engine)
    values, plan = _predict(
        prepared, manifest, plan, loading.result(), plan_again, precision, notes, effort, network_progress
    )
    del loading  # and with it the memory of the engine
    probability = on_scan(values, prepared, geometry, mask, within)
    progress(0.97, "threshold and components")
    label = threshold_probability(probability, threshold, min_component_mm3, within)
    voxels = int(np.count_nonzero(label.array))
    run = SegmentationRun(
        model=manifest.name,
        model_sha256=manifest.sha256,
        device=plan.device.name,
        device_name=plan.device.label,
        engine=plan.engine,
        precision=plan.precision,
        seconds=round(time.perf_counter() - started, 2),
        threshold=threshold,
        min_component_mm3=min_component_mm3,
        brain_mask=wish if isinstance(wish, str) else "given",
        network_seconds=round(effort.seconds, 3),
        network_voxels=effort.voxels,
        vessel_voxels=voxels,
        vessel_ml=round(voxels * geometry.voxel_volume / 1000, 3),
        region=None if region is None else [int(value) for value in region],
        notes=[*notes, *plan.notes],
    )
    progress(1.0, "done")
    return Segmentation(probability, label, run)


def _load(planned: Future[Plan], manifest: Manifest) -> Engine | None:
    """Load a model into the engine of its plan; None where its device fails or has not even memory for the model."""
    try:
        engine = make_engine(planned.result(), manifest)
    except (DeviceFailedError, DeviceOutOfMemoryError):
        return None
    engine.prepare()
    return engine


def _show_preview(preview: Callable[[Volume], None], make: Callable[[], Volume], notes: list[str]) -> None:
    """Make the preview and hand it on; note why it could not be done."""
    try:
        preview(make())
    except Cancelled:
        raise
    except Exception as error:  # whatever it is, the result does not need it
        notes.append(f"there is no preview: {str(error) or type(error).__name__}")
        logger.warning("%s", notes[-1])
        logger.debug("the preview failed", exc_info=True)


def _warn_of_ct(scan: Volume, notes: list[str]) -> None:
    """Note that a scan is as dark as the air of CT: voxels of MR are not, or but for ringing."""
    if np.count_nonzero(scan.array < _AIR_OF_CT) > _SHARE_OF_AIR * scan.array.size:
        notes.append("the scan seems to be CT, or in its units: the models are made for TOF-MRA")
        logger.warning("%s", notes[-1])


def _region_box(scan: Volume, region: Sequence[int] | None) -> Box | None:
    """Return a region of the scan as slices along z, y, x."""
    if region is None:
        return None
    size = scan.geometry.size
    shown = " ".join(str(value) for value in region)
    if len(region) != 6 or not all(0 <= region[2 * i] < region[2 * i + 1] <= size[i] for i in range(3)):
        raise VesselSegError(
            f"the region {shown} is not a box within the {size[0]} x {size[1]} x {size[2]} voxels of the scan",
            "give the first voxel and the one after the last along x, y and z",
        )
    x0, x1, y0, y1, z0, z1 = region
    return slice(z0, z1), slice(y0, y1), slice(x0, x1)


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


def _predict(
    prepared: PreparedScan, manifest: Manifest, plan: Plan, engine: Engine | None, plan_again: Callable[..., Plan],
    precision: str, notes: list[str], effort: NetworkEffort, progress: ProgressCallback,
) -> tuple[NDArray[np.float32], Plan]:  # fmt: skip
    """Run the model; return the probability on the network's grid, and on what it ran."""
    while True:
        try:
            values = predict_probability(
                engine or make_engine(plan, manifest),
                prepared.seen.array,
                mask=prepared.wanted,
                region=prepared.region,
                progress=progress,
                effort=effort,
            )
            return values, plan
        except (DeviceFailedError, DeviceOutOfMemoryError) as error:
            if plan.device.name == "cpu":
                raise VesselSegError(
                    "the memory does not suffice even for small tiles", "close other programs, or use a smaller model"
                ) from None
            short = isinstance(error, DeviceOutOfMemoryError)
            why = "had too little free memory even for small tiles" if short else f"failed ({error})"
            notes.append(f"{plan.device.name} {why}: the CPU was used instead")
            # Another precision than f32 may be one that only the GPU has.
            plan = plan_again(device="cpu", precision=precision if precision == "f32" else "auto")
        except NoNumbersError:
            if plan.precision == "f32":
                raise VesselSegError(
                    f"the model '{manifest.name}' gives values that are no numbers", "use another model"
                ) from None
            notes.append(f"{plan.precision} does not hold the features of this model: f32 was used instead")
            precision = "f32"
            plan = plan_again(device=plan.device.name, precision=precision)
        logger.warning("%s", notes[-1])
        engine = None

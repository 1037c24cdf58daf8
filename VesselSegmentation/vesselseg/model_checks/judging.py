"""Judging models and baselines on the same scans: drawn ones with an exact truth, real ones with a rough label."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vesselseg.baselines import find_baseline
from vesselseg.case_folder import LABEL, MASK, RADIUS, SCAN, read_sure_label
from vesselseg.case_matching import subject_of
from vesselseg.engines import plan_run
from vesselseg.errors import VesselSegError, error_of_cases
from vesselseg.image_io import UNSURE, read_label, read_volume
from vesselseg.models import find_model
from vesselseg.progress import ProgressCallback, no_progress, stage
from vesselseg.resampling import AxialView
from vesselseg.volume import Volume

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class DrawnCase:
    """A scan with an exact truth.

    Parameters
    ----------
    name : str
    scan : Volume
    truth : Volume
        1 vessel, 0 none, `vesselseg.image_io.UNSURE` not counted.
    brain : Volume or None
        Mask of the brain, not dilated; None to look everywhere.
    radius : Volume or None
        True radius of the vessels at the voxels of the truth, in mm.
    description : dict
        How it came about.
    """

    name: str
    scan: Volume
    truth: Volume
    brain: Volume | None
    radius: Volume | None
    description: dict[str, Any]


@dataclass(frozen=True)
class RealCase:
    """A real scan with a rough label.

    Parameters
    ----------
    name : str
    scan, truth, brain : Volume
        The last is the mask of the brain, not dilated.
    """

    name: str
    scan: Volume
    truth: Volume
    brain: Volume


@dataclass(frozen=True)
class CaseReader:
    """Reads a case when its turn comes.

    Parameters
    ----------
    name : str
        What the case is called where it cannot be read.
    read : callable
        Returns the case.
    """

    name: str
    read: Callable[[], DrawnCase | RealCase]


@dataclass(frozen=True)
class Measurement:
    """What one method reached on one case.

    Parameters
    ----------
    method : str
    case : str
    is_real : bool
    description : dict
        Of a drawn case.
    values : dict of str to float
        Of `vesselseg.metrics.evaluate` and ``pieces`` for a drawn case, of
        `vesselseg.model_checks.rough_reference.judge_on_real_scan` for a real one.
    """

    method: str
    case: str
    is_real: bool
    description: dict[str, Any]
    values: dict[str, float]


class Method(Protocol):
    """Something that segments, to be judged."""

    @property
    def title(self) -> str:
        """What it is called in the tables."""

    def describe(self) -> dict[str, Any]:
        """Return what identifies it."""

    def segment(self, case: DrawnCase | RealCase, inside: BoolArray, progress: ProgressCallback) -> BoolArray:
        """Return the label of a case, shape (Z, Y, X); `inside` is where it will be counted."""


class ModelMethod:
    """Segments with a model as ``vesselseg segment`` does by default, inside the mask of the case.

    Parameters
    ----------
    name : str
        Of the model, or its manifest.
    device, precision : str
        As `vesselseg.segmentation.segment` takes them.
    """

    def __init__(self, name: str, device: str = "auto", precision: str = "auto") -> None:
        self.manifest, self._device, self._precision = find_model(name), device, precision
        plan_run(self.manifest, device=device, precision=precision)  # what cannot be is told before long work
        self._name = name
        self.title = self.manifest.name
        self._ran_in: set[str] = set()

    def describe(self) -> dict[str, Any]:
        """Return name, sum of the weights, what makes the label, and the precisions in which cases were computed."""
        manifest = self.manifest
        return {
            "title": self.title,
            "sha256": manifest.sha256,
            "threshold": manifest.threshold,
            "min_component_mm3": manifest.min_component_mm3,
            "precisions": sorted(self._ran_in),
        }

    def segment(self, case: DrawnCase | RealCase, inside: BoolArray, progress: ProgressCallback) -> BoolArray:
        """Return the label of a case."""
        from vesselseg.brain_mask import dilated
        from vesselseg.segmentation import segment

        mask = "none" if case.brain is None else dilated(case.brain)
        done = segment(
            case.scan, model=self._name, brain_mask=mask, device=self._device, precision=self._precision,
            progress=progress,
        )  # fmt: skip
        # "auto", and a device without memory, decide on it only now.
        self._ran_in.add(done.run.precision)
        return np.asarray(done.label.array != 0)


class BaselineMethod:
    """Segments with a baseline."""

    def __init__(self, name: str) -> None:
        self.baseline = find_baseline(name)
        self.title = self.baseline.title + ("*" if self.baseline.picks_on_truth else "")

    def describe(self) -> dict[str, Any]:
        """Return name and whether it knows the truth."""
        return {"title": self.title, "picks_on_truth": self.baseline.picks_on_truth}

    def segment(self, case: DrawnCase | RealCase, inside: BoolArray, progress: ProgressCallback) -> BoolArray:
        """Return the label of a case."""
        return self.baseline.segment(case.scan, inside, case.truth.array)


def drawn_case_folders(folder: Path) -> list[Path]:
    """Return the subfolders that hold ``tof.nii.gz`` and ``label.nii.gz``.

    Raises
    ------
    VesselSegError
        If there are none.
    """
    found = [path.parent for path in sorted(folder.glob(f"*/{LABEL}")) if (path.parent / SCAN).is_file()]
    if not found:
        raise VesselSegError(
            f"{folder} has no subfolders with {SCAN} and {LABEL}", "give a folder as 'synthesize' writes it"
        )
    return found


def read_drawn_case(folder: Path, *, brain_mask: str = "auto") -> DrawnCase:
    """Read a case as ``vesselseg synthesize`` writes it.

    Parameters
    ----------
    folder : pathlib.Path
        With ``tof.nii.gz``, ``label.nii.gz`` and, where there are any, ``radius.nii.gz``, ``mask.nii.gz`` and
        ``description.json``.
    brain_mask : {"auto", "none"}
        "auto" takes ``mask.nii.gz``, else finds the brain; "none" looks everywhere.

    Raises
    ------
    VesselSegError
        If a file cannot be read, the label is none, or if they do not lie on one grid.
    """
    scan, label = read_volume(folder / SCAN), read_sure_label(folder / LABEL)
    radius = read_volume(folder / RADIUS) if (folder / RADIUS).is_file() else None
    brain = _brain(scan, folder / MASK, brain_mask)
    for other in (label, radius, brain):
        if other is not None and not other.geometry.same_grid(scan.geometry):
            raise VesselSegError(f"the images in {folder} do not lie on one grid", "draw the case again")
    return DrawnCase(folder.name, scan, scan.with_array(label.array), brain, radius, _description(folder))


def _description(folder: Path) -> dict[str, Any]:
    path = folder / "description.json"
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VesselSegError(f"{path} cannot be read", "remove it, or draw the case again") from error
    return values if isinstance(values, dict) else {}


def _brain(scan: Volume, path: Path | None, wish: str) -> Volume | None:
    if wish == "none":
        return None
    if path is not None and path.is_file():
        return read_label(path)
    from vesselseg.brain_mask import brain_mask

    return brain_mask(scan)


def read_real_case(scan: Path, label: Path, mask: Path | None = None) -> RealCase:
    """Read a real scan with a rough label; without a mask, the brain is found.

    Raises
    ------
    VesselSegError
        If a file cannot be read, or if they do not lie on one grid.
    """
    image, truth = read_volume(scan), read_label(label)
    if mask is None:
        from vesselseg.brain_mask import brain_mask

        brain = brain_mask(image)
    else:
        brain = read_label(mask)
    for path, other in ((label, truth), (mask, brain)):
        if not other.geometry.same_grid(image.geometry):
            raise VesselSegError(f"{path} does not lie on the grid of {scan}", "resample it to the scan")
    return RealCase(subject_of(scan), *(_axial(each) for each in (image, truth, brain)))


def _axial(volume: Volume) -> Volume:
    """Return an image with its third axis along the patient's: sinuses are looked for by where they lie."""
    view = AxialView.of(volume.geometry)
    if view.order == (0, 1, 2):
        return volume
    turned = view.apply(volume)
    return turned.with_array(np.ascontiguousarray(turned.array))


def region_of(case: DrawnCase | RealCase) -> BoolArray:
    """Return where a case is counted: the brain dilated by 2 mm, so that the circle of Willis lies inside."""
    from vesselseg.brain_mask import dilated
    from vesselseg.model_checks.rough_reference import BRAIN_MARGIN_MM

    if case.brain is None:
        return np.ones(case.scan.array.shape, bool)
    return np.asarray(dilated(case.brain, BRAIN_MARGIN_MM).array != 0)


def measure(case: DrawnCase | RealCase, found: BoolArray, inside: BoolArray) -> dict[str, float]:
    """Measure a segmentation of a case.

    Parameters
    ----------
    case : DrawnCase or RealCase
    found : ndarray of bool, shape (Z, Y, X)
    inside : ndarray of bool, shape (Z, Y, X)
        As `region_of` gives it.

    Returns
    -------
    dict of str to float
        See `Measurement`.
    """
    from vesselseg.metrics import evaluate
    from vesselseg.model_checks.rough_reference import judge_on_real_scan
    from vesselseg.morphology.label_voxels import pieces

    label = case.scan.with_array(found.astype(np.uint8))
    if isinstance(case, RealCase):
        return judge_on_real_scan(case.scan, label, case.truth, case.brain)
    sure = case.truth.array != UNSURE
    values = evaluate(
        label,
        case.truth.with_array((case.truth.array == 1).astype(np.uint8)),
        mask=case.scan.with_array(inside.astype(np.uint8)),
        unsure=case.scan.with_array((~sure).astype(np.uint8)),
        radius=case.radius,
    )
    numbers, _count = pieces(found & inside)
    values["pieces"] = int(np.count_nonzero(np.unique(numbers[sure])))
    return values


def judge(
    readers: Sequence[CaseReader], methods: Sequence[Method], *, progress: ProgressCallback = no_progress
) -> tuple[list[Measurement], dict[str, VesselSegError]]:
    """Measure every method on every case.

    Parameters
    ----------
    readers : sequence of CaseReader
        One case at a time is held in memory.
    methods : sequence of Method
    progress : callable
        Told the share of the work done.

    Returns
    -------
    measurements : list of Measurement
        Case by case.
    errors : dict of str to VesselSegError
        Why cases could not be measured. Of these there is no measurement, so that means are over the same cases for all
        methods.

    Raises
    ------
    VesselSegError
        If no case could be measured.
    """
    result: list[Measurement] = []
    errors: dict[str, VesselSegError] = {}
    for number, reader in enumerate(readers):
        part = stage(progress, number / len(readers), (number + 1) / len(readers))
        part(0.0, f"{reader.name}: reading")
        try:
            result += _measured(reader.read(), methods, part)
        except VesselSegError as error:
            # Hours of work on the others are not lost.
            errors[reader.name] = error
    if errors and not result:
        raise error_of_cases(errors, len(readers), "measured")
    progress(1.0, "done")
    return result, errors


def _measured(
    case: DrawnCase | RealCase, methods: Sequence[Method], progress: ProgressCallback
) -> Iterator[Measurement]:
    inside = region_of(case)
    for place, method in enumerate(methods):
        part = stage(progress, place / len(methods), (place + 1) / len(methods))
        part(0.0, f"{case.name}: {method.title}")
        found = method.segment(case, inside, stage(part, 0.0, 0.8))
        yield Measurement(
            method.title,
            case.name,
            isinstance(case, RealCase),
            case.description if isinstance(case, DrawnCase) else {},
            measure(case, found, inside),
        )

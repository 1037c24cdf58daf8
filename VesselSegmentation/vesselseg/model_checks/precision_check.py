"""Measuring what a low precision changes, so that a model is computed in it only where nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vesselseg
from vesselseg.errors import VesselSegError
from vesselseg.models.manifest import Manifest, PrecisionCheck, changed_manifest
from vesselseg.progress import ProgressCallback, no_progress, stage

#: Key of `vesselseg.metrics.evaluate`: the share of the small arteries' centreline that was found.
_SMALL = "sensitivity_small"


def check_precisions(
    manifest: Manifest,
    folders: Sequence[Path],
    *,
    progress: ProgressCallback = no_progress,
) -> dict[str, PrecisionCheck]:
    """Segment drawn scans in single precision and in the low ones, and compare.

    bfloat16 is measured where the CPU computes in it, int8 where the model has such a form.

    Parameters
    ----------
    manifest : Manifest
        Of the model; its file has to be one that `write_checks` can write to.
    folders : sequence of pathlib.Path
        Of the cases, as `vesselseg.model_checks.judging.read_drawn_case` reads them.
    progress : callable
        Told the share of the work done.

    Returns
    -------
    dict of PrecisionCheck
        "bf16", "int8" or both.

    Raises
    ------
    VesselSegError
        If the file of the manifest cannot be written, there is no low precision to be measured, a case cannot be read,
        or no case has small arteries.
    """
    from vesselseg.engines.choice import floats_of_int8
    from vesselseg.output_files import check_output

    if manifest.path is None:
        raise ValueError("this manifest was not read from a file")
    check_output(manifest.path, overwrite=True)  # before hours of work whose numbers could not be kept
    # Without what was measured before: numbers that were bad must not keep it from being measured again.
    model = replace(manifest, precisions={})
    precisions = _low_precisions(model)
    comparison = _Comparison(folders)
    comparison.measure(model, "f32", stage(progress, 0.0, 1 / (1 + len(precisions))))
    if np.isnan(comparison.small["f32"]).all():
        raise VesselSegError("none of the cases has small arteries", "give cases as 'vesselseg synthesize' writes them")
    checks: dict[str, PrecisionCheck] = {}
    for place, precision in enumerate(precisions, start=1):
        # What int8 leaves out is computed in bfloat16 only if that passes.
        model = replace(manifest, precisions=dict(checks))
        part = stage(progress, place / (1 + len(precisions)), (place + 1) / (1 + len(precisions)))
        comparison.measure(model, precision, part)
        checks[precision] = PrecisionCheck(
            dice_to_f32=round(float(np.mean(comparison.dice[precision])), 5),
            small_sensitivity_change=round(
                float(np.nanmean(comparison.small[precision]) - np.nanmean(comparison.small["f32"])), 5
            ),
            scans=len(folders),
            model_sha256=manifest.sha256,
            versions={**_versions(), **({"beside_int8": floats_of_int8(model)} if precision == "int8" else {})},
        )
    return checks


class _Comparison:
    """Labels of the cases in single precision, and how those in others compare to them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._exact: list[NDArray[np.uint8]] = []
        #: Dice to single precision, and the share of the small arteries that was found, for each case.
        self.dice: dict[str, list[float]] = {}
        self.small: dict[str, list[float]] = {}

    def measure(self, model: Manifest, precision: str, progress: ProgressCallback) -> None:
        """Segment the cases in a precision; single precision has to come first."""
        from vesselseg.brain_mask import dilated
        from vesselseg.model_checks.judging import measure, read_drawn_case, region_of
        from vesselseg.segmentation import segment

        self.dice[precision], self.small[precision] = [], []
        for number, folder in enumerate(self._folders):
            case = read_drawn_case(folder)
            part = stage(progress, number / len(self._folders), (number + 1) / len(self._folders))
            part(0.0, f"{case.name}: {precision}")
            mask = "none" if case.brain is None else dilated(case.brain)
            done = segment(
                case.scan,
                model=model,
                brain_mask=mask,
                device="cpu",
                engine="openvino",
                precision=precision,
                progress=part,
            )
            found = done.label.array != 0
            if precision == "f32":
                self._exact.append(np.packbits(found))
            exact = np.unpackbits(self._exact[number], count=found.size).reshape(found.shape).astype(bool)
            sizes = np.count_nonzero(found) + np.count_nonzero(exact)
            self.dice[precision].append(2 * np.count_nonzero(found & exact) / sizes if sizes else 1.0)
            self.small[precision].append(measure(case, found, region_of(case)).get(_SMALL, math.nan))


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    from vesselseg.engines.choice import is_installed

    openvino = {"openvino": version("openvino")} if is_installed("openvino") else {}
    return {"vesselseg": vesselseg.__version__, **openvino}


def _low_precisions(manifest: Manifest) -> list[str]:
    from vesselseg.engines import plan_run

    found, reasons = [], []
    for precision in ("bf16", "int8"):
        try:
            plan_run(manifest, engine="openvino", precision=precision)
        except VesselSegError as error:
            reasons.append(error.message)
        else:
            found.append(precision)
    if not found:
        raise VesselSegError(f"there is no low precision to be measured: {'; '.join(reasons)}", "use another machine")
    return found


def write_checks(manifest: Manifest, checks: dict[str, PrecisionCheck]) -> Manifest:
    """Write what was measured into the file of a manifest; everything else in it stays.

    Raises
    ------
    VesselSegError
        If the file cannot be written.
    """
    from vesselseg.output_files import atomic_output

    if manifest.path is None:
        raise ValueError("this manifest was not read from a file")
    measured = {name: asdict(each) for name, each in checks.items()}

    def add(values: dict[str, Any]) -> None:
        if (values.get("int8") or {}) != manifest.int8:
            measured.pop("int8", None)  # made anew since: what was measured is another form
        values["precisions"] = {**(values.get("precisions") or {}), **measured}

    with atomic_output(manifest.path, overwrite=True) as path:
        path.write_text(changed_manifest(manifest.path, add), encoding="utf-8")
    return Manifest.read(manifest.path)

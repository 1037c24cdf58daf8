"""Measuring what a low precision changes, so that a model is computed in it only where nothing is lost."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

import vesselseg
from vesselseg.errors import VesselSegError
from vesselseg.models.manifest import Manifest, PrecisionCheck
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
        Of the model.
    folders : sequence of pathlib.Path
        Of the cases, as `vesselseg.judging.read_drawn_case` reads them.
    progress : callable
        Told the share of the work done.

    Returns
    -------
    dict of PrecisionCheck
        "bf16", "int8" or both.

    Raises
    ------
    VesselSegError
        If there is no low precision to be measured, a case cannot be read, or no case has small arteries.
    """
    from vesselseg.brain_mask import dilated
    from vesselseg.engines.choice import is_installed
    from vesselseg.judging import measure, read_drawn_case, region_of
    from vesselseg.segmentation import segment

    # Without what was measured before: numbers that were bad must not keep it from being measured again.
    model = replace(manifest, precisions={})
    precisions = ["f32", *_low_precisions(model)]
    dice: dict[str, list[float]] = {precision: [] for precision in precisions}
    small: dict[str, list[float]] = {precision: [] for precision in precisions}
    for number, folder in enumerate(folders):
        case = read_drawn_case(folder)
        inside, exact = region_of(case), np.empty(0)
        mask = "none" if case.brain is None else dilated(case.brain)
        for place, precision in enumerate(precisions):
            start = number + place / len(precisions)
            part = stage(progress, start / len(folders), (start + 1 / len(precisions)) / len(folders))
            part(0.0, f"{case.name}: {precision}")
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
            exact = found if precision == "f32" else exact
            sizes = np.count_nonzero(found) + np.count_nonzero(exact)
            dice[precision].append(2 * np.count_nonzero(found & exact) / sizes if sizes else 1.0)
            small[precision].append(measure(case, found, inside).get(_SMALL, math.nan))
    if np.isnan(small["f32"]).all():
        raise VesselSegError("none of the cases has small arteries", "give cases as 'vesselseg synthesize' writes them")
    versions = {"vesselseg": vesselseg.__version__}
    if is_installed("openvino"):
        from importlib.metadata import version

        versions["openvino"] = version("openvino")
    return {
        precision: PrecisionCheck(
            dice_to_f32=round(float(np.mean(dice[precision])), 5),
            small_sensitivity_change=round(float(np.nanmean(small[precision]) - np.nanmean(small["f32"])), 5),
            scans=len(folders),
            model_sha256=manifest.sha256,
            versions=versions,
        )
        for precision in precisions[1:]
    }


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
    from vesselseg.image_io import atomic_output

    if manifest.path is None:
        raise ValueError("this manifest was not read from a file")
    values = json.loads(manifest.path.read_text(encoding="utf-8"))
    values["precisions"] = {**values.get("precisions", {}), **{name: asdict(each) for name, each in checks.items()}}
    with atomic_output(manifest.path, overwrite=True) as path:
        path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Manifest.read(manifest.path)

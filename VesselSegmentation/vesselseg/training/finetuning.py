"""Learning from corrected scans: a model goes on learning from few cases, and what that changed is measured."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.case_folder import LABEL, MASK, SCAN, read_sure_label
from vesselseg.errors import VesselSegError
from vesselseg.image_io import UNSURE, read_label, read_volume, write_volume
from vesselseg.metrics import evaluate
from vesselseg.models import Manifest, import_model, list_models
from vesselseg.networks import build_network
from vesselseg.output_files import check_output, make_output_folder
from vesselseg.progress import ProgressCallback, no_progress, stage
from vesselseg.resampling import AxialView, network_spacing, resample
from vesselseg.segmentation import segment
from vesselseg.training.config import Augmentation, TrainingConfig
from vesselseg.training.run_folder import RunFolder
from vesselseg.training.trainer import train
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")

#: With more cases than this several are held out at once.
_LARGEST_FOLDS = 5
#: Of the labelled vessels of a single case, the share that lies in the part kept back.
_KEPT_BACK = 1 / 3
#: Slices between that part and what is trained on.
_GAP = 6
#: Where this share of a voxel is vessel, it may be part of one that is thinner than the voxels.
_FAINT_SHARE = 0.1
_MEASURED = ("dice", "cldice", "precision", "sensitivity")


@dataclass(frozen=True)
class _Case:
    """A corrected scan as the network sees it: axial, at its spacing; and where it counts.

    `folder` has one subfolder with the two images, as `TrainingConfig.training_scans` takes it; `scan_sum` is that of
    the scan as it was recorded.
    """

    name: str
    scan_sum: str
    scan: Volume
    label: Volume
    counted: NDArray[np.bool_]
    folder: Path


def finetune(
    parent: Manifest,
    cases: Sequence[Path],
    output: Path,
    *,
    name: str = "",
    steps: int = 300,
    device: str = "auto",
    overwrite: bool = False,
    progress: ProgressCallback = no_progress,
) -> Manifest:
    """Let a model learn from corrected scans, its encoder frozen, and measure before and after on what it did not see.

    Each case is held out once (several at once where there are many), and a model trained on the others is compared
    with the parent on it. Of a single case an upper part, with a third of the vessels, is kept back instead. Cases that
    the parent has learnt from, as far as its manifest tells, are trained on but never held out. The model that is
    returned learnt from all cases; what was measured stands in its manifest, and it is registered only if the mean Dice
    was better and the mean clDice no worse. A run that was stopped goes on where it was.

    Parameters
    ----------
    parent : Manifest
        The model to begin with.
    cases : sequence of pathlib.Path
        Folders with ``tof.nii.gz``, ``label.nii.gz`` (corrected; 0 none, 255 unsure, else vessel) and, where the label
        was made inside a brain mask, ``mask.nii.gz``.
    output : pathlib.Path
        Folder for the model and the runs behind it.
    name : str
        Of the new model; the default is the parent's with "-finetuned".
    steps : int
        Of each training.
    device : str
        See `vesselseg.devices.choose_device`.
    overwrite : bool
        Whether to begin anew, and to replace a model of this name.
    progress : callable

    Returns
    -------
    Manifest
        Its ``evaluation["finetuning"]`` has the measures ``before`` and ``after``, empty where the parent has learnt
        from every case, and tells whether they ``improved``.

    Raises
    ------
    VesselSegError
        If the cases cannot be used, or the name is taken.

    References
    ----------
    Tajbakhsh N, et al. Convolutional neural networks for medical image analysis: full training or fine tuning? IEEE
    Trans Med Imaging 2016;35:1299-1312. doi:10.1109/TMI.2016.2535302
    """
    if parent.path is None:
        raise VesselSegError("the parent was not read from a file", "give the manifest of a model")
    name = name or f"{parent.name}-finetuned"
    if name == parent.name:
        raise VesselSegError(f"the new model cannot be called '{name}', as its parent is", "give another name")
    output, parent = output.resolve(), replace(parent, path=parent.path.resolve())
    if not overwrite and any(model.name == name for model in list_models()):
        raise VesselSegError(f"there is a model '{name}' already", "give another name, or --overwrite")
    if steps < 1:
        raise VesselSegError(f"a training cannot have {steps} steps", "give 1 or more")
    named = _named(cases)
    make_output_folder(output)
    check_output(output / f"{name}.json", overwrite=overwrite)
    prepared = [_prepare(folder, parent, output / "cases") for folder in named]
    _refuse_equal(prepared)
    known = [case for case in prepared if _is_known(case, parent)]
    if known:
        names = ", ".join(case.name for case in known)
        logger.info("%s has learnt from %s before: trained on, but not measured on", parent.name, names)
    folds = _folds(prepared, known, output / "cases")
    logger.info("fine-tuning %s on %d case(s), measured in %d part(s)", parent.name, len(prepared), len(folds))
    rows: list[dict[str, Any]] = []
    share = 1 / (len(folds) + 1)
    for k, (training, held_out) in enumerate(folds):
        part = stage(progress, k * share, (k + 1) * share)
        config = _config(parent, f"{name}-fold{k}", training, steps)
        model = _trained(config, parent, output / "folds" / str(k), device, overwrite, stage(part, 0.0, 0.8))
        for case in held_out:
            before, after = (_measure(case, manifest, device) for manifest in (parent, model))
            rows.append({"case": case.name, "before": before, "after": after})
        part(1.0, f"part {k + 1} of {len(folds)} measured")
    config = _config(parent, name, prepared, steps)
    config = replace(config, title=f"{parent.title or parent.name}, fine-tuned on {len(prepared)} corrected scan(s)")
    final = _trained(config, parent, output / "run", device, overwrite, stage(progress, 1 - share, 1.0))
    found = _finding(rows, len(prepared), len(known))
    return _publish(final, parent, found, output, overwrite=overwrite)


def _named(cases: Sequence[Path]) -> list[Path]:
    folders = [Path(folder).resolve() for folder in cases]
    if not folders:
        raise VesselSegError("no cases are named", f"give folders with {SCAN} and {LABEL}")
    if len(set(folders)) < len(folders):
        raise VesselSegError("a case is named twice", "name each once: it would be measured on itself")
    if len({folder.name for folder in folders}) < len(folders):
        raise VesselSegError("two cases have folders of the same name", "rename one of them")
    for path in (folder / name for folder in folders for name in (SCAN, LABEL)):
        if not path.is_file():
            raise VesselSegError(f"there is no file {path}", f"give folders with {SCAN} and {LABEL}")
    return folders


def _prepare(folder: Path, parent: Manifest, output: Path) -> _Case:
    """Bring a case into the view and to the spacing of the network, and write it for training."""
    from scipy.ndimage import binary_dilation

    scan, label = read_volume(folder / SCAN), read_sure_label(folder / LABEL)
    values, parts = label.array, [label]
    if (folder / MASK).exists():
        parts.append(read_label(folder / MASK))
    for part in parts:
        if not part.geometry.same_grid(scan.geometry):
            raise VesselSegError(
                f"the images in {folder} do not lie on one grid", "save the label on the grid of its scan"
            )
    if len(parts) == 2:
        values[parts[1].array == 0] = UNSURE
    if not (values == 1).any():
        raise VesselSegError(f"the label in {folder} has no vessels", "leave this case out")
    view = AxialView.of(scan.geometry)
    seen, target = view.apply(scan), view.apply(label.with_array(values))
    # Before it is resampled, which other versions may do otherwise.
    scan_sum = _short_sum(seen.array)
    spacing = network_spacing(seen.geometry.spacing, parent.spacing_mm, parent.spacing_tolerance)
    if spacing != seen.geometry.spacing:
        grid = seen.geometry.resampled(spacing)

        def resampled(value: int) -> NDArray[np.float32]:
            return resample(target.with_array((target.array == value).astype(np.float32)), grid).array

        share, unsure = resampled(1), resampled(UNSURE) >= 0.5
        vessel = share >= 0.5
        # Arteries thinner than the voxels are nowhere a half: they must not be taught as background.
        beside = binary_dilation(vessel, np.ones((3, 3, 3)))
        unsure |= (share > _FAINT_SHARE) & ~beside
        target = Volume(np.where(unsure, UNSURE, vessel).astype(np.uint8), grid)
        seen = resample(seen.with_array(np.ascontiguousarray(seen.array)), grid)
    case = _Case(folder.name, scan_sum, seen, target, np.ones(target.array.shape, bool), output / folder.name)
    _write(case, target.array)
    return case


def _write(case: _Case, label: NDArray[np.uint8]) -> None:
    place = case.folder / case.name
    place.mkdir(parents=True, exist_ok=True)
    label = np.ascontiguousarray(label)
    for name, array in ((SCAN, case.scan.array), (LABEL, label)):
        write_volume(case.scan.with_array(np.ascontiguousarray(array)), place / name, overwrite=True)


def _refuse_equal(cases: list[_Case]) -> None:
    """Refuse two cases of one scan, whatever their labels."""
    named: dict[str, str] = {}
    for case in cases:
        other = named.setdefault(case.scan_sum, case.name)
        if other != case.name:
            raise VesselSegError(
                f"the cases {other} and {case.name} are the same scan", "leave one out: it would be measured on itself"
            )


def _is_known(case: _Case, parent: Manifest) -> bool:
    """Tell whether the parent, or a model before it, has learnt from a case, be it with another label."""
    # Models of former versions have no sum of the scan alone.
    sums = {case.scan_sum, _content(case.folder)}
    return any(sums & {source.get("scan_sha256"), source.get("sha256")} for source in parent.training_data)


def _folds(cases: list[_Case], known: list[_Case], output: Path) -> list[tuple[list[_Case], list[_Case]]]:
    """Return for each part of the measurement what is trained on and what is held out, which is nothing known."""
    unseen = [case for case in cases if case not in known]
    if len(cases) == 1:
        return [_kept_back(case, output) for case in unseen]
    count = min(len(unseen), _LARGEST_FOLDS)
    folds = []
    for k in range(count):
        held_out = unseen[k::count]
        folds.append(([case for case in cases if case not in held_out], held_out))
    return folds


def _kept_back(case: _Case, output: Path) -> tuple[list[_Case], list[_Case]]:
    """Split a case: the slices that hold the upper third of its vessels are kept back."""
    vessels = np.cumsum((case.label.array == 1).sum(axis=(1, 2)))
    first = int(np.searchsorted(vessels, (1 - _KEPT_BACK) * vessels[-1])) + 1
    label = case.label.array.copy()
    label[max(first - _GAP, 0) :] = UNSURE
    counted = case.counted.copy()
    counted[:first] = False
    if not (label == 1).any() or not (counted & (case.label.array == 1)).any():
        raise VesselSegError("the vessels of the only case cannot be split in two parts", "give more cases")
    below = replace(case, folder=output / f"{case.name}-below")
    _write(below, label)
    return [below], [replace(case, name=f"{case.name}, slices {first} and above", counted=counted)]


def _content(folder: Path) -> str:
    """Return a sum of the voxels of a case, so that a label corrected anew is not taken for the former one."""
    return _short_sum(*(read_volume(path).array for path in sorted(folder.glob("*/*.nii.gz"))))


def _short_sum(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _config(parent: Manifest, name: str, cases: list[_Case], steps: int) -> TrainingConfig:
    network: Any = build_network(parent.architecture, **parent.options)
    blocks = network.traits.dimensions == 3
    # By content, not by name: that of a folder may be a patient's.
    data = [
        {
            "name": "corrected scan of the user", "licence": "not stated", "citation": "",
            "sha256": _content(case.folder), "scan_sha256": case.scan_sum,
        }
        for case in cases
    ]  # fmt: skip
    return TrainingConfig(
        name=name,
        training_scans=[str(case.folder) for case in cases],
        architecture=parent.architecture,
        options=parent.options,
        normalisation=parent.normalisation,
        spacing_mm=parent.spacing_mm,
        # Both are multiples of what the poolings of any network here need.
        patch_size=64 if blocks else 96,
        depth=32,
        batch_size=2 if blocks else 8,
        steps=steps,
        validate_every=steps,
        optimiser="adamw",
        learning_rate=1e-3,
        weight_decay=1e-4,
        vessel_share=0.6,
        head_share=0.4,
        # Its changes are made for scans normalised by their median.
        augmentation=Augmentation(signal=parent.normalisation.get("method") != "zscore"),
        workers=1,
        initial_model=str(parent.path),
        # Another model may take its place while a run is stopped.
        initial_model_sha256=parent.sha256,
        frozen=["encoder"],
        threshold=parent.threshold,
        min_component_mm3=parent.min_component_mm3,
        licence=parent.licence,
        training_data=[*parent.training_data, *data],
    )


def _trained(
    config: TrainingConfig, parent: Manifest, folder: Path, device: str, overwrite: bool, progress: ProgressCallback
) -> Manifest:
    """Train, unless that was done before the whole was stopped; the model resamples scans as its parent does."""
    place = RunFolder(folder, config)
    if not overwrite and place.is_finished():
        model = Manifest.read(place.model)
    else:
        model = train(config, folder, device=device, overwrite=overwrite, progress=progress)
    return replace(model, spacing_tolerance=parent.spacing_tolerance)


def _measure(case: _Case, model: Manifest, device: str) -> dict[str, float]:
    # Both alike: a parent may have been checked for a lower precision, what has just been trained never is.
    result = segment(case.scan, model=model, brain_mask="none", device=device, precision="f32")
    counted, unsure, truth = (
        case.label.with_array(each.astype(np.uint8))
        for each in (case.counted, case.label.array == UNSURE, case.label.array == 1)
    )
    values = evaluate(result.label, truth, mask=counted, unsure=unsure)
    return {key: round(values[key], 4) for key in _MEASURED}


def _finding(rows: list[dict[str, Any]], cases: int, known: int) -> dict[str, Any]:
    """Sum up what was measured, and say whether it is an improvement."""
    if not rows:
        what = "nothing was measured, as the parent has learnt from every case before"
        return {"what": what, "cases": cases, "before": {}, "after": {}, "improved": False, "by_case": []}
    before, after = (
        {key: round(float(np.mean([row[when][key] for row in rows])), 4) for key in _MEASURED}
        for when in ("before", "after")
    )
    improved = after["dice"] > before["dice"] and after["cldice"] >= before["cldice"]
    how = (
        "on an upper part of the only case, kept back from a model trained on the rest"
        if cases == 1
        else "on cases held out in turn, by models trained on the others"
    )
    where = "in f32 at the parent's threshold, whole head without brain mask"
    what = f"measured {where}, {how}; this model learnt from all cases"
    if known:
        what += f"; {known} from which the parent had learnt before were not held out"
    return {"what": what, "cases": cases, "before": before, "after": after, "improved": improved, "by_case": rows}


def _publish(final: Manifest, parent: Manifest, found: dict[str, Any], output: Path, *, overwrite: bool) -> Manifest:
    from vesselseg.models.weights import load_network, save_model

    verdict = "better" if found["improved"] else "NO improvement measured"
    before, after = found["before"], found["after"]
    title = f"{final.title}: {verdict}"
    if before:
        title += f" (Dice {before['dice']:.3f} to {after['dice']:.3f})"
    manifest = replace(
        final,
        title=title,
        training={**final.training, "parent": {"name": parent.name, "sha256": parent.sha256}},
        evaluation={"finetuning": found},
    )
    manifest = save_model(load_network(final), manifest, output, half=False, overwrite=overwrite)
    if before:
        logger.info(
            "%s on held-out data: Dice %.3f before, %.3f after; clDice %.3f before, %.3f after",
            verdict, before["dice"], after["dice"], before["cldice"], after["cldice"],
        )  # fmt: skip
    if found["improved"]:
        import_model(output / f"{manifest.name}.json", overwrite=overwrite)
        logger.info("registered as the model '%s'; '%s' is kept", manifest.name, parent.name)
    else:
        logger.warning(
            "%s: the model stays in %s and is not registered; 'vesselseg models import' would",
            "no improvement was measured" if before else found["what"],
            output,
        )
    return manifest

"""Scans that a training run draws for itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.synthesis.dataset import DRAWN_FILES, DrawnScan, grown_scene, scan_of, synthesize, write_drawn_scan
from vesselseg.training.config import DrawnFolder


def draw_folder(wanted: DrawnFolder, folder: Path, progress: ProgressCallback = no_progress) -> None:
    """Draw scans into a folder; those that are there already, whole, are kept.

    Parameters
    ----------
    wanted : DrawnFolder
        What to draw.
    folder : pathlib.Path
        One subfolder a scan.
    progress : callable

    Raises
    ------
    VesselSegError
        If the data that it is to be drawn from lacks something, or the folder cannot be written.
    """

    def place(index: int) -> Path:
        return folder / f"{wanted.seed:03d}_{index:04d}"

    # Of a scan that was stopped on its way to its place some files are there, whichever of them came first.
    missing = {k for k in range(wanted.count) if not all((place(k) / name).exists() for name in DRAWN_FILES)}
    if not missing:
        return
    drawn = _small_heads(wanted, sorted(missing)) if wanted.size else _synthesize(wanted)
    for scan in drawn:
        index = int(scan.description["index"])
        if index in missing:
            if not (scan.label.array == 1).any():
                raise VesselSegError(
                    f"no artery fits into the head of the seed {wanted.seed} (scan {index})",
                    "make the grid larger, or take another seed",
                )
            # With what a process that was killed left there, also under temporary names.
            shutil.rmtree(place(index), ignore_errors=True)
            write_drawn_scan(scan, place(index), overwrite=True)
            missing.discard(index)
        progress(1 - len(missing) / wanted.count, f"drawing scan {wanted.count - len(missing)} of {wanted.count}")
        if not missing:
            return


def _synthesize(wanted: DrawnFolder) -> Iterator[DrawnScan]:
    return synthesize(
        wanted.count, seed=wanted.seed, data=Path(wanted.data) if wanted.data else None, heads=wanted.heads or None,
        trees=wanted.trees or None, masks=Path(wanted.masks) if wanted.masks else None,
        simulated_share=wanted.simulated_share,
    )  # fmt: skip


def _small_heads(wanted: DrawnFolder, indices: list[int]) -> Iterator[DrawnScan]:
    """Draw simulated heads that fill a small grid."""
    if wanted.size is None:
        return
    geometry = Geometry(wanted.size, (wanted.spacing_mm,) * 3)
    for k in indices:
        rng = np.random.default_rng([wanted.seed, k])
        tree, head = grown_scene(geometry, rng)
        scan, label, drawing = scan_of(head, tree, rng)
        vessel = label.array == 1
        radius, artery = (label.with_array(np.where(vessel, part, 0)) for part in (drawing.radius, drawing.artery))
        description: dict[str, str | int] = {"index": k, "seed": wanted.seed, "head": "simulated", "tree": "grown"}
        yield DrawnScan(scan, label, radius, artery, description)

"""Scans as memory-mapped arrays, and random patches out of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.image_io import read_volume
from vesselseg.preprocessing import normalise
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.volume import Volume

#: Crops are this much larger than patches, so that they can be turned and scaled without empty corners.
CROP_MARGIN = 1.5


@dataclass(frozen=True)
class TrainingScan:
    """A normalised scan and its label on disk, with the voxels that patches are centred on.

    Parameters
    ----------
    scan : ndarray, shape (Z, Y, X), float16
        Normalised as a whole.
    label : ndarray, shape (Z, Y, X), uint8
        1 vessel, 0 not, 255 unsure.
    vessel, head : ndarray, shape (N,)
        Flat indices of vessel voxels and of voxels of the head (a random choice).
    """

    scan: NDArray[np.float16]
    label: NDArray[np.uint8]
    vessel: NDArray[np.int64]
    head: NDArray[np.int64]


def load_scans(
    folders: Sequence[str], cache: Path, normalisation: dict[str, Any], progress: ProgressCallback = no_progress
) -> list[TrainingScan]:
    """Prepare all scans of some folders; what was prepared before is taken from the cache.

    Parameters
    ----------
    folders : sequence of str
        Their subfolders hold ``tof.nii.gz`` and ``label.nii.gz``.
    cache : pathlib.Path
        Where the arrays are kept, so that not all must fit into memory.
    normalisation : dict
        See `vesselseg.preprocessing.normalise`.
    progress : callable

    Returns
    -------
    list of TrainingScan

    Raises
    ------
    VesselSegError
        If a folder holds no scans, or a label does not lie on the grid of its scan.
    """
    paths = []
    for folder in folders:
        found = sorted(path.parent for path in Path(folder).glob("*/tof.nii.gz"))
        if not found:
            raise VesselSegError(f"the folder {folder} holds no scans", "draw some with 'vesselseg synthesize'")
        paths += found
    cache.mkdir(parents=True, exist_ok=True)
    scans = []
    for done, path in enumerate(paths, start=1):
        stem = "_".join(path.resolve().parts[-3:])
        files = cache / f"{stem}_scan.npy", cache / f"{stem}_label.npy"
        newest = max((path / name).stat().st_mtime for name in ("tof.nii.gz", "label.nii.gz"))
        if not all(file.exists() and file.stat().st_mtime > newest for file in files):
            scan, label = read_volume(path / "tof.nii.gz"), read_volume(path / "label.nii.gz")
            if not scan.geometry.same_grid(label.geometry):
                raise VesselSegError(f"scan and label in {path} do not lie on the same grid", "draw them again")
            _save(files[0], normalise(scan.array, normalisation).astype(np.float16))
            _save(files[1], label.array.astype(np.uint8))
        scans.append(_open(*files))
        progress(done / len(paths), f"scan {done} of {len(paths)}")
    return scans


def as_training_scan(scan: Volume, label: Volume, normalisation: dict[str, Any]) -> TrainingScan:
    """Prepare a scan in memory."""
    return _with_centres(normalise(scan.array, normalisation).astype(np.float16), label.array.astype(np.uint8))


def _save(path: Path, array: NDArray[Any]) -> None:
    # Renamed when complete: a run that was stopped must leave no half array for the next one.
    temporary = path.with_suffix(".part.npy")
    np.save(temporary, array)
    os.replace(temporary, path)


def _open(scan: Path, label: Path) -> TrainingScan:
    return _with_centres(np.load(scan, mmap_mode="r"), np.load(label, mmap_mode="r"))


def _with_centres(scan: NDArray[np.float16], label: NDArray[np.uint8]) -> TrainingScan:
    # Vessel voxels of the same kind are plenty; every third voxel of a coarse grid stands for the head.
    vessel = np.flatnonzero(np.asarray(label) == 1)
    coarse = np.argwhere(np.asarray(scan[::3, ::3, ::3]) > 0.3) * 3
    head = np.asarray(np.ravel_multi_index(tuple(coarse.T), scan.shape), dtype=np.int64)
    return TrainingScan(scan, label, vessel, head)


class PatchSampler:
    """Cuts random crops of neighbouring slices, and the labels of the middle ones.

    Parameters
    ----------
    scans : list of TrainingScan
    slices, labelled : int
        Slices that a crop has, and how many of them, in the middle, have labels: 5 and 1 for a network that is given
        five neighbouring slices, 48 and 48 for one that works on blocks.
    size : int
        Side of a crop, in voxels.
    vessel_share, head_share : float
        Share of crops centred on a vessel and on a voxel of the head.
    """

    def __init__(
        self, scans: Sequence[TrainingScan], *, slices: int, labelled: int, size: int, vessel_share: float,
        head_share: float,
    ) -> None:  # fmt: skip
        self.scans = list(scans)
        self.slices = slices
        self.labelled = labelled
        self.size = size
        self.vessel_share = vessel_share
        self.head_share = head_share

    def batch(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return `count` crops, shape (N, slices, size, size), and labels, shape (N, labelled, size, size)."""
        images = np.zeros((count, self.slices, self.size, self.size), np.float32)
        labels = np.full((count, self.labelled, self.size, self.size), 255, np.float32)
        for k in range(count):
            scan = self.scans[rng.integers(len(self.scans))]
            self._cut(scan, self._centre(scan, rng), images[k], labels[k])
            # Up and down may change places.
            if rng.random() < 0.5:
                images[k], labels[k] = images[k, ::-1].copy(), labels[k, ::-1].copy()
        return images, labels

    def _centre(self, scan: TrainingScan, rng: np.random.Generator) -> tuple[int, ...]:
        kind = rng.random()
        if kind < self.vessel_share and scan.vessel.size:
            flat = int(rng.choice(scan.vessel))
        elif kind < self.vessel_share + self.head_share and scan.head.size:
            flat = int(rng.choice(scan.head))
        else:
            flat = int(rng.integers(scan.scan.size))
        # Off the middle, so that the network does not learn to look for vessels there.
        reach = np.array([self.labelled // 3, self.size // 5, self.size // 5])
        centre = np.array(np.unravel_index(flat, scan.scan.shape)) + rng.integers(-reach, reach + 1)
        return tuple(int(v) for v in np.clip(centre, 0, np.array(scan.scan.shape) - 1))

    def _cut(
        self, scan: TrainingScan, centre: tuple[int, ...], image: NDArray[np.float32], label: NDArray[np.float32]
    ) -> None:
        source, target = [], []
        for middle, side, length in zip(centre[1:], (self.size, self.size), scan.scan.shape[1:]):
            start = middle - side // 2
            low, high = max(start, 0), min(start + side, length)
            source.append(slice(low, high))
            target.append(slice(low - start, high - start))
        last = scan.scan.shape[0] - 1
        for array, part, beyond in ((image, scan.scan, False), (label, scan.label, True)):
            first = centre[0] - len(array) // 2
            for k, z in enumerate(range(first, first + len(array))):
                # The outer slices are repeated; outside of the scan there is nothing to learn.
                if not beyond or 0 <= z <= last:
                    array[(k, *target)] = part[(min(max(z, 0), last), *source)]

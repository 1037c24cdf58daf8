"""Scans as memory-mapped arrays, and random patches out of them."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.case_folder import LABEL, SCAN, read_sure_label
from vesselseg.errors import VesselSegError
from vesselseg.image_io import UNSURE, read_volume
from vesselseg.output_files import atomic_output
from vesselseg.preprocessing import normalise
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.resampling import AxialView
from vesselseg.volume import Volume

#: Crops are this much larger than patches, so that they can be turned and scaled without empty corners.
CROP_MARGIN = 1.5
#: Files of a prepared scan, in the order of the fields of `TrainingScan`.
_PARTS = ("scan", "label", "vessel", "head")
#: Of the median of the head: tissue is brighter than this, air darker.
_HEAD_SIGNAL = 0.3
#: Patches a scan for the mean and the standard deviation of all of them.
_STATISTICS_PATCHES = 64
#: Files that a training has open beside its scans.
_OTHER_FILES = 256


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

    def __reduce__(self) -> tuple[Any, ...]:
        # To worker processes goes the place of the files, not what is in them.
        arrays = (self.scan, self.label, self.vessel, self.head)
        files = [array.filename for array in arrays if isinstance(array, np.memmap)]
        return (_open, (files,)) if len(files) == len(arrays) else (TrainingScan, arrays)


def scan_folders(folders: Sequence[str]) -> list[Path]:
    """Return the folders of all scans in some folders, in their order.

    Raises
    ------
    VesselSegError
        If one holds no scans.
    """
    paths: list[Path] = []
    for folder in folders:
        found = sorted(path.parent for path in Path(folder).glob(f"*/{SCAN}"))
        if not found:
            raise VesselSegError(
                f"the folder {folder} holds no scans",
                f"draw some with 'vesselseg synthesize --output {folder} --seed N', another N for each folder",
            )
        paths += found
    return paths


def refuse_shared_scans(training: Sequence[Path], validation: Sequence[Path]) -> None:
    """Refuse to validate on a scan that is trained on as well: the same file, whatever its folder.

    Parameters
    ----------
    training, validation : sequence of pathlib.Path
        As `scan_folders` gives them.

    Raises
    ------
    VesselSegError
        If two scans are the same to the last bit.
    """
    of_size: dict[int, list[Path]] = {}
    for path in training:
        of_size.setdefault((path / SCAN).stat().st_size, []).append(path)
    for path in validation:
        # Few are of one size, and only these have to be read.
        for twin in of_size.get((path / SCAN).stat().st_size, []):
            if filecmp.cmp(twin / SCAN, path / SCAN, shallow=False):
                raise VesselSegError(
                    f"the scans in {twin} and {path} are the same",
                    "validation needs scans of its own: draw them with another seed",
                )


def load_scans(
    folders: Sequence[str], cache: Path, normalisation: dict[str, Any], progress: ProgressCallback = no_progress
) -> list[TrainingScan]:
    """Prepare all scans of some folders; what was prepared before is taken from the cache.

    Parameters
    ----------
    folders : sequence of str
        Their subfolders hold ``tof.nii.gz`` and ``label.nii.gz`` (see `vesselseg.case_folder.read_sure_label`).
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
        If a folder holds no scans, or a label is none or does not lie on the grid of its scan.
    """
    paths = scan_folders(folders)
    cache.mkdir(parents=True, exist_ok=True)
    _allow_open_files(len(paths) * len(_PARTS))
    scans = []
    for done, path in enumerate(paths, start=1):
        # Scans of one name in several folders are several, and another normalisation makes other arrays.
        key = _short_sum(f"axial {path.resolve()} {json.dumps(normalisation, sort_keys=True)}")
        # What takes the place of a scan or label may be older than it was: its time has to be the same, not earlier.
        stats = [(path / name).stat() for name in (SCAN, LABEL) if (path / name).exists()]
        state = _short_sum(str([(stat.st_size, stat.st_mtime_ns) for stat in stats]))
        files = [cache / f"{key}_{state}_{part}.npy" for part in _PARTS]
        if not all(file.exists() for file in files):
            prepared = as_training_scan(*read_case(path), normalisation)
            for former in cache.glob(f"{key}_*"):
                former.unlink()
            for file, part in zip(files, _PARTS):
                with atomic_output(file, overwrite=True) as temporary:  # a run that is stopped must leave no half array
                    np.save(temporary, getattr(prepared, part))
        scans.append(_open(files))
        progress(done / len(paths), f"scan {done} of {len(paths)}")
    if not any(scan.vessel.size for scan in scans):
        raise VesselSegError(f"no scan in {', '.join(folders)} has a vessel", "check the labels, or draw other scans")
    return scans


def read_case(folder: Path) -> tuple[Volume, Volume]:
    """Read ``tof.nii.gz`` and ``label.nii.gz`` of a folder, in axial orientation.

    Raises
    ------
    VesselSegError
        If one of them cannot be read, or they are not on one grid.
    """
    scan, label = read_volume(folder / SCAN), read_sure_label(folder / LABEL)
    if not scan.geometry.same_grid(label.geometry):
        raise VesselSegError(f"scan and label in {folder} do not lie on the same grid", "draw them again")
    view = AxialView.of(scan.geometry)  # as the network will be given scans
    return view.apply(scan), view.apply(label)


def as_training_scan(scan: Volume, label: Volume, normalisation: dict[str, Any]) -> TrainingScan:
    """Prepare a scan in memory.

    Parameters
    ----------
    scan, label : Volume
        As `read_case` reads them.
    normalisation : dict
        As for `load_scans`.

    Returns
    -------
    TrainingScan

    Raises
    ------
    VesselSegError
        If the scan cannot be normalised, or half precision does not hold its normalised values.
    """
    array, target = normalise(scan.array, normalisation), label.array.astype(np.uint8)
    relative = array
    if normalisation.get("method") != "foreground_median":
        relative = normalise(scan.array, {"method": "foreground_median"})
    # Vessel voxels of the same kind are plenty; every third voxel of a coarse grid stands for the head.
    coarse = np.argwhere(relative[::3, ::3, ::3].astype(np.float16) > _HEAD_SIGNAL) * 3
    head = np.asarray(np.ravel_multi_index(tuple(coarse.T), array.shape), dtype=np.int64)
    with np.errstate(over="ignore"):
        stored = array.astype(np.float16)
    if not np.isfinite(stored).all():
        raise VesselSegError(
            "normalised values of a scan are larger than half precision holds", "correct the normalisation"
        )
    return TrainingScan(stored, target, np.flatnonzero(target == 1), head)


def patch_statistics(folders: Sequence[str], sampler_options: dict[str, Any], seed: int) -> dict[str, float]:
    """Return mean and standard deviation of the signal over patches of all scans, as Livne et al. 2019 take them.

    Parameters
    ----------
    folders : sequence of str
        As `load_scans` takes them.
    sampler_options : dict
        Arguments of `PatchSampler`.
    seed : int

    Returns
    -------
    dict
        ``mean`` and ``std``, in the units of the scans.

    Raises
    ------
    VesselSegError
        If a folder holds no scans, one cannot be read, or they have no contrast.
    """
    sums = np.zeros(3)
    for k, path in enumerate(scan_folders(folders)):
        scan, label = read_case(path)
        # float16 holds the values of a scan only roughly where they are large: shares of its maximum are exact enough.
        scale = max(float(scan.array.max()), 1e-6)
        prepared = as_training_scan(scan, label, {"method": "zscore", "mean": 0.0, "std": scale})
        sampler = PatchSampler([prepared], **sampler_options)
        images, labels = sampler.batch(_STATISTICS_PATCHES, np.random.default_rng([seed, k]))
        middle = images[:, images.shape[1] // 2 - labels.shape[1] // 2 :][:, : labels.shape[1]]
        values = middle[labels != UNSURE].astype(np.float64) * scale
        sums += values.size, values.sum(), np.square(values).sum()
    count, total, squares = sums
    mean = total / max(count, 1)
    std = float(np.sqrt(max(squares / max(count, 1) - mean**2, 0.0)))
    if std == 0:
        raise VesselSegError("the training scans have no contrast", "check them")
    return {"mean": round(float(mean), 6), "std": round(std, 6)}


def _short_sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _allow_open_files(more: int) -> None:
    """Raise the limit of open files where the system allows it: every array that is mapped takes one."""
    try:
        import resource

        # Those of other scans: a training has its validation scans open as well.
        already = len(os.listdir("/dev/fd"))
    except (ImportError, OSError):  # Windows has no limit that matters
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = already + more + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), hard))


def _open(files: Sequence[str | Path]) -> TrainingScan:
    return TrainingScan(*(np.load(file, mmap_mode="r") for file in files))


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
    flip : bool
        Whether up and down may change places.
    """

    def __init__(
        self, scans: Sequence[TrainingScan], *, slices: int, labelled: int, size: int, vessel_share: float,
        head_share: float, flip: bool = True,
    ) -> None:  # fmt: skip
        self.scans = list(scans)
        self.slices = slices
        self.labelled = labelled
        self.size = size
        self.vessel_share = vessel_share
        self.head_share = head_share
        self.flip = flip

    def batch(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return `count` crops, shape (N, slices, size, size), and labels, shape (N, labelled, size, size)."""
        images = np.zeros((count, self.slices, self.size, self.size), np.float32)
        labels = np.full((count, self.labelled, self.size, self.size), UNSURE, np.float32)
        for k in range(count):
            scan = self.scans[rng.integers(len(self.scans))]
            self._cut(scan, self._centre(scan, rng), images[k], labels[k])
            if self.flip and rng.random() < 0.5:
                images[k], labels[k] = images[k, ::-1].copy(), labels[k, ::-1].copy()
        return images, labels

    def _centre(self, scan: TrainingScan, rng: np.random.Generator) -> tuple[int, ...]:
        kind = rng.random()
        if kind < self.vessel_share and scan.vessel.size:
            flat = int(scan.vessel[rng.integers(scan.vessel.size)])
        elif kind < self.vessel_share + self.head_share and scan.head.size:
            flat = int(scan.head[rng.integers(scan.head.size)])
        else:
            flat = int(rng.integers(scan.scan.size))
        # Off the middle, so that the network does not learn to look for vessels there.
        reach = np.array([self.labelled // 3, self.size // 5, self.size // 5])
        centre = np.array(np.unravel_index(flat, scan.scan.shape)) + rng.integers(-reach, reach + 1)
        return tuple(int(v) for v in np.clip(centre, 0, np.array(scan.scan.shape) - 1))

    def _cut(
        self, scan: TrainingScan, centre: tuple[int, ...], image: NDArray[np.float32], label: NDArray[np.float32]
    ) -> None:
        source: list[slice] = []
        target: list[slice] = []
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
                    array[k][tuple(target)] = part[min(max(z, 0), last)][tuple(source)]

"""What is measured on: a drawn scan of the size that clinics have, its brain, and a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume, write_volume
from vesselseg.models import Manifest, find_model, save_model
from vesselseg.models.weights import file_sha256
from vesselseg.volume import Volume

#: 384 x 448 x 160 voxels: a slab of 96 mm through a head, its middle at the circle of Willis and above.
SCAN_GEOMETRY = Geometry((384, 448, 160), (0.5, 0.5, 0.6), (-95.75, -97.75, -39.7))
#: Slices of a quick run, and of the first, unmeasured one that brings programs into the disk's cache.
QUICK_SLICES, WARM_SLICES = 16, 8

#: Networks that can be measured with random weights in the place of a model: name -> architecture and its options.
UNTRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "half-unet": ("unet2d", {"channels": [32, 64, 128, 256, 512]}),
    "full-unet": ("unet2d", {"channels": [64, 128, 256, 512, 1024]}),
    "small-unet": ("unet2d", {"channels": [8, 16, 32]}),
}

_SEED = 2019


@dataclass(frozen=True)
class Case:
    """Files that all programs are run on.

    Parameters
    ----------
    scan : pathlib.Path
    mask : pathlib.Path or None
        Where vessels are looked for; None for the whole scan.
    model : Manifest
    size : tuple of int
        Voxels of the scan along x, y, z.
    slices : int
        Axial ones.
    description : str
        For people.
    """

    scan: Path
    mask: Path | None
    model: Manifest
    size: tuple[int, int, int]
    slices: int
    description: str


def bench_folder() -> Path:
    """Return where what is drawn for a benchmark is kept: ``~/.vesselseg/bench``."""
    return Path.home() / ".vesselseg" / "bench"


def drawn_scan(folder: Path) -> tuple[Path, Path]:
    """Return a drawn scan and its brain's mask; drawn where they are not there yet.

    Parameters
    ----------
    folder : pathlib.Path
        Where they are kept; made if need be.

    Returns
    -------
    scan, mask : pathlib.Path
        384 x 448 x 160 voxels of 0.5 x 0.5 x 0.6 mm, int16; the brain dilated by 6 mm, uint8.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scan_path, mask_path = folder / "scan.nii.gz", folder / "brain.nii.gz"
    if not (scan_path.is_file() and mask_path.is_file()):
        scan, mask = _draw(np.random.default_rng(_SEED))
        write_volume(scan, scan_path, overwrite=True)
        write_volume(mask, mask_path, overwrite=True)
    return scan_path, mask_path


def _draw(rng: np.random.Generator) -> tuple[Volume, Volume]:
    from vesselseg.resampling import resample
    from vesselseg.synthesis.background import Background, grown
    from vesselseg.synthesis.drawing import draw
    from vesselseg.synthesis.growth import BRAIN_AXES, BRAIN_CENTRE, grow_tree
    from vesselseg.synthesis.scan import Acquisition, take_scan
    from vesselseg.synthesis.tissue import simulated_head

    # The head is drawn coarsely, which is enough for a measurement and ten times as fast; vessels and noise finely.
    coarse = SCAN_GEOMETRY.resampled((1.0, 1.0, 1.2))
    head = simulated_head(coarse, np.asarray(BRAIN_CENTRE), np.asarray(BRAIN_AXES), rng)
    image = resample(Volume(head.image, coarse), SCAN_GEOMETRY).array
    brain = resample(Volume(head.brain.astype(np.float32), coarse), SCAN_GEOMETRY).array > 0.5
    tree = grow_tree(rng, density=1.0)
    scan, _ = take_scan(Background(image, brain, SCAN_GEOMETRY), draw(tree, SCAN_GEOMETRY), Acquisition(lumen=3.0), rng)
    # As far as the automatic mask is dilated.
    mask = grown(brain, 6.0, SCAN_GEOMETRY)
    return scan.with_array(np.rint(scan.array).astype(np.int16)), scan.with_array(mask.astype(np.uint8))


def check_untrained(name: str) -> None:
    """Refuse a network that there is not.

    Raises
    ------
    VesselSegError
        If it is none of `UNTRAINED`.
    """
    if name not in UNTRAINED:
        raise VesselSegError(f"there is no network '{name}'", f"choose one of: {', '.join(UNTRAINED)}")


def untrained_model(name: str, scan: Path, folder: Path) -> Manifest:
    """Return a model with random weights whose probabilities on a scan spread over [0, 1]; kept for the next run on it.

    Parameters
    ----------
    name : str
        Key of `UNTRAINED`.
    scan : pathlib.Path
        What it will be run on.
    folder : pathlib.Path
        Where it is kept; made if need be.

    Raises
    ------
    VesselSegError
        If there is no such network.
    """
    check_untrained(name)
    path, made_for = folder / f"{name}.json", {"scan_sha256": file_sha256(scan)}
    if path.is_file() and (kept := Manifest.read(path)).training == made_for:
        return kept
    import torch

    from vesselseg.networks import build_network
    from vesselseg.preprocessing import normalise
    from vesselseg.resampling import AxialView

    architecture, options = UNTRAINED[name]
    normalisation = {"method": "foreground_median", "clip": 4.0}
    volume = read_volume(scan)
    axial = AxialView.of(volume.geometry).apply(volume)
    image = normalise(axial.array, normalisation)[axial.array.shape[0] // 2]
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network: Any = build_network(architecture, **options).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                # As strong a signal behind each layer as before it, as in a trained network.
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        _spread(network, image)
    manifest = Manifest(
        name=name,
        title="random weights, to measure speed",
        architecture=architecture,
        options=options,
        normalisation=normalisation,
        spacing_mm=axial.geometry.spacing,
        threshold=0.5,
        sha256="",
        licence="MIT",
        training=made_for,
    )
    return save_model(network, manifest, folder, overwrite=True)


def _spread(network: Any, image: NDArray[np.float32]) -> None:
    """Scale the last layer so that the logits vary by 3 and one voxel in fifty is above the threshold."""
    import torch

    rows, columns = (side - side % network.traits.divisor for side in image.shape)
    with torch.inference_mode():
        logits = network(torch.from_numpy(image[None, None, :rows, :columns]))
    with torch.no_grad():
        network.head.weight.mul_(3 / logits.std())
        network.head.bias.copy_((network.head.bias - logits.quantile(0.98)) * 3 / logits.std())


def make_case(scan: Path, mask: Path | None, model: Manifest, folder: Path, *, slices: int | None = None) -> Case:
    """Return the files of a case, of the whole scan or of some slices in its middle.

    Parameters
    ----------
    scan : pathlib.Path
    mask : pathlib.Path or None
    model : Manifest
    folder : pathlib.Path
        For the files that are cut out.
    slices : int, optional
        How many along the last axis of the file; all unless given.

    Returns
    -------
    Case
    """
    from vesselseg.resampling import AxialView

    volume = read_volume(scan)
    depth = volume.array.shape[0]
    if slices is not None and slices < depth:
        start = (depth - slices) // 2
        box = slice(start, start + slices), slice(None), slice(None)
        scan = _cut(volume, box, folder / f"scan_{slices}.nii.gz")
        if mask is not None:
            mask = _cut(read_label(mask), box, folder / f"mask_{slices}.nii.gz")
        volume = read_volume(scan)
    x, y, z = volume.geometry.size
    spacing = " x ".join(f"{value:g}" for value in volume.geometry.spacing)
    inside = (
        "the whole of it" if mask is None else f"{100 * (read_label(mask).array != 0).mean():.0f} % inside the mask"
    )
    return Case(
        scan=scan,
        mask=mask,
        model=model,
        size=(x, y, z),
        slices=AxialView.of(volume.geometry).apply(volume).array.shape[0],
        description=f"{x} x {y} x {z} voxels of {spacing} mm, {inside}",
    )


def _cut(volume: Volume, box: tuple[slice, slice, slice], path: Path) -> Path:
    z, y, x = (slice(*part.indices(side)) for part, side in zip(box, volume.array.shape))
    part = Volume(np.ascontiguousarray(volume.array[z, y, x]), volume.geometry.cropped((z, y, x)))
    write_volume(part, path, overwrite=True)
    return path


def model_to_measure(name: str, untrained: str, scan: Path, folder: Path) -> Manifest:
    """Return the model of a name (empty for the default), or an untrained one if its network is named."""
    return untrained_model(untrained, scan, folder) if untrained else find_model(name)

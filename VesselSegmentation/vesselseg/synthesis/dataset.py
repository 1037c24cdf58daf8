"""Whole drawn scans: a tree placed in a head and scanned, one or many."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vesselseg.case_folder import LABEL, RADIUS, SCAN
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume, write_image
from vesselseg.output_files import atomic_outputs, make_output_folder
from vesselseg.synthesis.artefacts import with_laminar_cortex
from vesselseg.synthesis.background import Background, Mask, brain_box, grown, without_arteries
from vesselseg.synthesis.drawing import Drawing, draw
from vesselseg.synthesis.growth import BRAIN_AXES, BRAIN_CENTRE, grow_carotids, grow_tree, grow_vertebrobasilar
from vesselseg.synthesis.scan import random_acquisition, take_scan
from vesselseg.synthesis.sinuses import with_sinuses
from vesselseg.synthesis.tissue import simulated_head
from vesselseg.synthesis.trees import (
    Array,
    Branch,
    Tree,
    bounds,
    clipped,
    deformed,
    fitted,
    mapped,
    read_swc,
    resampled,
    with_calibres,
    with_lesions,
)
from vesselseg.synthesis.variation import with_extra_branches, with_flow, with_missing_branches
from vesselseg.volume import Volume

#: The files of a drawn scan, the last of them the first to take its place.
DRAWN_FILES = ("description.json", SCAN, LABEL, RADIUS, "artery.nii.gz")
#: Simulated heads are made to fit into this many voxels: drawing one takes about 100 bytes for each.
_MOST_VOXELS = 40e6


@dataclass(frozen=True)
class DrawnScan:
    """A drawn scan and how it came about.

    Parameters
    ----------
    scan, label : Volume
        As `vesselseg.synthesis.scan.take_scan` gives them.
    radius, artery : Volume
        In the voxels of vessels, the vessel's radius in mm (float32) and its class, a key of
        `vesselseg.synthesis.trees.ARTERIES` (uint8); 0 elsewhere.
    description : dict
        What it was drawn from: background, tree, seed.
    """

    scan: Volume
    label: Volume
    radius: Volume
    artery: Volume
    description: dict[str, str | int]


def tof_files(data: Path) -> dict[str, Path]:
    """Return the TOF scans of a data folder by subject: ``tof/SUBJECT_tof.nii.gz``."""
    return {path.name[: -len("_tof.nii.gz")]: path for path in sorted((data / "tof").glob("*_tof.nii.gz"))}


def swc_files(data: Path) -> dict[str, Path]:
    """Return the artery trees of a data folder by subject: ``arteries/SUBJECT.swc``."""
    return {path.stem: path for path in sorted((data / "arteries").glob("*.swc"))}


def place_traced_tree(tree: Tree, background: Background, rng: np.random.Generator) -> Tree:
    """Place a traced tree in a head, roughly and at random, and add the large arteries that tracings leave out.

    Parameters
    ----------
    tree : list of Branch
        As `read_swc` gives it.
    background : Background
    rng : numpy.random.Generator

    Returns
    -------
    list of Branch
        In the space of the background; cortical parts end at the surface of the brain.
    """
    low, high = brain_box(background.brain, background.geometry)
    extent = high - low
    box_low, box_high = low + extent * (0.03, 0.05, 0.0), high - extent * (0.03, 0.05, 0.04)
    # The tracing begins at the base of the skull; the box of the brain also holds cerebellum and brain stem.
    box_low[2] = box_high[2] - extent[2] * rng.uniform(0.78, 0.92)
    tree = deformed(fitted(with_missing_branches(tree, rng, share=rng.uniform(0, 0.25)), box_low, box_high), rng)
    tree = with_extra_branches(tree, rng)
    tree = with_calibres(tree, rng, factor=float(np.exp(rng.normal(0.05, 0.2))))
    middle = (low + high) / 2
    near = grown(background.brain, 4.0, background.geometry)
    inside = _inside(near, background.geometry, bounds(tree)[0][2] + 30.0)
    tree = with_lesions(clipped(resampled(tree, 1.0), inside), rng)
    # The tip of the basilar artery; also where the carotids end if they are grown.
    origin = np.array([middle[0], low[1] + extent[1] * rng.uniform(0.42, 0.48), box_low[2] + rng.uniform(8, 18)])
    feeders = grow_vertebrobasilar(rng)
    if rng.random() < 0.5:
        feeders += grow_carotids(rng)
        return tree + mapped(feeders, lambda points: points + origin)
    return tree + mapped(feeders, lambda points: points + origin) + _neck_carotids(tree, float(middle[0]))


def _neck_carotids(tree: Tree, middle: float) -> Tree:
    """Lengthen the traced carotids, which end at the base of the skull, down through the neck."""
    nodes = np.concatenate([np.column_stack([branch.points, branch.radii]) for branch in tree])
    result = []
    for side in (-1.0, 1.0):
        half = nodes[(nodes[:, 0] - middle) * side > 0]
        if len(half) == 0:
            continue
        end = half[np.argmin(half[:, 2])]
        if end[3] < 1.0:
            continue  # the lowest vessel on this side is no carotid
        course = np.array([(0, 0, 0), (1, 3, -3), (2, 5, -8), (1, 4, -20), (2, 6, -40), (0, 6, -70)]) * (side, 1, 1)
        result.append(Branch(course + end[:3], np.full(len(course), end[3])))
    return result


def _inside(mask: Mask, geometry: Geometry, base: float) -> Callable[[Array], Mask]:
    to_index = np.linalg.inv(geometry.ijk_to_lps())
    last = np.asarray(geometry.size) - 1

    def inside(points: Array) -> Mask:
        x, y, z = np.clip(np.rint(points @ to_index[:3, :3].T + to_index[:3, 3]).astype(int), 0, last).T
        # At the base of the skull the arteries lie outside of the brain.
        return mask[z, y, x] | (points[:, 2] < base)

    return inside


def grown_scene(geometry: Geometry, rng: np.random.Generator) -> tuple[Tree, Background]:
    """Grow a tree and simulate a head around it.

    Parameters
    ----------
    geometry : Geometry
        In axial orientation; the head is made to fit, so that a small grid holds a small head.
    rng : numpy.random.Generator

    Returns
    -------
    list of Branch
    Background
    """
    extent = np.asarray(geometry.size) * geometry.spacing
    corner = geometry.ijk_to_lps()[:3, 3]
    # The head fills the grid but for some air; its neck is cut off below.
    scale = float(np.min(extent / (2 * BRAIN_AXES + (38.0, 38.0, 30.0)) * (1.0, 1.0, 1.15)))
    scale *= rng.uniform(0.94, 1.0)
    axes = BRAIN_AXES * scale * rng.uniform(0.95, 1.05, 3)
    centre = corner + extent * (0.5, 0.5, 0.0)
    centre[2] = corner[2] + extent[2] - axes[2] - 15.0
    tree = deformed(grow_tree(rng, density=rng.uniform(0.8, 1.6)), rng)
    # A small head has no room for all the thin branches of a large one.
    tree = [branch for branch in tree if np.median(branch.radii) >= 0.25 / min(scale, 1.0)]
    tree = mapped(tree, lambda points: (points - BRAIN_CENTRE) * (axes / BRAIN_AXES) + centre)
    factor = float(np.exp(rng.normal(0.0, 0.2))) * min(scale, 1.0) ** 0.7
    tree = with_lesions(with_calibres(tree, rng, factor=factor), rng, aneurysms=0.7 * min(scale, 1.0))
    return tree, simulated_head(geometry, centre, axes, rng)


def scan_of(
    background: Background, tree: Tree, rng: np.random.Generator, *, supersampling: int = 3
) -> tuple[Volume, Volume, Drawing]:
    """Draw a tree into a background and scan it with random settings; returns scan, label and drawing."""
    acquisition = random_acquisition(rng, background)
    if rng.random() < 0.15:
        background = with_laminar_cortex(background, rng)
    flowing = with_flow(resampled(tree, 1.0), rng, spread=acquisition.flow_spread, bend_loss=acquisition.bend_loss)
    drawing = draw(flowing, background.geometry, supersampling=supersampling)
    return *take_scan(background, drawing, acquisition, rng), drawing


def head_without_arteries(scan_path: Path, mask_path: Path | None, rng: np.random.Generator) -> Background:
    """Read a real TOF scan and take its arteries out.

    Parameters
    ----------
    scan_path : pathlib.Path
    mask_path : pathlib.Path or None
        Its brain mask, not dilated; None to compute one.
    rng : numpy.random.Generator

    Returns
    -------
    Background

    Raises
    ------
    VesselSegError
        If a file cannot be read, the mask does not lie on the grid of the scan or is empty, or the scan is not in axial
        orientation.
    """
    scan = read_volume(scan_path)
    if mask_path is None:
        from vesselseg.brain_mask import brain_mask

        mask = brain_mask(scan)
    else:
        mask = read_label(mask_path)
        if not mask.geometry.same_grid(scan.geometry):
            raise VesselSegError(f"{mask_path} does not lie on the grid of {scan_path}", "give the mask of this scan")
    return without_arteries(scan, mask.array > 0, rng)


def synthesize(
    count: int,
    *,
    seed: int = 0,
    data: Path | None = None,
    heads: Sequence[str] | None = None,
    trees: Sequence[str] | None = None,
    masks: Path | None = None,
    simulated_share: float = 0.25,
    spacing_mm: tuple[float, float] = (0.3, 0.9),
    supersampling: int = 3,
) -> Iterator[DrawnScan]:
    """Draw scans, one after the other; the same arguments draw the same scans.

    Parameters
    ----------
    count : int
        Number of scans, 1 or more.
    seed : int
        Given the same heads and trees, scan `k` depends on the seed and on `k` only, besides whether it has a
        simulated head, as the last ones of `count` have.
    data : pathlib.Path, optional
        Folder with ``tof/*_tof.nii.gz`` and ``arteries/*.swc``; None draws simulated heads only.
    heads, trees : sequence of str, optional
        Subjects of the data to use; all unless given.
    masks : pathlib.Path, optional
        Folder with brain masks ``SUBJECT_mask.nii.gz`` of the heads; None computes them.
    simulated_share : float
        Share of simulated heads with grown trees, in [0, 1]; without data all are.
    spacing_mm : tuple of float
        Smallest and largest voxel spacing of simulated heads, in mm, from 0.3 to 2. Real heads keep theirs.
    supersampling : int
        See `vesselseg.synthesis.drawing.draw`; from 1 to 8.

    Returns
    -------
    iterator of DrawnScan
        Each is drawn when it is asked for. Sorted by head, since taking the arteries out of one takes longer than a
        drawing; where that is not possible it raises as `head_without_arteries`.

    Raises
    ------
    VesselSegError
        If the data lack scans, trees or a subject, if subjects or masks are given without data, or an option is out of
        range.
    """
    _check_options(count, simulated_share, spacing_mm, supersampling)
    if not data and (heads or trees or masks):
        raise VesselSegError("heads, trees and masks belong to a data folder", "give that folder, or leave them out")
    head_files = _chosen(tof_files(data), heads, "scan") if data else {}
    tree_files = _chosen(swc_files(data), trees, "tree") if data else {}
    if data and simulated_share < 1 and not (head_files and tree_files):
        lacking = "arteries/*.swc" if head_files else "tof/*_tof.nii.gz"
        raise VesselSegError(
            f"the data folder {data} has no {lacking}", "give another one, or 1 as the share of simulated heads"
        )
    real = count - round(count * simulated_share) if data else 0
    for needed in [_mask_of(name, masks) for name in list(head_files)[:real]] if masks else []:
        if not needed.is_file():
            raise VesselSegError(f"there is no brain mask {needed}", "make it, or give no masks")
    return _drawn_scans(count, real, seed, head_files, tree_files, masks, spacing_mm, supersampling)


def _drawn_scans(
    count: int,
    real: int,
    seed: int,
    head_files: dict[str, Path],
    tree_files: dict[str, Path],
    masks: Path | None,
    spacing_mm: tuple[float, float],
    supersampling: int,
) -> Iterator[DrawnScan]:
    """Draw scans as `synthesize` says, the first ones into real heads."""
    head_names, tree_names = list(head_files), list(tree_files)
    plan = sorted(range(real), key=lambda k: k % max(len(head_names), 1))
    current, background = "", None
    for k in [*plan, *range(real, count)]:
        rng = np.random.default_rng([seed, k])
        description: dict[str, str | int] = {"index": k, "seed": seed}
        if k < real:
            name = head_names[k % len(head_names)]
            if name != current or background is None:
                mask = _mask_of(name, masks) if masks else None
                background = head_without_arteries(head_files[name], mask, np.random.default_rng(seed))
                current = name
            traced = tree_names[tree_number(k, len(head_names), len(tree_names), seed)]
            scene = place_traced_tree(read_swc(tree_files[traced]), background, rng)
            head = with_sinuses(background, rng)
            description.update(head=name, tree=traced)
        else:
            scene, head = grown_scene(_random_grid(rng, spacing_mm), rng)
            description.update(head="simulated", tree="grown")
        scan, label, drawing = scan_of(head, scene, rng, supersampling=supersampling)
        vessel = label.array == 1
        radius, artery = (label.with_array(np.where(vessel, part, 0)) for part in (drawing.radius, drawing.artery))
        yield DrawnScan(scan, label, radius, artery, description)


def tree_number(k: int, heads: int, trees: int, seed: int) -> int:
    """Return which tree is drawn into the head ``k % heads``: it meets every tree before one comes again.

    Parameters
    ----------
    k : int
        Number of the scan, from 0.
    heads, trees : int
        How many there are.
    seed : int

    Returns
    -------
    int
        From 0.
    """
    # From one turn of the heads to the next the first rule goes on by heads + 1 trees, which leaves some out where both
    # numbers have a common divisor. Elsewhere it stays, so that a seed draws what it always drew.
    start = k if math.gcd(heads + 1, trees) == 1 else k % heads
    return (k // heads + start + 11 * seed) % trees


def write_drawn_scan(drawn: DrawnScan, folder: Path, *, overwrite: bool = False) -> None:
    """Write a drawn scan into a folder, which is made.

    The files are `DRAWN_FILES`, all of them or none.

    Raises
    ------
    VesselSegError
        If a file cannot be written, or exists and may not be replaced.
    """
    make_output_folder(folder)
    # Whole numbers: as few bits as hold them compress well.
    kind = np.uint8 if drawn.scan.array.max() <= 255 else np.uint16
    scan = drawn.scan.with_array(drawn.scan.array.astype(kind))
    # The last one takes its place first: the scan, by which a case is known, after its label, the description last.
    with atomic_outputs([folder / name for name in DRAWN_FILES], overwrite=overwrite) as (description, *images):
        for path, volume in zip(images, (scan, drawn.label, drawn.radius, drawn.artery)):
            write_image(volume, path)
        description.write_text(json.dumps(drawn.description, indent=2) + "\n", encoding="utf-8")


def _mask_of(head: str, masks: Path) -> Path:
    return masks / f"{head}_mask.nii.gz"


def _chosen(files: dict[str, Path], names: Sequence[str] | None, kind: str) -> dict[str, Path]:
    missing = [name for name in names or [] if name not in files]
    if missing:
        raise VesselSegError(f"the data folder has no {kind} of {', '.join(missing)}", f"it has {', '.join(files)}")
    return {name: files[name] for name in (names or files)}


def _check_options(count: int, simulated_share: float, spacing_mm: tuple[float, float], supersampling: int) -> None:
    if count < 1:
        raise VesselSegError(f"{count} scans cannot be drawn", "give at least 1")
    if not 0 <= simulated_share <= 1:
        raise VesselSegError(f"the share of simulated heads cannot be {simulated_share:g}", "give 0 to 1")
    low, high = spacing_mm
    if not 0.3 <= low <= high <= 2:
        raise VesselSegError(
            f"simulated heads cannot have voxels of {low:g} to {high:g} mm", "give two numbers from 0.3 to 2"
        )
    if not 1 <= supersampling <= 8:
        raise VesselSegError(f"{supersampling} points per voxel and axis cannot be counted", "give 1 to 8")


def _random_grid(rng: np.random.Generator, spacing_mm: tuple[float, float]) -> Geometry:
    """Return a grid that holds a head of about 0.75 to 1 of its natural size; a smaller one where voxels are small."""
    in_plane, between = (float(v) for v in rng.uniform(*spacing_mm, size=2))
    spacing = (in_plane, in_plane, between)
    extent = np.array([175.0, 212.0, 145.0]) * rng.uniform(0.72, 1.0)
    extent *= min(1.0, float(_MOST_VOXELS * np.prod(spacing) / np.prod(extent)) ** (1 / 3))
    x, y, z = (int(extent[a] / spacing[a]) for a in range(3))
    return Geometry((x, y, z), spacing)

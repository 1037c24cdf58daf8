"""Vessel trees, their drawing, simulated tissue and the scan of both."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.ndimage import label as label_pieces

from vesselseg.cli.main import main
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import UNSURE
from vesselseg.synthesis.background import (
    Background,
    brain_box,
    brain_coordinates,
    find_sinuses,
    without_arteries,
)
from vesselseg.synthesis.dataset import (
    DRAWN_FILES,
    DrawnScan,
    grown_scene,
    synthesize,
    tree_number,
    write_drawn_scan,
)
from vesselseg.synthesis.drawing import draw
from vesselseg.synthesis.growth import grow_tree
from vesselseg.synthesis.scan import Acquisition, take_scan
from vesselseg.synthesis.sinuses import with_sinuses
from vesselseg.synthesis.tissue import random_field
from vesselseg.synthesis.trees import (
    Branch,
    bounds,
    clipped,
    deformed,
    fitted,
    mapped,
    read_swc,
    resampled,
    with_lesions,
)
from vesselseg.volume import Volume

CUBE = np.ones((3, 3, 3))
GRID = Geometry((40, 50, 30), (0.6, 0.6, 0.6), (-12.0, -15.0, -9.0))

SWC = """# a trunk that forks; each child begins where the trunk ends
1 0 0 -90 0 1.5 -1
2 0 0 -80 0 1.5 1
3 2 0 -80 0 0.8 2
4 2 10 -70 0 0.8 3
5 3 0 -80 0 0.5 2
6 3 -10 -70 4 0.5 5
"""


def straight(radius: float, start=(-10.0, 0.0, 0.0), end=(10.0, 0.0, 0.0)) -> list[Branch]:
    return [Branch(np.array([start, end]), np.array([radius, radius]))]


@pytest.fixture
def swc_file(tmp_path: Path) -> Path:
    path = tmp_path / "tree.swc"
    path.write_text(SWC, encoding="utf-8")
    return path


def test_swc_becomes_branches_in_lps(swc_file: Path) -> None:
    tree = read_swc(swc_file)
    assert len(tree) == 3
    low, high = bounds(tree)
    np.testing.assert_allclose(low, (-10, 0, -90))  # the trunk, at the base of the skull, is lowest
    np.testing.assert_allclose(high, (10, 4, -70))
    assert sorted(round(float(branch.radii[-1]), 1) for branch in tree) == [0.5, 0.8, 1.5]


@pytest.mark.parametrize("text", ["1 2 3\n4 5 6\n", "not numbers\n", "1 0 0 0 0 1 -1\n"])
def test_what_is_no_swc_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.swc"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(VesselSegError):
        read_swc(path)


def test_resampling_keeps_ends_and_limits_the_step(swc_file: Path) -> None:
    for before, after in zip(read_swc(swc_file), resampled(read_swc(swc_file), 0.5)):
        np.testing.assert_allclose(after.points[[0, -1]], before.points[[0, -1]], atol=1e-9)
        assert np.linalg.norm(np.diff(after.points, axis=0), axis=1).max() < 0.55


def test_fitting_fills_the_box(swc_file: Path) -> None:
    low, high = bounds(fitted(read_swc(swc_file), np.array([1.0, 2, 3]), np.array([4.0, 6, 8])))
    np.testing.assert_allclose(low, (1, 2, 3))
    np.testing.assert_allclose(high, (4, 6, 8))


def test_deformation_is_moderate_and_reproducible() -> None:
    tree = mapped(grow_tree(np.random.default_rng(0)), lambda points: points)
    one, two = (deformed(tree, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one[3].points, two[3].points)
    low, high = bounds(tree)
    moved_low, moved_high = bounds(one)
    assert np.all(np.abs(moved_high - moved_low - (high - low)) < 0.35 * (high - low))


def test_clipping_cuts_a_branch_into_runs() -> None:
    line = resampled(straight(1.0), 0.5)
    parts = clipped(line, lambda points: np.abs(points[:, 0]) > 4)
    assert len(parts) == 2
    assert all(np.all(np.abs(part.points[:, 0]) > 4) for part in parts)


def test_grown_tree_has_large_and_small_vessels_and_obeys_murray() -> None:
    tree = grow_tree(np.random.default_rng(1))
    radii = np.concatenate([branch.radii for branch in tree])
    assert radii.max() > 1.5
    assert np.median(radii) < 0.8
    # Where exactly two grown branches leave the end of a third, r0^3 = r1^3 + r2^3.
    starts: dict[tuple, list[float]] = {}
    for branch in tree:
        starts.setdefault(tuple(branch.points[0]), []).append(branch.radii[0])
    forks = [(b.radii[-1], starts[tuple(b.points[-1])]) for b in tree if len(starts.get(tuple(b.points[-1]), [])) == 2]
    ratios = [sum(r**3 for r in children) / parent**3 for parent, children in forks]
    assert len(ratios) > 20
    assert np.median(ratios) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("radius", [0.6, 1.0, 2.0])
def test_drawn_volume_is_that_of_a_cylinder(radius: float) -> None:
    drawing = draw(straight(radius, (-30, 0.13, 0.21), (30, 0.13, 0.21)), GRID)
    area = drawing.occupancy[:, :, 5:-5].sum() / (GRID.size[0] - 10) * 0.36
    assert area == pytest.approx(np.pi * radius**2, rel=0.12)
    assert drawing.radius.max() == pytest.approx(radius)


def test_an_artery_thinner_than_a_voxel_is_one_connected_line() -> None:
    tree = deformed(straight(0.3, (-11, -13, -8), (11, 13, 8)), np.random.default_rng(2))
    drawing = draw(tree, GRID)
    assert label_pieces(drawing.label, CUBE)[1] == 1
    assert drawing.occupancy.max() < 0.8  # it fills no voxel


def test_drawing_outside_of_the_grid_is_nothing() -> None:
    assert not draw(straight(1.0, (100, 0, 0), (120, 0, 0)), GRID).label.any()


def test_drawing_follows_the_geometry() -> None:
    turned = Geometry((40, 50, 30), (0.6, 0.5, 0.8), (12.0, -12.0, -9.0), (-1, 0, 0, 0, 1, 0, 0, 0, 1))
    drawing = draw(straight(1.2, (3, 0, -5), (3, 0, 5)), turned)
    indices = np.argwhere(drawing.label)[:, ::-1]
    centre = (turned.ijk_to_lps() @ np.append(indices.mean(axis=0), 1))[:3]
    np.testing.assert_allclose(centre, (3, 0, 0), atol=0.3)


def flat_background(**options) -> Background:
    image = np.ones(GRID.shape, np.float32)
    return Background(image, np.ones(GRID.shape, bool), GRID, **options)


def test_scan_shows_vessels_and_is_reproducible() -> None:
    drawing = draw(straight(1.5), GRID)
    scans = [take_scan(flat_background(), drawing, Acquisition(), np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(scans[0][0].array, scans[1][0].array)
    scan, label = scans[0]
    assert scan.array.min() >= 0
    assert scan.array.max() <= 255
    assert scan.array[label.array == 1].mean() > 1.6 * scan.array[label.array == 0].mean()


def test_unsure_voxels_are_marked_unless_a_vessel_was_drawn_there() -> None:
    unsure = np.zeros(GRID.shape, bool)
    unsure[15, 25] = True
    drawing = draw(straight(1.5, (-5, 0, 0), (5, 0, 0)), GRID)
    _, label = take_scan(flat_background(unsure=unsure), drawing, Acquisition(), np.random.default_rng(0))
    assert (label.array == UNSURE).any()
    assert (label.array[drawing.label == 1] == 1).all()


def test_random_field_is_standardised_and_smooth() -> None:
    field = random_field((20, 30, 40), 8.0, np.random.default_rng(0))
    assert field.shape == (20, 30, 40)
    assert field.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(field, axis=2)).mean() < 0.4


def test_random_field_is_what_itk_interpolates() -> None:
    shape, scale = (20, 30, 41), 7.3
    rng = np.random.default_rng(4)
    image = sitk.GetImageFromArray(rng.normal(size=[int(np.ceil(n / scale)) + 3 for n in shape]).astype(np.float32))
    origin = [1.0 + float(v) for v in rng.uniform(0, 0.5, 3)]
    grid = sitk.Image(*shape[::-1], sitk.sitkFloat32)
    grid.SetSpacing([1 / scale] * 3)
    grid.SetOrigin(origin)
    expected = sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkBSpline))
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(random_field(shape, scale, np.random.default_rng(4)), expected, atol=1e-5)


def small_scene(seed: int = 0):
    geometry = Geometry((88, 106, 72), (1.1, 1.1, 1.1))
    rng = np.random.default_rng(seed)
    tree, head = grown_scene(geometry, rng)
    acquisition = Acquisition(lumen=3.5, thin_share=0.9, noise=0.05)
    return head, *take_scan(head, draw(tree, geometry), acquisition, rng)


def test_grown_scene_looks_like_a_head() -> None:
    head, scan, label = small_scene()
    assert 0.1 < head.brain.mean() < 0.6
    assert scan.array[head.brain].mean() > 4 * scan.array[:, :4, :4].mean()  # the corners are air
    assert set(np.unique(label.array)) <= {0, 1, UNSURE}
    assert 300 < (label.array == 1).sum() < 0.1 * label.array.size
    # Only the veins that run into the sinuses are left open.
    assert (label.array == UNSURE).sum() < 0.02 * label.array.size


def test_arteries_are_taken_out_and_sinuses_stay() -> None:
    head, scan, label = small_scene(1)
    result = without_arteries(scan, head.brain, np.random.default_rng(0))
    before = scan.array / np.median(scan.array[head.brain])
    inner = (label.array == 1) & head.brain & (before > 1.5)
    assert inner.sum() > 100
    assert result.image[inner].mean() < 1.2
    outside = ~head.brain & (label.array == 0)
    assert np.mean(result.image[outside] == before[outside]) > 0.8


def test_drawn_sinuses_are_bright_and_lie_at_the_rim() -> None:
    head, _, _ = small_scene(2)
    plain = Background(head.brain.astype(np.float32), head.brain, head.geometry)
    changed, tributaries = np.zeros(head.brain.shape, bool), np.zeros(head.brain.shape, bool)
    for seed in range(4):
        result = with_sinuses(plain, np.random.default_rng(seed))
        brighter = result.image > plain.image + 0.1
        # With the voxels that such a vein fills in part.
        near = binary_dilation(result.unsure, CUBE)
        changed |= brighter & ~near
        tributaries |= result.unsure
    assert changed.sum() > 200
    assert tributaries.sum() > 50
    core = binary_erosion(head.brain, iterations=6)
    core[:, :, np.abs(np.arange(core.shape[2]) - core.shape[2] // 2) < 6] = False  # the straight sinus
    assert not (changed & core).any()


def test_lesions_narrow_and_widen() -> None:
    tree = resampled(straight(1.0), 0.5) * 20
    changed = with_lesions(tree, np.random.default_rng(0), aneurysms=3.0, stenoses=1.0)
    assert len(changed) > len(tree)
    assert min(branch.radii.min() for branch in changed[: len(tree)]) < 0.75
    assert all(branch.radii.min() >= 0.3 for branch in changed)
    assert max(branch.radii.max() for branch in changed[len(tree) :]) > 1.4


@pytest.mark.parametrize("tilt", [0, 10, 20])
def test_the_brains_coordinates_follow_a_tilted_scan(tilt: float) -> None:
    brain = np.zeros((40, 60, 50), bool)
    brain[4:31, 10:51, 8:45] = True
    cos, sin = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    direction = (1.0, 0.0, 0.0, 0.0, float(cos), float(-sin), 0.0, float(sin), float(cos))
    geometry = Geometry((50, 60, 40), (0.5, 0.6, 0.8), (1.0, 2.0, 3.0), direction)
    x, y, z = (np.broadcast_to(line, brain.shape)[brain] for line in brain_coordinates(brain, geometry))
    np.testing.assert_allclose([x.min(), x.max()], [-9, 9], atol=0.5)
    for line in (y, z):
        np.testing.assert_allclose([line.min(), line.max()], [0, 1], atol=0.05)
    low, high = brain_box(brain, geometry)
    places = np.argwhere(brain)[:, ::-1] @ geometry.ijk_to_lps()[:3, :3].T + geometry.ijk_to_lps()[:3, 3]
    np.testing.assert_allclose([low, high], [places.min(axis=0), places.max(axis=0)], atol=1.0)


def test_sinuses_are_found_at_the_top_and_back_only() -> None:
    geometry = Geometry((100, 120, 90), (1.2, 1.2, 1.2))
    z, y, x = np.ogrid[:90, :120, :100]
    brain = ((x - 50) / 40) ** 2 + ((y - 60) / 50) ** 2 + ((z - 45) / 38) ** 2 < 1
    sagittal = (np.abs(x - 50) < 3) & (z > 81) & (z < 87) & (y > 30) & (y < 90)
    carotid = (np.abs(x - 40) < 3) & (np.abs(y - 55) < 3) & (z < 40) & (x > 0)
    found = find_sinuses((sagittal | carotid).astype(np.float32), brain, geometry)
    assert found[sagittal].mean() > 0.7
    assert not found[carotid].any()


@pytest.mark.slow
def test_synthesis_writes_whole_folders(tmp_path: Path) -> None:
    drawn = next(synthesize(1, seed=4))
    assert drawn.description["head"] == "simulated"
    write_drawn_scan(drawn, tmp_path / "one")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        "tof.nii.gz", "label.nii.gz", "radius.nii.gz", "artery.nii.gz", "description.json",
    }  # fmt: skip
    with pytest.raises(VesselSegError, match="exists"):
        write_drawn_scan(drawn, tmp_path / "one")


def test_a_drawn_scan_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume(np.ones(GRID.shape, np.uint8), GRID)
    drawn = DrawnScan(volume, volume, volume, volume, {"index": 0})
    writes: list[str] = []
    write = sitk.WriteImage

    def interrupted(image: sitk.Image, name: str, **options: object) -> None:
        writes.append(name)
        if len(writes) == 3:
            raise KeyboardInterrupt
        write(image, name, **options)

    monkeypatch.setattr(sitk, "WriteImage", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_drawn_scan(drawn, tmp_path / "one")
    assert list((tmp_path / "one").iterdir()) == []
    write_drawn_scan(drawn, tmp_path / "one")
    assert {path.name for path in (tmp_path / "one").iterdir()} == set(DRAWN_FILES)


def test_unknown_subject_is_named(tmp_path: Path) -> None:
    (tmp_path / "tof").mkdir()
    with pytest.raises(VesselSegError, match="NOBODY"):
        synthesize(1, data=tmp_path, heads=["NOBODY"])


def test_data_without_heads_or_trees_are_not_taken_for_a_wish_for_simulated_ones(tmp_path: Path) -> None:
    (tmp_path / "tof").mkdir()
    with pytest.raises(VesselSegError, match="no tof"):
        synthesize(1, data=tmp_path)
    (tmp_path / "tof" / "A_tof.nii.gz").touch()
    with pytest.raises(VesselSegError, match="no arteries"):
        synthesize(1, data=tmp_path)


def test_a_missing_mask_is_told_before_a_scan_is_drawn(tmp_path: Path) -> None:
    for folder, files in (
        ("tof", ("A_tof.nii.gz", "B_tof.nii.gz")),
        ("arteries", ("T.swc",)),
        ("m", ("A_mask.nii.gz",)),
    ):
        (tmp_path / folder).mkdir()
        for file in files:
            (tmp_path / folder / file).touch()
    with pytest.raises(VesselSegError, match="B_mask"):
        synthesize(8, data=tmp_path, masks=tmp_path / "m", simulated_share=0.0)


@pytest.mark.parametrize("options", [{"heads": ["A"]}, {"trees": ["A"]}, {"masks": Path("masks")}])
def test_subjects_and_masks_need_data(options: dict) -> None:
    with pytest.raises(VesselSegError, match="belong to a data folder"):
        synthesize(1, **options)


@pytest.mark.parametrize(("heads", "trees"), [(1, 32), (3, 32), (5, 32), (2, 5), (4, 10), (7, 1)])
@pytest.mark.parametrize("seed", [0, 3])
def test_every_head_meets_every_tree_before_one_comes_again(heads: int, trees: int, seed: int) -> None:
    pairs = [(k % heads, tree_number(k, heads, trees, seed)) for k in range(heads * trees)]
    assert len(set(pairs)) == heads * trees
    assert {tree for _, tree in pairs} == set(range(trees))


def test_a_seed_draws_the_trees_that_it_always_drew() -> None:
    # As published scans were drawn, wherever that rule leaves no tree out.
    assert [tree_number(k, 2, 5, 3) for k in range(10)] == [(k // 2 + k + 33) % 5 for k in range(10)]


def test_existing_scans_are_told_before_one_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VESSELSEG_DATA", raising=False)
    monkeypatch.setattr("vesselseg.synthesis.dataset.grown_scene", lambda *_: pytest.fail("a scan was drawn"))
    (tmp_path / "007_0001").mkdir()
    (tmp_path / "007_0001" / "radius.nii.gz").write_text("precious")
    options = ["--count", "3", "--seed", "7", "--progress", "none"]
    assert main(["synthesize", "--output", str(tmp_path), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "007_0001/radius.nii.gz exists already" in line


@pytest.mark.slow
def test_traced_tree_is_drawn_into_a_real_head() -> None:
    if not os.environ.get("VESSELSEG_DATA"):
        pytest.skip("VESSELSEG_DATA is not set")
    pytest.importorskip("deepbet")
    data = Path(os.environ["VESSELSEG_DATA"])
    drawn = next(synthesize(1, data=data, heads=["MNI_0590"], trees=["BG001"], simulated_share=0.0))
    assert isinstance(drawn.scan, Volume)
    assert drawn.description["head"] == "MNI_0590"
    assert 20_000 < (drawn.label.array == 1).sum() < 150_000

"""What a radiologist sees: error maps in slices and in 3D, projections and slabs of the scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("trame_slicer", reason="its views render without a display")

from compared_labels import SHAPE, two_labels, two_sources
from vesselseg.geometry import Geometry
from vesselseg.review.error_kinds import PALETTES, ErrorKind
from vesselseg.volume import Volume
from VesselSegmentationLib.reviewing.error_map_display import set_kind_visible, set_map_shown, set_outlined, set_palette
from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode
from VesselSegmentationLib.reviewing.error_navigator import ErrorNavigator
from VesselSegmentationLib.scene.scan_display import (
    PROJECTION,
    VESSELS,
    hide_volume_rendering,
    set_slab,
    show_volume_rendering,
)
from VesselSegmentationLib.scene.volume_nodes import set_node_volume
from views import make_3d_view, make_slice_view, pixels, share_of

ARTEFACTS = Path(__file__).resolve().parents[3] / "artefacts"
FOUND, TRUTH = two_labels()


@pytest.fixture
def scan(application):
    node = application.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    array = np.random.default_rng(0).normal(60, 6, SHAPE)
    array[TRUTH != 0] = 220
    set_node_volume(node, Volume(array.astype(np.float32), Geometry(SHAPE[::-1])))
    node.CreateDefaultDisplayNodes()
    display_node = node.GetScalarVolumeDisplayNode()
    display_node.AutoWindowLevelOff()
    display_node.SetWindowLevelMinMax(0, 255)
    return node


@pytest.fixture
def sources(application, scan):
    return two_sources(application.scene, scan)


@pytest.fixture
def error_map(application, scan, sources):
    error_map = ErrorMapNode(application.scene, scan, *sources)
    set_map_shown(error_map.node, sources, True, three_d=True)
    return error_map


def save(picture, name):
    ARTEFACTS.mkdir(exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(ARTEFACTS / name)


def shares(picture, palette="standard"):
    return [share_of(picture, PALETTES[palette].colour(kind)) for kind in ErrorKind]


def test_error_map_in_3d_has_three_colours(application, error_map):
    from trame_slicer.views.threed_view import ViewDirection

    view = make_3d_view(application)
    view.fit_view_to_content()
    view.rotate_to_view_direction(ViewDirection.SUPERIOR)
    picture = pixels(view)
    save(picture, "error-map-3d.png")
    assert all(share > 0.002 for share in shares(picture))
    set_kind_visible(error_map.node, ErrorKind.FALSE_NEGATIVE, three_d=False)
    tp, fp, fn = shares(pixels(view))
    assert tp > 0.002 < fp
    assert fn == 0
    set_kind_visible(error_map.node, ErrorKind.FALSE_NEGATIVE, three_d=True)
    set_palette(error_map.node, "colour-blind")
    picture = pixels(view)
    save(picture, "error-map-3d-colour-blind.png")
    assert all(share > 0.002 for share in shares(picture, "colour-blind"))


def test_error_map_in_slices_has_the_same_colours(application, scan, sources):
    # The view comes first, as in applications: trame-slicer's views draw the scan over what was there before them.
    view = make_slice_view(application, scan, orientation="Coronal")
    error_map = ErrorMapNode(application.scene, scan, *sources)
    set_map_shown(error_map.node, sources, True, three_d=False)
    seen = []
    pictures = []
    for kind, y in zip(ErrorKind, (-9.0, -2.0, -12.0)):  # the vessel in common, a piece too much, a missed piece
        view.set_slice_value(y)
        pictures.append(pixels(view))
        color = error_map.legend()[kind - 1].colour
        seen.append(share_of(pictures[-1], color))
    save(np.hstack(pictures), "error-map-slices.png")
    assert min(seen) > 0.0005
    view.set_slice_value(-9.0)
    filled = np.mean(pixels(view)[..., 0] > pixels(view)[..., 1] + 30)
    set_outlined(error_map.node, True)
    outlined = np.mean(pixels(view)[..., 0] > pixels(view)[..., 1] + 30)
    assert 0 < outlined < filled / 2


def test_chosen_error_is_in_the_middle_and_blinks(application, scan, sources):
    slices, three_d = make_slice_view(application, scan), make_3d_view(application)
    error_map = ErrorMapNode(application.scene, scan, *sources)
    set_map_shown(error_map.node, sources, True, three_d=True)
    navigator = ErrorNavigator(application.scene, error_map)
    navigator.list_all()
    three_d.fit_view_to_content()
    navigator.choose(navigator.shown()[0].component_id)
    yellow = (1.0, 0.95, 0.1)
    picture = pixels(slices)
    save(np.hstack([picture, pixels(three_d)]), "error-highlight.png")
    assert share_of(picture, yellow) > 0.001
    assert share_of(pixels(three_d), yellow) > 0.002
    rows, columns = picture.shape[:2]
    middle = picture[rows // 2 - 60 : rows // 2 + 60, columns // 2 - 60 : columns // 2 + 60]
    assert share_of(middle, yellow) > share_of(picture, yellow)
    navigator.highlight.set_visible(False)
    assert share_of(pixels(slices), yellow) == 0
    assert share_of(pixels(three_d), yellow) == 0


@pytest.mark.parametrize("style", [PROJECTION, VESSELS])
def test_scan_shows_its_arteries_in_3d(application, scan, style):
    view = make_3d_view(application, (120, 120))
    show_volume_rendering(application.scene, scan, style)
    view.fit_view_to_content()
    picture = pixels(view)
    save(picture, f"scan-{style}.png")
    bright = picture.max(axis=-1) > 90
    assert 0.005 < bright.mean() < 0.5
    hide_volume_rendering(application.scene, scan)
    assert pixels(view).max() == 0


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0])
def test_slab_is_as_thick_as_it_says(application, distance):
    array = np.full((60, 24, 28), 60.0, np.float32)
    array[40, 12, 4:24] = 250  # 10 slices above the one that is shown
    node = application.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    set_node_volume(node, Volume(array, Geometry((28, 24, 60), (1.0, 1.0, distance))))
    node.CreateDefaultDisplayNodes()
    display_node = node.GetScalarVolumeDisplayNode()
    display_node.AutoWindowLevelOff()
    display_node.SetWindowLevelMinMax(0, 255)
    view = make_slice_view(application, node)
    view.set_slice_value(30 * distance)

    def artery_shows():
        return bool(np.mean(pixels(view) > 180) > 0.003)

    away = 10 * distance
    assert not artery_shows()
    set_slab(application.scene, 2 * (away - 2 * distance))
    assert not artery_shows()
    set_slab(application.scene, 2 * (away + 2 * distance))
    assert artery_shows()
    save(pixels(view), "slab.png")
    set_slab(application.scene, 0.0)
    assert not artery_shows()

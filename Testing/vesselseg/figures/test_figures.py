from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.legend import Legend

from vesselseg.errors import VesselSegError
from vesselseg.figures.error_maps import FIGURES, draw_comparison, draw_figure, save_figure
from vesselseg.figures.parts import LABEL_COLOUR, FigureStyle, sides_of
from vesselseg.figures.rendering import VIEWS, Frame, Part, find_view, frame_of, render
from vesselseg.figures.thresholds import draw_threshold_figure
from vesselseg.geometry import Geometry
from vesselseg.review.error_kinds import PALETTES, STANDARD_PALETTE, ErrorKind, wording_of_two
from vesselseg.review.error_map import error_map
from vesselseg.review.threshold_analysis import analyse_thresholds
from vesselseg.volume import Volume

BLACK = (0.0, 0.0, 0.0)


def share_of(colour: tuple[float, float, float], picture: np.ndarray) -> int:
    """Count pixels of a colour, whatever their shade."""
    pixels = picture.reshape(-1, picture.shape[-1])[:, :3].astype(float)
    bright = pixels[pixels.max(axis=1) > 0.3 * (255 if picture.dtype == np.uint8 else 1)]
    wanted = np.asarray(colour) / np.linalg.norm(colour)
    return int(np.count_nonzero(bright @ wanted / np.linalg.norm(bright, axis=1) > 0.99))


@pytest.fixture
def errors() -> Volume:
    """Three crossing bars, one of each kind, and a thin vessel beside them."""
    geometry = Geometry((40, 36, 32), (0.6, 0.6, 0.6), (-12.0, -11.0, -10.0))
    found, truth = np.zeros((2, *geometry.shape), np.uint8)
    found[10:14, 8:28, 8:12] = truth[10:14, 8:28, 8:12] = 1
    found[20:24, 8:28, 20:24] = 1
    truth[24:28, 8:28, 30:34] = 1
    truth[5, 10:30, 16] = found[5, 10:30, 16] = 1
    return error_map(Volume(found, geometry), Volume(truth, geometry))


@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("background", ["black", "white"])
def test_figures_show_the_colours_of_the_palette(
    errors: Volume, make_scan: Callable[..., Volume], kind: str, palette: str, background: str, tmp_path: Path
) -> None:
    style = FigureStyle(palette=PALETTES[palette], background=background, view=find_view("30,20"), dpi=100)
    figure = draw_figure(errors, kind=kind, scan=make_scan(errors.geometry), style=style)
    save_figure(tmp_path / "figure.png", figure)
    picture = imread(tmp_path / "figure.png")
    assert picture.shape[1] == 720
    upper = picture[: int(0.9 * len(picture))]  # without the legend
    for colour in PALETTES[palette].colours[1:]:
        assert share_of(colour, upper) > 100
    corner = picture[2, 2, :3]
    np.testing.assert_allclose(corner, 1.0 if background == "white" else 0.0)


def test_agreement_is_translucent_and_errors_behind_it_show(errors: Volume) -> None:
    view = VIEWS["left"]  # the agreement lies in front of the false negatives there, or behind
    parts = [Part(errors.array == kind, STANDARD_PALETTE.colour(kind), 0.5 if kind == 1 else 1.0) for kind in ErrorKind]
    for name in ("left", "right"):
        view = VIEWS[name]
        frame = frame_of(errors.array != 0, errors.geometry, view)
        picture = render(parts, errors.geometry, frame, view=view, width=200, background=BLACK)
        for colour in STANDARD_PALETTE.colours:
            assert share_of(colour, picture) > 50


def test_comparison_of_two_methods_shows_both(errors: Volume, tmp_path: Path) -> None:
    other = errors.with_array(np.where(errors.array == 3, 1, errors.array).astype(np.uint8))
    figure = draw_comparison(errors, other, names=("one", "two"), style=FigureStyle(dpi=100))
    save_figure(tmp_path / "both.png", figure)
    picture = imread(tmp_path / "both.png")
    third = picture.shape[1] // 3
    lower = picture[len(picture) // 2 : int(0.9 * len(picture))]
    blue = STANDARD_PALETTE.colour(ErrorKind.FALSE_NEGATIVE)
    assert share_of(blue, lower[:, third : 2 * third]) > 100
    assert share_of(blue, lower[:, 2 * third :]) == 0


def test_three_results_are_called_by_their_own_names(errors: Volume) -> None:
    style = FigureStyle(dpi=100, wording=wording_of_two("Ann", "Bob"))
    figure = draw_comparison(errors, errors, names=("Ann", "Cid"), style=style)
    (box,) = figure.axes[3].findobj(Legend)
    texts = [text.get_text().partition(":")[0] for text in box.get_texts()]
    assert texts == ["Ann", "agreement", "only Ann", "only Bob", "Cid", "agreement", "only Cid", "only Bob"]


def legend_of(figure: Figure) -> Legend:
    (legend,) = figure.legends
    return legend


def test_counts_below_closeups_are_said_to_be_of_the_whole_scan(errors: Volume) -> None:
    for kind, title in (("closeups", "in the whole scan"), ("overview", ""), ("projections", "")):
        figure = draw_figure(errors, kind=kind, style=FigureStyle(dpi=60))
        assert legend_of(figure).get_title().get_text() == title
        figure.canvas.draw()
        assert legend_of(figure).get_window_extent().y1 <= min(axes.bbox.y0 for axes in figure.axes)


def test_legends_count_one_voxel_as_one() -> None:
    array = np.zeros((8, 9, 10), np.uint8)
    array[2, 3, 4], array[5, 5, 4:6] = ErrorKind.FALSE_POSITIVE, ErrorKind.FALSE_NEGATIVE
    figure = draw_figure(Volume(array, Geometry((10, 9, 8))), kind="projections", style=FigureStyle(dpi=60))
    counts = [text.get_text().split(": ")[1].split(",")[0] for text in legend_of(figure).get_texts()]
    assert counts == ["0 voxels", "1 voxel", "2 voxels"]


@pytest.mark.parametrize("kind", ["overview", "projections"])
def test_a_tall_case_fits_on_a_page(kind: str, tmp_path: Path) -> None:
    array = np.zeros((120, 6, 6), np.uint8)
    array[10:110, 2:4, 2:4] = ErrorKind.FALSE_NEGATIVE
    figure = draw_figure(Volume(array, Geometry((6, 6, 120), (0.5, 0.5, 0.5))), kind=kind, style=FigureStyle(dpi=100))
    assert figure.get_figheight() < 9
    save_figure(tmp_path / "figure.png", figure)
    rows = np.flatnonzero((imread(tmp_path / "figure.png")[..., 2] > 0.5).any(axis=1))
    assert np.ptp(rows) > 200
    (left, right), (low, high) = figure.axes[2].get_xlim(), figure.axes[2].get_ylim()
    assert high - low > 50  # all of the vessel
    assert right - left > 0.5 * (high - low)  # with room for the scale bar


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_map_gives_the_same_file(errors: Volume, suffix: str, tmp_path: Path) -> None:
    for number in range(2):
        save_figure(tmp_path / f"{number}{suffix}", draw_figure(errors, kind="projections", style=FigureStyle(dpi=60)))
    assert (tmp_path / f"0{suffix}").read_bytes() == (tmp_path / f"1{suffix}").read_bytes()


def test_legends_of_two_methods_stand_apart_in_a_flat_picture(errors: Volume) -> None:
    flat = errors.with_array(np.where(np.indices(errors.array.shape)[0] == 9, errors.array, 0).astype(np.uint8))
    figure = draw_comparison(flat, flat, names=("U-Net", "graph cut"), style=FigureStyle(dpi=100))
    panel = figure.axes[3]
    figure.canvas.draw()
    (box,) = panel.findobj(Legend)
    texts = box.get_texts()
    assert [texts[0].get_text(), texts[4].get_text(), len(texts)] == ["U-Net", "graph cut", 8]
    extents = [text.get_window_extent() for text in texts]
    assert all(upper.y0 >= lower.y1 for upper, lower in zip(extents, extents[1:]))
    assert panel.bbox.y0 <= box.get_window_extent().y0
    assert box.get_window_extent().y1 <= panel.bbox.y1


def test_captions_say_what_lies_in_front(errors: Volume, make_scan: Callable[..., Volume]) -> None:
    style = FigureStyle(wording=wording_of_two("Ann", "Bob"), dpi=60)
    for kind in ("overview", "projections"):
        for scan in (None, make_scan(errors.geometry)):
            texts = " ".join(text.get_text() for text in draw_figure(errors, kind=kind, scan=scan, style=style).texts)
            assert "differences are drawn over agreement" in texts
            assert ("scan as maximum intensity projection" in texts) == (scan is not None)


@pytest.mark.skipif(matplotlib.__version_info__ < (3, 10), reason="older Matplotlib snaps all the same")
def test_the_letter_l_has_its_foot(errors: Volume) -> None:
    for dpi in (102, 110, 114):
        figure = draw_figure(errors, kind="projections", style=FigureStyle(dpi=dpi))
        figure.canvas.draw()
        (letter,) = (text for text in figure.axes[0].texts if text.get_text() == "L")
        box = letter.get_window_extent()
        pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, 0].astype(float)
        drawn = pixels[round(box.y0) : round(box.y1), round(box.x0) : round(box.x1)].max(axis=0)
        assert np.count_nonzero(drawn > 60) >= 3, dpi  # wider than its stem


@pytest.fixture
def probability() -> tuple[Volume, Volume]:
    """A probability and its reference."""
    values = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    truth = Volume((values > 0.2).astype(np.uint8), Geometry((8, 8, 8)))
    return truth.with_array(values), truth


def test_one_measured_threshold_is_no_curve(probability: tuple[Volume, Volume]) -> None:
    for detailed, shown in (((), False), ((0.1, 0.5), True)):
        figure = draw_threshold_figure(analyse_thresholds(*probability, detailed=detailed), style=FigureStyle(dpi=60))
        names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert ("clDice" in names) == shown


@pytest.mark.parametrize("masked", [False, True])
def test_titles_say_where_thresholds_were_measured(probability: tuple[Volume, Volume], masked: bool) -> None:
    analysis = analyse_thresholds(*probability, detailed=())
    figure = draw_threshold_figure(analysis, style=FigureStyle(dpi=60), masked=masked)
    titles = [axes.get_title() for axes in figure.axes]
    assert ["inside the mask" in title for title in titles] == [masked, masked]
    assert titles[0].endswith("small pieces kept")
    figure.canvas.draw()
    left, right = (axes.title.get_window_extent() for axes in figure.axes)
    assert left.x1 < right.x0
    assert right.x1 < figure.bbox.x1
    assert max(left.y1, right.y1) < figure.bbox.y1


def test_curves_are_not_covered_by_their_legends(probability: tuple[Volume, Volume]) -> None:
    analysis = analyse_thresholds(*probability, detailed=())
    figure = draw_threshold_figure(analysis, style=FigureStyle(dpi=60), current=0.4)
    figure.canvas.draw()
    for axes in figure.axes:
        assert axes.get_legend().get_window_extent().y1 < axes.bbox.y0


def test_words_of_two_results(errors: Volume) -> None:
    style = FigureStyle(wording=wording_of_two("Ann", "Bob"), title="Two readers", dpi=60)
    texts = [text.get_text() for text in draw_figure(errors, style=style).texts]
    assert [text for text in texts if text in ("Ann", "Bob", "comparison")] == ["Ann", "Bob", "comparison"]
    assert "Two readers" in texts
    assert not any("positive" in text for text in texts)
    titles = [text.get_text() for text in draw_figure(errors, style=FigureStyle(dpi=60)).texts]
    assert titles[:3] == ["reference", "segmentation", "error map"]


@pytest.mark.parametrize("kind", FIGURES)
def test_nothing_to_show_is_no_crash(kind: str, tmp_path: Path) -> None:
    empty = Volume(np.zeros((8, 9, 10), np.uint8), Geometry((10, 9, 8)))
    save_figure(tmp_path / "map.pdf", draw_figure(empty, kind=kind, style=FigureStyle(dpi=60)))
    assert (tmp_path / "map.pdf").stat().st_size > 1000


@pytest.mark.parametrize("corner", [(0, 0, 0), (27, 35, 39)])
def test_one_voxel_at_the_border_is_seen_where_it_lies(awkward_geometry: Geometry, corner: tuple[int, ...]) -> None:
    array = np.zeros(awkward_geometry.shape, bool)
    array[corner] = True
    view = find_view("20,10")
    everywhere = frame_of(np.ones_like(array), awkward_geometry, view)
    picture = render([Part(array, LABEL_COLOUR)], awkward_geometry, everywhere, view=view, width=300, background=BLACK)
    rows, columns = np.nonzero(picture.max(axis=-1) > 60)
    assert rows.size > 0
    millimetres = everywhere.width / 300
    position = awkward_geometry.ijk_to_ras() @ [*corner[::-1], 1]
    right, up, _ = view.axes @ position[:3]
    assert everywhere.left + (columns.mean() + 0.5) * millimetres == pytest.approx(right, abs=0.3)
    assert everywhere.bottom + everywhere.height - (rows.mean() + 0.5) * millimetres == pytest.approx(up, abs=0.3)


def test_a_length_is_drawn_to_scale() -> None:
    geometry = Geometry((30, 30, 60), (0.5, 0.5, 0.5))
    label = np.zeros(geometry.shape, bool)
    label[10:50, 10:20, 10:20] = True  # 20 mm from the first face to the last
    frame = Frame(*(frame_of(label, geometry, VIEWS["anterior"]).__dict__.values()))
    picture = render(
        [Part(label, (1.0, 1.0, 1.0))], geometry, frame, view=VIEWS["anterior"], width=200, background=BLACK
    )
    rows = np.flatnonzero(picture.max(axis=(1, 2)) > 128)
    assert (rows[-1] - rows[0] + 1) * frame.width / 200 == pytest.approx(20, abs=0.5)


def test_tall_pictures_are_drawn_as_far_as_opengl_goes() -> None:
    geometry = Geometry((3, 3, 600), (0.5, 0.5, 0.5))
    label = np.ones(geometry.shape, bool)
    view = VIEWS["anterior"]
    frame = Frame(*(frame_of(label, geometry, view).__dict__.values()))

    def drawn(height: int) -> np.ndarray:
        width = max(round(height * frame.width / frame.height), 1)
        return render([Part(label, (1.0, 1.0, 1.0))], geometry, frame, view=view, width=width, background=BLACK)

    picture = drawn(9000)  # twice as many would be too many
    assert (picture.max(axis=(1, 2)) > 128).mean() > 0.9
    with pytest.raises(VesselSegError, match="too large"):
        drawn(20000)


def test_views_show_the_sides_that_radiologists_expect() -> None:
    expected = {"anterior": "RL", "posterior": "LR", "left": "AP", "right": "PA", "superior": "LR", "inferior": "RL"}
    assert {name: sides_of(view) for name, view in VIEWS.items()} == expected
    for name in ("superior", "inferior"):
        np.testing.assert_allclose(VIEWS[name].axes[1], [0, 1, 0], atol=1e-12)  # the face on top
    np.testing.assert_allclose(find_view("90,0").axes, VIEWS["left"].axes)


@pytest.mark.parametrize("text", ["sideways", "30", "0,91", "a,b"])
def test_unknown_view_is_refused(text: str) -> None:
    with pytest.raises(VesselSegError, match="is no view"):
        find_view(text)


def test_what_a_figure_cannot_be_is_refused(errors: Volume) -> None:
    with pytest.raises(VesselSegError, match="background"):
        FigureStyle(background="pink")
    with pytest.raises(VesselSegError, match="dpi"):
        FigureStyle(dpi=3)
    with pytest.raises(VesselSegError, match="no figure"):
        draw_figure(errors, kind="cubist", style=FigureStyle())


def test_no_opengl_and_no_vtk_are_named_errors() -> None:
    code = """
        import sys, textwrap
        import numpy as np
        from vesselseg.errors import VesselSegError
        from vesselseg.geometry import Geometry
        from vesselseg.figures.rendering import Part, VIEWS, frame_of, render
        if len(sys.argv) > 1:
            sys.modules["vtkmodules.vtkRenderingOpenGL2"] = None
        mask, geometry = np.ones((4, 4, 4), bool), Geometry((4, 4, 4))
        frame = frame_of(mask, geometry, VIEWS["left"])
        try:
            render([Part(mask, (1, 0, 0))], geometry, frame, view=VIEWS["left"], width=20, background=(0, 0, 0))
        except VesselSegError as error:
            print(error)
    """
    import textwrap

    # OSMesa is what is left where neither a display nor EGL is; its library is not there.
    environment = os.environ | {"VTK_DEFAULT_OPENGL_WINDOW": "vtkOSOpenGLRenderWindow"}
    for arguments, said in (([], "no OpenGL"), (["without"], "VTK is not installed")):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            capture_output=True, text=True, timeout=60, env=environment,
        )  # fmt: skip
        if not done.stdout and not arguments:
            pytest.skip("OSMesa is installed here: there is always an OpenGL")
        assert said in done.stdout
        assert done.returncode == 0
        assert done.stderr == ""

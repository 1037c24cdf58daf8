"""Surfaces of labels as pictures, rendered with VTK without a display."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.review.error_kinds import Colour

#: Rendered so much larger, and averaged down: smooth edges with translucent surfaces too.
_OVERSAMPLING = 2
#: Pixels; larger textures are beyond what OpenGL does nearly everywhere.
_LARGEST_SIDE = 16384
#: Around what a picture shows.
_MARGIN_MM = 4.0
_NO_OPENGL = "install a Mesa OpenGL library (Debian, Ubuntu: apt-get install libegl1 libgl1 libosmesa6)"


@dataclass(frozen=True)
class View:
    """From where the patient is looked at, in parallel projection.

    Parameters
    ----------
    azimuth : float
        In degrees; 0 from the front, 90 from the patient's left, -90 from the right, 180 from behind.
    elevation : float
        In degrees; 90 from above, -90 from below.
    """

    azimuth: float = 0.0
    elevation: float = 0.0

    @property
    def axes(self) -> NDArray[np.float64]:
        """Unit vectors in RAS, shape (3, 3): to the right of the picture, up, and towards the eye."""
        a, e = np.radians([self.azimuth, self.elevation])
        towards = np.array([-np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), np.sin(e)])
        up = np.array([np.sin(a) * np.sin(e), -np.cos(a) * np.sin(e), np.cos(e)])
        return np.array([np.cross(up, towards), up, towards])


#: Views by name; from above and from below the face is on top.
VIEWS = {
    "anterior": View(0, 0),
    "posterior": View(180, 0),
    "left": View(90, 0),
    "right": View(-90, 0),
    "superior": View(180, 90),
    "inferior": View(0, -90),
}


def find_view(text: str) -> View:
    """Return the view of a name in `VIEWS`, or of two angles in degrees as in ``"30,15"``.

    Raises
    ------
    VesselSegError
        If it is neither.
    """
    if text in VIEWS:
        return VIEWS[text]
    try:
        azimuth, elevation = (float(part) for part in text.split(","))
        if not (abs(azimuth) <= 360 and abs(elevation) <= 90):
            raise ValueError
    except ValueError:
        raise VesselSegError(
            f"'{text}' is no view", f"give {', '.join(VIEWS)}, or azimuth and elevation in degrees as in 30,15"
        ) from None
    return View(azimuth, elevation)


@dataclass(frozen=True)
class Part:
    """A label to be shown.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
    colour : Colour
    opacity : float
        In (0, 1].
    """

    mask: NDArray[np.bool_]
    colour: Colour
    opacity: float = 1.0


@dataclass(frozen=True)
class Frame:
    """What a picture shows, in the view's own coordinates: mm to the right and up, from the origin of RAS.

    Parameters
    ----------
    left, bottom, width, height : float
        In mm.
    """

    left: float
    bottom: float
    width: float
    height: float


def frame_of(mask: NDArray[np.bool_], geometry: Geometry, view: View) -> Frame:
    """Return the frame that holds all of a label, with a margin; of the whole grid where the label is empty."""
    points = np.argwhere(mask)[:, ::-1]
    if not len(points):
        points = np.array([[0, 0, 0], np.array(geometry.size) - 1])
    matrix = geometry.ijk_to_ras()
    seen = (points @ matrix[:3, :3].T + matrix[:3, 3]) @ view.axes[:2].T
    low, high = seen.min(axis=0) - _MARGIN_MM, seen.max(axis=0) + _MARGIN_MM
    return Frame(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def render(
    parts: Sequence[Part], geometry: Geometry, frame: Frame, *, view: View, width: int, background: Colour
) -> NDArray[np.uint8]:
    """Render labels as surfaces that run between the voxel centres, unsmoothed: a single voxel stays visible.

    Parameters
    ----------
    parts : sequence of Part
        All on one grid.
    geometry : Geometry
        That grid.
    frame : Frame
        What the picture shows.
    view : View
        From where.
    width : int
        Of the picture, in pixels; the height follows.
    background : Colour

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        Red, green, blue, the top row first.

    Raises
    ------
    VesselSegError
        If VTK is not installed, or no OpenGL library is there to render with.
    """
    try:
        import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  (brings the rendering with it)
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkRenderingCore import vtkLightKit, vtkRenderer, vtkRenderWindow, vtkWindowToImageFilter
    except ImportError as error:
        raise VesselSegError("VTK is not installed: nothing can be rendered in 3D", "run 'pip install vtk'") from error
    height = max(round(width * frame.height / frame.width), 1)
    if max(width, height) > _LARGEST_SIDE:  # where OpenGL would leave the picture empty
        raise VesselSegError("the picture would be too large to be rendered", "give fewer dpi")
    oversampling = min(_OVERSAMPLING, _LARGEST_SIDE // max(width, height))
    with _quiet_vtk():
        window = vtkRenderWindow()
        window.SetOffScreenRendering(1)
        window.SetMultiSamples(0)  # would switch the ordering of translucent surfaces off
        window.SetAlphaBitPlanes(1)
        window.SetSize(width * oversampling, height * oversampling)
        window.Initialize()
        window.MakeCurrent()
        if not window.IsCurrent():  # rendering would end the whole program
            raise VesselSegError("there is no OpenGL to render in 3D with", _NO_OPENGL)
        renderer = vtkRenderer()
        renderer.SetBackground(*background)
        renderer.SetUseDepthPeeling(any(part.opacity < 1 for part in parts))
        renderer.SetMaximumNumberOfPeels(16)
        renderer.SetOcclusionRatio(0.0)
        lights = vtkLightKit()
        lights.SetKeyLightIntensity(1.0)
        lights.AddLightsToRenderer(renderer)
        window.AddRenderer(renderer)
        for part in parts:
            actor = _actor(part, geometry)
            if actor is not None:
                renderer.AddActor(actor)
        _place_camera(renderer, frame, view)
        window.Render()
        grab = vtkWindowToImageFilter()
        grab.SetInput(window)
        grab.ReadFrontBufferOff()
        grab.Update()
        pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).astype(np.float32)
        window.Finalize()
    tall = pixels.reshape(height, oversampling, width, oversampling, 3)[::-1]
    return np.rint(tall.mean(axis=(1, 3))).astype(np.uint8)


@contextlib.contextmanager
def _quiet_vtk() -> Iterator[None]:
    """Keep VTK's words about displays that it tries in vain off the screen."""
    from vtkmodules.vtkCommonCore import vtkLogger

    before = vtkLogger.GetCurrentVerbosityCutoff()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        vtkLogger.SetStderrVerbosity(before)


def _place_camera(renderer: Any, frame: Frame, view: View) -> None:
    right, up, towards = view.axes
    middle = right * (frame.left + frame.width / 2) + up * (frame.bottom + frame.height / 2)
    bounds = np.array(renderer.ComputeVisiblePropBounds()).reshape(3, 2)
    if bounds[0, 0] <= bounds[0, 1]:
        middle = middle + towards * float(bounds.mean(axis=1) @ towards)
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetFocalPoint(*middle)
    camera.SetPosition(*(middle + 500 * towards))
    camera.SetViewUp(*up)
    camera.SetParallelScale(frame.height / 2)
    renderer.ResetCameraClippingRange()


def _actor(part: Part, geometry: Geometry) -> Any:
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    box = bounding_box(part.mask)
    if box is None:
        return None
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(_surface(part.mask[box], geometry.cropped(box)))
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetColor(*part.colour)
    look.SetOpacity(part.opacity)
    look.SetAmbient(0.3)
    look.SetDiffuse(0.8)
    look.SetSpecular(0.15)
    look.SetSpecularPower(30)
    return actor


def _surface(mask: NDArray[np.bool_], geometry: Geometry) -> Any:
    """Return the surface of a label in RAS; only its shading is smoothed, not its shape."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D, vtkPolyDataNormals, vtkWindowedSincPolyDataFilter

    padded = np.pad(mask, 1).view(np.uint8)
    image = vtkImageData()
    image.SetDimensions(*padded.shape[::-1])
    image.SetOrigin(-1, -1, -1)
    image.GetPointData().SetScalars(numpy_to_vtk(padded.ravel(), deep=True))
    edges = vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.5)
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    surface = edges.GetOutput()
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(float)
    matrix = geometry.ijk_to_ras()
    surface.GetPoints().SetData(numpy_to_vtk(points @ matrix[:3, :3].T + matrix[:3, 3], deep=True))
    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(surface)
    smooth.SetNumberOfIterations(15)
    smooth.SetPassBand(0.1)
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    normals = vtkPolyDataNormals()
    normals.SetInputConnection(smooth.GetOutputPort())
    normals.SplittingOff()
    # A mirrored grid turns the triangles inside out.
    normals.ConsistencyOff()
    normals.SetFlipNormals(bool(np.linalg.det(matrix[:3, :3]) < 0))
    normals.Update()
    surface.GetPointData().SetNormals(normals.GetOutput().GetPointData().GetNormals())
    return surface

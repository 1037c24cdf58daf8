"""What a radiologist looks at first: the scan as a projection or as a volume rendering, and slabs in slice views.

All of it can be switched off again, and leaves every other display setting as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT
from vtkmodules.vtkCommonDataModel import vtkPiecewiseFunction
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class
from VesselSegmentationLib.scene.volume_nodes import volume_from_node, volume_geometry

#: Styles of a volume rendering: maximum intensity projection, or lit surfaces of the bright vessels.
PROJECTION, VESSELS = "projection", "vessels"
STYLES = (PROJECTION, VESSELS)

#: Share of the voxels of a head, in per cent, that are darker than what begins to show, and than what shows in full.
#: Arteries are the brightest one or two per cent of a TOF scan.
_FAINT_PERCENT, _FULL_PERCENT = 97.5, 99.6
#: So many voxels, evenly spread, tell the percentiles well.
_SAMPLE = 2_000_000

#: Intensity, colour and opacity of a point of the transfer functions.
_Point = tuple[float, tuple[float, float, float], float]

_DISPLAY_ATTRIBUTE = "vesselseg.scan_display"
_FORMER_TECHNIQUE = "vesselseg.former_technique"
_FORMER_SLAB = "vesselseg.former_slab"
#: In mm; less is no other distance of slices.
_SAME_DISTANCE = 1e-6


@dataclass(frozen=True)
class VesselWindow:
    """Intensities between which vessels show.

    Parameters
    ----------
    tissue : float
        Median of the head: what is darker is background of a projection.
    faint : float
        Vessels begin to show.
    full : float
        They show in full.
    """

    tissue: float
    faint: float
    full: float


def vessel_window(scan: Volume) -> VesselWindow:
    """Fit the intensities between which vessels show to a scan.

    Looked at are the voxels that are brighter than the mean of the scan: air is the larger part of it.

    Parameters
    ----------
    scan : Volume

    Returns
    -------
    VesselWindow
        With strictly rising values.

    Raises
    ------
    VesselSegError
        If all voxels have the same value.
    """
    values = scan.array.ravel()
    values = values[:: max(values.size // _SAMPLE, 1)].astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size:
        values = values[values > values.mean()]
    if not values.size:
        raise VesselSegError("the scan has the same value everywhere", "choose a TOF-MRA scan")
    tissue, faint, full = (float(v) for v in np.percentile(values, (50, _FAINT_PERCENT, _FULL_PERCENT)))
    # Few different values, as in a scan whose bright end was clipped, can make them equal.
    step = max((float(values.max()) - float(values.min())) / 100, 1e-6)
    faint = max(faint, tissue + step)
    return VesselWindow(tissue, faint, max(full, faint + step))


def show_volume_rendering(
    scene: Any,
    volume_node: Any,
    style: str,
    *,
    opacity: float = 1.0,
    window: VesselWindow | None = None,
    on_cpu: bool = False,
) -> Any:
    """Show a scan in the 3D views.

    A volume rendering that the user has made of the scan is left alone: this is another one.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume_node : vtkMRMLScalarVolumeNode
        The scan.
    style : str
        `PROJECTION` or `VESSELS`.
    opacity : float
        Of the brightest voxels, in (0, 1]. Less than 1 makes the scan the context of surfaces that lie in it, such as
        those of a segmentation or of an error map.
    window : VesselWindow, optional
        Intensities between which vessels show; the default is fitted to the scan. What is shown may be another image
        than the one to be measured, such as a reduced copy.
    on_cpu : bool
        Whether a ray caster made for CPUs draws it: many times faster where there is no graphics card.

    Returns
    -------
    vtkMRMLVolumeRenderingDisplayNode

    Raises
    ------
    ValueError
        If the style is unknown or the opacity out of range.
    VesselSegError
        If the scan holds no image, or one value only.
    """
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, not '{style}'")
    if not 0 < opacity <= 1:
        raise ValueError(f"opacity must be above 0 and at most 1, not {opacity}")
    window = window or vessel_window(volume_from_node(volume_node))
    display_node = volume_rendering_of(volume_node)
    if display_node is None:
        display_node = _add_display_node(scene, volume_node, on_cpu)
    # Hidden until all is set: without a graphics card every change would draw the volume again, for seconds.
    display_node.SetVisibility(False)
    on_cpu = display_node.IsA("vtkMRMLCPURayCastVolumeRenderingDisplayNode")
    _set_transfer_functions(display_node.GetVolumePropertyNode(), window, style, opacity, on_cpu)
    display_node.SetAttribute(_DISPLAY_ATTRIBUTE, style)
    view = slicer.vtkMRMLViewNode
    _set_technique(scene, view.MaximumIntensityProjection if style == PROJECTION else view.Composite)
    display_node.SetVisibility(True)
    return display_node


def hide_volume_rendering(scene: Any, volume_node: Any) -> None:
    """Take the volume rendering of a scan away; the 3D views draw volumes again as they did before.

    Of scans that have left the scene it is taken away as well.
    """
    display_node = volume_rendering_of(volume_node)
    if display_node is not None:
        volume_node.RemoveNthDisplayNodeID(_index_of(volume_node, display_node))
    for node in nodes_of_class(scene, "vtkMRMLVolumeRenderingDisplayNode"):
        if node.GetAttribute(_DISPLAY_ATTRIBUTE) and node.GetDisplayableNode() is None:
            property_node = node.GetVolumePropertyNode()
            for each in (node, property_node):
                if each is not None:
                    scene.RemoveNode(each)
    for node in nodes_of_class(scene, "vtkMRMLViewNode"):
        former = node.GetAttribute(_FORMER_TECHNIQUE)
        if former:
            node.SetRaycastTechnique(node.GetRaycastTechniqueFromString(former))
            node.RemoveAttribute(_FORMER_TECHNIQUE)


def volume_rendering_of(volume_node: Any) -> Any:
    """Return the volume rendering that `show_volume_rendering` made of a scan, or None."""
    for index in range(volume_node.GetNumberOfDisplayNodes()):
        display_node = volume_node.GetNthDisplayNode(index)
        if display_node is not None and display_node.GetAttribute(_DISPLAY_ATTRIBUTE):
            return display_node
    return None


def shown_style(volume_node: Any) -> str | None:
    """Return the style in which a scan is shown in 3D, or None."""
    display_node = volume_rendering_of(volume_node)
    return str(display_node.GetAttribute(_DISPLAY_ATTRIBUTE)) if display_node is not None else None


def set_slab(scene: Any, thickness_mm: float) -> None:
    """Show the brightest voxels of a slab in all slice views, instead of one slice.

    Call it again when a view shows another scan or another orientation: its slices may lie at another distance.
    `Slabs` does it by itself.

    Parameters
    ----------
    scene : vtkMRMLScene
    thickness_mm : float
        Thickness of the slab in mm; 0 restores what the views showed before.

    Raises
    ------
    VesselSegError
        If the thickness is negative or not finite.
    """
    if not 0 <= thickness_mm < float("inf"):
        raise VesselSegError(f"a slab cannot be {thickness_mm} mm thick", "give for example 10, or 0 for none")
    for node in nodes_of_class(scene, "vtkMRMLSliceNode"):
        _set_slab_of(node, thickness_mm)


class Slabs:
    """Slabs that stay as thick as they say while slice views are turned, show another scan, or come with a layout.

    Parameters
    ----------
    scene : vtkMRMLScene
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._observed: list[tuple[Any, int]] = []

    def set_thickness(self, thickness_mm: float) -> None:
        """Show slabs in all slice views, or none; as `set_slab`."""
        set_slab(self._scene, thickness_mm)
        self.follow()

    def follow(self) -> None:
        """Observe the slice views that there are, if they show slabs: those of a loaded scene may."""
        self.close()
        if slab_thickness(self._scene) > 0:
            added = self._scene.AddObserver(self._scene.NodeAddedEvent, self._on_node_added)
            nodes = nodes_of_class(self._scene, "vtkMRMLSliceNode")
            self._observed = [(self._scene, added)]
            self._observed += [(node, node.AddObserver("ModifiedEvent", _fit_slab)) for node in nodes]

    def close(self) -> None:
        """Observe no more; the slabs stay."""
        for observed, tag in self._observed:
            observed.RemoveObserver(tag)
        self._observed = []

    @calldata_type(VTK_OBJECT)
    def _on_node_added(self, scene: Any, event: str, node: Any) -> None:
        if node.IsA("vtkMRMLSliceNode"):
            if not node.GetAttribute(_FORMER_SLAB):
                _set_slab_of(node, slab_thickness(scene))
            self.follow()


def slab_thickness(scene: Any) -> float:
    """Return the thickness in mm of the slabs that `set_slab` has set; 0 if there are none."""
    for node in nodes_of_class(scene, "vtkMRMLSliceNode"):
        if node.GetAttribute(_FORMER_SLAB) and node.GetSlabReconstructionEnabled():
            return float(node.GetSlabReconstructionThickness())
    return 0.0


def largest_slab(volume_node: Any) -> float:
    """Return the thickness in mm beyond which a slab shows no more of a scan: that of the whole scan."""
    geometry = volume_geometry(volume_node)
    return float(np.linalg.norm(np.multiply(geometry.size, geometry.spacing)))


def _set_slab_of(node: Any, thickness_mm: float) -> None:
    former = node.GetAttribute(_FORMER_SLAB)
    blocker = node.StartModify()
    if thickness_mm > 0:
        if not former:
            node.SetAttribute(_FORMER_SLAB, _slab_text(node))
        node.SetSlabReconstructionType(node.GetSlabReconstructionTypeFromString("Max"))
        node.SetSlabReconstructionThickness(thickness_mm)
        _fit_slab(node)
        node.SetSlabReconstructionEnabled(True)
    elif former:
        enabled, kind, thickness, oversampling = former.split(";")
        node.SetSlabReconstructionEnabled(enabled == "1")
        node.SetSlabReconstructionType(node.GetSlabReconstructionTypeFromString(kind))
        node.SetSlabReconstructionThickness(float(thickness))
        node.SetSlabReconstructionOversamplingFactor(float(oversampling))
        node.RemoveAttribute(_FORMER_SLAB)
    node.EndModify(blocker)


def _fit_slab(node: Any, event: str = "") -> None:
    # 3D Slicer takes this factor for a length, and shows a slab that is thinner by the factor over the distance of
    # slices; where the two are equal, the slab is as thick as it says (vtkMRMLSliceLogic, seen in 5.11).
    distance = _slice_distance(node)
    another = abs(node.GetSlabReconstructionOversamplingFactor() - distance) > _SAME_DISTANCE
    if another and node.GetAttribute(_FORMER_SLAB):  # setting it is a change, which `Slabs` observes in its turn
        node.SetSlabReconstructionOversamplingFactor(distance)


def _slab_text(node: Any) -> str:
    kind = node.GetSlabReconstructionTypeAsString(node.GetSlabReconstructionType())
    enabled = int(bool(node.GetSlabReconstructionEnabled()))
    numbers = node.GetSlabReconstructionThickness(), node.GetSlabReconstructionOversamplingFactor()
    return ";".join([str(enabled), kind, *(repr(float(number)) for number in numbers)])


def _slice_distance(node: Any) -> float:
    """Return the distance in mm between neighbouring slices of a slice view."""
    return float(node.GetFieldOfView()[2] / max(node.GetDimensions()[2], 1)) or 1.0


def _set_transfer_functions(property_node: Any, window: VesselWindow, style: str, opacity: float, on_cpu: bool) -> None:
    points = _projection(window) if style == PROJECTION else _lit_vessels(window)
    colors, opacities = vtkColorTransferFunction(), vtkPiecewiseFunction()
    for value, color, share in points:
        colors.AddRGBPoint(value, *color)
        opacities.AddPoint(value, share * opacity)
    blocker = property_node.StartModify()
    property_node.SetColor(colors)
    property_node.SetScalarOpacity(opacities)
    volume_property = property_node.GetVolumeProperty()
    volume_property.SetInterpolationTypeToLinear()
    volume_property.SetShade(style == VESSELS)
    # The ray caster for CPUs draws the same light darker.
    volume_property.SetAmbient(0.7 if on_cpu else 0.35)
    volume_property.SetDiffuse(1.0 if on_cpu else 0.75)
    volume_property.SetSpecular(0.25)
    property_node.EndModify(blocker)


def _projection(window: VesselWindow) -> tuple[_Point, ...]:
    """Grey values as on film: nothing of the dark tissue, arteries white."""
    return (
        (window.tissue, (0.0, 0.0, 0.0), 0.0),
        (window.faint, (0.45, 0.45, 0.45), 0.55),
        (window.full, (1.0, 1.0, 1.0), 1.0),
    )


def _lit_vessels(window: VesselWindow) -> tuple[_Point, ...]:
    """Arteries from dark red to nearly white; tissue does not show."""
    return (
        (window.faint, (0.45, 0.05, 0.03), 0.0),
        ((window.faint + window.full) / 2, (0.85, 0.35, 0.20), 0.25),
        (window.full, (1.0, 0.85, 0.70), 0.9),
    )


def _add_display_node(scene: Any, volume_node: Any, on_cpu: bool) -> Any:
    property_node = slicer.vtkMRMLVolumePropertyNode()
    property_node.SetName(scene.GenerateUniqueName(f"{volume_node.GetName()} vessel rendering"))
    property_node = scene.AddNode(property_node)
    display_node = (
        slicer.vtkMRMLCPURayCastVolumeRenderingDisplayNode()
        if on_cpu
        else slicer.vtkMRMLGPURayCastVolumeRenderingDisplayNode()
    )
    display_node.SetName(property_node.GetName())
    # Its own transfer functions: following those of the slices would show tissue.
    display_node.SetFollowVolumeDisplayNode(False)
    display_node.SetIgnoreVolumeDisplayNodeThreshold(True)
    display_node.SetCroppingEnabled(False)
    display_node.SetVisibility(False)
    display_node.SetAttribute(_DISPLAY_ATTRIBUTE, VESSELS)
    display_node = scene.AddNode(display_node)
    display_node.SetAndObserveVolumePropertyNodeID(property_node.GetID())
    volume_node.AddAndObserveDisplayNodeID(display_node.GetID())
    return display_node


def _set_technique(scene: Any, technique: int) -> None:
    for node in nodes_of_class(scene, "vtkMRMLViewNode"):
        if not node.GetAttribute(_FORMER_TECHNIQUE):
            former = node.GetRaycastTechnique()
            node.SetAttribute(_FORMER_TECHNIQUE, node.GetRaycastTechniqueAsString(former))
        node.SetRaycastTechnique(technique)


def _index_of(volume_node: Any, display_node: Any) -> int:
    count = volume_node.GetNumberOfDisplayNodes()
    return next(n for n in range(count) if volume_node.GetNthDisplayNode(n) is display_node)

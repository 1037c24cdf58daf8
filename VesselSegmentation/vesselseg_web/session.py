"""Saving all of a visitor's work as one file, and going on with it later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vesselseg.errors import VesselSegError
from vesselseg_web.case import Case, unlike
from vesselseg_web.session_scene import SESSION_TAGS
from VesselSegmentationLib.edit_original import kept_original
from VesselSegmentationLib.error_map_nodes import is_error_map, recorded_comparison
from VesselSegmentationLib.run_record import probability_of
from VesselSegmentationLib.segmentation_nodes import segment_with_role
from VesselSegmentationLib.volume_nodes import volume_geometry

#: An attribute of nodes that says what they are; Slicer leaves it alone.
_ROLE = "vesselseg.page.role"
_SCAN, _VESSELS, _MASK, _REFERENCE = "scan", "vessels", "mask", "reference"
#: Of a reference: the name under which it is listed.
_NAME = "vesselseg.page.name"


def write_session(case: Case, path: Path) -> None:
    """Write scan, vessels, probability, references, error map, decisions and the log of edits.

    Parameters
    ----------
    case : Case
    path : pathlib.Path
        Ending in .mrb. 3D Slicer opens it, too.

    Raises
    ------
    VesselSegError
        If there is no scan, or the file cannot be written.
    """
    if case.scan is None:
        raise VesselSegError("there is no scan yet", "load the scan first")
    nodes = [(case.scan, _SCAN, ""), (case.vessels, _VESSELS, ""), (case.mask, _MASK, "")]
    nodes += [(node, _REFERENCE, name) for name, node in case.references.items()]
    for node, role, name in nodes:
        if node is not None:
            node.SetAttribute(_ROLE, role)
            node.SetAttribute(_NAME, name or None)
    with _only_the_work(case.scene):
        written = case.scene.WriteToMRB(str(path))
    if not written or not path.is_file():
        raise VesselSegError("the session could not be written", "see whether the disk of the server is full")


def restore_session(case: Case, description: Path) -> str:
    """Go on with a saved session in place of what there is.

    Parameters
    ----------
    case : Case
    description : pathlib.Path
        As `session_scene.take_over` returns it.

    Returns
    -------
    str
        Name of the reference that was compared with; empty if none was.

    Raises
    ------
    VesselSegError
        If it cannot be read: then nothing is loaded.
    """
    case.clear()
    scene = case.scene
    scene.SetURL(str(description))
    scene.SetRootDirectory(str(description.parent))
    try:
        if not scene.Import(None):
            raise VesselSegError("this session cannot be read", "save it again")
        # The files are gone in a moment, and a session may be saved again.
        for node in _nodes(scene, "vtkMRMLStorageNode"):
            scene.RemoveNode(node)
        return _take_nodes(case)
    except BaseException:
        case.clear()
        raise


def _take_nodes(case: Case) -> str:
    volumes = _nodes(case.scene, "vtkMRMLScalarVolumeNode")
    segmentations = _nodes(case.scene, "vtkMRMLSegmentationNode")
    for node in volumes:
        volume_geometry(node)  # raises for one without an image
    vessels = _with_role(segmentations, _VESSELS) or next((n for n in segmentations if segment_with_role(n)), None)
    scan = _with_role(volumes, _SCAN) or _scan_of(vessels, volumes)
    if scan is None:
        raise VesselSegError("there is no scan in this session", "save it again, with its scan")
    mask = _with_role(segmentations, _MASK)
    maps = [node for node in segmentations if is_error_map(node)]
    originals = [kept[0] for kept in map(kept_original, segmentations) if kept is not None]
    others = [node for node in segmentations if node not in (vessels, mask, *maps, *originals)]
    marked = [node for node in others if node.GetAttribute(_ROLE) == _REFERENCE]
    references: dict[str, Any] = {}
    for node in marked or others:
        references[unlike(str(node.GetAttribute(_NAME) or node.GetName()), references)] = node
    if vessels is not None and case.segmentation.vessel_segment_id(vessels) is not None:
        case.segmentation.set_surface_shown(vessels, True)  # surfaces are not saved
    case.take_nodes(scan, vessels, mask, references)
    for node in maps:
        with contextlib.suppress(VesselSegError):  # of something that was not saved: there is nothing to go on with
            compared = recorded_comparison(node)[2].node
            return next((name for name, each in references.items() if each is compared), "")
    return ""


def _scan_of(vessels: Any, volumes: list[Any]) -> Any:
    if vessels is not None:
        scan = vessels.GetNodeReference(vessels.GetReferenceImageGeometryReferenceRole())
        if scan is not None and scan in volumes:
            return scan
    probability = probability_of(vessels) if vessels is not None else None
    scans = [node for node in volumes if node is not probability and not node.IsA("vtkMRMLLabelMapVolumeNode")]
    return scans[0] if scans else None


def _with_role(nodes: list[Any], role: str) -> Any:
    return next((node for node in nodes if node.GetAttribute(_ROLE) == role), None)


def _nodes(scene: Any, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


@contextlib.contextmanager
def _only_the_work(scene: Any) -> Iterator[None]:
    """Leave views, tools and colours out of what is saved: they belong to the page."""
    left_out = [
        node
        for node in (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
        if node.GetSaveWithScene() and node.GetNodeTagName() not in SESSION_TAGS
    ]
    for node in left_out:
        node.SetSaveWithScene(False)
    try:
        yield
    finally:
        for node in left_out:
            node.SetSaveWithScene(True)

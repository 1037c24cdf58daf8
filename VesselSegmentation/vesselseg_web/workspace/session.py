"""Saving all of a visitor's work as one file, and going on with it later."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import slicer

from vesselseg.errors import VesselSegError
from vesselseg_web.workspace.case import Case, unlike
from vesselseg_web.workspace.session_scene import SESSION_TAGS, check_written
from VesselSegmentationLib.correcting.original import kept_original
from VesselSegmentationLib.reviewing.error_map_display import set_map_shown
from VesselSegmentationLib.reviewing.error_map_nodes import is_error_map, recorded_comparison
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import probability_of
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role, set_surface_shown
from VesselSegmentationLib.scene.volume_nodes import volume_geometry

#: An attribute of nodes that says what they are; Slicer leaves it alone.
_ROLE = "vesselseg.page.role"
_SCAN, _VESSELS, _MASK, _REFERENCE, _MAP = "scan", "vessels", "mask", "reference", "map"
#: Of a reference: the name under which it is listed.
_NAME = "vesselseg.page.name"
_ELSEWHERE = "open it in 3D Slicer, or load the scan alone"


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
        If there is no scan, or the file cannot be written, or not be read again.
    """
    if case.scan is None:
        raise VesselSegError("there is no scan yet", "load the scan first")
    nodes = [(case.scan, _SCAN, ""), (case.vessels, _VESSELS, ""), (case.mask, _MASK, "")]
    nodes += [(node, _REFERENCE, name) for name, node in case.references.items()]
    for node in _error_maps(case.scene):
        node.SetAttribute(_ROLE, None)  # it may have been the current one when this was saved before
    if case.review.error_map is not None:
        nodes.append((case.review.error_map.node, _MAP, ""))
    for node, role, name in nodes:
        if node is not None:
            node.SetAttribute(_ROLE, role)
            node.SetAttribute(_NAME, name or None)
    _name_files(case.scene)
    with _only_the_work(case.scene), _folder_of_its_own(case.scene):
        written = case.scene.WriteToMRB(str(path))
    if not written or not path.is_file():
        raise VesselSegError("the session could not be written", "see whether the disk of the server is full")
    check_written(path)


@contextlib.contextmanager
def _folder_of_its_own(scene: Any) -> Iterator[None]:
    """Let a scene put what it packs into a folder that is removed: where packing fails, it leaves all of it behind."""
    cache = scene.GetCacheManager()
    former = cache.GetRemoteCacheDirectory()
    with tempfile.TemporaryDirectory() as folder:
        cache.SetRemoteCacheDirectory(folder)
        try:
            yield
        finally:
            cache.SetRemoteCacheDirectory(former)


def _name_files(scene: Any) -> None:
    """Give files names without "&", where they would have one: MRML writes it into its XML as it is."""
    for kind, suffix in (("vtkMRMLScalarVolumeNode", ".nrrd"), ("vtkMRMLSegmentationNode", ".seg.nrrd")):
        for node in _nodes(scene, kind):
            if "&" in node.GetName():
                node.AddDefaultStorageNode()  # if it has none
                name = slicer.vtkMRMLApplicationLogic.PercentEncode(node.GetName()).replace("&", "%26")
                node.GetStorageNode().SetFileName(name + suffix)


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
        If it cannot be read, or not be worked on here: then everything is as it was.
    """
    _try(description)
    case.clear()
    try:
        _import(case.scene, description)
        return _take_nodes(case)
    except BaseException:
        case.clear()
        raise


def _try(description: Path) -> None:
    """Take a session over in a scene that nobody sees: what fails there does not cost what is on the page."""
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()  # knows the nodes of segmentations
    logic.SetMRMLScene(scene)
    trial = Case(scene)
    try:
        _import(scene, description)
        _take_nodes(trial)
    except VesselSegError as error:
        raise VesselSegError(error.message, _ELSEWHERE) from error
    finally:
        trial.clear()


def _import(scene: Any, description: Path) -> None:
    scene.SetURL(str(description))
    scene.SetRootDirectory(str(description.parent))
    if not scene.Import(None):
        raise VesselSegError("this session cannot be read", "save it again")
    # The files are gone in a moment, and a session may be saved again.
    for node in _nodes(scene, "vtkMRMLStorageNode"):
        scene.RemoveNode(node)


def _take_nodes(case: Case) -> str:
    volumes = _nodes(case.scene, "vtkMRMLScalarVolumeNode")
    segmentations = _nodes(case.scene, "vtkMRMLSegmentationNode")
    for node in volumes:
        volume_geometry(node)  # raises for one without an image
    for node in (*volumes, *segmentations):
        node.CreateDefaultDisplayNodes()  # for one that had none, or none that fitted
    vessels = _with_role(segmentations, _VESSELS) or next((n for n in segmentations if segment_with_role(n)), None)
    scan = _with_role(volumes, _SCAN) or _scan_of(vessels, volumes)
    if scan is None:
        raise VesselSegError("there is no scan in this session", "save it again, with its scan")
    mask = _with_role(segmentations, _MASK)
    maps = _error_maps(case.scene)
    originals = [kept[0] for kept in map(kept_original, segmentations) if kept is not None]
    others = [node for node in segmentations if node not in (vessels, mask, *maps, *originals)]
    marked = [node for node in others if node.GetAttribute(_ROLE) == _REFERENCE]
    references: dict[str, Any] = {}
    for node in marked or others:
        references[unlike(str(node.GetAttribute(_NAME) or node.GetName()), references)] = node
    current = _put_away(maps, [node for node in (vessels, *others) if node is not None])
    if vessels is not None and segment_with_role(vessels) is not None:
        set_surface_shown(vessels, True)  # surfaces are not saved
    case.take_nodes(scan, vessels, mask, references)
    for node in volumes:
        if node.IsA("vtkMRMLLabelMapVolumeNode") and node is not scan:
            _offer(case, node, maps)
    with contextlib.suppress(VesselSegError):  # of something that was not saved: there is nothing to go on with
        compared = recorded_comparison(current)[2].node
        return next((name for name, each in case.references.items() if each is compared), "")
    return ""


def _put_away(maps: list[Any], segmentations: list[Any]) -> Any:
    """Hide all error maps, show again what they have hidden, and return the one that was shown or meant last, or None.

    3D Slicer does not say which one is meant; maps of former comparisons may lie in the scene beside it.
    """
    shown = [node for node in maps if node.GetDisplayNode() is not None and node.GetDisplayNode().GetVisibility()]
    current = _with_role(shown, _MAP) or next(iter(shown), None) or _with_role(maps, _MAP)
    sources = tuple(LabelSource(node) for node in segmentations)
    for node in maps:
        recorded: tuple[LabelSource, ...] = ()
        with contextlib.suppress(VesselSegError):  # one of the two was not saved
            recorded = recorded_comparison(node)[1:3]
        set_map_shown(node, (*sources, *recorded), False, three_d=False)
    return current


def _offer(case: Case, volume_node: Any, maps: list[Any]) -> None:
    """Offer a label volume of 3D Slicer as a reference; maps of it, with what was said of their errors, go on."""
    with contextlib.suppress(VesselSegError):  # elsewhere than the scan: nothing to compare with
        node = case.take_label_volume(volume_node)
        for each in maps:
            for index in range(each.GetNumberOfNodeReferenceRoles()):
                role = each.GetNthNodeReferenceRole(index)
                if each.GetNodeReference(role) is volume_node:
                    each.SetNodeReferenceID(role, node.GetID())
    case.scene.RemoveNode(volume_node)


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


def _error_maps(scene: Any) -> list[Any]:
    return [node for node in _nodes(scene, "vtkMRMLSegmentationNode") if is_error_map(node)]


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

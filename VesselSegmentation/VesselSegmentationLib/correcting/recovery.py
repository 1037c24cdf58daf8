"""What sessions that ended in a crash have left: found, brought back, removed."""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from vesselseg.errors import VesselSegError
from vesselseg.file_lock import lock_file, remove_locked
from vesselseg.geometry import Geometry
from VesselSegmentationLib.correcting.autosave import ATTRIBUTES, FOLDER_NAME, LOCK_NAME, ORIGINAL_NAME
from VesselSegmentationLib.correcting.edited_voxels import read_voxels
from VesselSegmentationLib.correcting.original import attach_original, read_original
from VesselSegmentationLib.correcting.seg_nrrd import read_remark
from VesselSegmentationLib.scene.node_geometry import grid_offset, share_transform
from VesselSegmentationLib.scene.run_record import probability_of
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class
from VesselSegmentationLib.scene.segmentation_nodes import vessel_segment
from VesselSegmentationLib.scene.volume_nodes import volume_geometry

logger = logging.getLogger("vesselseg")

#: A folder that is just being made is not locked yet.
_UNLOCKED_SECONDS = 10.0


@dataclass(frozen=True)
class Recoverable:
    """What a crash has left.

    Parameters
    ----------
    path : pathlib.Path
        A file that 3D Slicer opens as well.
    scan, segmentation : str
        Names of the scan and of the segmentation.
    segments : tuple of str
        Names of the segments.
    time : str
        When it was saved, ISO 8601.
    edits : int
        Number of edits since the segmentation was loaded or saved.
    user : str
        Who was logged in.
    attributes : dict of str to str
        What the segmentation says of itself: the log of its edits, and what ran.
    grid : Geometry, optional
        Of the scan.
    """

    path: Path
    scan: str
    segmentation: str
    segments: tuple[str, ...]
    time: str
    edits: int
    user: str
    attributes: dict[str, str] = field(default_factory=dict, compare=False)
    grid: Geometry | None = None

    @property
    def text(self) -> str:
        """What it is, in a line for people."""
        when = self.time.replace("T", " ")[:19]
        edits = "1 edit" if self.edits == 1 else f"{self.edits} edits"
        return f"{self.segmentation} of {self.scan}: {', '.join(self.segments)}; {edits}, saved {when}"


def find_recoverable(folder: str | os.PathLike[str]) -> list[Recoverable]:
    """List what sessions that ended in a crash have left, the latest first.

    Sessions that run are left out, be they of this process or of another one. What cannot be read is said in the log
    and left where it is; a session without any file is removed, but for one that may have just begun.

    Parameters
    ----------
    folder : path-like
        As for `Autosave`.
    """
    found = []
    for session in sorted((Path(folder) / FOLDER_NAME).glob("session-*")):
        try:
            young = time.time() - session.stat().st_mtime < _UNLOCKED_SECONDS
            if young and not any(session.glob("*.seg.nrrd")):
                continue
            lock = lock_file(session / LOCK_NAME)
        except OSError:
            continue
        with lock:
            files = sorted(session.glob("*.seg.nrrd"))
            for path in files:
                try:
                    found.append(_recoverable(path))
                except VesselSegError as error:
                    logger.warning("%s is not offered: %s", path, error)
            if not files:
                remove_locked(session, lock)
    return sorted(found, key=lambda each: each.time, reverse=True)


def discard(recoverable: Recoverable) -> None:
    """Remove what a crash has left; it is not offered again."""
    recoverable.path.unlink(missing_ok=True)
    if not list(recoverable.path.parent.glob("*.seg.nrrd")):
        shutil.rmtree(recoverable.path.parent, ignore_errors=True)


def scan_for(scene: Any, recoverable: Recoverable) -> Any:
    """Return the scan to which edits belong, None if it is not there or cannot be told.

    The one that lies where the scan lay, whatever it is called now; where several do, the one of that name.
    """
    no_scans = [probability_of(node) for node in nodes_of_class(scene, "vtkMRMLSegmentationNode")]
    no_scans += nodes_of_class(scene, "vtkMRMLLabelMapVolumeNode")
    scans = [node for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode") if node not in no_scans]
    grid = recoverable.grid
    if grid is not None:  # else it comes from a former version
        scans = [each for each in scans if each.GetImageData() is not None and volume_geometry(each).same_grid(grid)]
    named = [each for each in scans if each.GetName() == recoverable.scan]
    if named:
        return named[0]
    return scans[0] if grid is not None and len(scans) == 1 else None


def restore(scene: Any, recoverable: Recoverable, volume_node: Any = None) -> Any:
    """Bring back what a crash has left, as a new segmentation. The file stays until `discard`.

    Parameters
    ----------
    scene : vtkMRMLScene
    recoverable : Recoverable
    volume_node : vtkMRMLScalarVolumeNode, optional
        The scan; the default is the one that `scan_for` finds. Without a scan, the segmentation lies as if the scan
        had no parent transform, and the label before the first edit is left out.

    Returns
    -------
    vtkMRMLSegmentationNode

    Raises
    ------
    VesselSegError
        If it cannot be read, or does not lie on the grid of the given scan.
    """
    name = scene.GenerateUniqueName(f"{recoverable.segmentation} (recovered)")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    try:
        storage.SetFileName(str(recoverable.path))
        if not storage.ReadData(node) or node.GetSegmentation().GetNumberOfSegments() == 0:
            raise VesselSegError(f"{recoverable.path} cannot be read", "open it with 3D Slicer by hand")
        # Saving the scene must not write into the folder of a session that is over.
        scene.RemoveNode(storage)
        node.CreateDefaultDisplayNodes()
        scan = volume_node or scan_for(scene, recoverable)
        if scan is not None:
            if not _lies_on(node, scan):
                raise VesselSegError(
                    f"'{recoverable.segmentation}' was not drawn on the grid of '{scan.GetName()}'",
                    f"choose the scan '{recoverable.scan}'",
                )
            share_transform(node, scan)
            node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
            _restore_original(node, scan, recoverable.path.with_name(ORIGINAL_NAME))
        for name in ATTRIBUTES:
            node.SetAttribute(name, recoverable.attributes.get(name))
    except BaseException:
        shown = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
        for each in (storage, *shown, node):
            if each is not None and scene.IsNodePresent(each):
                scene.RemoveNode(each)
        raise
    return node


def _recoverable(path: Path) -> Recoverable:
    remark = read_remark(path)
    try:
        segments = tuple(str(name) for name in remark["segments"])
        texts = [str(remark[key]) for key in ("scan", "segmentation", "time", "user")]
        attributes = {name: str(text) for name, text in remark.get("attributes", {}).items() if name in ATTRIBUTES}
        grid = remark.get("grid")
        geometry = None if grid is None else Geometry.from_ijk_to_ras(np.array(grid[0]), tuple(grid[1]))
        edits = int(remark["edits"])
        return Recoverable(path, texts[0], texts[1], segments, texts[2], edits, texts[3], attributes, geometry)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VesselSegError(f"{path.name} is damaged", "open it by hand") from error


def _restore_original(node: Any, scan: Any, path: Path) -> None:
    segment_id = vessel_segment(node) or str(node.GetSegmentation().GetNthSegmentID(0))
    try:
        if path.is_file():
            attach_original(node, segment_id, scan, read_original(path))
    except VesselSegError as error:
        logger.warning("the label before the first edit is lost: %s", error)


def _lies_on(node: Any, volume_node: Any) -> bool:
    """Tell whether the voxels of a segmentation coincide with those of a scan, transforms left aside."""
    grid = volume_geometry(volume_node)
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        voxels = read_voxels(node, str(segmentation.GetNthSegmentID(index)))
        if not voxels.is_empty and grid_offset(voxels.geometry(), grid) is None:
            return False
    return True

"""A session that edits and saves until it is killed, for `test_autosave`.

Arguments: folder, and how many bytes of the second save to write before it stalls.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import slicer

root = Path(__file__).parents[3]
sys.path[:0] = [str(root / "VesselSegmentation"), str(root / "Testing")]

from compared_labels import SHAPE, add_segmentation, paint, two_labels  # noqa: E402
from vesselseg.geometry import Geometry  # noqa: E402
from vesselseg.volume import Volume  # noqa: E402
from VesselSegmentationLib.correcting import autosave  # noqa: E402
from VesselSegmentationLib.correcting.edit_history import EditHistory  # noqa: E402
from VesselSegmentationLib.scene.volume_nodes import set_node_volume  # noqa: E402


class Stalling:
    """A file that takes a number of bytes and then says so and waits for ever."""

    def __init__(self, file, limit):
        self._file, self._left = file, limit

    def write(self, data):
        self._file.write(data[: self._left])
        self._file.flush()
        self._left -= len(data)
        if self._left <= 0:
            print("stalled", flush=True)
            time.sleep(600)


folder, limit = sys.argv[1], int(sys.argv[2])
scene = slicer.vtkMRMLScene()
application = slicer.vtkSlicerApplicationLogic()
application.SetMRMLScene(scene)
segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
segmentations.SetMRMLApplicationLogic(application)
segmentations.SetMRMLScene(scene)
scan = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
set_node_volume(scan, Volume(np.zeros(SHAPE, np.int16), Geometry(SHAPE[::-1], (0.5, 0.6, 0.7), (1.0, 2.0, 3.0))))
node, segment_id = add_segmentation(scene, scan, two_labels()[0], "Vessels")
history = EditHistory(node)
saver = autosave.Autosave(folder, history, scan, rest_seconds=0.0)
paint(node, segment_id, scan, [(0, 0, 0)], 1)
saver.save_now()
print("saved", flush=True)
write = autosave.write_seg_nrrd
autosave.write_seg_nrrd = lambda file, *args, **options: write(Stalling(file, limit), *args, **options)
paint(node, segment_id, scan, [(0, 0, 1)], 1)
history.settle()
while True:
    saver.poll()
    time.sleep(0.01)

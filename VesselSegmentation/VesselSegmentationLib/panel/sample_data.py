"""The synthetic scan in the module Sample Data."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from VesselSegmentationLib.panel.panel_section import errors_shown


def register_sample_data(homepage: str, thumbnail: str) -> None:
    """Offer the synthetic scan in the module Sample Data. It is made on this machine; nothing is downloaded.

    Parameters
    ----------
    homepage : str
        Address of the documentation.
    thumbnail : str
        Path of the picture.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="VesselSegmentation",
        sampleName="TOFPhantom",
        # Shown nowhere, but the two may not be missing.
        uris=f"{homepage}#phantom",
        fileNames="TOFPhantom.nrrd",
        nodeNames="TOF phantom",
        thumbnailFileName=thumbnail,
        customDownloader=add_phantom_scan,
    )


def add_phantom_scan(source: Any = None) -> Any:
    """Add the synthetic scan and its exact vessels to the scene, and show the scan; returns its node."""
    from VesselSegmentationLib.scene.phantom_nodes import add_phantom

    with errors_shown(_("The phantom could not be made."), wait_cursor=True):
        volume_node, _truth = add_phantom(slicer.mrmlScene)
        selection_node = slicer.app.applicationLogic().GetSelectionNode()
        selection_node.SetActiveVolumeID(volume_node.GetID())
        slicer.app.applicationLogic().PropagateVolumeSelection()
        return volume_node

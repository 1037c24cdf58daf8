"""The panel of 3D Slicer: segment the vessels of a TOF-MRA scan and review them."""

from __future__ import annotations

import enum
import os
import sys
import unittest
from typing import TYPE_CHECKING, Annotated, Any

import qt
import slicer
import vtk
from slicer import vtkMRMLNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import SlicerParameterNamePropertyName, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from vesselseg.errors import VesselSegError
from vesselseg.models import list_models
from vesselseg.review.error_kinds import WITH_REFERENCE, wording_of_two
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.panel.application_views import centre_views
from VesselSegmentationLib.panel.batch_section import BatchSection
from VesselSegmentationLib.panel.compare_section import CompareSection
from VesselSegmentationLib.panel.correct_section import CorrectSection
from VesselSegmentationLib.panel.error_list_section import ErrorListSection
from VesselSegmentationLib.panel.error_map_section import ErrorMapSection
from VesselSegmentationLib.panel.free_hand_section import FreeHandSection
from VesselSegmentationLib.panel.installation import ensure_requirements, missing_requirements, python_slicer
from VesselSegmentationLib.panel.metrics_section import MetricsSection
from VesselSegmentationLib.panel.panel_section import PanelSection, end_all
from VesselSegmentationLib.panel.recovery_section import RecoverySection
from VesselSegmentationLib.panel.review_section import ReviewSection
from VesselSegmentationLib.panel.sample_data import register_sample_data
from VesselSegmentationLib.panel.save_section import SaveSection
from VesselSegmentationLib.panel.scan_section import ScanSection
from VesselSegmentationLib.panel.segment_section import SegmentSection
from VesselSegmentationLib.panel.self_test import check_phantom
from VesselSegmentationLib.panel.signed_section import SignedSection
from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
from VesselSegmentationLib.scene.label_source import LabelSource, names_of_two
from VesselSegmentationLib.scene.run_record import probability_of, recorded_summary, recorded_threshold
from VesselSegmentationLib.scene.scan_choice import default_scan, other_scan, vessels_of
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role, set_surface_shown
from VesselSegmentationLib.scene.vessel_label import changed_since_written
from VesselSegmentationLib.segmenting.segmentation_job import SegmentationSettings
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic

if TYPE_CHECKING:
    from vesselseg.models import Manifest
    from VesselSegmentationLib.segmenting.device_query import DeviceQuery
    from VesselSegmentationLib.segmenting.segmentation_job import SegmentationJob

HOMEPAGE = "https://github.com/VesselSegmentation/SlicerVesselSegmentation"
RESOURCES = os.path.join(os.path.dirname(__file__), "Resources")
REQUIREMENTS = os.path.join(RESOURCES, "requirements.txt")


class VesselSegmentation(ScriptedLoadableModule):
    """What 3D Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Vessel Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["VesselSegmentation contributors"]
        self.parent.helpText = _(
            'Segments the brain vessels of TOF-MRA scans with a U-Net, for review and correction. <a href="{url}">'
            "Documentation</a>. For research; not a medical device."
        ).format(url=HOMEPAGE)
        self.parent.acknowledgementText = _(
            "The framework follows Livne M, et al. A U-Net deep learning framework for high performance vessel "
            "segmentation in patients with cerebrovascular disease. Front Neurosci 2019;13:97. "
            "doi:10.3389/fnins.2019.00097"
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer the synthetic scan in the module Sample Data."""
    register_sample_data(HOMEPAGE, os.path.join(RESOURCES, "Icons", "VesselSegmentation.png"))


class BrainMask(enum.Enum):
    """Where vessels are looked for; the names are stored in the scene."""

    AUTOMATIC = "auto"
    NONE = "none"
    NODE = "node"

    def label(self) -> str:
        """Return the text of the choice."""
        return {"auto": _("Automatic"), "none": _("None (whole scan)"), "node": _("From a node")}[self.value]


@parameterNodeWrapper
class VesselSegmentationParameterNode:
    """What the user has chosen; it is saved with the scene.

    inputVolume - The scan.
    outputSegmentation - Takes the vessels; None for a new one.
    probabilityVolume - Takes the probability; None for a new one.
    model - Name of the model; empty where none is installed.
    device - "auto" or a device as torch names it.
    brainMask, brainMaskNode - Where vessels are looked for.
    threshold - Smallest probability of a vessel.
    minimumComponent - Smallest piece that is kept, in mm3.
    show3D - Whether the vessels are shown in the 3D views.
    comparedNode, comparedSegment - What is compared: None for the vessels found; no segment: see `LabelSource`.
    referenceNode, referenceSegment - What it is compared with.
    referenceIsTruth - Whether that is the truth; else these are two results.
    reviewMaskNode - Metrics are computed inside it as well.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    probabilityVolume: vtkMRMLScalarVolumeNode
    model: str = ""
    device: str = "auto"
    brainMask: BrainMask = BrainMask.AUTOMATIC
    brainMaskNode: vtkMRMLNode
    threshold: Annotated[float, WithinRange(0.01, 1.0)] = 0.5
    minimumComponent: Annotated[float, WithinRange(0.0, 100.0)] = 0.0
    show3D: bool = True
    comparedNode: vtkMRMLNode
    comparedSegment: str = ""
    referenceNode: vtkMRMLNode
    referenceSegment: str = ""
    referenceIsTruth: bool = True
    reviewMaskNode: vtkMRMLNode


class VesselSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: it only connects its sections with the parameter node and the scene."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._parameterWidgets: dict[str, Any] = {}
        self._inputVolume: Any = None
        self._segmentation: Any = None
        self._sections: tuple[PanelSection, ...] = ()

    def setup(self) -> None:
        """Build the panel, when the user opens the module the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/VesselSegmentation.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in vars(self.ui).values()}
        self._parameterWidgets = {name: widget for name, widget in named.items() if name}
        self.logic = VesselSegmentationLogic()
        self._segment = SegmentSection(self.ui, self.logic, self._update, self._takeSegmentation)
        self._review = ReviewSection(self.ui, self.logic)
        self._compare = CompareSection(self.ui, self.logic, self._showComparison)
        correct = CorrectSection(self.ui, self.logic, self._showComparison, self._showRun)
        self._sections = (
            ScanSection(self.ui, self.logic),
            self._segment,
            self._review,
            self._compare,
            ErrorMapSection(self.ui, self.logic),
            ErrorListSection(self.ui, self.logic),
            MetricsSection(self.ui, self.logic, self._showRun),
            correct,  # before those that show what it edits
            BatchSection(self.ui, self.logic, correct.offer),
            FreeHandSection(self.ui, self.logic),
            SignedSection(self.ui, self.logic),
            SaveSection(self.ui, self.logic),
            RecoverySection(self.ui, self.logic),
        )
        self.ui.modelComboBox.connect("activated(int)", self.onModelChosen)

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneChanged)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        self._segment.fill_models()
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Stop everything, when the application closes or the module is reloaded."""
        # First of all: what the sections take out of the scene would make the others begin anew.
        self.setParameterNode(None)
        self.removeObservers()
        end_all(self._sections, "close")

    def onReload(self) -> None:
        """Load the packages anew, too, when a developer presses Reload."""
        for name in list(sys.modules):
            if name.split(".")[0] in ("VesselSegmentationLib", "vesselseg"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self) -> None:
        """Connect the panel, each time the user opens this module."""
        self._segment.fill_models()  # one may have been imported meanwhile
        self.initializeParameterNode()

    def exit(self) -> None:
        """Disconnect the panel, each time the user opens another module; a segmentation that runs goes on."""
        for section in self._sections:
            section.leave()
        self._disconnectParameterNode()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Let go of the scene just before it is closed."""
        end_all(self._sections, "let_go")
        self.setParameterNode(None)

    def onSceneChanged(self, caller: Any, event: Any) -> None:
        """Start anew when a scene was closed or loaded: only now do the references of its parameter node hold."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onNodeAdded(self, caller: Any, event: Any) -> None:
        """Take the first scan that is loaded while the panel is open, once it is loaded and shown."""
        if self._parameterNode is not None and self._parameterNode.inputVolume is None:
            qt.QTimer.singleShot(0, self._takeDefaultScan)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """See what can still be done: the selectors let a node go before it has left the scene."""
        if not slicer.mrmlScene.IsClosing() and not node.GetHideFromEditors():  # marks and previews come and go
            self._update()

    def initializeParameterNode(self) -> None:
        """Make sure that a parameter node exists and is shown, with useful defaults in it."""
        self.setParameterNode(self.logic.getParameterNode())
        self._takeDefaultScan()
        self._compare.resume()

    def _takeDefaultScan(self) -> None:
        if self._isConnected() and self._parameterNode.inputVolume is None:
            self._parameterNode.inputVolume = self.logic.defaultScan()

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show a parameter node, or none."""
        self._disconnectParameterNode()
        self._parameterNode = parameterNode
        for section in self._sections:
            section.parameters = parameterNode
        self._inputVolume = self._segmentation = None
        if parameterNode is not None:
            self._inputVolume, self._segmentation = parameterNode.inputVolume, parameterNode.outputSegmentation
            # connectGui returns no tag before 3D Slicer 5.10, so that nothing could be disconnected.
            self._parameterNodeGuiTag = parameterNode.connectParametersToGui(self._parameterWidgets)
            self.addObserver(*self._observation())
            self._update()
            self._review.forget_moves()

    def _observation(self) -> tuple[Any, int, Any]:
        # Of the node, not of its wrapper, of which each visit makes a new one: what was ever observed is kept alive.
        return self._parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified

    def _isConnected(self) -> bool:
        return self._parameterNode is not None and self.hasObserver(*self._observation())

    def _disconnectParameterNode(self) -> None:
        if self._isConnected():
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None
            self.removeObserver(*self._observation())

    def onParameterNodeModified(self, caller: Any = None, event: Any = None) -> None:
        """Bring the panel up to date with the user's choices."""
        parameters = self._parameterNode
        if slicer.mrmlScene.IsImporting():
            return
        if parameters.inputVolume is not self._inputVolume:
            # The vessels of one scan must not be written over those of another.
            self._inputVolume = parameters.inputVolume
            parameters.outputSegmentation = self.logic.segmentationOf(parameters.inputVolume)
        if parameters.outputSegmentation is not self._segmentation:
            self._segmentation = parameters.outputSegmentation
            # Nor the probability of one segmentation over that of another.
            parameters.probabilityVolume = self.logic.probabilityOf(parameters.outputSegmentation)
            self._showThreshold()
            self._review.follow_3d()
        self._update()

    def _update(self) -> None:
        # What ends while the scene is being closed must not begin anything in it.
        if self._parameterNode is not None and not slicer.mrmlScene.IsClosing():
            for section in self._sections:
                section.update(self._segment.running)

    def _showComparison(self, changed: set[str]) -> None:
        for section in self._sections:
            section.comparison_changed(changed)

    def onModelChosen(self, index: int) -> None:
        """Take a model, with the threshold that is recommended for it, unless the sliders speak of vessels.

        Their own model, chosen once more, brings its recommendation back.
        """
        parameters = self._parameterNode
        former, parameters.model = parameters.model, self.ui.modelComboBox.itemData(index)
        onceMore = parameters.model == former and not self.logic.madeByAnotherModel(parameters)
        recommended = self.logic.recommendedThreshold(parameters.model)
        if recommended is not None and (onceMore or self.logic.probabilityOf(parameters.outputSegmentation) is None):
            self._review.show_threshold(*recommended)

    def _showThreshold(self) -> None:
        """Let the sliders say what made the vessels, lest they make them as another segmentation was made.

        Where there are none yet, that is what the model recommends: what they said was of another scan.
        """
        shown = self.logic.recommendedThreshold(self._parameterNode.model)
        if self._segmentation is not None:
            shown = self.logic.threshold(self._segmentation)
        if shown is not None:
            self._review.show_threshold(*shown)
        else:
            self._review.forget_moves()

    def _showRun(self) -> None:
        """Show what made the vessels that are there now, after undo, redo or another threshold."""
        self._showThreshold()
        self._update()

    def _takeSegmentation(self, job: Any) -> None:
        if job.volume_node is not self._parameterNode.inputVolume:
            return  # another scan was chosen meanwhile; with this one, its vessels are found again
        firstOne = self._parameterNode.outputSegmentation is None
        # Noted beforehand: it is no choice of the user.
        self._segmentation = job.segmentation_node
        self._parameterNode.outputSegmentation = job.segmentation_node
        self._parameterNode.probabilityVolume = job.probability_node
        self._review.show_threshold(*self.logic.threshold(job.segmentation_node))
        if self._parameterNode.show3D:
            self.logic.setSurfaceShown(job.segmentation_node, True)
            if firstOne:
                centre_views()


class VesselSegmentationLogic(ScriptedLoadableModuleLogic):
    """Everything that the panel does, for scripts and tests: it needs no window.

    A script segments a scan with ``parameters = logic.getParameterNode()``, ``parameters.inputVolume = scan``,
    ``job = logic.startSegmentation(parameters)`` and ``job.wait()``.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._logic = SegmentationLogic(slicer.mrmlScene)
        self.review = ReviewLogic(slicer.mrmlScene)
        self.edits = EditLogic(slicer.mrmlScene, autosave_folder=slicer.app.temporaryPath)

    def getParameterNode(self) -> VesselSegmentationParameterNode:
        """Return the parameter node of the scene; where nobody has chosen a model, with the default one."""
        parameters = VesselSegmentationParameterNode(super().getParameterNode())
        manifest = next(iter(self.models()), None) if not parameters.model else None
        if manifest is not None:
            parameters.model = manifest.name
            parameters.threshold, parameters.minimumComponent = manifest.threshold, manifest.min_component_mm3
        return parameters

    def ensureRequirements(self) -> None:
        """Install the Python packages that are missing, if the user agrees; `VesselSegError` if not."""
        ensure_requirements(REQUIREMENTS, _("Vessel Segmentation"))

    def startSegmentation(
        self, parameters: VesselSegmentationParameterNode, *, recommended: bool = False
    ) -> SegmentationJob:
        """Start to segment the scan of a parameter node in a process of its own; returns the job at once.

        Threshold and smallest piece are those of the parameter node, or, if wanted, those recommended for the model.
        """
        mask = parameters.brainMaskNode if self.needsMaskNode(parameters.brainMask) else parameters.brainMask.value
        settings = SegmentationSettings(
            model=parameters.model,
            device=parameters.device,
            brain_mask=mask,
            threshold=None if recommended else parameters.threshold,
            min_component_mm3=None if recommended else parameters.minimumComponent,
        )
        self._findPython()
        return self._logic.start_segmentation(
            parameters.inputVolume, parameters.outputSegmentation, parameters.probabilityVolume, settings
        )

    def startDeviceQuery(self) -> DeviceQuery:
        """Start to ask which devices there are; returns the job at once."""
        self._findPython()
        return self._logic.start_device_query()

    def _findPython(self) -> None:
        # Not before it is needed: the panel must open wherever Python lies.
        if self._logic.python is None:
            self._logic.python = self.review.python = PythonCommand((python_slicer(),))

    def startReview(self, parameters: VesselSegmentationParameterNode) -> None:
        """Compare the labels of a parameter node; `review` follows them from then on."""
        self.ensureRequirements()
        self._findPython()
        found = LabelSource(parameters.outputSegmentation)
        if parameters.comparedNode is not None:
            found = LabelSource(parameters.comparedNode, parameters.comparedSegment)
        reference = LabelSource(parameters.referenceNode, parameters.referenceSegment)
        truth = parameters.referenceIsTruth
        self.review.start(
            found,
            reference,
            volume_node=parameters.inputVolume,
            brain_mask_node=self.reviewMask(parameters),
            wording=WITH_REFERENCE if truth else wording_of_two(*names_of_two(found, reference)),
        )

    def resumeReview(self, errorMapNode: Any) -> None:
        """Go on with a comparison that was loaded; `VesselSegError` if packages are missing or labels do not fit."""
        missing = missing_requirements(REQUIREMENTS)
        if missing:  # nobody has asked for anything yet
            raise VesselSegError(
                _("packages that it needs are not installed: {packages}").format(packages=", ".join(missing)),
                _("press Compare to install them"),
            )
        self._findPython()
        self.review.resume(errorMapNode)

    def reviewMask(self, parameters: VesselSegmentationParameterNode) -> Any:
        """Return the brain mask for metrics: the one chosen for them, else that of the segmentation, or None."""
        forSegmentation = parameters.brainMaskNode if self.needsMaskNode(parameters.brainMask) else None
        return parameters.reviewMaskNode or forSegmentation

    def applyThreshold(self, segmentationNode: Any, threshold: float, minimumComponent: float) -> None:
        """Make the vessels anew from the probability that is stored with them."""
        self._logic.apply_threshold(self.probabilityOf(segmentationNode), segmentationNode, threshold, minimumComponent)

    def setSurfaceShown(self, segmentationNode: Any, shown: bool) -> None:
        """Show or hide the vessels in the 3D views."""
        set_surface_shown(segmentationNode, shown)

    def models(self) -> list[Manifest]:
        """Return the models, the default one first."""
        return list_models()

    def recommendedThreshold(self, model: str) -> tuple[float, float] | None:
        """Return threshold and smallest piece (mm3) that are recommended for a model; None if it is not there."""
        for manifest in self.models():
            if manifest.name == model:
                return manifest.threshold, manifest.min_component_mm3
        return None

    def madeByAnotherModel(self, parameters: VesselSegmentationParameterNode) -> bool:
        """Tell whether the vessels are of another model than the chosen one: the threshold in use is none for it."""
        return self.runSummary(parameters.outputSegmentation).get("model", parameters.model) != parameters.model

    def needsMaskNode(self, brainMask: BrainMask) -> bool:
        """Tell whether a choice of the brain mask asks for a node."""
        return brainMask == BrainMask.NODE

    def defaultScan(self) -> Any:
        """Return the scan that is shown, else the first one of the scene, else None."""
        return default_scan(slicer.mrmlScene)

    def segmentationOf(self, volumeNode: Any) -> Any:
        """Return the segmentation that holds the vessels of a scan, or None."""
        return vessels_of(slicer.mrmlScene, volumeNode)

    def otherScan(self, parameters: VesselSegmentationParameterNode) -> Any:
        """Return the other scan whose vessels the chosen segmentation holds, or None."""
        return other_scan(parameters.outputSegmentation, parameters.inputVolume)

    def probabilityOf(self, segmentationNode: Any) -> Any:
        """Return the probability volume from which the vessels of a segmentation come, or None."""
        return probability_of(segmentationNode) if segmentationNode is not None else None

    def hasVessels(self, segmentationNode: Any) -> bool:
        """Tell whether a segmentation, or None, holds vessels that were found by this module."""
        return segmentationNode is not None and segment_with_role(segmentationNode) is not None

    def isEdited(self, segmentationNode: Any) -> bool:
        """Tell whether the vessels of a segmentation, or None, were edited by hand."""
        return segmentationNode is not None and changed_since_written(segmentationNode)

    def threshold(self, segmentationNode: Any) -> tuple[float, float] | None:
        """Return the threshold and the smallest piece (mm3) that made the vessels of a segmentation, or None."""
        return recorded_threshold(segmentationNode)

    def runSummary(self, segmentationNode: Any) -> dict[str, Any]:
        """Return what the run reported that made a segmentation, or None; empty if none did."""
        return recorded_summary(segmentationNode) if segmentationNode is not None else {}


class VesselSegmentationTest(ScriptedLoadableModuleTest):
    """Segments the phantom in the running 3D Slicer and compares the result with the exact truth."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(False)

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_phantomIsSegmented()

    def test_phantomIsSegmented(self) -> None:
        """The vessels found overlap with the true ones, follow the threshold, and are shown in 3D."""
        logic = VesselSegmentationLogic()
        missing = missing_requirements(REQUIREMENTS) if logic.models() else ["a model"]
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        parameters = logic.getParameterNode()
        parameters.brainMask = BrainMask.NONE
        check_phantom(logic, parameters, self.delayDisplay)
        self.delayDisplay("Test passed")

"""Puts scene, logic and page together, and keeps them going."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow

from vesselseg_web import assets
from vesselseg_web.hosting.presence import Presence
from vesselseg_web.logic.compare_logic import CompareLogic
from vesselseg_web.logic.correct_logic import CorrectLogic
from vesselseg_web.logic.display_logic import DisplayLogic
from vesselseg_web.logic.error_list_logic import ErrorListLogic
from vesselseg_web.logic.page_logic import PageLogic
from vesselseg_web.logic.question_logic import QuestionLogic
from vesselseg_web.logic.save_logic import SaveLogic
from vesselseg_web.logic.scan_logic import ScanLogic
from vesselseg_web.logic.segment_logic import SegmentLogic
from vesselseg_web.logic.transfers import Transfers
from vesselseg_web.ui.page_ui import PageUI
from vesselseg_web.ui.shortcuts import Shortcuts
from vesselseg_web.viewing.views import Views
from vesselseg_web.workspace.case import Case
from VesselSegmentationLib.jobs.worker import PythonCommand, private_folder, remove_folder
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, REJECTED, REVIEWED

_POLL_SECONDS = 0.1
#: When the visitor has had no page open for so long, work that runs is stopped: nobody waits for it.
STOP_AFTER_SECONDS = 60.0


class WebApplication:
    """The page of one visitor.

    Parameters
    ----------
    server : trame_server.Server
        Must not have been started.
    files : sequence of str
        A scan or a saved session, and vessels to compare with, to begin with.
    presence : Presence
    python : PythonCommand, optional
        How to start Python for the worker processes.
    """

    def __init__(
        self, server: Any, files: Sequence[str], presence: Presence, python: PythonCommand | None = None
    ) -> None:
        self._server = server
        self._files = list(files)
        self._presence = presence
        self._folder = private_folder()
        server.enable_module(assets)
        application = SlicerApp()
        _quiet_vtk()
        self.case = Case(application.scene, python)
        # Slice views must be there before anything is shown in them.
        self._views = views = Views(server, application)
        self.page = PageLogic(server, application, views)
        self.question = QuestionLogic(self.page, self.case)
        self.scan = ScanLogic(self.page, self.case, self.question, views, self._restored)
        self.segment = SegmentLogic(self.page, self.case, self.question)
        self.display = DisplayLogic(self.page, self.case, views)
        self.compare = CompareLogic(self.page, self.case, self._comparison_changed)
        self.errors = ErrorListLogic(self.page, self.case)
        self.correct = CorrectLogic(self.page, self.case, self.compare.tell)
        self.save = SaveLogic(self.page, self.case)
        self._sections = (self.scan, self.display, self.segment, self.compare, self.errors, self.correct, self.save)
        self._ui = ui = PageUI(server, views)  # its signals live as long as it does
        self.question.set_ui(ui.question)
        self.scan.set_ui(ui.scan)
        self.display.set_ui(ui.display)
        self.segment.set_ui(ui.segment)
        self.compare.set_ui(ui.review)
        self.errors.set_ui(ui.review)
        self.correct.set_ui(ui.correct)
        self._shortcuts = Shortcuts(
            self.page,
            {
                "next": self.errors.next,
                "previous": self.errors.previous,
                "accept": lambda: self.correct.decide(ACCEPTED),
                "reject": lambda: self.correct.decide(REJECTED),
                "seen": lambda: self.correct.decide(REVIEWED),
                "apply": self.correct.tools.apply,
                "cancel": self.correct.tools.cancel,
                "undo": self.correct.undo,
                "redo": self.correct.redo,
                "map": self.compare.toggle_map,
                "vessels": self.display.toggle_vessels,
                "window": self.display.reset_window,
                "end": self.question.ask_to_end,
            },
        )
        self._transfers = Transfers(self._folder, self.page, self.scan, self.save)
        server.controller.on_server_bind.add(self._bind)

    async def run(self) -> None:
        """Load the files, then take what workers have done until this is cancelled."""
        self.segment.ask_for_devices()
        await self.scan.open_files(self._files, self._folder)
        while True:
            for section in self._sections:
                with self.page.reporting(keep=True, repeated=section):
                    section.poll()
            self._look_after_visitor()
            self.page.state.flush()
            await asyncio.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop all work."""
        for section in self._sections:
            section.stop()

    def close(self) -> None:
        """Stop all work and leave no file behind."""
        self.stop()
        self.case.clear()
        remove_folder(str(self._folder))

    def _look_after_visitor(self) -> None:
        if self._presence.seconds_away > STOP_AFTER_SECONDS and self.segment.data.running:
            self.segment.cancel()
            self.page.say("The segmentation was stopped: the page had been closed for a minute.")

    def _restored(self, reference: str) -> None:
        """Show a session as it was left."""
        self.segment.show_what_ran()
        self.page.data.section = "segment"
        if reference:
            self.page.data.section = "review"
            self.compare.data.reference = reference
            self.compare.start()

    def _comparison_changed(self, changed: set[str]) -> None:
        self.display.comparison_changed(changed)
        self.errors.comparison_changed(changed)
        self.correct.comparison_changed(changed)
        self.save.comparison_changed(changed)

    def _bind(self, web_server: Any) -> None:
        web_server.app.middlewares.append(self._presence.middleware())
        web_server.app.add_routes([web.post("/paraview/", _where_to_connect), *self._transfers.routes()])


async def _where_to_connect(_request: web.Request) -> web.Response:
    """Answer what trame's client asks before it connects: here, where there is no launcher of processes."""
    return web.json_response({"sessionURL": "ws://USE_HOST/ws"})  # it puts in host and protocol of the page


def _quiet_vtk() -> None:
    """Leave errors of VTK in the server's terminal, each once; warn about neither displays nor events of VTK's own."""
    vtkOutputWindow.GetInstance().SetDisplayModeToNever()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)

"""Status, errors and layout of the page; what every other logic of the page stands on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from trame_slicer.app.logic.base_logic import BaseLogic

from vesselseg.errors import VesselSegError
from vesselseg_web.logic.states import PageState
from VesselSegmentationLib.jobs.wording import sentence

if TYPE_CHECKING:
    from vesselseg_web.viewing.views import Views
    from vesselseg_web.workspace.case import Case

logger = logging.getLogger("vesselseg")

T = TypeVar("T")

#: How long to wait at most until what has changed is on its way to the browser.
_SHOW_SECONDS = 1.0
#: What a disk may say that is full, too slow, or not to be written to.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class PageLogic(BaseLogic[PageState]):
    """Says what happens, and makes one clear line of what goes wrong.

    Parameters
    ----------
    server : Server
    application : SlicerApp
    views : Views

    Attributes
    ----------
    application : SlicerApp
    """

    def __init__(self, server: Any, application: Any, views: Views) -> None:
        super().__init__(server, application, PageState)
        self.application = application
        self.data.layouts = views.layouts
        self.data.layout = views.layout
        #: Of what fails each time that it is done: how it failed last, by what it is.
        self._lasting: dict[object, object] = {}
        self.bind_changes({self.name.layout: views.set_layout})
        server.trigger("vesselseg_tab")(self.count_tab)

    def count_tab(self) -> int:
        """Count a tab in which the page was opened, and return its number: only the last one can be used."""
        self.data.tabs += 1
        return self.data.tabs

    def say(self, text: str) -> None:
        """Show what was done."""
        self.data.status = text

    def show_error(self, error: VesselSegError) -> None:
        """Show what went wrong."""
        self.data.error = sentence(error)

    @contextlib.contextmanager
    def reporting(self, *, keep: bool = False, repeated: object = None) -> Iterator[None]:
        """Do something; what goes wrong ends it, and is shown as one line.

        Parameters
        ----------
        keep : bool
            Whether what is shown of an earlier error stays: it was not the user who asked for this.
        repeated : hashable, optional
            What this is, if it is done again and again: a mistake of ours that lasts is told once, until it changes or
            ends.
        """
        if not keep:
            self.data.error = ""
        try:
            yield
        except VesselSegError as error:
            self.show_error(error)
        except MemoryError:
            self.data.error = "The memory of the server does not suffice. Take a smaller scan."
        except Exception as error:
            self._tell_failure(error, repeated)
        else:
            self._lasting.pop(repeated, None)

    def _tell_failure(self, error: Exception, repeated: object) -> None:
        """Tell what is no mistake of the user: the page lives on, and the log has it in full."""
        if repeated is not None:
            how = type(error), traceback.extract_tb(error.__traceback__)[-1]
            if self._lasting.get(repeated) == how:
                return
            self._lasting[repeated] = how
        logger.error("an action of the page failed", exc_info=error)
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            self.show_error(
                VesselSegError(f"the server cannot keep the file: {error.strerror}", "tell whoever runs the server")
            )
        else:
            self.data.error = "Something went wrong inside the program. Its log says what; please report it."

    @contextlib.asynccontextmanager
    async def busy(self, what: str) -> AsyncIterator[None]:
        """Show that something is being done that keeps this process busy; else as `reporting`."""
        self.data.busy = what
        await self.show_now()
        try:
            with self.reporting():
                yield
        finally:
            self.data.busy = ""
            await self.show_now()

    async def show_now(self) -> None:
        """Send what has changed to the browser, and wait until it is on its way.

        Not to be awaited in the answer to a message of the browser, which itself would have to be finished first: a
        signal that is emitted without waiting starts a task of its own.
        """
        self.state.flush()
        if self.server.running:
            # Not for ever: to a slow browser there is always something on its way.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.server.network_completion, _SHOW_SECONDS)


class SectionLogic(BaseLogic[T]):
    """What answers to one section of the page.

    Parameters
    ----------
    page : PageLogic
    case : Case
    state_type : type
        Of `states`.
    """

    def __init__(self, page: PageLogic, case: Case, state_type: type[T]) -> None:
        super().__init__(page.server, page.application, state_type)
        self.page = page
        self.case = case

    def poll(self) -> None:
        """Take what workers have done meanwhile. Called some times a second; must not wait."""

    def stop(self) -> None:
        """Stop what runs: nobody is there any more who would want it."""

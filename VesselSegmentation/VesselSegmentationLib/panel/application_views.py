"""What only 3D Slicer's main window can show: plots, tables, and views turned to their contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer


def centre_views() -> None:
    """Turn the 3D views, if there are any, to what they show."""
    if slicer.app.layoutManager() is not None:
        slicer.util.resetThreeDViews()


def show_charts(charts: Sequence[Any]) -> None:
    """Show plots, the first one on top, if there is a window."""
    if slicer.app.layoutManager() is not None:
        for chart in reversed(charts):
            slicer.modules.plots.logic().ShowChartInLayout(chart)


def show_table(table_node: Any) -> None:
    """Show a table, if there is a window."""
    slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(table_node.GetID())
    slicer.app.applicationLogic().PropagateTableSelection()
    if slicer.app.layoutManager() is not None:
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)


def user_name() -> str:
    """Return the name of the user as 3D Slicer's settings have it; empty if they do not."""
    information = slicer.app.applicationLogic().GetUserInformation()
    return str(information.GetName() or "") if information is not None else ""

"""What the page shows: plain data, written by the logic, drawn by the browser."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class PageState:
    """Around everything else.

    Parameters
    ----------
    dark : bool
        Theme.
    layout : str
        Name of the arrangement of the views.
    layouts : list of str
        All of them.
    section : str
        The section of the drawer that is open.
    status : str
        What was done last.
    busy : str
        What is being done in this process at present.
    error : str
        What went wrong, in one line; empty if nothing did.
    tabs : int
        In how many tabs the page was opened, in all.
    """

    dark: bool = True
    layout: str = ""
    layouts: list[str] = field(default_factory=list)
    section: str = "scan"
    status: str = "Load a TOF-MRA scan, or try the synthetic one."
    busy: str = ""
    error: str = ""
    tabs: int = 0


@dataclass
class QuestionState:
    """The question before corrections are lost.

    Parameters
    ----------
    title : str
        Empty if nothing is asked.
    text : str
        What will be lost, and what can be done about it.
    keep, go_on : str
        The answers.
    ends : bool
        Whether going on ends the visit, which the browser does by itself.
    """

    title: str = ""
    text: str = ""
    keep: str = ""
    go_on: str = ""
    ends: bool = False


@dataclass
class ScanState:
    """The scan.

    Parameters
    ----------
    name : str
    grid : str
        In words.
    why_not : str
        Why nothing can be opened; empty if it can.
    upload_percent : float
        How far an upload is; below 0 while there is none.
    series : list of dict
        Of which one has to be chosen, each with "title" and "value".
    """

    name: str = ""
    grid: str = ""
    why_not: str = ""
    upload_percent: float = -1.0
    series: list[dict[str, str]] = field(default_factory=list)


@dataclass
class SegmentState:
    """Choices for a segmentation, its progress, and the threshold of its result.

    Parameters
    ----------
    models, devices, masks : list of dict
        Choices, each with "title" and "value"; models also with "subtitle".
    model, device, mask : str
        The values chosen.
    why_not, why_no_mask : str
        Why it cannot be started, and why no mask can be opened; empty if it can.
    running : bool
    percent : float
        0 to 100.
    message : str
        What is being done, or what ran last.
    log : list of str
        Notices of the run.
    threshold : float
        Smallest probability of a vessel, in (0, 1].
    min_component : float
        Smallest piece that is kept, in mm3.
    why_no_threshold : str
        Why the two cannot be changed; empty if they can.
    """

    models: list[dict[str, str]] = field(default_factory=list)
    devices: list[dict[str, str]] = field(default_factory=list)
    masks: list[dict[str, str]] = field(default_factory=list)
    model: str = ""
    device: str = "auto"
    mask: str = "auto"
    why_not: str = ""
    why_no_mask: str = ""
    running: bool = False
    percent: float = 0.0
    message: str = ""
    log: list[str] = field(default_factory=list)
    threshold: float = 0.5
    min_component: float = 0.0
    why_no_threshold: str = ""


@dataclass
class DisplayState:
    """How the scan is shown.

    Parameters
    ----------
    why_not : str
        Why nothing can be set; empty if it can.
    lowest, highest : float
        Intensities of the scan.
    step : float
        By which its window can be set.
    window : list of float
        Intensities shown black and white.
    slab : float
        Thickness of what slice views project, in mm; 0 for single slices.
    largest_slab : float
        In mm.
    rendering : str
        Style in which the scan is shown in 3D; empty if it is not.
    rendering_opacity : float
        Per cent.
    outlined : bool
        Whether slices show only outlines of vessels and errors.
    """

    why_not: str = ""
    lowest: float = 0.0
    highest: float = 1.0
    step: float = 1.0
    window: list[float] = field(default_factory=lambda: [0.0, 1.0])
    slab: float = 0.0
    largest_slab: float = 60.0
    rendering: str = ""
    rendering_opacity: float = 100.0
    outlined: bool = False


@dataclass
class LayerState:
    """How vessels, a reference or a kind of error are shown; each has one, under a name of its own.

    Parameters
    ----------
    there : bool
        Whether there is anything to show.
    slices, three_d : bool
        Whether it is shown in slices, and in 3D.
    slices_opacity, three_d_opacity : float
        Per cent.
    """

    there: bool = False
    slices: bool = True
    three_d: bool = True
    slices_opacity: float = 50.0
    three_d_opacity: float = 100.0


@dataclass
class ShortcutState:
    """Keys, and the sheet that lists them.

    Parameters
    ----------
    help_shown : bool
    keys : list of dict
        "key" (as `shortcuts.js` names it), "shown" (as people name it), "title" and "action".
    """

    help_shown: bool = False
    keys: list[dict[str, str]] = field(default_factory=list)


@dataclass
class CompareState:
    """The comparison with a reference.

    Parameters
    ----------
    references : list of dict
        What there is to compare with, each with "title" and "value".
    reference : str
        The value chosen.
    why_not : str
        Why nothing can be compared; empty if it can.
    compared : bool
        Whether something is compared.
    shown : bool
        Whether the error map is shown in place of the vessels.
    notes : str
        What a reader should know.
    legend : list of dict
        "title", "colour" (as in CSS), "text" and "volume" of each kind.
    metrics : list of dict
        "title", "value", "unit" and "former": what to say where it is not yet that of the labels as they are.
    """

    references: list[dict[str, str]] = field(default_factory=list)
    reference: str = ""
    why_not: str = ""
    compared: bool = False
    shown: bool = True
    notes: str = ""
    legend: list[dict[str, str]] = field(default_factory=list)
    metrics: list[dict[str, str]] = field(default_factory=list)


@dataclass
class ErrorListState:
    """The list of errors.

    Parameters
    ----------
    rows : list of dict
        "id", "kind" with what was decided about it, "colour" (as in CSS), "length" and "volume" with units; what
        matters most first.
    chosen : str
        ID of the chosen one.
    hide_boundary : bool
        Whether rims one voxel thick are left out.
    note : str
        How many there are.
    details : str
        About the chosen one.
    """

    rows: list[dict[str, str]] = field(default_factory=list)
    chosen: str = ""
    hide_boundary: bool = True
    note: str = ""
    details: str = ""


@dataclass
class CorrectState:
    """What can be corrected and undone.

    Parameters
    ----------
    reader : str
        Who decides; kept with the decisions.
    why_not, why_no_decision : str
        Why nothing can be edited, or nothing be said about errors; empty if it can.
    can_undo, can_redo : bool
    unsaved : bool
        Whether there are corrections that were not saved.
    steps : list of str
        What was done, the last step first.
    """

    reader: str = ""
    why_not: str = ""
    why_no_decision: str = ""
    can_undo: bool = False
    can_redo: bool = False
    unsaved: bool = False
    steps: list[str] = field(default_factory=list)


@dataclass
class ToolsState:
    """The tools that correct vessels by clicks and strokes in the views.

    Parameters
    ----------
    tools : list of dict
        "name", "title", "group", "icon", "tip" and "why_not" of each: empty where it can be used.
    tool : str
        Name of the one in the hand; empty for none.
    hint : str
        What the next click does, or what is shown in the views.
    settings : list of str
        What can be set of that tool.
    why_no_apply, why_no_cancel : str
        Why there is nothing to apply or to cancel; empty if there is.
    threshold : float
        Lowest probability of a vessel, in (0, 1].
    length, radius, calibre : float
        How far a region grows, the radius of the sphere, the radius of a traced vessel (0: as measured), in mm.
    volume : float
        Smallest piece that is kept, in mm3.
    vessels, extents, changes, decisions : list of dict
        Choices, each with "title" and "value".
    vessel, extent, change, decision : str
        The values chosen.
    """

    tools: list[dict[str, str]] = field(default_factory=list)
    tool: str = ""
    hint: str = ""
    settings: list[str] = field(default_factory=list)
    why_no_apply: str = ""
    why_no_cancel: str = ""
    threshold: float = 0.3
    length: float = 20.0
    radius: float = 5.0
    calibre: float = 0.0
    volume: float = 20.0
    vessels: list[dict[str, str]] = field(default_factory=list)
    vessel: str = ""
    extents: list[dict[str, str]] = field(default_factory=list)
    extent: str = ""
    changes: list[dict[str, str]] = field(default_factory=list)
    change: str = ""
    decisions: list[dict[str, str]] = field(default_factory=list)
    decision: str = ""


@dataclass
class FreeHandState:
    """How strokes are made.

    Parameters
    ----------
    brush : float
        Diameter in mm.
    sphere : bool
        Whether the brush is a sphere, else a disc in the slice.
    masked : bool
        Whether only voxels in the range of intensities are painted.
    mask : list of float
        Lowest and highest of them.
    mask_limits : list of float
        Of the scan.
    cuts : list of dict
        What scissors can do, each with "title" and "value".
    cut : str
        The value chosen.
    depth : float
        How thick scissors cut in a slice view, in mm; 0: through everything.
    """

    brush: float = 3.0
    sphere: bool = True
    masked: bool = True
    mask: list[float] = field(default_factory=lambda: [0.0, 1.0])
    mask_limits: list[float] = field(default_factory=lambda: [0.0, 1.0])
    cuts: list[dict[str, str]] = field(default_factory=list)
    cut: str = ""
    depth: float = 0.0


@dataclass
class SaveState:
    """What can be saved.

    Parameters
    ----------
    why_not : dict
        By what is to be saved: why it cannot be; empty if it can.
    figures : list of dict
        Kinds of figures, each with "title" and "value".
    figure : str
        The value chosen.
    percent : float
        How far the file is that is being made; below 0 while there is none.
    message : str
        What is being done for it.
    """

    why_not: dict[str, str] = field(default_factory=dict)
    figures: list[dict[str, str]] = field(default_factory=list)
    figure: str = ""
    percent: float = -1.0
    message: str = ""

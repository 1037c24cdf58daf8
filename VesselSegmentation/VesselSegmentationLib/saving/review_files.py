"""Figures and reports of a comparison, drawn in a worker process: the views stay alive meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesselseg.errors import VesselSegError
from vesselseg.output_files import atomic_output, check_outputs
from vesselseg.review.error_kinds import WITH_REFERENCE
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand, folder_to_hand_over
from VesselSegmentationLib.jobs.worker_job import WorkerJob, hand_over
from VesselSegmentationLib.reviewing.error_map_display import palette_name
from VesselSegmentationLib.scene.label_source import LabelSource, names_of_two
from VesselSegmentationLib.scene.run_record import recorded_summary
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

if TYPE_CHECKING:
    from VesselSegmentationLib.reviewing.review_logic import ReviewLogic


#: Kind of the figure of two methods.
METHODS = "methods"


@dataclass(frozen=True)
class FigureSettings:
    """How a figure is drawn.

    Parameters
    ----------
    kind : str
        "overview", "closeups" or "projections", as for ``vesselseg errormap --figure-kind``; or "methods": the
        result that is compared beside that of a second method.
    view : str
        Direction of 3D renderings: a name such as "anterior", or azimuth and elevation in degrees as in "30,15".
    background : str
        "black" or "white".
    dpi : int
        Dots an inch.
    title : str
        Line above the figure.
    other : LabelSource, optional
        Result of the second method.
    """

    kind: str = "overview"
    view: str = "anterior"
    background: str = "black"
    dpi: int = 300
    title: str = ""
    other: LabelSource | None = None


def start_figure(
    review: ReviewLogic, path: str | os.PathLike[str], settings: FigureSettings | None = None
) -> WorkerJob:
    """Start to draw what is compared, in the colours of its map; returns at once.

    Parameters
    ----------
    review : ReviewLogic
        With a comparison.
    path : path-like
        Ending in .png, .pdf or .svg. An existing file is replaced: whoever chose the name has agreed.
    settings : FigureSettings, optional

    Returns
    -------
    WorkerJob
        Done when the file is there.

    Raises
    ------
    VesselSegError
        If nothing is compared, the file cannot be written, or the worker cannot be started.
    """
    settings = settings or FigureSettings()
    # Two angles that begin with a minus would be taken for an option.
    arguments = [f"--view={settings.view}"]
    arguments += ["--background", settings.background, "--dpi", str(settings.dpi)]
    if settings.title:
        arguments.append(f"--title={settings.title}")
    if settings.kind != METHODS:
        arguments += ["--figure-kind", settings.kind]
        return _start(review, "errormap", arguments, [path], map_needed=True)
    if settings.other is None:
        raise VesselSegError("no second method is chosen", "choose its segmentation or label volume")
    if review.error_map is not None:
        arguments += ["--methods", *names_of_two(review.error_map.sources[0], settings.other)]
    return _start(review, "errormap", arguments, [path], map_needed=True, other=settings.other)


def start_report(review: ReviewLogic, paths: Sequence[str | os.PathLike[str]], *, case: str = "") -> WorkerJob:
    """Start to write a report about what is compared: scan, what ran, metrics, figures, errors; returns at once.

    Parameters
    ----------
    review : ReviewLogic
        With a comparison.
    paths : sequence of path-like
        Ending in .html or .pdf. Existing files are replaced.
    case : str
        What the case is called; without it, neither patient nor files are named in the report.

    Returns
    -------
    WorkerJob
        Done when the files are there.

    Raises
    ------
    VesselSegError
        If nothing is compared, a file cannot be written, or the worker cannot be started.
    """
    arguments = [f"--case={case}"] if case else []
    return _start(review, "report", arguments, paths, map_needed=False)


class _FileJob(WorkerJob):
    """Files that the worker makes in its private folder: one that is cancelled leaves nothing beside the user's.

    Parameters
    ----------
    arguments : sequence of str
        As for `WorkerJob`.
    made : dict of path to path
        What the worker makes, and where it is to be.
    folder : pathlib.Path
    python : PythonCommand, optional
    """

    def __init__(
        self, arguments: Sequence[str], made: dict[Path, Path], *, folder: Path, python: PythonCommand | None
    ) -> None:
        self._made = made
        super().__init__(arguments, folder=folder, python=python)

    def _use_result(self, result: dict[str, Any]) -> None:
        with contextlib.ExitStack() as stack:
            for source, path in self._made.items():
                shutil.copyfile(source, stack.enter_context(atomic_output(path, overwrite=True)))


def _start(
    review: ReviewLogic,
    command: str,
    arguments: list[str],
    paths: Sequence[str | os.PathLike[str]],
    *,
    map_needed: bool,
    other: LabelSource | None = None,
) -> WorkerJob:
    error_map = review.error_map
    if error_map is None:
        raise VesselSegError("nothing is compared", "choose a segmentation and a reference first")
    check_outputs(paths, overwrite=True)  # known before the work
    segmentation, reference = error_map.labels()
    inputs: dict[str, Volume | None] = {
        "segmentation": segmentation,
        "reference": reference,
        "scan": volume_from_node(error_map.volume_node),
        "probability": None if map_needed else review.probability(),  # of each error, which figures do not list
        "mask": None if map_needed else review.mask(),
        "compare": None if other is None else other.label_on(error_map.volume_node, "second method")[0],
    }
    with folder_to_hand_over() as folder:
        arguments = [*hand_over(inputs, folder), *arguments]
        # With the names that the user chose, for messages.
        made = {folder / f"output-{n}" / Path(path).name: Path(path).absolute() for n, path in enumerate(paths)}
        for source in made:
            source.parent.mkdir()
        files = [str(source) for source in made]
        if map_needed:
            arguments += ["--output", str(folder / "map.nii"), "--figure", *files]
        else:
            arguments += ["--output", *files, *_what_ran(error_map.sources[0], folder)]
        if error_map.wording != WITH_REFERENCE:
            arguments += ["--names", error_map.wording.first, error_map.wording.second]
        arguments += ["--palette", palette_name(error_map.node)]
        return _FileJob([command, *arguments], made, folder=folder, python=review.python)


def _what_ran(source: LabelSource, folder: Path) -> list[str]:
    # Of the other segments beside the vessels it would be untrue.
    found = source.is_segmentation and segment_with_role(source.node) in source.segment_ids()
    summary = recorded_summary(source.node) if found else {}
    if "model" not in summary:
        return []
    path = folder / "run.json"
    path.write_text(json.dumps({"event": "result", **summary}), encoding="utf-8")
    return ["--run", str(path)]

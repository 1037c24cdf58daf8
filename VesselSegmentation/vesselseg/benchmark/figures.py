"""What rounds of measurements come to: medians, ratios, shares of the machine's peak, differences of the results."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from vesselseg.benchmark.case import Case
from vesselseg.benchmark.measuring import Measurement
from vesselseg.benchmark.peers import PEERS
from vesselseg.benchmark.rounds import REFERENCE, SAME_WINDOWS, Outcome, Rounds

#: With fewer parts the network's time cannot be told from the progress.
_FEWEST_PARTS = 8

_PART = re.compile(r"part (\d+) of (\d+)")


@dataclass(frozen=True)
class RunFigures:
    """One run.

    Parameters
    ----------
    total_s : float
        Whole process, read to write.
    import_s : float or None
        From its start to its first word.
    first_part_s : float or None
        From its start to the first slice, or block, that has left the network.
    network_s : float or None
        The network alone: as the run tells it, else from the moments at which parts were done.
    network_voxels : int or None
        What the network was given, as the run tells it.
    peak_bytes : int or None
        Largest resident memory.
    processor_s : float or None
        Processor time.
    others : float or None
        Share of the usable cores that other processes took meanwhile.
    """

    total_s: float
    import_s: float | None
    first_part_s: float | None
    network_s: float | None
    network_voxels: int | None
    peak_bytes: int | None
    processor_s: float | None
    others: float | None

    @classmethod
    def of(cls, measurement: Measurement) -> RunFigures:
        """Read the figures of a run from what it reported."""
        parts = [
            (moment, int(match[1]), int(match[2]))
            for moment, event in measurement.events
            if (match := _PART.match(str(event.get("message", ""))))
        ]
        network = measurement.result.get("network_seconds")
        if network is None and len(parts) >= _FEWEST_PARTS:
            # Nobody tells when the first part was begun: it is counted like the others.
            network = (parts[-1][0] - parts[0][0]) * len(parts) / (len(parts) - 1)
        return cls(
            total_s=measurement.seconds,
            import_s=measurement.events[0][0] if measurement.events else None,
            first_part_s=parts[0][0] if parts else None,
            network_s=network,
            network_voxels=measurement.result.get("network_voxels"),
            peak_bytes=measurement.peak_bytes,
            processor_s=measurement.processor_seconds,
            others=measurement.others,
        )


@dataclass(frozen=True)
class Row:
    """One program: medians over the rounds.

    Parameters
    ----------
    name, title : str
    not_run : str
        Why it did not run; empty if it did.
    engine, precision : str
        What computed, as the run tells it.
    seconds_a_slice, network_s, total_s, import_s, first_part_s : float or None
        Medians; see `RunFigures`.
    peak_bytes : int or None
        The largest of all rounds.
    flops : float or None
        Floating-point operations a second of the network.
    share_of_peak : float or None
        Of what convolutions reach on this machine in the same precision.
    faster : tuple of float or None
        How many times as fast as the baseline as a whole, round by round: median, least, most.
    largest_difference : float or None
        Of the probability, against the reference, inside the mask.
    dice : float or None
        Of the label, against the reference's.
    engine_difference, engine_dice : float or None
        The same against this program with torch in float32, which is given the very same parts of the scan.
    others : float or None
        The largest load by others of all rounds.
    runs : list of RunFigures
    """

    name: str
    title: str
    not_run: str = ""
    engine: str = ""
    precision: str = ""
    seconds_a_slice: float | None = None
    network_s: float | None = None
    total_s: float | None = None
    import_s: float | None = None
    first_part_s: float | None = None
    peak_bytes: int | None = None
    flops: float | None = None
    share_of_peak: float | None = None
    faster: tuple[float, float, float] | None = None
    largest_difference: float | None = None
    dice: float | None = None
    engine_difference: float | None = None
    engine_dice: float | None = None
    others: float | None = None
    runs: tuple[RunFigures, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary that JSON can hold."""
        return asdict(self)


def rows_of(rounds: Rounds, case: Case, flops_per_voxel: float, baseline: str) -> list[Row]:
    """Return the figures of all programs.

    Parameters
    ----------
    rounds : Rounds
        What was measured.
    case : Case
        On what.
    flops_per_voxel : float
        Of the network; see `vesselseg.benchmark.flops.flops_per_voxel`.
    baseline : str
        Name of the program that the others are compared with in speed.

    Returns
    -------
    list of Row
        In the order of the programs; those that did not run say why.
    """
    by_name = {outcome.contestant.name: outcome for outcome in rounds.outcomes}
    slow = by_name[baseline].measurements if baseline in by_name else ()
    rows = []
    for outcome in rounds.outcomes:
        contestant = outcome.contestant
        if outcome.failure:
            rows.append(Row(contestant.name, contestant.title, not_run=outcome.failure))
            continue
        runs = tuple(RunFigures.of(measurement) for measurement in outcome.measurements)
        result = outcome.measurements[-1].result
        network = _median([run.network_s for run in runs])
        voxels = runs[-1].network_voxels
        flops = flops_per_voxel * voxels / network if voxels and network else None
        precision = str(result.get("precision", ""))
        peak = rounds.peaks.get(precision)
        ratios = [own.seconds and base.seconds / own.seconds for own, base in zip(outcome.measurements, slow)]
        difference, dice = _agreement(outcome, by_name.get(REFERENCE), case)
        same = None if contestant.name in PEERS else by_name.get(SAME_WINDOWS)
        engine_difference, engine_dice = _agreement(outcome, same, case)
        rows.append(
            Row(
                name=contestant.name,
                title=contestant.title,
                engine=str(result.get("engine", "")),
                precision=precision,
                seconds_a_slice=None if network is None else network / case.slices,
                network_s=network,
                total_s=_median([run.total_s for run in runs]),
                import_s=_median([run.import_s for run in runs]),
                first_part_s=_median([run.first_part_s for run in runs]),
                peak_bytes=_largest([run.peak_bytes for run in runs]),
                flops=flops,
                share_of_peak=flops / peak["flops"] if flops and peak else None,
                faster=(median(ratios), min(ratios), max(ratios)) if ratios else None,
                largest_difference=difference,
                dice=dice,
                engine_difference=engine_difference,
                engine_dice=engine_dice,
                others=_largest([run.others for run in runs]),
                runs=runs,
            )
        )
    return rows


def _agreement(outcome: Outcome, reference: Outcome | None, case: Case) -> tuple[float | None, float | None]:
    """Return the largest difference of two probabilities inside the mask, and the Dice of the labels."""
    from vesselseg.image_io import read_label, read_volume

    if reference is None or not reference.measurements:
        return None, None
    inside: Any = ... if case.mask is None else read_label(case.mask).array != 0
    own, other = (read_volume(each.probability).array[inside] for each in (outcome, reference))
    difference = float(np.abs(own - other).max(initial=0.0))
    label, truth = (read_label(each.label).array != 0 for each in (outcome, reference))
    total = int(label.sum()) + int(truth.sum())
    return difference, 2 * int(np.count_nonzero(label & truth)) / total if total else 1.0


def _known(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _median(values: Sequence[float | None]) -> float | None:
    known = _known(values)
    return median(known) if known else None


def _largest(values: Sequence[Any]) -> Any:
    return max(_known(values), default=None)

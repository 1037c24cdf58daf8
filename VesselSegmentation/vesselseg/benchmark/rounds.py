"""The programs that are compared, each in a fresh process, taking turns round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vesselseg.benchmark.case import Case
from vesselseg.benchmark.measuring import VESSELSEG, Event, Measurement, measure
from vesselseg.benchmark.peers import PEERS
from vesselseg.errors import VesselSegError
from vesselseg.progress import ProgressCallback, no_progress

#: The program as it is set by default on a CPU.
DEFAULT = "vesselseg"
#: The peer that the results of all others are held against: float32, no window, no trick.
REFERENCE = "torch-eager"
#: This program with torch in float32: it sees what the other engines see, so that it tells what the engine changes.
SAME_WINDOWS = "torch-f32"


@dataclass(frozen=True)
class Contestant:
    """One program in one setting.

    Parameters
    ----------
    name : str
    title : str
        For people.
    arguments : tuple of str
        Of ``vesselseg``, without those that all have.
    """

    name: str
    title: str
    arguments: tuple[str, ...]

    def command(self, case: Case, label: Path, probability: Path) -> list[str]:
        """Return the command that segments a case."""
        is_peer = self.name in PEERS
        scan = ["--scan", str(case.scan)] if is_peer else [str(case.scan)]
        return [
            *VESSELSEG, *self.arguments, *scan, "--output", str(label), "--probability", str(probability),
            "--model", str(case.model.path), "--brain-mask", str(case.mask or "none"),
            "--overwrite", "--progress", "json", "--stop-with-stdin",
        ]  # fmt: skip


def _own(engine: str, precision: str, title: str) -> Contestant:
    name = DEFAULT if engine == "auto" else f"{engine}-{precision}"
    return Contestant(
        name, title, ("segment", "--device", "cpu", "--engine", engine, "--precision", precision)
    )  # fmt: skip


#: All programs that can be compared, in the order in which they take turns.
CONTESTANTS = (
    _own("auto", "auto", "vesselseg on the CPU, all else by default"),
    _own("openvino", "f32", "vesselseg with OpenVINO, f32"),
    _own("openvino", "bf16", "vesselseg with OpenVINO, bf16"),
    _own("openvino", "int8", "vesselseg with OpenVINO, int8"),
    _own("onnx", "f32", "vesselseg with ONNX Runtime, f32"),
    _own("torch", "f32", "vesselseg with torch, f32"),
    _own("torch", "bf16", "vesselseg with torch, bf16"),
    *(Contestant(name, peer.title, ("bench", "peer", "--only", name)) for name, peer in PEERS.items()),
)


def choose_contestants(names: Sequence[str]) -> list[Contestant]:
    """Return the programs of these names, or of all that begin like them; all of them if no name is given.

    Raises
    ------
    VesselSegError
        If a name fits none.
    """
    for name in names:
        if not any(contestant.name.startswith(name) for contestant in CONTESTANTS):
            known = ", ".join(contestant.name for contestant in CONTESTANTS)
            raise VesselSegError(f"there is nothing named '{name}' to measure", f"choose among: {known}")
    exact = {contestant.name for contestant in CONTESTANTS}
    return [
        contestant
        for contestant in CONTESTANTS
        if not names
        or any(contestant.name == name if name in exact else contestant.name.startswith(name) for name in names)
    ]


@dataclass(frozen=True)
class Outcome:
    """What became of one program.

    Parameters
    ----------
    contestant : Contestant
    measurements : tuple of Measurement
        One a round; none if it did not run.
    failure : str
        Why it did not run; empty if it did.
    label, probability : pathlib.Path
        What it wrote in the last round.
    """

    contestant: Contestant
    measurements: tuple[Measurement, ...]
    failure: str
    label: Path
    probability: Path


@dataclass(frozen=True)
class Rounds:
    """What `run_rounds` measured.

    Parameters
    ----------
    outcomes : tuple of Outcome
        One for every program, in their order.
    peaks : dict of str to dict
        Precision -> the best `vesselseg.benchmark.peak.Peak` of all rounds, as a dictionary.
    """

    outcomes: tuple[Outcome, ...]
    peaks: dict[str, Event]


def run_rounds(
    case: Case,
    warm_case: Case,
    contestants: Sequence[Contestant],
    folder: Path,
    *,
    rounds: int,
    quick: bool = False,
    progress: ProgressCallback = no_progress,
) -> Rounds:
    """Let programs take turns on a case.

    Before the rounds each runs once on a small case, unmeasured: then its files are in the disk's cache as for somebody
    who works with it, and what is not installed is known. In every round the machine's peak is measured too.

    Parameters
    ----------
    case, warm_case : Case
        What is measured, and the small case.
    contestants : sequence of Contestant
    folder : pathlib.Path
        For their outputs.
    rounds : int
        1 or more.
    quick : bool
        Whether the peak may be measured less carefully.
    progress : callable

    Returns
    -------
    Rounds

    Raises
    ------
    VesselSegError
        If the peak cannot be measured.
    """
    turns, done = len(contestants) + rounds * (len(contestants) + 1), 0

    def turn(text: str) -> None:
        nonlocal done
        progress(done / turns, text)
        done += 1

    files = {c.name: (folder / f"{c.name}_label.nii.gz", folder / f"{c.name}_probability.nii") for c in contestants}
    failures: dict[str, str] = {}
    for contestant in contestants:
        turn(f"warming up {contestant.name}")
        # Under other names: a small result must never be taken for the measured one.
        warm = measure(contestant.command(warm_case, folder / "warm.nii.gz", folder / "warm.nii"))
        if warm.failure:
            failures[contestant.name] = warm.failure
    measured: dict[str, list[Measurement]] = {contestant.name: [] for contestant in contestants}
    peaks: dict[str, Event] = {}
    for number in range(rounds):
        turn(f"round {number + 1} of {rounds}: peak")
        for precision, peak in _measured_peaks(quick).items():
            if precision not in peaks or peak["flops"] > peaks[precision]["flops"]:
                peaks[precision] = peak
        for contestant in contestants:
            turn(f"round {number + 1} of {rounds}: {contestant.name}")
            if contestant.name in failures:
                continue
            measurement = measure(contestant.command(case, *files[contestant.name]))
            if measurement.failure:
                failures[contestant.name] = measurement.failure
                measured[contestant.name] = []
            else:
                measured[contestant.name].append(measurement)
    progress(1.0, "measured")
    outcomes = (Outcome(c, tuple(measured[c.name]), failures.get(c.name, ""), *files[c.name]) for c in contestants)
    return Rounds(tuple(outcomes), peaks)


def _measured_peaks(quick: bool) -> dict[str, Event]:
    care = ["--quick"] if quick else []
    measurement = measure([*VESSELSEG, "bench", "peak", *care, "--progress", "json", "--stop-with-stdin"])
    if measurement.failure:
        raise VesselSegError(f"the peak of the machine cannot be measured: {measurement.failure}")
    return dict(measurement.result["peaks"])

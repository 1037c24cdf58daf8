"""The description that lies beside a model's weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vesselseg.errors import VesselSegError

#: Precision -> lowest Dice against single precision with which a model may be computed in it.
_LOWEST_DICE = {"bf16": 0.999, "int8": 0.998}
#: By how much the sensitivity for arteries below 0.6 mm in radius may differ then.
_LARGEST_CHANGE = 0.002

#: Kinds of the values that cannot be seen to be wrong until the model is used.
_KINDS: dict[str, type] = {
    "name": str,
    "architecture": str,
    "options": dict,
    "normalisation": dict,
    "weights": str,
    "precisions": dict,
    "int8": dict,
}


@dataclass(frozen=True)
class PrecisionCheck:
    """What a low precision changes, measured on scans with known arteries by ``vesselseg models check-precision``.

    Parameters
    ----------
    dice_to_f32 : float
        Dice of the label against the one in single precision, averaged over the scans.
    small_sensitivity_change : float
        Sensitivity on the centreline of arteries below 0.6 mm in radius, less that in single precision.
    scans : int
        How many were measured.
    model_sha256 : str
        Sum of the weights that were measured; for other weights it means nothing.
    versions : dict of str
        Of vesselseg and of the engine.
    """

    dice_to_f32: float
    small_sensitivity_change: float
    scans: int
    model_sha256: str
    versions: dict[str, str] = field(default_factory=dict)


_CHECK_FIELDS = [each.name for each in fields(PrecisionCheck)]


@dataclass(frozen=True)
class Manifest:
    """What a model is and how a scan must be prepared for it.

    Parameters
    ----------
    name : str
        By which it is asked for; also the name of its files.
    title : str
        One line for people.
    architecture : str
        As registered in `vesselseg.networks`.
    options : dict
        Arguments of the architecture's builder.
    normalisation : dict
        See `vesselseg.preprocessing.normalise`.
    spacing_mm : tuple of float
        Spacing it was trained at, x, y, z of an axial scan.
    threshold : float
        Recommended threshold of the probability, in (0, 1].
    sha256 : str
        Sum of the weight file.
    licence : str
        Of the weights.
    training_data : list of dict
        Name, licence and citation of each source.
    spacing_tolerance : float
        Share by which the spacing of a scan may differ before it is resampled: 0.25 means from 1/1.25 to 1.25 times.
    min_component_mm3 : float
        Recommended smallest piece, in mm3.
    training : dict
        Commands, configuration and versions that made the weights.
    evaluation : dict
        What was measured, on what, by which command.
    precisions : dict of PrecisionCheck
        "bf16" and "int8", as far as they were measured.
    int8 : dict
        Its int8 form, if it has one: "ranges", the largest value of the features of each convolution that is computed
        in 8 bits, by its name in the weight file, and "model_sha256" of the weights they were chosen for.
    weights : str
        Name of the weight file; the default is the model's name with ``.safetensors``.
    path : pathlib.Path or None
        Where the manifest was read from. Not stored.
    """

    name: str
    title: str
    architecture: str
    options: dict[str, Any]
    normalisation: dict[str, Any]
    spacing_mm: tuple[float, float, float]
    threshold: float
    sha256: str
    licence: str
    training_data: list[dict[str, str]] = field(default_factory=list)
    spacing_tolerance: float = 0.25
    min_component_mm3: float = 0.0
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    precisions: dict[str, PrecisionCheck] = field(default_factory=dict)
    int8: dict[str, Any] = field(default_factory=dict)
    weights: str = ""
    path: Path | None = field(default=None, compare=False)

    @property
    def weights_path(self) -> Path:
        """Where the weights lie: beside the manifest.

        Raises
        ------
        ValueError
            If the manifest was not read from a file.
        """
        if self.path is None:
            raise ValueError("this manifest was not read from a file")
        # Only the last part of the name is taken: a manifest must not point out of its folder.
        return self.path.parent / Path(self.weights or f"{self.name}.safetensors").name

    def passes(self, precision: str) -> bool:
        """Whether a low precision was measured for these weights, and hardly changes the result.

        The Dice against single precision has to be at least 0.999 ("bf16") or 0.998 ("int8"), and the sensitivity for
        small arteries may change by 0.002.
        """
        check = self.precisions.get(precision)
        return (
            check is not None
            and check.model_sha256 == self.sha256
            and check.dice_to_f32 >= _LOWEST_DICE[precision]
            and abs(check.small_sensitivity_change) <= _LARGEST_CHANGE
        )

    def int8_ranges(self) -> dict[str, float]:
        """Return the largest values of the features of those convolutions that are computed in 8 bits.

        Raises
        ------
        VesselSegError
            If there are none, they were chosen for other weights, or they are no positive numbers.
        """
        if "ranges" not in self.int8:
            raise VesselSegError(
                f"the model '{self.name}' has no int8 form",
                f"make one with 'vesselseg models quantise {self.name} --cases DIR', or choose the precision auto",
            )
        advice = f"make it anew with 'vesselseg models quantise {self.name} --cases DIR --overwrite'"
        ranges = self.int8["ranges"]
        if self.int8.get("model_sha256") != self.sha256:
            raise VesselSegError(f"the int8 form of the model '{self.name}' was made for other weights", advice)
        if not isinstance(ranges, dict) or not ranges or not all(map(_is_range, ranges.values())):
            raise VesselSegError(
                f"the ranges of the int8 form of the model '{self.name}' are no numbers above 0", advice
            )
        return {name: float(value) for name, value in ranges.items()}

    def to_json(self) -> str:
        """Return the text of the manifest file."""
        values = asdict(self)
        del values["path"]
        return _text(values)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest file.

        Raises
        ------
        VesselSegError
            If it is not there, cannot be read, lacks a field or holds an impossible value.
        """
        path = Path(path)
        advice = "import the model again from its source"
        if path.suffix == ".safetensors":
            raise VesselSegError(f"{path} is for weights", f"give the manifest {path.with_suffix('.json')}")
        if not path.exists():
            raise VesselSegError(f"there is no file {path}", "check the path")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise VesselSegError(f"the model manifest {path} cannot be read", advice) from error
        known = {f.name for f in fields(cls)} - {"path"}
        if not isinstance(values, dict):
            raise VesselSegError(f"the model manifest {path} is not a JSON object", advice)
        # Fields of a newer version that this one does not know are left alone.
        values = {key: value for key, value in values.items() if key in known}
        try:
            values["spacing_mm"] = tuple(float(v) for v in values["spacing_mm"])
            checks = values.get("precisions") or {}
            values["precisions"] = {
                # Of another version's precisions and values nothing is known here.
                name: PrecisionCheck(**{key: check[key] for key in _CHECK_FIELDS if key in check})
                for name, check in checks.items()
                if name in _LOWEST_DICE
            }
            manifest = cls(**values, path=path)
            for key, kind in _KINDS.items():
                if not isinstance(getattr(manifest, key), kind):
                    raise TypeError(f"{key} is of the wrong kind")
            impossible = impossible_entry(
                normalisation=manifest.normalisation,
                spacing_mm=manifest.spacing_mm,
                threshold=manifest.threshold,
                min_component_mm3=manifest.min_component_mm3,
                spacing_tolerance=manifest.spacing_tolerance,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise VesselSegError(f"the model manifest {path} is not complete: {error}", advice) from error
        if impossible:
            raise VesselSegError(f"the model manifest {path} holds an impossible {impossible}", advice)
        return manifest


def changed_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Return the text of a manifest's file after a change; entries that are not known here stay.

    Parameters
    ----------
    path : pathlib.Path
    change : callable
        Given the entries as JSON has them, which it changes.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    return _text(values)


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def impossible_entry(
    *,
    normalisation: dict[str, Any],
    spacing_mm: tuple[float, ...],
    threshold: float,
    min_component_mm3: float,
    spacing_tolerance: float = 0.0,
) -> str:
    """Return the name of a value that no scan can be segmented with; empty if there is none.

    Parameters
    ----------
    normalisation, spacing_mm, threshold, min_component_mm3, spacing_tolerance
        As in a `Manifest`, of any kind.
    """
    possible = {
        "spacing_mm": len(spacing_mm) == 3 and all(map(_is_range, spacing_mm)),
        "threshold": _is_range(threshold) and threshold <= 1,
        "spacing_tolerance": _is_number(spacing_tolerance, 0),
        "min_component_mm3": _is_number(min_component_mm3, 0),
        # What a method lacks is said when it is used.
        "normalisation": _is_number(normalisation.get("mean", 0))
        and all(_is_range(normalisation.get(divisor, 1)) for divisor in ("std", "clip")),
    }
    return next((name for name, is_possible in possible.items() if not is_possible), "")


def _is_number(value: object, lowest: float = -1e30) -> bool:
    """Whether a value is a number that single precision holds, not below another one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and lowest <= value < 1e30


def _is_range(value: object) -> bool:
    """Whether a value is a number that single precision holds, above 0."""
    return _is_number(value, 1e-30)

"""The configuration of a training run: one JSON file."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin, get_type_hints

from vesselseg.errors import VesselSegError
from vesselseg.models.manifest import impossible_entry
from vesselseg.preprocessing import NORMALISATIONS

_SHIPPED = Path(__file__).parent / "configs"

#: Entry -> what it may be.
_CHOICES = {
    "loss": ("dice", "dice_cross_entropy", "soft_cldice"),
    "optimiser": ("adam", "adamw"),
    "schedule": ("cosine", "constant"),
    "precision": ("auto", "float32", "bfloat16"),
    "monitor": ("validation_loss", "dice"),
}
#: Normalisation -> its numbers.
_NORMALISATION_ENTRIES = {"foreground_median": {"clip"}, "zscore": {"mean", "std"}}
#: Names of other files in the folder of a run.
_TAKEN_NAMES = ("checkpoint", "config", "run")
_LONGEST_NAME = 200
#: Of whole numbers: what torch takes as a seed.
_LARGEST_COUNT = 2**63 - 1
#: In mm: on smaller grids no brain is left beside the air and the neck.
_SMALLEST_HEAD = 16.0
#: Processes or threads for each core that are surely a slip of the pen: thousands make a machine unusable.
_MOST_PER_CORE, _MOST_ANYWHERE = 4, 16
#: Entries that may change when a run goes on: they decide how fast it is, not what it makes.
FREE_ENTRIES = ("workers", "threads", "checkpoint_every")


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes of patches.

    Parameters
    ----------
    rotation_deg : float
        Patches are turned in the plane of the slices by up to this angle, either way.
    shear_deg : float
        They are sheared by up to this angle, either way.
    scale : tuple of float
        Smallest and largest factor of their size; each is as likely as its inverse.
    stretch : float
        One side is stretched and the other shrunk by up to this share.
    flips : str
        Axes along which half of the patches are mirrored, out of "x", "y" and "z".
    signal : bool
        Whether brightness, contrast, window, sharpness and noise vary; for scans normalised by their median only.
    """

    rotation_deg: float = 180 / 7
    shear_deg: float = math.degrees(math.atan(0.12))
    scale: tuple[float, float] = (0.8, 1.25)
    stretch: float = 0.07
    flips: str = "xz"
    signal: bool = True


@dataclass(frozen=True)
class DrawnFolder:
    """Scans that a run draws for itself.

    Parameters
    ----------
    count, seed, data, heads, trees, masks, simulated_share
        As `vesselseg.synthesis.dataset.synthesize` takes them.
    size : tuple of int, optional
        Voxels x, y, z of simulated heads on a small grid, drawn in seconds; without it heads have their natural size.
        Real heads and trees have no place there.
    spacing_mm : float
        Spacing of that grid.
    """

    count: int
    seed: int = 0
    data: str = ""
    heads: list[str] = field(default_factory=list)
    trees: list[str] = field(default_factory=list)
    masks: str = ""
    simulated_share: float = 1.0
    size: Optional[tuple[int, int, int]] = None
    spacing_mm: float = 0.8


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what a training run makes, besides the scans themselves.

    Parameters
    ----------
    name : str
        Name of the model.
    training_scans, validation_scans : list of str
        Folders whose subfolders hold ``tof.nii.gz`` and ``label.nii.gz``. Relative ones are meant from the
        configuration file; those of a configuration that ships with the package, from the working folder.
    synthesize : dict of str to DrawnFolder
        Where no training scans are named: what to draw for "training" and for "validation", into the run's folder.
    title : str
        One line for people.
    architecture, options
        As `vesselseg.networks.build_network` takes them.
    normalisation : dict
        As `vesselseg.preprocessing.normalise` takes it. With "zscore" mean and standard deviation may be left out: they
        are then taken over patches of the training scans, and stand in the model's manifest.
    spacing_mm : tuple of float
        Spacing x, y, z of the scans, for the manifest.
    patch_size : int
        Side of the square patches, in voxels; a multiple of what the network asks for.
    depth : int
        Slices of a patch, for networks that work on blocks; a multiple of what the network asks for.
    batch_size, steps : int
        Patches a step (of each process), and steps in all.
    loss : {"dice_cross_entropy", "dice", "soft_cldice"}
        See `vesselseg.training.losses`.
    loss_options : dict
        Further arguments of the loss: ``smooth``, and ``alpha`` and ``iterations`` of soft clDice.
    positive_weight : float
        Weight of vessel voxels in the cross-entropy.
    optimiser : {"adam", "adamw"}
    learning_rate : float
        Highest rate.
    weight_decay : float
        Of AdamW.
    schedule : {"cosine", "constant"}
        The cosine rises over the first steps and falls to a hundredth; constant begins at once and stays.
    vessel_share, head_share : float
        Share of patches centred on a vessel and on some voxel of the head; the rest lies anywhere.
    augmentation : Augmentation
    precision : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where the processor or the GPU computes in it, single precision elsewhere.
    validate_every, checkpoint_every : int
        Steps between validations, and between checkpoints.
    monitor : {"validation_loss", "dice"}
        What tells the best weights, which become the model; without validation scans it is the last ones.
    patience : int
        The run stops after so many validations that were not better than the best one; 0 never stops it.
    choose_threshold : bool
        Whether the threshold of the model is the one with the best Dice over the validation patches.
    seed : int
        Patches, dropout and fresh weights depend on it.
    threads : int
        Processor threads; 0 leaves the choice to torch.
    workers : int
        Processes that prepare patches beside the network; 0 prepares them in between. The patches are the same.
    initial_model : str
        Manifest of a model whose weights to begin with; empty for fresh ones.
    initial_model_sha256 : str
        Sum of these weights, as the manifest has it, if no others may take their place; empty for any.
    frozen : list of str
        Parts of the network that keep the weights they begin with, such as "encoder".
    threshold, min_component_mm3 : float
        Recommended for using the model.
    licence : str
        Of the weights.
    training_data : list of dict
        Name, licence and citation of each source, for the manifest.
    commands : list of str
        The commands that made the scans, for the manifest.
    """

    name: str
    training_scans: list[str] = field(default_factory=list)
    validation_scans: list[str] = field(default_factory=list)
    synthesize: dict[str, DrawnFolder] = field(default_factory=dict)
    title: str = ""
    architecture: str = "unet2d"
    options: dict[str, Any] = field(default_factory=dict)
    normalisation: dict[str, Any] = field(default_factory=lambda: {"method": "foreground_median", "clip": 4.0})
    spacing_mm: tuple[float, float, float] = (0.6, 0.6, 0.6)
    patch_size: int = 160
    depth: int = 48
    batch_size: int = 12
    steps: int = 2000
    loss: str = "dice_cross_entropy"
    loss_options: dict[str, float] = field(default_factory=dict)
    positive_weight: float = 1.0
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    vessel_share: float = 0.6
    head_share: float = 0.3
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: str = "auto"
    validate_every: int = 250
    checkpoint_every: int = 100
    monitor: str = "validation_loss"
    patience: int = 0
    choose_threshold: bool = False
    seed: int = 0
    threads: int = 0
    workers: int = 2
    initial_model: str = ""
    initial_model_sha256: str = ""
    frozen: list[str] = field(default_factory=list)
    threshold: float = 0.5
    min_component_mm3: float = 0.0
    licence: str = ""
    training_data: list[dict[str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, source: str | Path) -> TrainingConfig:
        """Read a configuration.

        Parameters
        ----------
        source : str or pathlib.Path
            A JSON file, or the name of one that ships with the package (see `shipped_configs`).

        Raises
        ------
        VesselSegError
            If it cannot be read, has unknown or missing entries, or impossible values.
        """
        path = Path(source)
        base = path.parent.resolve()
        if str(source) in shipped_configs():
            path, base = _SHIPPED / f"{source}.json", Path.cwd()
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise VesselSegError(
                f"the configuration {path} cannot be read: {error}",
                f"give a JSON file, or the name of one that ships: {', '.join(shipped_configs())}",
            ) from error
        if not isinstance(values, dict):
            raise VesselSegError(f"the configuration {path} is not a JSON object", "see the documentation of training")
        try:
            config = cls.from_dict(values, base)
            config.check()
        except TypeError as error:
            raise VesselSegError(
                f"the configuration {path} lacks an entry, or has one of the wrong kind: {error}", "correct it"
            ) from error
        return config

    @classmethod
    def from_dict(cls, values: dict[str, Any], base: Path) -> TrainingConfig:
        """Make a configuration from the entries of a JSON file, relative paths meant from the folder `base`.

        Raises
        ------
        VesselSegError
            If there are unknown entries.
        TypeError
            If one is missing, or is not of its kind.
        """
        values = dict(_known(cls, values, ""))
        for key in ("training_scans", "validation_scans"):
            values[key] = [str(base / folder) for folder in values.get(key, [])]
        if values.get("initial_model"):
            values["initial_model"] = str(base / values["initial_model"])
        values["spacing_mm"] = tuple(values.get("spacing_mm", cls.spacing_mm))
        augmentation = dict(_known(Augmentation, values.get("augmentation", {}), "augmentation"))
        augmentation["scale"] = tuple(augmentation.get("scale", Augmentation.scale))
        values["augmentation"] = Augmentation(**augmentation)
        drawn = {}
        for kind, entries in values.get("synthesize", {}).items():
            entries = dict(_known(DrawnFolder, entries, f"synthesize.{kind}"))
            entries["size"] = tuple(entries["size"]) if entries.get("size") else None
            for key in ("data", "masks"):
                entries[key] = str(base / entries[key]) if entries.get(key) else ""
            drawn[kind] = DrawnFolder(**entries)
        values["synthesize"] = drawn
        return cls(**values)

    def check(self) -> None:
        """Refuse impossible values.

        Raises
        ------
        VesselSegError
            If there is one.
        """
        counts = ("patch_size", "depth", "batch_size", "steps", "validate_every", "checkpoint_every")
        if min(getattr(self, name) for name in counts) < 1:
            raise VesselSegError(f"{', '.join(counts)} must be 1 or more", "correct them")
        least = ("workers", "threads", "patience", "seed", "weight_decay", "learning_rate", "positive_weight")
        if min(getattr(self, name) for name in least) < 0:
            raise VesselSegError(f"{', '.join(least)} must not be negative", "correct them")
        most = max(_MOST_PER_CORE * (os.cpu_count() or 1), _MOST_ANYWHERE)
        for name in ("workers", "threads"):
            if getattr(self, name) > most:
                raise VesselSegError(f"{name} is more than this machine has use for", f"take at most {most}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise VesselSegError(f"{name} cannot be '{getattr(self, name)}'", f"choose {', '.join(choices)}")
        if self.vessel_share < 0 or self.head_share < 0 or self.vessel_share + self.head_share > 1:
            raise VesselSegError("vessel_share and head_share must lie in [0, 1], and their sum too", "correct them")
        self._check_name()
        if not self.training_scans and "training" not in self.synthesize:
            raise VesselSegError("the configuration names no training scans", "draw some with 'vesselseg synthesize'")
        if (self.choose_threshold or self.patience) and not (self.validation_scans or "validation" in self.synthesize):
            raise VesselSegError("choose_threshold and patience need validation scans", "name some, or leave both out")
        unknown = set(self.synthesize) - {"training", "validation"}
        if unknown:
            raise VesselSegError(f"nothing can be drawn for {', '.join(sorted(unknown))}", "name training, validation")
        self._check_apart()
        for kind, wanted in self.synthesize.items():
            _check_drawn(f"synthesize.{kind}", wanted)
        if self.weight_decay and self.optimiser != "adamw":
            raise VesselSegError("weight_decay is an entry for AdamW", "choose the optimiser adamw, or leave it out")
        self._check_normalisation()
        # What no model can have, before it is trained for hours.
        impossible = impossible_entry(
            normalisation=self.normalisation,
            spacing_mm=self.spacing_mm,
            threshold=self.threshold,
            min_component_mm3=self.min_component_mm3,
        )
        if impossible:
            value = json.dumps(getattr(self, impossible))
            raise VesselSegError(f"{impossible} cannot be {value}", "give numbers of a possible size, not text")
        self._check_augmentation()

    def _check_apart(self) -> None:
        """Refuse to validate on what is trained on."""
        advice = "validation needs scans of its own: other folders, or another seed"
        shared = {Path(f).resolve() for f in self.training_scans} & {Path(f).resolve() for f in self.validation_scans}
        if shared:
            raise VesselSegError(f"{min(shared)} is named for training and for validation", advice)
        seeds = [wanted.seed for wanted in self.synthesize.values()]
        if len(set(seeds)) < len(seeds):
            raise VesselSegError(f"training and validation are both drawn with the seed {seeds[0]}", advice)

    def _check_name(self) -> None:
        name = self.name
        if not name or Path(name).name != name or "\0" in name or len(os.fsencode(name)) > _LONGEST_NAME:
            raise VesselSegError(f"'{name}' cannot be the name of a model", "use a shorter name without slashes")
        if name.startswith(".") or name in _TAKEN_NAMES:
            raise VesselSegError(f"'{name}' cannot be the name of a model", "it is the name of another file")

    def _check_normalisation(self) -> None:
        wanted, method = self.normalisation, self.normalisation.get("method")
        if method not in NORMALISATIONS:
            raise VesselSegError(
                f"the method of the normalisation cannot be {json.dumps(method)}", f"choose {', '.join(NORMALISATIONS)}"
            )
        unknown = sorted(set(wanted) - {"method"} - _NORMALISATION_ENTRIES[method])
        if unknown:
            raise VesselSegError(f"the normalisation {method} has no {', '.join(unknown)}", "leave it out")
        if ("mean" in wanted) != ("std" in wanted):
            raise VesselSegError("mean and std of the normalisation belong together", "give both, or leave both out")

    def _check_augmentation(self) -> None:
        wanted = self.augmentation
        if not set(wanted.flips) <= set("xyz"):
            raise VesselSegError(f"flips cannot be '{wanted.flips}'", "name axes out of x, y and z, such as 'xz'")
        if not (0 <= wanted.shear_deg < 90 and wanted.rotation_deg >= 0 and 0 <= wanted.stretch < 1):
            raise VesselSegError("rotation, shear or stretch of the augmentation is impossible", "correct it")
        if len(wanted.scale) != 2 or not 0 < wanted.scale[0] <= wanted.scale[1]:
            raise VesselSegError("scale of the augmentation must be two factors above 0", "put the smaller one first")
        if wanted.signal and self.normalisation.get("method") == "zscore":
            raise VesselSegError(
                "changes of the signal are made for scans normalised by their median",
                "set 'signal' of the augmentation to false, or choose the normalisation foreground_median",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the entries as the JSON file has them."""
        return json.loads(json.dumps(asdict(self)))


def shipped_configs() -> list[str]:
    """Return the names of the configurations that ship with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.json"))


def _check_drawn(where: str, wanted: DrawnFolder) -> None:
    """Refuse what cannot be drawn, and what would be passed over."""
    if wanted.count < 1 or wanted.seed < 0:
        raise VesselSegError(f"count of {where} must be 1 or more, and seed not negative", "correct them")
    if wanted.size is None:
        if wanted.spacing_mm != DrawnFolder.spacing_mm:
            raise VesselSegError(f"spacing_mm of {where} is that of a small grid", "give size as well, or leave it out")
        if wanted.data and wanted.simulated_share == 1:
            raise VesselSegError(
                f"with 1 as simulated_share the data of {where} are not used", "give a smaller share, or leave data out"
            )
        return
    if wanted.data or wanted.heads or wanted.trees or wanted.masks or wanted.simulated_share != 1:
        raise VesselSegError(
            f"{where} asks for real heads or trees, and by size for a small grid with simulated ones",
            "leave out size and spacing_mm, or data, heads, trees, masks and simulated_share",
        )
    if min(wanted.size) < 1 or not min(wanted.size) * wanted.spacing_mm >= _SMALLEST_HEAD:
        raise VesselSegError(
            f"no head fits into the grid of {where}",
            f"make each side at least {_SMALLEST_HEAD:g} mm (size, spacing_mm)",
        )


def _known(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the entries of a JSON object, all of them fields of a dataclass and of their types."""
    wanted = get_type_hints(kind)
    unknown = sorted(set(values) - set(wanted))
    if unknown:
        inside = f" in {where}" if where else ""
        raise VesselSegError(f"unknown entries{inside}: {', '.join(unknown)}", "check their spelling")
    for name, value in values.items():
        if not _fits(value, wanted[name]):
            raise TypeError(f"{where}{'.' if where else ''}{name} cannot be {json.dumps(value)}")
    return values


def _fits(value: Any, wanted: Any) -> bool:
    """Tell whether a value of a JSON file is of an annotated type; tuples are lists there, dataclasses are objects."""
    kind, parts = get_origin(wanted), get_args(wanted)
    if kind is Union:
        return any(_fits(value, part) for part in parts)
    if kind is tuple:
        return isinstance(value, list) and len(value) == len(parts) and all(map(_fits, value, parts))
    if kind is list:
        return isinstance(value, list) and all(_fits(each, parts[0]) for each in value)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(each, parts[1]) for each in value.values())
    if wanted is Any:
        return True
    if is_dataclass(wanted):
        return isinstance(value, dict)
    if isinstance(value, bool):  # which Python takes for a whole number
        return wanted is bool
    if wanted is float:
        return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max  # NaN is not
    return isinstance(value, wanted) and (wanted is not int or abs(value) <= _LARGEST_COUNT)

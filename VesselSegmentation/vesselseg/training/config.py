"""The configuration of a training run: one JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vesselseg.errors import VesselSegError


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what a training run makes, besides the scans themselves.

    Parameters
    ----------
    name : str
        Name of the model.
    title : str
        One line for people.
    training_scans, validation_scans : list of str
        Folders whose subfolders hold ``tof.nii.gz`` and ``label.nii.gz``. Relative ones are meant from the
        configuration file.
    architecture, options
        As `vesselseg.networks.build_network` takes them.
    normalisation : dict
        As `vesselseg.preprocessing.normalise` takes it.
    spacing_mm : tuple of float
        Spacing x, y, z of the scans, for the manifest.
    patch_size : int
        Side of the square patches, in voxels; a multiple of what the network asks for.
    depth : int
        Slices of a patch, for networks that work on blocks; a multiple of what the network asks for.
    batch_size, steps : int
        Patches a step, and steps in all.
    learning_rate : float
        Highest rate; it rises over the first steps and falls to a hundredth along a cosine.
    vessel_share, head_share : float
        Share of patches centred on a vessel and on some voxel of the head; the rest lies anywhere.
    positive_weight : float
        Weight of vessel voxels in the cross-entropy.
    bfloat16 : bool
        Whether to compute in bfloat16 where that is safe.
    validate_every : int
        Steps between validations and checkpoints.
    seed : int
    threads : int
        Processor threads; 0 leaves the choice to torch.
    initial_model : str
        Manifest of a model whose weights to begin with; empty for fresh ones.
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
    training_scans: list[str]
    validation_scans: list[str] = field(default_factory=list)
    title: str = ""
    architecture: str = "unet2d"
    options: dict[str, Any] = field(default_factory=dict)
    normalisation: dict[str, Any] = field(default_factory=lambda: {"method": "foreground_median", "clip": 4.0})
    spacing_mm: tuple[float, float, float] = (0.6, 0.6, 0.6)
    patch_size: int = 160
    depth: int = 48
    batch_size: int = 12
    steps: int = 2000
    learning_rate: float = 1e-3
    vessel_share: float = 0.6
    head_share: float = 0.3
    positive_weight: float = 1.0
    bfloat16: bool = False
    validate_every: int = 250
    seed: int = 0
    threads: int = 0
    initial_model: str = ""
    threshold: float = 0.5
    min_component_mm3: float = 0.0
    licence: str = ""
    training_data: list[dict[str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> TrainingConfig:
        """Read a configuration file.

        Raises
        ------
        VesselSegError
            If it cannot be read, has unknown or missing entries, or impossible values.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise VesselSegError(f"the configuration {path} cannot be read: {error}", "give a JSON file") from error
        if not isinstance(values, dict):
            raise VesselSegError(f"the configuration {path} is not a JSON object", "see the documentation of training")
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise VesselSegError(f"unknown entries in {path}: {', '.join(unknown)}", "check their spelling")
        try:
            for key in ("training_scans", "validation_scans"):
                values[key] = [str(path.parent / folder) for folder in values.get(key, [])]
            if values.get("initial_model"):
                values["initial_model"] = str(path.parent / values["initial_model"])
            values["spacing_mm"] = tuple(values.get("spacing_mm", cls.spacing_mm))
            config = cls(**values)
        except TypeError as error:
            raise VesselSegError(f"the configuration {path} is not complete: {error}", "add what is missing") from error
        config.check()
        return config

    def check(self) -> None:
        """Raise `VesselSegError` if a value is impossible."""
        if min(self.patch_size, self.depth, self.batch_size, self.steps, self.validate_every) < 1:
            raise VesselSegError(
                "patch_size, depth, batch_size, steps and validate_every must be 1 or more", "correct them"
            )
        if self.vessel_share < 0 or self.head_share < 0 or self.vessel_share + self.head_share > 1:
            raise VesselSegError("vessel_share and head_share must lie in [0, 1], and their sum too", "correct them")
        if not self.training_scans:
            raise VesselSegError("the configuration names no training scans", "draw some with 'vesselseg synthesize'")

    def to_dict(self) -> dict[str, Any]:
        """Return the entries as the JSON file has them."""
        return asdict(self)

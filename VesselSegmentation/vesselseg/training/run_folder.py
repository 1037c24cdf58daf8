"""The folder of a training run: what lies in it, and whether a run there is new, to be gone on with, or finished."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import numpy as np

import vesselseg
from vesselseg.errors import VesselSegError
from vesselseg.file_lock import lock_file, remove_locked
from vesselseg.models.manifest import Manifest
from vesselseg.output_files import check_output, make_output_folder, remove_leftovers, write_texts
from vesselseg.training.config import FREE_ENTRIES, TrainingConfig
from vesselseg.training.curves import draw_curves, write_table

logger = logging.getLogger("vesselseg")

#: Paths in the configuration, of which the manifest of a model holds the last part only.
_PATH_ENTRIES = ("training_scans", "validation_scans", "initial_model", "data", "masks")
#: What an operating system says where it can lock no file, or, read-only, write none, as will then be told.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EROFS)


class RunFolder:
    """The files of a run.

    Parameters
    ----------
    folder : pathlib.Path
        Holds the model (``NAME.safetensors`` and ``NAME.json``), ``config.json``, ``run.json`` (versions, device,
        seed), ``metrics.csv``, ``curves.png``, ``scans`` (drawn ones) and, while the run is not finished, ``cache``
        (prepared scans), ``candidates`` (the best weights so far) and ``checkpoint.safetensors``, and, as long as a
        process trains, ``training.lock``.
    config : TrainingConfig
    """

    def __init__(self, folder: Path, config: TrainingConfig) -> None:
        self.folder = folder
        self.config = config
        self.checkpoint = folder / "checkpoint.safetensors"
        self.cache = folder / "cache"
        self.candidates = folder / "candidates"
        self.model = folder / f"{config.name}.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other trainings out of the folder; it is made if need be, and removed if nothing was written into it.

        Raises
        ------
        VesselSegError
            If another training runs in it, or it cannot be made, or not be locked though files there can be.
        """
        made = [each for each in (self.folder, *self.folder.parents) if not each.exists()]
        make_output_folder(self.folder)
        path = self.folder / "training.lock"
        lock = None
        try:
            lock = _lock(path)
            yield
        finally:
            if lock is not None:
                remove_locked(path, lock)
            for each in made:
                with contextlib.suppress(OSError):  # it is not empty
                    each.rmdir()

    def drawn(self, kind: str) -> Path:
        """Return where scans of a kind, "training" or "validation", are drawn; each way to draw has a folder."""
        wanted = json.dumps(self.config.to_dict()["synthesize"][kind], sort_keys=True)
        return self.folder / "scans" / f"{kind}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"

    def candidate(self, step: int) -> Path:
        """Return the folder of the weights that were the best when they were measured, after a step."""
        return self.candidates / f"step-{step}"

    def best_model(self, row: dict[str, Any]) -> Manifest:
        """Return the model whose validation gave a row of the curves.

        Raises
        ------
        VesselSegError
            If it is not there.
        """
        # Under its final name it lies where a run was stopped when it had removed the candidates, and where a version
        # that had none began the run.
        for path in (self.candidate(row["step"]) / self.model.name, self.model):
            if path.exists():
                written = Manifest.read(path)
                # As text: NaN equals nothing.
                if json.dumps(written.training.get("last_validation")) == json.dumps(row):
                    return written
        raise VesselSegError(
            f"{self.folder} holds an unfinished run without its best weights so far, those of step {row['step']}",
            "begin anew with --overwrite, or choose another folder",
        )

    def remove_candidates(self, kept: int | None = None) -> None:
        """Remove the candidates, but for the one of a step."""
        if kept is None:
            shutil.rmtree(self.candidates, ignore_errors=True)
            return
        for path in self.candidates.glob("*"):
            if path != self.candidate(kept):
                shutil.rmtree(path, ignore_errors=True)

    def saved_state(self, *, overwrite: bool, processes: int) -> dict[str, Any] | None:
        """Return the state of the unfinished run in the folder; None if a new one begins.

        Parameters
        ----------
        overwrite : bool
            Whether what is there, finished or not, may be replaced.
        processes : int
            That train together.

        Raises
        ------
        VesselSegError
            If the folder holds a finished model of this name, or an unfinished run of another configuration.
        """
        from vesselseg.training.checkpoint import read_state

        if not overwrite and self.checkpoint.exists():
            state = read_state(self.checkpoint)
            self._compare(state, processes)
            return state
        if self.folder.is_dir():
            check_output(self.model, overwrite=overwrite)
        return None

    def _compare(self, state: dict[str, Any], processes: int) -> None:
        other = self._other_entries(state["config"])
        if processes != state["processes"]:
            other.append(f"number of processes ({state['processes']})")
        if other:
            raise VesselSegError(
                f"{self.folder} holds an unfinished run with another {', '.join(other)}",
                "go on with its configuration (config.json there), choose another folder, or give --overwrite",
            )

    def is_finished(self) -> bool:
        """Tell whether the folder holds the model of a finished run of this very configuration."""
        if self.checkpoint.exists() or not self.model.exists():
            return False
        try:
            had = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return not self._other_entries(had)

    def _other_entries(self, had: dict[str, Any]) -> list[str]:
        """Return the entries of the configuration that decide what the run makes, and are others in a former one."""
        # An entry that the version of the former one did not have yet is as if it were left out.
        wanted, had = self.config.to_dict(), {**TrainingConfig(name="").to_dict(), **had}
        return [key for key in wanted if key not in FREE_ENTRIES and wanted[key] != had[key]]

    def begin(self, description: dict[str, Any]) -> None:
        """Write the configuration and what it runs with; `description` is added to the versions.

        What killed runs have left half-written is removed.
        """
        for folder in (self.folder, *self.folder.glob("scans/*/*")):
            remove_leftovers(folder)
        parts = {
            "config.json": self.config.to_dict(),
            "run.json": {"seed": self.config.seed, "versions": versions(), **description},
        }
        texts = {self.folder / name: json.dumps(part, indent=2, ensure_ascii=False) for name, part in parts.items()}
        write_texts({path: f"{text}\n" for path, text in texts.items()}, overwrite=True)

    def write_curves(self, rows: list[dict[str, Any]], best_step: int) -> None:
        """Write ``metrics.csv`` and ``curves.png``."""
        write_table(self.folder / "metrics.csv", rows)
        draw_curves(self.folder / "curves.png", rows, title=self.config.name, best_step=best_step)


def _lock(path: Path) -> IO[bytes] | None:
    """Lock a folder by a file in it; None where no file can be locked."""
    was_there = path.exists()
    try:
        return lock_file(path)
    except BlockingIOError as error:
        raise VesselSegError(
            f"another training runs in {path.parent}", "wait until it has ended, or choose another folder"
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            # As to a file of another user, who may be training there.
            raise VesselSegError(f"{path} cannot be locked: {error.strerror}", "choose another folder") from error
        if not was_there:
            with contextlib.suppress(OSError):  # read-only, so that it was not made either
                path.unlink()
        return None


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide what training computes."""
    import torch

    return {
        "vesselseg": vesselseg.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "lightning-fabric": metadata.version("lightning-fabric"),
    }


def without_paths(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration in which folders are named without where they lie: that concerns nobody else."""
    result: dict[str, Any] = {}
    for key, value in configuration.items():
        if isinstance(value, dict):
            value = without_paths(value)
        elif key in _PATH_ENTRIES:
            value = [Path(part).name for part in value] if isinstance(value, list) else Path(value).name
        result[key] = value
    return result

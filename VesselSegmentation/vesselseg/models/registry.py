"""Finding models: those that ship with the package, and those that the user added."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

from vesselseg.errors import VesselSegError
from vesselseg.models.manifest import Manifest, changed_manifest

logger = logging.getLogger("vesselseg")

#: Model that is used when none is named.
DEFAULT_MODEL = "tof-unet3d"

_SHIPPED = Path(__file__).parent


def user_folder() -> Path:
    """Return the folder of models that the user imported: ``~/.vesselseg/models``."""
    return Path.home() / ".vesselseg" / "models"


def model_folders() -> list[Path]:
    """Return where models are looked for, first found first taken.

    These are the folders named by the environment variable ``VESSELSEG_MODELS`` (separated as in ``PATH``), the user's
    folder and the package's own.
    """
    folders = [Path(part) for part in os.environ.get("VESSELSEG_MODELS", "").split(os.pathsep) if part]
    with contextlib.suppress(RuntimeError):  # a user without a home, in a container
        folders.append(user_folder())
    return [*folders, _SHIPPED]


def list_models() -> list[Manifest]:
    """Return the manifests of all models, the default one first. Loads no weights and no torch."""
    found: dict[str, Manifest] = {}
    for folder in model_folders():
        for path in _manifests(folder):
            try:
                manifest = Manifest.read(path)
            except VesselSegError as error:
                # One damaged manifest must not hide the other models.
                logger.warning("%s", error)
                continue
            found.setdefault(manifest.name, manifest)
    return sorted(found.values(), key=lambda manifest: (manifest.name != DEFAULT_MODEL, manifest.name))


def _manifests(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.json")) if folder.is_dir() else []
    except OSError as error:
        logger.warning("the models in %s cannot be read: %s", folder, error.strerror)
        return []


def find_model(name: str = "") -> Manifest:
    """Return the manifest of a model.

    Parameters
    ----------
    name : str
        Its name, or the path of a manifest file; empty for the default model.

    Raises
    ------
    VesselSegError
        If there is no such model, or no such file.
    """
    name = name or DEFAULT_MODEL
    if name.endswith((".json", ".safetensors")):
        return Manifest.read(Path(name))
    models = list_models()
    for manifest in models:
        if manifest.name == name:
            return manifest
    known = ", ".join(manifest.name for manifest in models) or "none"
    raise VesselSegError(
        f"there is no model '{name}'", f"known models: {known}; add others with 'vesselseg models import MANIFEST'"
    )


def _check_found_first(name: str) -> None:
    """Refuse the name of a model that is found before those of the user's folder."""
    for manifest in list_models():
        folder = None if manifest.path is None else manifest.path.parent
        if manifest.name == name and folder not in (user_folder(), _SHIPPED):
            raise VesselSegError(
                f"the model '{name}' in {folder} is found before an imported one (VESSELSEG_MODELS)",
                "remove it there, or give yours another name in its manifest",
            )


def remove_model(name: str) -> Manifest:
    """Remove a model from the user's folder.

    Parameters
    ----------
    name : str
        A shipped model that it took the place of is found again.

    Returns
    -------
    Manifest
        What it was.

    Raises
    ------
    VesselSegError
        If it is not there: other models are not removed.
    """
    model = find_model(name)
    with contextlib.suppress(RuntimeError):  # a user without a home
        if model.path is not None and model.path.parent == user_folder():
            model.path.unlink()
            model.weights_path.unlink(missing_ok=True)
            return model
    where = "ships with the program" if model.path is not None and model.path.parent == _SHIPPED else f"is {model.path}"
    raise VesselSegError(f"the model '{name}' {where}", "only models that were imported can be removed")


def import_model(path: str | os.PathLike[str], *, overwrite: bool = False) -> Manifest:
    """Copy a model into the user's folder.

    Parameters
    ----------
    path : path-like
        Its manifest; the weights must lie beside it.
    overwrite : bool
        Whether a model of the same name may be replaced; a shipped one stays, but is not found any more by its name.

    Returns
    -------
    Manifest
        Of the copy.

    Raises
    ------
    VesselSegError
        If the model is not whole, does not load, or its name is taken.
    """
    from vesselseg.models.weights import load_network
    from vesselseg.output_files import atomic_output

    source = Manifest.read(Path(path))
    load_network(source)  # refuses a wrong sum, wrong shapes, an unknown architecture
    if not overwrite and any(manifest.name == source.name for manifest in list_models()):
        raise VesselSegError(
            f"a model '{source.name}' exists already",
            "give yours another name in its manifest, or take its place with --overwrite",
        )
    _check_found_first(source.name)
    try:
        folder = user_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise VesselSegError(
            f"the folder for models cannot be made: {error}",
            "name one by the variable VESSELSEG_MODELS and copy it there",
        ) from error
    if Path(source.name).name != source.name:
        raise VesselSegError(f"'{source.name}' cannot be the name of a model", "use a name without slashes")
    target = folder / f"{source.name}.json"
    # Named after the model: in folders of their own, several may call their weights the same.
    weights = folder / f"{source.name}.safetensors"
    with (
        atomic_output(target, overwrite=overwrite) as manifest_copy,
        atomic_output(weights, overwrite=overwrite) as weights_copy,
    ):
        # Both are whole before either takes its place: what they replace stays if the disk is full.
        shutil.copyfile(source.weights_path, weights_copy)
        text = changed_manifest(Path(path), lambda values: values.update(weights=weights.name))
        manifest_copy.write_text(text, encoding="utf-8")
    return Manifest.read(target)

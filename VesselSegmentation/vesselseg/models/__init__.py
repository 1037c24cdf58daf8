"""Trained models: a safetensors file with the weights and a JSON manifest that says what they are."""

from vesselseg.models.manifest import Manifest
from vesselseg.models.registry import find_model, import_model, list_models, remove_model
from vesselseg.models.weights import load_network, save_model

__all__ = ["Manifest", "find_model", "import_model", "list_models", "load_network", "remove_model", "save_model"]

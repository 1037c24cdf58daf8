from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vesselseg.errors import VesselSegError
from vesselseg.models import Manifest, find_model, import_model, list_models, load_network, remove_model, save_model
from vesselseg.networks import build_network


@pytest.fixture
def copied_model(models_folder: Path, tmp_path: Path) -> Path:
    """A manifest that a test may damage."""
    shutil.copytree(models_folder, tmp_path / "copy")
    return tmp_path / "copy" / "tiny.json"


def change(manifest: Path, **values: object) -> None:
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | values))


def test_saved_weights_come_back_in_half_precision(tmp_path: Path) -> None:
    network = build_network("unet2d", channels=(4, 8))
    normalisation = {"method": "zscore", "mean": 1, "std": 2}
    spacing = (0.5, 0.5, 0.6)
    manifest = Manifest("mine", "title", "unet2d", {"channels": [4, 8]}, normalisation, spacing, 0.4, "", "MIT")
    saved = save_model(network, manifest, tmp_path)
    again = Manifest.read(tmp_path / "mine.json")
    assert again == saved
    assert again.spacing_mm == (0.5, 0.5, 0.6)
    loaded = load_network(again)
    assert not loaded.training
    first, *kernels = [name for name, value in network.state_dict().items() if value.ndim > 2]
    for name, value in network.state_dict().items():
        found = loaded.state_dict()[name]
        if name in kernels:  # so that nothing is lost where they are computed in bfloat16
            torch.testing.assert_close(found, found.bfloat16().float(), rtol=0, atol=0)
            torch.testing.assert_close(found, value, rtol=0, atol=2**-7 * float(value.abs().max()))
        else:
            torch.testing.assert_close(found, value.half().float(), rtol=0, atol=0)
    assert not torch.equal(loaded.state_dict()[first], loaded.state_dict()[first].bfloat16().float())


def test_kernels_that_a_normalisation_multiplies_are_not_rounded_for_bfloat16(tmp_path: Path) -> None:
    network = build_network("unet2d", channels=(4, 8), norm="batch")
    manifest = Manifest("mine", "title", "unet2d", {"channels": [4, 8], "norm": "batch"}, {}, (1, 1, 1), 0.4, "", "MIT")
    loaded = load_network(save_model(network, manifest, tmp_path))
    for name, value in network.state_dict().items():
        expected = value.half().float() if value.is_floating_point() else value
        torch.testing.assert_close(loaded.state_dict()[name], expected, rtol=0, atol=0)


def test_what_half_precision_cannot_hold_stays_in_single_precision(tmp_path: Path) -> None:
    network = build_network("unet2d", channels=(4, 8), norm="batch")
    variance = network.encoder[1][1].running_var
    variance[:] = 200_000.0
    manifest = Manifest("mine", "title", "unet2d", {"channels": [4, 8], "norm": "batch"}, {}, (1, 1, 1), 0.4, "", "MIT")
    loaded = load_network(save_model(network, manifest, tmp_path))
    torch.testing.assert_close(loaded.state_dict()["encoder.1.1.running_var"], variance, rtol=0, atol=0)
    variance[0] = torch.inf
    with pytest.raises(VesselSegError, match="not all finite"):
        save_model(network, manifest, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    network = build_network("unet2d", channels=(4, 8))
    manifest = Manifest("mine", "title", "unet2d", {"channels": [4, 8]}, {}, (1, 1, 1), 0.4, "", "MIT")
    (tmp_path / "file").touch()
    with pytest.raises(VesselSegError, match="cannot be made"):
        save_model(network, manifest, tmp_path / "file" / "folder")


def test_damaged_weights_are_refused(copied_model: Path) -> None:
    weights = copied_model.with_suffix(".safetensors")
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(VesselSegError, match="SHA-256"):
        load_network(Manifest.read(copied_model))
    weights.unlink()
    with pytest.raises(VesselSegError, match="missing"):
        load_network(Manifest.read(copied_model))


def test_weights_of_another_shape_are_refused(copied_model: Path) -> None:
    change(copied_model, options={"channels": [4, 8, 8], "in_slices": 3, "norm": "batch"})
    with pytest.raises(VesselSegError, match="do not fit the architecture"):
        load_network(Manifest.read(copied_model))


def test_a_pickle_is_never_opened(copied_model: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "sprung",))

    from vesselseg.models.weights import file_sha256

    weights = copied_model.with_suffix(".safetensors")
    weights.write_bytes(pickle.dumps(Trap()))
    change(copied_model, sha256=file_sha256(weights))
    with pytest.raises(VesselSegError):
        load_network(Manifest.read(copied_model))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"spacing_mm": [0.5, 0.5]}, "impossible spacing"),
        ({"spacing_mm": None}, "not complete"),
        ({"spacing_mm": [0.5, 0.5, float("inf")]}, "impossible spacing_mm"),
        ({"threshold": 0}, "impossible threshold"),
        ({"spacing_tolerance": "0.25"}, "impossible spacing_tolerance"),
        ({"min_component_mm3": None}, "impossible min_component_mm3"),
        ({"min_component_mm3": 10**400}, "impossible min_component_mm3"),
        ({"normalisation": {"method": "zscore", "mean": 1.0, "std": 0}}, "impossible normalisation"),
        ({"normalisation": {"method": "zscore", "mean": "1", "std": 2.0}}, "impossible normalisation"),
        ({"normalisation": {"method": "foreground_median", "clip": None}}, "impossible normalisation"),
        ({"architecture": "nonesuch"}, "unknown network architecture"),
    ],
)
def test_impossible_manifests_are_refused(copied_model: Path, values: dict, words: str) -> None:
    change(copied_model, **values)
    with pytest.raises(VesselSegError, match=words) as raised:
        load_network(Manifest.read(copied_model))
    assert "\n" not in str(raised.value)


def test_fields_of_a_later_version_are_left_alone(copied_model: Path) -> None:
    change(copied_model, invented_later=1)
    assert Manifest.read(copied_model).name == "tiny"


def test_one_damaged_manifest_does_not_hide_the_others(
    tiny_model: str, copied_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (copied_model.parent / "broken.json").write_text("{")
    monkeypatch.setenv("VESSELSEG_MODELS", str(copied_model.parent))
    assert tiny_model in [manifest.name for manifest in list_models()]
    assert "broken.json" in caplog.text


def test_import_copies_a_whole_model_and_refuses_a_broken_one(
    models_folder: Path, copied_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VESSELSEG_MODELS", raising=False)
    imported = import_model(models_folder / "tiny.json")
    assert find_model("tiny").weights_path == imported.weights_path
    assert (tmp_path / "home") in imported.weights_path.parents
    load_network(imported)
    with pytest.raises(VesselSegError, match="exists already"):
        import_model(models_folder / "tiny.json")
    copied_model.with_suffix(".safetensors").write_bytes(b"rubbish")
    with pytest.raises(VesselSegError):
        import_model(copied_model, overwrite=True)
    load_network(find_model("tiny"))


def test_no_model_is_imported_that_would_not_be_found(
    models_folder: Path, copied_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VESSELSEG_MODELS", str(copied_model.parent))
    with pytest.raises(VesselSegError, match="is found before an imported one"):
        import_model(models_folder / "tiny.json", overwrite=True)
    assert not list((tmp_path / "home").rglob("*.json"))


@pytest.fixture
def own_default(models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of the user's with the name of the shipped default, not imported; there are no others of the user's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VESSELSEG_MODELS", raising=False)
    own, name = Manifest.read(models_folder / "tiny.json"), find_model().name
    save_model(load_network(own), replace(own, name=name), tmp_path / "own")
    return tmp_path / "own" / f"{name}.json"


def test_a_shipped_model_is_not_replaced_unasked(own_default: Path) -> None:
    shipped = find_model()
    with pytest.raises(VesselSegError, match=f"'{shipped.name}' exists already"):
        import_model(own_default)
    assert find_model() == shipped
    import_model(own_default, overwrite=True)
    assert find_model().sha256 != shipped.sha256


def test_only_models_of_the_users_folder_are_removed(
    own_default: Path, models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = find_model()
    import_model(models_folder / "tiny.json")
    import_model(own_default, overwrite=True)
    for name in ("tiny", shipped.name):
        remove_model(name)
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert find_model() == shipped
    with pytest.raises(VesselSegError, match="ships with the program"):
        remove_model(shipped.name)
    assert find_model() == shipped
    with pytest.raises(VesselSegError, match="no model 'tiny'"):
        remove_model("tiny")
    monkeypatch.setenv("VESSELSEG_MODELS", str(models_folder))
    for name in ("tiny", str(models_folder / "tiny.json")):
        with pytest.raises(VesselSegError, match="only models that were imported"):
            remove_model(name)
    load_network(find_model("tiny"))


def test_wrong_paths_are_told(models_folder: Path) -> None:
    for use in (find_model, import_model):
        with pytest.raises(VesselSegError, match=r"there is no file .*smal\.json"):
            use(str(models_folder / "smal.json"))
        with pytest.raises(VesselSegError, match=r"give the manifest .*tiny\.json"):
            use(str(models_folder / "tiny.safetensors"))


def test_a_model_stays_whole_where_its_successor_cannot_be_written(
    copied_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Manifest.read(copied_model)
    network = load_network(before)
    with torch.no_grad():
        next(network.parameters()).add_(1)

    def full(self: Manifest) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Manifest, "to_json", full)
    with pytest.raises((OSError, VesselSegError), match="No space"):
        save_model(network, before, copied_model.parent, overwrite=True)
    load_network(Manifest.read(copied_model))


def test_imported_models_whose_weights_are_called_the_same_are_kept_apart(
    models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VESSELSEG_MODELS", raising=False)
    own = Manifest.read(models_folder / "tiny.json")
    networks = {"first": load_network(own), "second": load_network(own)}
    with torch.no_grad():
        networks["second"].get_parameter("head.weight").mul_(2)
    for name, network in networks.items():
        save_model(network, replace(own, name=name), tmp_path / name)
        (tmp_path / name / f"{name}.safetensors").rename(tmp_path / name / "weights.safetensors")
        change(tmp_path / name / f"{name}.json", weights="weights.safetensors", invented_later=1)
        import_model(tmp_path / name / f"{name}.json", overwrite=True)
    for name, network in networks.items():
        found = find_model(name)
        assert found.weights_path.name == f"{name}.safetensors"
        assert json.loads(found.path.read_text())["invented_later"] == 1
        torch.testing.assert_close(load_network(found).state_dict(), network.state_dict(), rtol=1e-3, atol=1e-3)


def test_unknown_model_lists_the_known(tiny_model: str) -> None:
    with pytest.raises(VesselSegError, match=tiny_model):
        find_model("nonesuch")


def test_every_shipped_model_loads_and_says_what_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VESSELSEG_MODELS", raising=False)
    shipped = list_models()
    assert find_model().name == shipped[0].name
    for manifest in shipped:
        load_network(manifest)
        assert manifest.licence
        assert manifest.training_data
        assert all(source.get("licence") for source in manifest.training_data)

"""The trained models that come with the package."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tiramisu import draw_scene, list_weights, load_model, predict
from tiramisu.checkpoints.model_files import find_results_folder
from tiramisu.data.catalog import load_spec
from tiramisu.shipped import WEIGHTS

MOST_BYTES = 32_000_000


def test_the_shipped_models_are_small() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert list_weights()
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    names = {"model.safetensors", "config.json", "README.md"}
    assert {path.relative_to(WEIGHTS) for path in files} == {
        Path(model, name) for model in list_weights() for name in names
    }


@pytest.mark.parametrize("name", list_weights())
def test_a_shipped_model_is_loaded_by_its_name_and_finds_road_and_sky(name: str) -> None:
    model = load_model(name)
    assert model.info.class_names == load_spec(model.info.dataset).class_names
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    stored = load_file(WEIGHTS / name / "model.safetensors")
    assert stored["classifier.weight"].dtype == torch.float16
    assert all(values.isfinite().all() for values in stored.values())
    # A drawn scene differs much from its training images, but road is below and sky above.
    prediction = predict(model, draw_scene(1, height=144, width=192)[0])
    sky, road = (model.info.class_names.index(n) for n in ("Sky", "Road"))
    upper, lower = prediction.mask[:36], prediction.mask[-36:]
    assert (lower == road).mean() > (upper == road).mean()
    assert (upper == sky).mean() >= (lower == sky).mean()


@pytest.mark.parametrize("name", list_weights())
def test_the_card_shows_how_it_was_trained(name: str) -> None:
    card = (WEIGHTS / name / "README.md").read_text()
    for heading in ("Model", "Use", "Training", "Results", "Limits", "Licence"):
        assert f"## {heading}" in card
    assert f'load_model("{name}")' in card
    assert "seed:" in card
    assert "eval_seg.py" in card
    assert not re.search(r"(?<![\w:/.])/\w+/\w", card)  # no path of the machine that trained
    for class_name in json.loads((WEIGHTS / name / "config.json").read_text())["class_names"]:
        assert f"| {class_name} |" in card


def test_a_folder_of_the_user_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (name, *_) = list_weights()
    monkeypatch.chdir(tmp_path)
    assert load_model(name).source == WEIGHTS / name / "model.safetensors"
    (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError, match=r"nothing to load.* rename it"):
        load_model(name)


def test_results_are_not_written_into_the_package() -> None:
    (name, *_) = list_weights()
    for checkpoint in (name, WEIGHTS / name, WEIGHTS / name / "model.safetensors"):
        assert find_results_folder(checkpoint) == Path()


def test_a_mistyped_name_is_answered_with_the_closest_one() -> None:
    (name, *_) = list_weights()
    with pytest.raises(FileNotFoundError, match=f"did you mean {name}"):
        load_model(f"{name}s")
    assert load_model(f"{name}/").source == WEIGHTS / name / "model.safetensors"

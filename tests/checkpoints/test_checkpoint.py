"""Saving and loading models: what is saved is loaded again, and anything else is refused."""

import dataclasses
import errno
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.info import ModelInfo, read_info, write_hub_config
from tiramisu.checkpoints.model import ClassificationModel, ImageModel, SegmentationModel
from tiramisu.checkpoints.model_files import find_results_folder


def make_model(num_classes: int = 3, arch: str = "fc56") -> SegmentationModel:
    torch.manual_seed(0)
    info = ModelInfo(
        arch=arch,
        class_names=tuple(f"class{i}" for i in range(num_classes)),
        colors=tuple((i, 2 * i, 3 * i) for i in range(num_classes)),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
        image_scale=0.5,
        dataset="nowhere",
        metrics={"mean_iou": 12.5},
    )
    model = SegmentationModel.build(info)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def test_saved_and_loaded_gives_the_same_logits(tmp_path: Path) -> None:
    model = make_model()
    images = torch.randint(0, 256, (1, 3, 40, 33), dtype=torch.uint8)
    weights = save_model(model, tmp_path / "model")
    for path in (tmp_path / "model", weights, str(weights)):
        loaded = load_model(path)
        assert loaded.info == model.info
        assert not loaded.training
        with torch.inference_mode():
            assert torch.equal(loaded(images), model(images))


def test_weights_say_that_they_are_of_pytorch_and_may_be_silent(tmp_path: Path) -> None:
    path = save_model(make_model(), tmp_path)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(weights, path)  # as it was written before
    assert load_model(tmp_path).info == make_model().info


def test_uint8_images_are_normalised_by_the_model() -> None:
    model = make_model()
    seen = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    model(images)
    expected = (images / 255 - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor(
        [0.2, 0.3, 0.4]
    ).view(3, 1, 1)
    torch.testing.assert_close(seen[0], expected)


def test_logits_have_the_requested_size() -> None:
    images = torch.zeros(1, 3, 32, 40)
    assert make_model()(images, size=(64, 81)).shape == (1, 3, 64, 81)


def test_a_network_for_another_task_is_refused() -> None:
    info = ModelInfo(arch="fc56", class_names=("a", "b"), colors=((0, 0, 0),) * 2)
    with pytest.raises(ValueError, match=r"fc56 is a network for segm.*for class.*densenet121"):
        ClassificationModel.build(info)


def write_checkpoint(path: Path, model: SegmentationModel) -> None:
    """A checkpoint as Lightning writes it, with other state beside the model's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {f"model.network.{n}": v for n, v in model.network.state_dict().items()}
    state["loss.weight"] = torch.ones(3)
    torch.save({"state_dict": state, "model_info": vars(model.info)}, path)


def test_a_run_folder_gives_its_model_else_its_best_else_its_last_epoch(tmp_path: Path) -> None:
    published, best, last = (make_model(num_classes) for num_classes in (2, 3, 4))
    write_checkpoint(tmp_path / "checkpoints" / "last.ckpt", last)
    assert load_model(tmp_path).info == last.info
    assert SegmentationModel.from_pretrained(tmp_path).info == last.info
    write_checkpoint(tmp_path / "checkpoints" / "best.ckpt", best)
    loaded = ImageModel.from_pretrained(tmp_path)
    assert loaded.info == load_model(tmp_path).info == best.info
    assert torch.equal(loaded.network.classifier.weight, best.network.classifier.weight)
    assert loaded.source == tmp_path / "checkpoints" / "best.ckpt"
    save_model(published, tmp_path)
    assert load_model(tmp_path).info == published.info
    assert load_model(tmp_path / "checkpoints" / "last.ckpt").info == last.info


def test_results_go_beside_the_file(tmp_path: Path) -> None:
    save_model(make_model(), tmp_path / "run")
    (tmp_path / "model.onnx").write_bytes(b"")
    assert find_results_folder(tmp_path / "run") == tmp_path / "run"
    assert find_results_folder(tmp_path / "model.onnx") == tmp_path
    assert find_results_folder("hf://you/streets") == Path()


def test_model_json_is_preferred_to_config_json(tmp_path: Path) -> None:
    write_hub_config(make_model(num_classes=4).info, tmp_path)
    assert len(read_info(tmp_path).class_names) == 4
    save_model(make_model(), tmp_path)
    assert len(read_info(tmp_path).class_names) == 3


def test_a_failed_save_keeps_the_earlier_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(make_model(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(file: int) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"cannot write .*model\.safetensors: the disk is full"):
        save_model(make_model(num_classes=4), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class Trap:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Trap(tmp_path / "sprung"), "model_info": {}}, tmp_path / "a.ckpt")
    (tmp_path / "b.ckpt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for name in ("a.ckpt", "b.ckpt"):
        with pytest.raises(ValueError, match=r"\.ckpt"):
            load_model(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_truncated_weights(tmp_path: Path) -> None:
    path = save_model(make_model(), tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="truncated"):
        load_model(tmp_path)


def test_truncated_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": make_model().state_dict(), "model_info": {}}, tmp_path / "a.ckpt")
    data = (tmp_path / "a.ckpt").read_bytes()
    (tmp_path / "a.ckpt").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="truncated"):
        load_model(tmp_path / "a.ckpt")


def test_weights_of_another_architecture_or_class_count(tmp_path: Path) -> None:
    save_model(make_model(), tmp_path)
    info = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**info, "arch": "fc67"}))
    with pytest.raises(ValueError, match="another architecture"):
        load_model(tmp_path)
    more = {"class_names": list("abcd"), "colors": [[0, 0, 0]] * 4}
    (tmp_path / "model.json").write_text(json.dumps({**info, **more}))
    with pytest.raises(ValueError, match="number of classes"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({**info, "arch": "fc57"}))
    with pytest.raises(ValueError, match="fc56"):
        load_model(tmp_path)


def test_missing_or_damaged_description(tmp_path: Path) -> None:
    save_model(make_model(), tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ValueError, match="JSON"):
        load_model(tmp_path)
    whole = dataclasses.asdict(make_model().info)
    for values, problem in (
        ({"arch": "fc56"}, "missing: class_names, colors"),
        ([1, 2], "expected `key: value` lines, not .1, 2."),
        ({**whole, "color": 3}, "color: unknown key 'color'; did you mean colors?"),
        ({**whole, "mean": [0, 0]}, "mean: 2 for 3 bands; expected one"),
        ({**whole, "image_scale": "half"}, "image_scale: expected a number, not 'half'"),
    ):
        (tmp_path / "model.json").write_text(json.dumps(values))
        with pytest.raises(ValueError, match=rf"json does not describe .* model \({problem}.*\); "):
            load_model(tmp_path)
    (tmp_path / "model.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.json"):
        load_model(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nothing to load"):
        load_model(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match="not a Tiramisu checkpoint"):
        load_model(tmp_path / "photo.jpg")

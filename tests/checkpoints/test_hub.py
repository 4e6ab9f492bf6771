"""Hugging Face's layout and Hub: models are saved, pushed and loaded; errors are one line."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelHubMixin, constants, file_download
from PIL import Image
from safetensors.torch import load_file
from standin_hub import TOKEN, Hub, Repo, serve
from tiny_parts import TinyNet

from tiramisu import commands
from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.hub import is_hub_name
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import (
    ClassificationModel,
    ImageModel,
    SegmentationModel,
    build_image_model,
)
from tiramisu.models import task_of

FILES = {"model.safetensors", "config.json", "README.md"}


def make_model(arch: str = "fc56", num_classes: int = 3) -> ImageModel:
    torch.manual_seed(0)
    info = ModelInfo(
        arch=arch,
        task=task_of(arch) or "segmentation",
        class_names=tuple(f"class{i}" for i in range(num_classes)),
        colors=tuple((i, 2 * i, 3 * i) for i in range(num_classes)),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
        dataset="nowhere",
        metrics={"mean_iou": 12.5},
    )
    model = build_image_model(info)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def assert_same(model: ImageModel, loaded: ImageModel) -> None:
    assert type(loaded) is type(model)
    assert loaded.info == model.info
    assert not loaded.training
    images = torch.randint(0, 256, (1, 3, 40, 33), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(loaded(images), model(images))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty stand-in for the Hub, an empty cache, and no login."""
    with serve() as server:
        template = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        for home in (constants, file_download):
            name = "HUGGINGFACE_CO_URL_TEMPLATE"
            monkeypatch.setattr(home, name, server.url + template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield server


def put_on(hub: Hub, name: str, model: ImageModel, folder: Path) -> str:
    """Put a model on the stand-in directly, without an upload; returns the commit."""
    model.save_pretrained(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return hub.repos.setdefault(name, Repo()).commit(files)


@pytest.mark.parametrize("arch", ["fc56", "densenet_bc100_12"])
def test_a_saved_model_is_loaded_again(arch: str, tmp_path: Path) -> None:
    model = make_model(arch)
    model.save_pretrained(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert_same(model, type(model).from_pretrained(tmp_path / "out"))
    assert_same(model, ImageModel.from_pretrained(str(tmp_path / "out")))
    assert_same(model, load_model(tmp_path / "out"))
    assert_same(model, load_model(tmp_path / "out" / "model.safetensors"))


def test_files_have_the_layout_of_the_hub(tmp_path: Path) -> None:
    model = make_model()
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["library_name"] == "tiramisu"
    assert config["task"] == "segmentation"
    assert config["arch"] == "fc56"
    assert config["class_names"] == ["class0", "class1", "class2"]
    assert load_file(tmp_path / "model.safetensors").keys() == model.network.state_dict().keys()
    assert (tmp_path / "README.md").read_text().startswith("---\nlibrary_name: tiramisu\n")
    assert isinstance(model, ModelHubMixin)


@pytest.mark.parametrize("arch", ["fc56", "densenet_bc100_12"])
def test_the_code_in_the_card_runs(arch: str, tmp_path: Path) -> None:
    make_model(arch).save_pretrained(tmp_path)
    Image.new("RGB", (40, 33)).save(tmp_path / "photo.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    for name, here in (("path/to/this/folder", tmp_path), ("photo.jpg", tmp_path / "photo.jpg")):
        assert name in code
        code = code.replace(name, str(here))
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    assert namespace["model"].info.arch == arch


def test_saving_again_replaces_the_description(tmp_path: Path) -> None:
    make_model(num_classes=4).save_pretrained(tmp_path)
    model = make_model()
    model.save_pretrained(tmp_path)
    assert_same(model, load_model(tmp_path))


def test_a_run_folder_is_not_overwritten(tmp_path: Path) -> None:
    save_model(make_model(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"run's folder.*another folder"):
        make_model(num_classes=4).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_for_another_task_is_refused(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"SegmentationModel\.from_pretrained"):
        ClassificationModel.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="does not know strict"):
        SegmentationModel.from_pretrained(tmp_path, strict=False)


def test_a_foreign_or_partial_folder_is_refused(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="does not describe a Tiramisu model"):
        load_model(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="missing"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="nothing to load"):
        SegmentationModel.from_pretrained(tmp_path)


def test_a_pushed_model_is_loaded_again(hub: Hub, tmp_path: Path) -> None:
    model = make_model()
    commit = model.push_to_hub("me/streets", token=TOKEN, private=True)
    repo = hub.repos["me/streets"]
    assert repo.private
    assert str(commit).startswith(f"{hub.url}/me/streets/")
    assert set(repo.commits[repo.head]) == FILES
    assert repo.messages == ["fc56 by Tiramisu"]
    assert 'load_model("hf://me/streets")' in repo.commits[repo.head]["README.md"].decode()
    for step in ("repos/create", "preupload/main", "objects/batch", "commit/main"):
        assert any(call.endswith(step) for call in hub.calls), step
    for name in ("me/streets", "hf://me/streets"):
        assert_same(model, SegmentationModel.from_pretrained(name, token=TOKEN))

    newer = make_model(num_classes=4)
    newer.push_to_hub("me/streets", token=TOKEN)
    assert len(repo.commits) == 2
    assert_same(newer, ImageModel.from_pretrained("me/streets", token=TOKEN))
    first = next(iter(repo.commits))
    assert_same(model, ImageModel.from_pretrained("me/streets", revision=first, token=TOKEN))


def test_downloaded_once_and_then_used_without_the_network(hub: Hub, tmp_path: Path) -> None:
    model = make_model("densenet_bc100_12")
    sha = put_on(hub, "you/objects", model, tmp_path / "out")
    cache = tmp_path / "elsewhere"
    assert_same(model, ClassificationModel.from_pretrained("you/objects", cache_dir=cache))
    assert not (tmp_path / "cache").exists()
    assert_same(model, load_model("hf://you/objects"))
    assert_same(model, load_model(f"hf://you/objects@{sha}"))
    assert sum(call.startswith("GET") and "resolve" in call for call in hub.calls) == 4
    asked = len(hub.calls)
    loaded = ClassificationModel.from_pretrained("you/objects", local_files_only=True)
    assert_same(model, loaded)
    assert len(hub.calls) == asked


def test_only_safetensors_and_config_are_fetched(hub: Hub, tmp_path: Path) -> None:
    put_on(hub, "you/streets", make_model(), tmp_path / "out")
    hub.repos["you/streets"].commit({"pytorch_model.bin": b"a pickle", "huge.ckpt": b"another"})
    load_model("hf://you/streets")
    fetched = {call.split("/")[-1] for call in hub.calls if "resolve" in call}
    assert fetched == {"model.safetensors", "config.json"}
    hub.repos["you/pickle"] = Repo()
    hub.repos["you/pickle"].commit({"pytorch_model.bin": b"a pickle", "config.json": b"{}"})
    with pytest.raises(ValueError, match=r"no model\.safetensors"):
        load_model("hf://you/pickle")


def test_a_mistyped_path_never_goes_to_the_network(hub: Hub, tmp_path: Path) -> None:
    put_on(hub, "runs/streets", make_model(), tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint runs/streets.*hf://"):
        load_model("runs/streets")
    assert hub.calls == []
    assert is_hub_name("hf://runs/streets")
    assert not is_hub_name(Path("runs/streets"))


@pytest.mark.parametrize("name", ["hf://streets", "hf://a/b/c", "hf://", "hf://a/b@", "a b/c"])
def test_a_name_that_is_not_valid(name: str, hub: Hub) -> None:
    with pytest.raises(ValueError, match="hf://USER/NAME") as caught:
        ImageModel.from_pretrained(name)
    assert len(str(caught.value).splitlines()) == 1
    assert hub.calls == []


def test_no_such_model_or_revision(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no model you/nothing.*hf auth login"):
        load_model("hf://you/nothing")
    put_on(hub, "you/streets", make_model(), tmp_path / "out")
    with pytest.raises(ValueError, match="you/streets has no branch, tag or commit v9"):
        load_model("hf://you/streets@v9")
    hub.repos["you/streets"].private = True
    with pytest.raises(ValueError, match="no model you/streets"):
        load_model("hf://you/streets")


def test_a_push_without_permission(hub: Hub) -> None:
    for token in (None, "hf_somebody_else"):
        with pytest.raises(ValueError, match="hf auth login") as caught:
            make_model().push_to_hub("me/streets", token=token)
        assert len(str(caught.value).splitlines()) == 1
    assert hub.repos == {}
    with pytest.raises(ValueError, match="USER/NAME"):
        make_model().push_to_hub("me/../streets", token=TOKEN)


def test_a_hub_that_fails_or_cannot_be_reached(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.broken = 400
    with pytest.raises(OSError, match="Hub failed on me/streets") as caught:
        make_model().push_to_hub("me/streets", token=TOKEN)
    assert len(str(caught.value).splitlines()) == 1
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for action in (
        lambda: load_model("hf://you/streets"),
        lambda: make_model().push_to_hub("me/streets", token=TOKEN),
    ):
        # Before huggingface_hub 1.0 the words are urllib3's.
        with pytest.raises(OSError, match=r"cannot be reached|Max retries") as caught:
            action()
        assert len(str(caught.value).splitlines()) == 1


def test_the_command_publishes_a_run(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = str(tmp_path / "run"), tmp_path / "out"
    save_model(make_model(), run)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    where = ["--checkpoint", run, "--out", str(out)]
    commands.publish([*where, "--push", "me/streets", "--private", "true"])
    assert {path.name for path in out.iterdir()} == FILES
    assert hub.repos["me/streets"].private
    assert f"{hub.url}/me/streets" in capsys.readouterr().out

    (out / "README.md").write_text("an old card")
    with pytest.raises(ValueError, match="--overwrite"):
        commands.publish(where)
    assert (out / "README.md").read_text() == "an old card"
    commands.publish([*where, "--overwrite", "true"])
    assert "# fc56 trained on nowhere" in (out / "README.md").read_text()


def test_the_card_of_a_published_model_is_kept_when_it_is_published_again(tmp_path: Path) -> None:
    save_model(make_model(), tmp_path / "run")
    commands.publish(["--checkpoint", str(tmp_path / "run"), "--out", str(tmp_path / "first")])
    card = tmp_path / "first" / "README.md"
    card.write_text(card.read_text() + "\nWritten by hand.\n")
    commands.publish(["--checkpoint", str(tmp_path / "first"), "--out", str(tmp_path / "second")])
    assert "Written by hand." in (tmp_path / "second" / "README.md").read_text()


def test_half_halves_the_file_and_hardly_changes_the_logits(tmp_path: Path) -> None:
    model = make_model().eval()
    save_model(model, tmp_path / "run")
    for out, half in (("whole", "false"), ("half", "true")):
        where = ["--checkpoint", str(tmp_path / "run"), "--out", str(tmp_path / out)]
        commands.publish([*where, "--half", half])
    sizes = [(tmp_path / out / "model.safetensors").stat().st_size for out in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    stored = load_file(tmp_path / "half" / "model.safetensors")
    norms = {n for n, m in model.network.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    for name, values in stored.items():
        if values.is_floating_point():
            in_norm = name.rpartition(".")[0] in norms
            assert values.dtype == (torch.float32 if in_norm else torch.float16)
    assert "stored in fp16" in (tmp_path / "half" / "README.md").read_text()
    assert "stored in fp16" not in (tmp_path / "whole" / "README.md").read_text()
    loaded = load_model(tmp_path / "half")
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}
    image = torch.randint(0, 256, (1, 3, 64, 64)).float()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(image), model(image), atol=0.02, rtol=0.02)


def test_half_refuses_weights_that_are_too_large(tmp_path: Path) -> None:
    model = make_model()
    model.network.classifier.weight.data[0, 0] = 1e6
    save_model(model, tmp_path / "run")
    where = ["--checkpoint", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="publish without --half"):
        commands.publish([*where, "--half", "true"])


def test_the_command_only_replaces_a_published_model(tmp_path: Path) -> None:
    save_model(make_model(), tmp_path / "run")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("somebody's own")
    for out in ("out", "run"):
        where = ["--checkpoint", str(tmp_path / "run"), "--out", str(tmp_path / out)]
        with pytest.raises(ValueError, match="not a published model"):
            commands.publish([*where, "--overwrite", "true"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["README.md"]
    with pytest.raises(ValueError, match=r"--out FOLDER, --push USER/NAME"):
        commands.publish(["--checkpoint", str(tmp_path / "run")])


def test_a_network_of_ones_own_is_not_imported(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    text = f"open({str(ran)!r}, 'w').close()\nfrom tiny_parts import TinyNet"
    (tmp_path / "own_hub_net.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    model = make_model("tiny_parts:TinyNet")
    model.info = dataclasses.replace(model.info, arch="own_hub_net:TinyNet")
    put_on(hub, "me/own", model, tmp_path / "own")
    refused = "the model from the Hub needs a network .* own_hub_net:TinyNet: its module is not"
    with pytest.raises(ValueError, match=refused):
        load_model("hf://me/own")
    with pytest.raises(ValueError, match=refused):
        SegmentationModel.from_pretrained("me/own")
    assert not ran.exists()
    assert_same(model, load_model("hf://me/own", network=TinyNet))
    assert_same(model, SegmentationModel.from_pretrained("me/own", network=TinyNet))
    assert not ran.exists()
    assert_same(model, SegmentationModel.from_pretrained(tmp_path / "own"))  # a local folder

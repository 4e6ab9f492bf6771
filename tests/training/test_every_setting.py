"""Every setting of a training run changes what it names.

There is one test for each field of `TrainConfig`, `test_FIELD`. It looks at what was built from the
setting: weights, batches, learning rates, the loss, numbers inside the network.
"""

import dataclasses
import itertools
import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from PIL import Image
from tiny_annotations import labelme, polygons, write_image, write_json
from tiny_parts import Steps, TinyLogger
from tiny_rasters import write_set
from torch import Tensor, nn

from tiramisu.checkpoints.checkpoint import load_model, save_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.data import dataset as dataset_module
from tiramisu.data.catalog import load_spec
from tiramisu.data.sample import SampleKey
from tiramisu.inference.predict import predict
from tiramisu.training import preparing
from tiramisu.training.config import ClassifierTrainConfig, TrainConfig
from tiramisu.training.history import History, read_history
from tiramisu.training.loading import RunData, pick_num_workers
from tiramisu.training.monitor import find_monitor
from tiramisu.training.preparing import build_model_for, build_task
from tiramisu.training.task import TrainingTask
from tiramisu.training.train import train
from tiramisu.training.trainer import build_trainer

Quick = Callable[..., TrainConfig]
RATES = (1e-3, 3e-3)


@pytest.mark.parametrize("config", [TrainConfig, ClassifierTrainConfig])
def test_every_field_has_its_test(config: type) -> None:
    missing = [f.name for f in dataclasses.fields(config) if f"test_{f.name}" not in globals()]
    assert missing == []


# --- Parts of a run, built from its settings


def data_of(config: TrainConfig) -> RunData:
    return RunData(load_spec(config.data, config), config)


def model_of(config: TrainConfig) -> SegmentationModel:
    model = build_model_for(load_spec(config.data), config)
    assert isinstance(model, SegmentationModel)
    return model


def tiny_model(config: TrainConfig) -> SegmentationModel:
    """Two convolutions without batch norm and dropout: gradients of batches simply add up."""
    torch.manual_seed(config.seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    spec = load_spec(config.data)
    info = ModelInfo(arch="tiny", class_names=spec.class_names, colors=((0, 0, 0),) * 3)
    return SegmentationModel(network, info)


class Recorder(Callback):
    """What happens in each step of a run."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.val_shapes: list[tuple[int, ...]] = []
        self.labels: list[Tensor] = []
        self.images: list[Tensor] = []
        self.rates: list[float] = []
        self.weights: list[Tensor] = []

    def on_train_start(self, trainer, task) -> None:
        self.weights.append(flat_weights(task.model.network))

    def on_before_optimizer_step(self, trainer, task, optimizer) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_train_batch_start(self, trainer, task, batch, index) -> None:
        self.shapes.append(tuple(batch["image"].shape))
        self.images.append(batch["image"])
        self.labels.append(batch["label"])

    def on_train_batch_end(self, trainer, task, outputs, batch, index) -> None:
        self.weights.append(flat_weights(task.model.network))

    def on_validation_batch_start(self, trainer, task, batch, index, loader=0) -> None:
        self.val_shapes.append(tuple(batch["image"].shape))

    @property
    def steps(self) -> list[Tensor]:
        """The change of the weights in each batch."""
        return [after - before for before, after in zip(self.weights, self.weights[1:])]  # noqa: B905


def flat_weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


def fit(
    config: TrainConfig,
    *,
    model: SegmentationModel | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> tuple[Recorder, History, Path]:
    """Train a tiny network by the settings, without what comes before and after."""
    data = data_of(config)
    task = build_task(model or tiny_model(config), data, config)
    folder = Path(str(config.out))
    folder.mkdir(exist_ok=True)
    history = History(folder, task="segmentation")
    trainer = build_trainer(config, folder, history)
    recorder = Recorder()
    trainer.callbacks[:0] = [recorder, *callbacks]
    trainer.fit(task, datamodule=data)
    return recorder, history, folder


@pytest.fixture
def plain(quick: Quick) -> Quick:
    """Settings whose every step is plain gradient descent on the same whole images."""
    base = quick(crop=None, flip=False, optimizer="sgd", momentum=0.0, weight_decay=0.0, lr=1e-2)
    return lambda **changes: dataclasses.replace(base, schedule="constant", **changes)


def folder_of(config: TrainConfig) -> Path:
    """Run a whole training; the folder it leaves."""
    return train(config).folder


# --- The network and the data


def test_arch(quick: Quick) -> None:
    for arch, parameters in (("fc56", 1_375_251), ("fc67", 3_460_931)):  # of 3 classes
        model = model_of(quick(arch=arch))
        assert model.info.arch == arch
        assert sum(p.numel() for p in model.network.parameters()) == parameters


def test_data(quick: Quick, rectangles: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(rectangles, other)
    (other / "classes.txt").write_text("ground\nwall\nbox\n")
    folder = folder_of(quick(data=str(other), epochs=1, max_steps=1, keep="last"))
    info = load_model(folder).info
    assert info.dataset == "other"
    assert info.class_names == ("ground", "wall", "box")


def test_val_fraction(quick: Quick, rectangles: Path, tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        shutil.copytree(rectangles / kind / "train", tmp_path / "flat" / kind)
    for fraction, images in ((0.34, 2), (0.5, 3)):
        data = data_of(quick(data=str(tmp_path / "flat"), val_fraction=fraction))
        assert (len(data.train_set), len(data.val_set)) == (6 - images, images)


@pytest.fixture
def val_of(quick: Quick, rectangles: Path, tmp_path: Path) -> Callable[..., set[str]]:
    """The names in val of six images without a split val, with these settings."""
    for kind in ("images", "masks"):
        shutil.copytree(rectangles / kind / "train", tmp_path / "six" / kind)
    data = str(tmp_path / "six")
    return lambda **changes: set(data_of(quick(data=data, **changes)).val_set.names)


def test_split_seed(val_of: Callable[..., set[str]]) -> None:
    assert len({frozenset(val_of(split_seed=seed)) for seed in range(6)}) > 2
    assert val_of(split_seed=3) == val_of(split_seed=3, seed=7)


def test_groups(val_of: Callable[..., set[str]]) -> None:
    for seed in range(4):
        val = val_of(groups="train[0-2]$|train(?=[3-5])", split_seed=seed, val_fraction=0.5)
        assert {"train3", "train4", "train5"} & val in (set(), {"train3", "train4", "train5"})


def test_folds(val_of: Callable[..., set[str]]) -> None:
    for number in (2, 3):
        folds = [val_of(folds=number, fold=fold) for fold in range(1, number + 1)]
        assert sorted(name for fold in folds for name in fold) == [f"train{i}" for i in range(6)]


def test_fold(val_of: Callable[..., set[str]]) -> None:
    assert not val_of(folds=3, fold=1) & val_of(folds=3, fold=2)


def test_split_file(val_of: Callable[..., set[str]], tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "data: six\nmade_of: [train]\nseed: 1\ntrain: [train0, train4]\nval: [train2, train3]\n"
    )
    assert val_of(split_file=str(file)) == {"train2", "train3"}


def test_unlabelled(quick: Quick, tmp_path: Path) -> None:
    for split in ("train", "val"):
        folder = tmp_path / "annotated" / split
        write_image(folder / "a.png")
        square = [(2, 2), (20, 2), (20, 20), (2, 20)]
        shapes = polygons([("wall", square), ("box", square[:3])])
        write_json(folder / "a.json", labelme("a.png", shapes, (24, 32)))
    for unlabelled, corner in ((None, 0), ("background", 0), ("void", 255)):
        config = quick(data=str(tmp_path / "annotated"), unlabelled=unlabelled, crop=None)
        assert data_of(config).train_set[0]["label"][0, 0] == corner


def test_bands(quick: Quick, tmp_path: Path) -> None:
    write_set(tmp_path / "set", "uint8", bands=4)
    usual = quick(data=str(tmp_path / "set"), crop=None, flip=False)
    every = data_of(usual).train_set[0]["image"]
    assert every.shape == (4, 64, 64)
    for bands, picked in (([4, 1], [3, 0]), ("rgb", [0, 1, 2])):
        image = data_of(dataclasses.replace(usual, bands=bands)).train_set[0]["image"]
        assert torch.equal(image, every[picked])


def test_scaling(quick: Quick, tmp_path: Path) -> None:
    write_set(tmp_path / "set", "uint16", bands=1)
    usual = quick(data=str(tmp_path / "set"), normalize="unit")
    ends = {"type": (0, 65535), (0.0, 4095.0): (0, 4095)}
    for scaling, (low, high) in ends.items():
        model = preparing.prepare(dataclasses.replace(usual, scaling=scaling)).task.model
        assert model.info.value_range == ((low, high),)
        assert model.mean.item() == low
        assert model.std.item() == high - low
    for scaling in (None, "statistics"):
        model = preparing.prepare(dataclasses.replace(usual, scaling=scaling)).task.model
        assert model.mean.item() == pytest.approx(65535 / 2, rel=0.05)
        assert model.std.item() == pytest.approx(65535 / 12**0.5, rel=0.05)


def test_data_root(quick: Quick, tmp_path: Path, edit_camvid: Path) -> None:
    data = data_of(quick(data="camvid", data_root=str(edit_camvid)))
    assert data.train_set[0]["image"].float().mean() == 200
    assert data.val_set[0]["image"].float().mean() == 200


@pytest.fixture
def edit_camvid(tmp_path: Path) -> Path:
    """A folder with the files of CamVid's layout: one grey image for each split."""
    root = tmp_path / "elsewhere"
    for split in ("train", "val"):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        Image.new("RGB", (64, 64), (200, 200, 200)).save(root / split / "a.png")
        Image.new("L", (64, 64), 3).save(root / f"{split}annot" / "a.png")
    return root


def test_train_split(quick: Quick) -> None:
    assert data_of(quick()).train_set.names[0].startswith("train")
    assert data_of(quick(train_split="val")).train_set.names[0].startswith("val")


def test_val_split(quick: Quick) -> None:
    assert data_of(quick()).val_set.names[0].startswith("val")
    assert data_of(quick(val_split="train")).val_set.names[0].startswith("train")


def test_check_data(quick: Quick, rectangles: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(rectangles, broken)
    image = broken / "images" / "train" / "train0.png"
    image.write_bytes(image.read_bytes()[:200])
    config = quick(data=str(broken), epochs=1)
    with pytest.raises(ValueError, match=r"train0\.png"):
        train(config)
    assert not Path(str(config.out)).exists()  # found before anything was made
    started: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "build_trainer", lambda *args: started.append(args) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(dataclasses.replace(config, check_data=False))
    assert started


def test_init_from(quick: Quick, tmp_path: Path) -> None:
    start = model_of(quick(seed=5))
    save_model(start, tmp_path / "start")
    model = model_of(quick(init_from=str(tmp_path / "start")))
    assert torch.equal(flat_weights(model.network), flat_weights(start.network))
    assert not torch.equal(flat_weights(model_of(quick()).network), flat_weights(start.network))


def test_resume(quick: Quick) -> None:
    folder = folder_of(quick(epochs=1))
    first = read_history(folder / "metrics.csv")
    assert folder_of(quick(epochs=2, resume=str(folder))) == folder
    rows = read_history(folder / "metrics.csv")
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[0] == first[0]


def test_out(quick: Quick, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "here"
    assert folder_of(quick(out=str(out), epochs=1, max_steps=1, keep="last")) == out
    assert (out / "model.safetensors").is_file()


def test_seed(plain: Quick, quick: Quick, tmp_path: Path) -> None:
    same, again, other = (flat_weights(model_of(quick(seed=s)).network) for s in (1, 1, 2))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
    runs = [fit(plain(seed=s, out=str(tmp_path / f"{n}")))[0] for n, s in enumerate((1, 1, 2))]
    orders = [torch.stack(run.images) for run in runs]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


# --- The images that the network is trained on


def test_image_scale(quick: Quick) -> None:
    config = quick(image_scale=0.5, crop=None)
    data = data_of(config)
    assert data.train_set[0]["image"].shape == (3, 32, 32)
    assert data.train_set[0]["label"].shape == (32, 32)
    assert data.val_set[0]["image"].shape == (3, 32, 32)
    assert data.val_set[0]["label"].shape == (64, 64)
    assert model_of(config).info.image_scale == 0.5


def test_resize(quick: Quick) -> None:
    config = quick(resize=(48, 96), crop=None)
    data = data_of(config)
    assert data.train_set[0]["image"].shape == (3, 48, 96)
    assert data.train_set[0]["label"].shape == (48, 96)
    assert data.val_set[0]["image"].shape == (3, 48, 96)
    assert data.val_set[0]["label"].shape == (64, 64)
    run = train(dataclasses.replace(config, epochs=1, recalibrate=True))
    info = load_model(run.folder).info
    assert (info.image_size, info.image_scale) == ((48, 96), 1.0)
    seen: list[tuple[int, ...]] = []
    model = load_model(run.folder)
    model.network.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    assert predict(model, np.zeros((70, 50, 3), np.uint8)).mask.shape == (70, 50)
    assert seen == [(1, 3, 48, 96)]


def test_crop(quick: Quick) -> None:
    assert data_of(quick(crop=(32, 48))).train_set[0]["image"].shape == (3, 32, 48)
    assert data_of(quick(crop=None)).train_set[0]["image"].shape == (3, 64, 64)
    assert data_of(quick(crop=(32, 48))).val_set[0]["image"].shape == (3, 64, 64)


def test_crops_per_image(quick: Quick) -> None:
    run = train(quick(crops_per_image=3, batch_size=3, epochs=1))
    assert run.history[0]["step"] == 6  # 6 images, 18 crops
    data = data_of(quick(crops_per_image=3, flip=False)).train_set
    shown = [data[SampleKey(0, crop=crop)]["image"] for crop in range(3)]
    assert not any(torch.equal(shown[i], shown[j]) for i in range(3) for j in range(i))
    with pytest.raises(ValueError, match="--crops-per-image is 2; expected 1 without --crop"):
        quick(crops_per_image=2, crop=None)
    with pytest.raises(ValueError, match="1 with --final-epochs, in which images are whole"):
        quick(crops_per_image=2, final_epochs=1)


def test_sampling(quick: Quick) -> None:
    """Half of the samples of an epoch are chosen for a class."""
    prepared = preparing.prepare(quick(sampling="rare_classes", crops_per_image=10))
    prepared.data.trainer = prepared.trainer
    sampler = prepared.data.train_dataloader().sampler
    focused = [key.focus for key in sampler if key.focus is not None]
    assert 20 < len(focused) < 40
    counts = prepared.data.label_counts
    assert counts.shape == (6, 3)
    assert counts.sum(axis=0).argmin() == Counter(focused).most_common(1)[0][0]
    plain = preparing.prepare(quick())
    plain.data.trainer = plain.trainer
    assert all(key.focus is None for key in plain.data.train_dataloader().sampler)


def test_pad(quick: Quick) -> None:
    def most_void(pad: int) -> float:
        data = data_of(quick(pad=pad, crop=(32, 32))).train_set
        return max(float((data[i % 6]["label"] == 255).float().mean()) for i in range(40))

    assert most_void(0) < 0.07  # the images have a void frame of one pixel
    assert most_void(24) > 0.2


def test_scale(quick: Quick) -> None:
    def widths(*scale: float) -> list[int]:
        data = data_of(quick(scale=scale, crop=None)).train_set
        return [data[i]["image"].shape[-1] for i in range(6)]

    assert widths(1, 1) == [64] * 6
    assert widths(0.5, 0.5) == [32] * 6
    assert all(32 <= width <= 96 for width in widths(0.5, 1.5))
    assert len(set(widths(0.5, 1.5))) > 1


def test_flip(quick: Quick) -> None:
    for flip in (False, True):
        data = data_of(quick(flip=flip, crop=None)).train_set
        original = torch.from_numpy(np.array(data.read(0)[1]))
        # A whole image is shown as it is or mirrored, by a coin tossed for each epoch.
        shown = [fetch(data, 0, epoch=epoch)["label"] for epoch in range(12)]
        mirrored = [bool((label == original.flip(-1)).all()) for label in shown]
        straight = [bool((label == original).all()) for label in shown]
        assert all(a or b for a, b in zip(mirrored, straight, strict=True))
        assert any(straight)
        assert any(mirrored) == flip


def test_flip_in_other_directions(quick: Quick) -> None:
    for flip, expected in (
        ("horizontal", {(False, False), (False, True)}),
        ("vertical", {(False, False), (True, False)}),
        ("both", {(a, b) for a in (False, True) for b in (False, True)}),
    ):
        data = data_of(quick(flip=flip, crop=None)).train_set
        original = torch.from_numpy(np.array(data.read(0)[1]))
        found = set()
        for epoch in range(30):
            sample = fetch(data, 0, epoch=epoch)
            for down, across in itertools.product((False, True), repeat=2):
                axes = [axis for axis, is_on in ((-2, down), (-1, across)) if is_on]
                if (sample["label"] == original.flip(axes)).all():
                    found.add((down, across))
                    image = torch.from_numpy(np.array(data.read(0)[0])).permute(2, 0, 1)
                    assert (sample["image"] == image.flip(axes)).all()
        assert found == expected


def test_rotate(quick: Quick) -> None:
    for rotate, turns in ((0, {0}), (90, {0, 1, 2, 3})):
        data = data_of(quick(rotate=rotate, flip=False, crop=None)).train_set
        original = torch.from_numpy(np.array(data.read(0)[1]))
        found = set()
        for epoch in range(30):
            label = fetch(data, 0, epoch=epoch)["label"]
            found |= {n for n in range(4) if (label == original.rot90(n)).all()}
        assert found == turns
    for batch_size in (1, 2):
        config = quick(rotate=90, batch_size=batch_size, crop=None)
        assert data_of(config).train_set.transform.keep_shape == (batch_size > 1)


def fetch(data: dataset_module.ImageDataset, index: int, *, epoch: int) -> dict[str, Tensor]:
    """One image as it is shown in an epoch."""
    return data[SampleKey(index, epoch)]


def test_color(quick: Quick) -> None:
    def change(color: float) -> float:
        data = data_of(quick(color=color, crop=None, flip=False)).train_set
        original = torch.from_numpy(np.array(data.read(0)[0])).permute(2, 0, 1).float()
        shown = [fetch(data, 0, epoch=epoch)["image"].float() for epoch in range(8)]
        return max(float((image - original).abs().mean()) for image in shown)

    assert change(0.0) == 0
    assert 0 < change(0.1) < change(1.0)


def test_normalize(quick: Quick) -> None:
    pixel = torch.tensor([[255.0, 0.0, 127.5]]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    expected = {
        "unit": [1.0, 0.0, 0.5],
        "imagenet": [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.5 - 0.406) / 0.225],
    }
    for normalize, values in expected.items():
        model = model_of(quick(normalize=normalize)).eval()
        seen: list[Tensor] = []
        model.network.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        model(pixel)
        assert seen[0][0, :, 0, 0].tolist() == pytest.approx(values, abs=1e-5)


def test_cache(quick: Quick, rectangles: Path, tmp_path: Path, monkeypatch) -> None:
    def still_readable(cache: str) -> bool:
        root = tmp_path / f"files-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(rectangles, root)
        data = data_of(quick(data=str(root), cache=cache)).train_set
        data.preload()
        shutil.rmtree(root)
        try:
            data[0]
        except (ValueError, OSError):
            return False
        return True

    assert still_readable("yes")
    assert not still_readable("no")
    monkeypatch.setattr(dataset_module, "free_memory", lambda: 10**9)
    assert still_readable("auto")
    monkeypatch.setattr(dataset_module, "free_memory", lambda: 1000)
    assert not still_readable("auto")


def test_num_workers(quick: Quick) -> None:
    assert pick_num_workers(quick(num_workers=3)) == 3
    assert pick_num_workers(quick(num_workers="auto")) == 0  # on a CPU
    trainer = type("Trainer", (), {"global_rank": 0, "world_size": 1})()
    data = data_of(quick(num_workers=2))
    data.trainer = trainer
    assert data.val_dataloader().num_workers == 2


# --- Optimisation


def test_epochs(plain: Quick) -> None:
    _, history, _ = fit(plain(epochs=3))
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]


def test_max_steps(plain: Quick) -> None:
    recorder, history, _ = fit(plain(epochs=3, max_steps=3))
    assert len(recorder.rates) == 3
    assert history.rows[-1]["step"] == 3


def test_batch_size(plain: Quick) -> None:
    recorder, _, _ = fit(plain(epochs=1, batch_size=2))
    assert recorder.shapes == [(2, 3, 64, 64)] * 3


def test_accumulate(plain: Quick) -> None:
    """The step is along the mean of the gradients of the batches, not along their sum."""
    config = plain(epochs=1, accumulate=2, lr=0.1)
    model = tiny_model(config)
    recorder, _, _ = fit(config, model=tiny_model(config))
    assert len(recorder.rates) == 1
    gradients = [
        torch.autograd.grad(
            F.cross_entropy(model(images), labels, ignore_index=255),
            list(model.network.parameters()),
        )
        for images, labels in zip(recorder.images, recorder.labels, strict=True)
    ]
    mean = sum(torch.cat([g.flatten() for g in parts]) for parts in gradients) / 2
    torch.testing.assert_close(recorder.steps[0], torch.zeros_like(mean))
    torch.testing.assert_close(recorder.steps[1], -0.1 * mean, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("optimizer", "cls"),
    [("rmsprop", "PaperRMSprop"), ("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")],
)
def test_optimizer(quick: Quick, optimizer: str, cls: str) -> None:
    assert type(optimizer_of(quick(optimizer=optimizer))).__name__ == cls


def optimizer_of(config: TrainConfig) -> torch.optim.Optimizer:
    task = build_task(model_of(config), data_of(config), config)
    return task.configure_optimizers()["optimizer"]


@pytest.mark.parametrize("rate", RATES)
def test_lr(plain: Quick, rate: float) -> None:
    recorder, _, _ = fit(plain(lr=rate, epochs=2))
    assert recorder.rates == [rate] * 4


def test_momentum(quick: Quick) -> None:
    assert optimizer_of(quick(optimizer="sgd", momentum=0.7)).param_groups[0]["momentum"] == 0.7
    assert optimizer_of(quick(optimizer="rmsprop", momentum=0.7)).param_groups[0]["rho"] == 0.7
    for name in ("adam", "adamw"):
        betas = optimizer_of(quick(optimizer=name, momentum=0.7)).param_groups[0]["betas"]
        assert betas == (0.7, 0.999)


def decay_by_name(config: TrainConfig) -> dict[str, float]:
    model = model_of(config)
    task = build_task(model, data_of(config), config)
    names = {id(p): name for name, p in model.network.named_parameters()}
    groups = task.configure_optimizers()["optimizer"].param_groups
    return {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}


def test_weight_decay(quick: Quick) -> None:
    decay = decay_by_name(quick(weight_decay=0.03))
    assert decay["features.conv0.weight"] == 0.03
    assert decay["features.conv0.bias"] == 0
    assert len(decay) == len(list(model_of(quick()).network.parameters()))


def test_decay_norms(quick: Quick) -> None:
    norm = "features.denseblock1.denselayer1.norm1"
    for decay_norms, expected in ((False, 0), (True, 0.03)):
        decay = decay_by_name(quick(weight_decay=0.03, decay_norms=decay_norms))
        assert decay[f"{norm}.weight"] == expected
        assert decay[f"{norm}.bias"] == 0


# Eight epochs of two batches. `done` is the part of the run before a step.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "exponential": lambda done: 0.5 ** math.floor(8 * done),
    "steps": lambda done: 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "poly": lambda done: (1 - done) ** 0.9,
    "onecycle": lambda done: (
        1 - 24 / 25 * (1 + math.cos(math.pi * done / 0.3)) / 2
        if done < 0.3
        else (1 + math.cos(math.pi * (done - 0.3) / 0.7)) / 2
    ),
}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule(plain: Quick, schedule: str, accumulate: int) -> None:
    """The learning rate of every optimiser step, by the formula."""
    config = dataclasses.replace(
        plain(epochs=8, accumulate=accumulate), schedule=schedule, lr_decay=0.5
    )
    recorder, _, _ = fit(config)
    steps = 16 // accumulate
    expected = [config.lr * SCHEDULES[schedule](step / steps) for step in range(steps)]
    assert recorder.rates == pytest.approx(expected, rel=1e-6)


def rates(plain: Quick, **changes) -> list[float]:
    recorder, _, _ = fit(dataclasses.replace(plain(lr=1.0), **changes))
    return recorder.rates


def test_lr_decay(plain: Quick) -> None:
    assert rates(plain, schedule="exponential", lr_decay=0.3) == pytest.approx([1, 1, 0.3, 0.3])


def test_poly_power(plain: Quick) -> None:
    expected = [1, 0.75**2, 0.5**2, 0.25**2]
    assert rates(plain, schedule="poly", poly_power=2.0) == pytest.approx(expected)


def test_warmup_epochs(plain: Quick) -> None:
    assert rates(plain, warmup_epochs=1.0) == pytest.approx([0.01, 0.505, 1, 1])


def test_clip_norm(plain: Quick) -> None:
    free, _, _ = fit(plain(epochs=1, lr=1.0, out=plain().out + "-free"))
    clipped, _, _ = fit(plain(epochs=1, lr=1.0, clip_norm=1e-3))
    assert free.steps[0].norm() > 1e-2
    assert clipped.steps[0].norm().item() == pytest.approx(1e-3, rel=1e-3)
    torch.testing.assert_close(
        F.normalize(clipped.steps[0], dim=0), F.normalize(free.steps[0], dim=0), rtol=0, atol=1e-3
    )


def test_dropout(quick: Quick) -> None:
    for dropout, expected in ((None, 0.2), (0.0, 0.0), (0.35, 0.35)):
        network = model_of(quick(dropout=dropout)).network
        assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {expected}
        assert model_of(quick(dropout=dropout)).info.dropout == dropout
    torch.manual_seed(0)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        network = model_of(quick(dropout=0.0)).network.train()
        assert torch.equal(network(x), network(x))
        network = model_of(quick(dropout=0.35)).network.train()
        assert not torch.equal(network(x), network(x))


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
    labels[:, 0] = 255
    return torch.randn(2, 3, 8, 8, generator=generator), labels


def task_of(config: TrainConfig) -> TrainingTask:
    return build_task(tiny_model(config), data_of(config), config)


def test_loss(quick: Quick, batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    cross_entropy = F.cross_entropy(logits, labels, ignore_index=255)
    log_p, seen = F.log_softmax(logits, dim=1), labels != 255
    onehot = F.one_hot(labels.where(seen, 0), 3).permute(0, 3, 1, 2) * seen[:, None]
    p = log_p.exp() * seen[:, None]
    overlap, total = (p * onehot).sum((0, 2, 3)), (p + onehot).sum((0, 2, 3))
    dice = (1 - 2 * overlap / total).mean()

    def loss(name: str) -> Tensor:
        return task_of(quick(loss=name)).loss(logits, labels)

    torch.testing.assert_close(loss("cross_entropy"), cross_entropy)
    torch.testing.assert_close(loss("cross_entropy+dice"), cross_entropy + dice)
    torch.testing.assert_close(loss("dice"), dice)
    lovasz = loss("cross_entropy+lovasz") - cross_entropy
    assert 0 < lovasz < 1
    assert abs(lovasz - dice) > 1e-3
    # Focal loss weighs what is nearly right less: far below the sigmoid cross-entropy.
    sigmoid = F.binary_cross_entropy_with_logits(logits, onehot.float(), reduction="none")
    assert 0 < loss("focal") < sigmoid.sum(1)[seen].mean()


def test_label_smoothing(quick: Quick, batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    for smoothing in (0.0, 0.2):
        loss = task_of(quick(label_smoothing=smoothing)).loss(logits, labels)
        expected = F.cross_entropy(logits, labels, ignore_index=255, label_smoothing=smoothing)
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("kind", ["none", "median_frequency", "capped"])
def test_class_weights(
    quick: Quick, rectangles: Path, batch: tuple[Tensor, Tensor], kind: str
) -> None:
    logits, labels = batch
    masks = [np.asarray(Image.open(p)) for p in (rectangles / "masks" / "train").iterdir()]
    counts = sum(np.bincount(mask.ravel(), minlength=256)[:3] for mask in masks)
    weights = np.median(counts) / counts
    assert len({round(w, 2) for w in weights}) == 3  # no two classes are equally frequent
    if kind == "capped":
        weights = weights.clip(0.5, 5)
    weight = None if kind == "none" else torch.tensor(weights, dtype=torch.float32)
    expected = F.cross_entropy(logits, labels, weight, ignore_index=255)
    torch.testing.assert_close(task_of(quick(class_weights=kind)).loss(logits, labels), expected)


def test_class_weights_by_hand(quick: Quick, batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    config = quick(class_weights=[0.25, 0.0, 3.0])
    expected = F.cross_entropy(logits, labels, torch.tensor([0.25, 0, 3]), ignore_index=255)
    torch.testing.assert_close(task_of(config).loss(logits, labels), expected)
    assert preparing.prepare(config).config == preparing.use_absolute_paths(config)
    with pytest.raises(ValueError, match=r"\[0\.2, 0\.8\]; expected 3 numbers.*class_0, class_1, "):
        preparing.prepare(quick(class_weights=[0.2, 0.8]))


def test_ema_decay(plain: Quick) -> None:
    """What is saved is the moving average of the weights, by its formula."""
    config = plain(epochs=2, ema_decay=0.75, lr=0.1)
    recorder, _, folder = fit(config)
    average = recorder.weights[1]  # starts with the weights after the first step
    for weights in recorder.weights[2:]:
        average = 0.75 * average + 0.25 * weights
    state = read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]
    saved = torch.cat([v.flatten() for name, v in state.items() if "network" in name])
    torch.testing.assert_close(saved, average)
    assert not torch.allclose(saved, recorder.weights[-1], rtol=1e-4)


def test_final_epochs(plain: Quick) -> None:
    config = dataclasses.replace(plain(epochs=3, final_epochs=1), crop=(32, 32), scale=(0.5, 0.9))
    recorder, _, _ = fit(config)
    assert recorder.shapes == 4 * [(3, 3, 32, 32)] + 2 * [(3, 3, 64, 64)]


def test_final_loss(plain: Quick) -> None:
    config = plain(epochs=2, final_epochs=1, final_loss="cross_entropy+dice", lr=1e-9)
    _, history, _ = fit(config)
    crossentropy, both = (row["train_loss"] for row in history.rows)
    assert crossentropy + 0.2 < both < crossentropy + 1


def test_recalibrate(quick: Quick) -> None:
    """The published statistics are those of training batches, here of all images equally often."""
    config = quick(epochs=1, keep="last", dropout=0.0, crop=None, flip=False)
    folder = folder_of(config)
    published = load_model(folder).network.get_submodule("features.denseblock1.denselayer1.norm1")
    trained = load_model(folder / "checkpoints" / "last.ckpt")
    data = data_of(config).train_set
    images = [(data[i]["image"] - trained.mean) / trained.std for i in range(len(data))]
    stem = trained.network.get_submodule("features.conv0")
    with torch.no_grad():
        means = [stem(image[None]).mean((0, 2, 3)) for image in images]
    torch.testing.assert_close(published.running_mean, torch.stack(means).mean(0))


class SetWeights(Callback):
    """Makes the network predict one class everywhere, from an epoch (from 0) on."""

    def __init__(self, *, from_epoch: int) -> None:
        self.from_epoch = from_epoch

    def on_train_epoch_end(self, trainer, task) -> None:
        self.spoil(trainer, task)

    def on_validation_start(self, trainer, task) -> None:
        self.spoil(trainer, task)

    def spoil(self, trainer, task) -> None:
        if trainer.current_epoch >= self.from_epoch:
            with torch.no_grad():
                for parameter in task.model.network.parameters():
                    parameter.zero_()


def test_patience(plain: Quick) -> None:
    # The score never changes: the first epoch's is the best, and each later one a failure.
    spoiled = SetWeights(from_epoch=0)
    for patience, epochs in ((0, 6), (1, 2), (3, 4)):
        config = plain(epochs=6, patience=patience, out=f"{plain().out}-{patience}")
        _, history, _ = fit(config, callbacks=(spoiled,))
        assert len(history.rows) == epochs


def test_monitor(quick: Quick) -> None:
    # A network that predicts class 0 everywhere is the best for its recall, and for no other score.
    for monitor, epoch in (("recall/class_0", 1), ("recall/class_1", 0)):
        config = quick(
            monitor=monitor, epochs=2, crop=None, flip=False, lr=1e-9, out=f"{quick().out}{epoch}"
        )
        data = data_of(config)
        task = build_task(tiny_model(config), data, config)
        with torch.no_grad():
            task.model.network[-1].bias.copy_(torch.tensor([-9.0, 9, -9]))  # all is class 1
        folder = Path(str(config.out))
        figure = find_monitor(monitor, data.train_set.spec)
        history = History(folder, task="segmentation", monitor=figure)
        trainer = build_trainer(config, folder, history)
        trainer.callbacks.insert(0, SetWeights(from_epoch=1))
        trainer.fit(task, datamodule=data)
        assert read_checkpoint(folder / "checkpoints" / "best.ckpt")["epoch"] == epoch
        assert history.best == 100
        assert history.rows[1 - epoch][f"val_{monitor}"] == 0


def test_val_every(plain: Quick) -> None:
    _, history, _ = fit(plain(epochs=4, val_every=2))
    assert [math.isnan(row["val_miou"]) for row in history.rows] == [True, False, True, False]


def test_eval_batch_size(plain: Quick) -> None:
    recorder, _, _ = fit(plain(epochs=1, eval_batch_size=2))
    assert recorder.val_shapes == [(2, 3, 64, 64), (1, 3, 64, 64)]


def test_tile(plain: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiramisu.inference.tester.DEFAULT_TILE", 48)
    seen = []
    for tile in (64, "auto", "off"):
        model = tiny_model(plain())
        shapes: list[int] = []
        model.network.register_forward_pre_hook(
            lambda network, args, shapes=shapes: (
                None if network.training else shapes.append(args[0].shape[-1])
            )
        )
        fit(plain(epochs=1, tile=tile), model=model)
        seen.append(set(shapes))
    assert seen == [{64}, {48}, {64}]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_keep(quick: Quick, keep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last epoch is made the worst, so that best and last differ."""
    build = preparing.build_trainer

    def build_spoiled(*args):
        trainer = build(*args)
        trainer.callbacks.insert(0, SetWeights(from_epoch=2))
        return trainer

    monkeypatch.setattr(preparing, "build_trainer", build_spoiled)
    folder = folder_of(quick(keep=keep, epochs=3))
    saved = {n: load_model(folder / "checkpoints" / f"{n}.ckpt") for n in ("best", "last")}
    weights = {name: flat_weights(model.network) for name, model in saved.items()}
    assert weights["last"].abs().max() == 0 < weights["best"].abs().max()
    assert torch.equal(flat_weights(load_model(folder).network), weights[keep])


# --- The machine


def trainer_of(config: TrainConfig) -> preparing.pl.Trainer:
    folder = Path(str(config.out))
    return build_trainer(config, folder, History(folder, task="segmentation"))


def test_accelerator(quick: Quick) -> None:
    assert type(trainer_of(quick(accelerator="cpu")).accelerator).__name__ == "CPUAccelerator"
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="--accelerator gpu"):
            trainer_of(quick(accelerator="gpu"))


def test_devices(quick: Quick) -> None:
    one, two = trainer_of(quick()), trainer_of(quick(devices=2))
    assert (one.num_devices, two.num_devices) == (1, 2)
    assert type(two.strategy).__name__ == "DDPStrategy"
    assert data_of(quick(devices=2)).batches_per_epoch == 1


def test_num_nodes(quick: Quick) -> None:
    assert trainer_of(quick(num_nodes=2)).num_nodes == 2
    assert data_of(quick(num_nodes=2)).batches_per_epoch == 1


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_precision(plain: Quick, precision: str, dtype: torch.dtype) -> None:
    config = plain(epochs=1, precision=precision)
    model = tiny_model(config)
    seen: set[torch.dtype] = set()
    model.network[0].register_forward_hook(lambda *args: seen.add(args[-1].dtype))
    fit(config, model=model)
    assert dtype in seen
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    # Lightning computes in bf16 where a CPU is asked for fp16.
    expected = "16-mixed" if torch.cuda.is_available() else "bf16-mixed"
    assert trainer_of(plain(precision="fp16", accelerator="auto")).precision == expected


def test_compile(quick: Quick) -> None:
    assert model_of(quick()).network._compiled_call_impl is None
    assert model_of(quick(compile=True)).network._compiled_call_impl is not None


def test_channels_last(quick: Quick) -> None:
    for channels_last in (False, True):
        network = model_of(quick(channels_last=channels_last)).network
        weight = network.get_submodule("features.denseblock1.denselayer1.conv1").weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_memory_efficient(quick: Quick) -> None:
    for efficient in (False, True):
        network = model_of(quick(memory_efficient=efficient)).network
        block = network.get_submodule("features.denseblock1")
        assert block.memory_efficient is efficient


def test_sync_bn(quick: Quick) -> None:
    for sync_bn, norm in ((False, nn.BatchNorm2d), (True, nn.SyncBatchNorm)):
        network: nn.Module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
        layer_sync = trainer_of(quick(sync_bn=sync_bn))._accelerator_connector._layer_sync
        network = layer_sync.apply(network) if layer_sync else network
        assert type(network[1]) is norm


# --- Parts of one's own; see also test_user_parts.py


def test_augment(quick: Quick) -> None:
    usual = quick(crop=None, flip=False)
    plain, changed = (
        preparing.prepare(config).data.train_set[0]["image"]
        for config in (usual, dataclasses.replace(usual, augment="tiny_parts:noise"))
    )
    assert (changed.int() - plain.int() // 2).unique().numel() == 1


def test_metrics(quick: Quick) -> None:
    for metrics in ("tiny_parts:Pixels", ["tiny_parts:Pixels"]):
        prepared = preparing.prepare(quick(metrics=metrics))
        assert list(prepared.task.meter.own.metrics) == ["Pixels"]
        assert prepared.history.own == ("Pixels",)
    assert preparing.prepare(quick()).history.own == ()


def test_callbacks(quick: Quick) -> None:
    kinds = [type(callback) for callback in trainer_with(quick(callbacks="tiny_parts:Steps"))]
    assert kinds.count(Steps) == 1
    assert kinds.index(Steps) < kinds.index(ModelCheckpoint)
    assert Steps not in [type(callback) for callback in trainer_with(quick())]


def trainer_with(config: TrainConfig) -> list[Callback]:
    return preparing.prepare(config).trainer.callbacks


def test_logger(quick: Quick) -> None:
    prepared = preparing.prepare(quick(logger=["tiny_parts:TinyLogger"]))
    logger = prepared.trainer.loggers[1]
    assert isinstance(logger, TinyLogger)
    assert Path(logger.save_dir) == prepared.folder

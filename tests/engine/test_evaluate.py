"""Evaluation: three batch norm modes, test-time augmentation, and the folder it leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tiramisu.data.dataset import SegmentationDataset
from tiramisu.data.spec import load_spec
from tiramisu.engine.checkpoint import load_model
from tiramisu.engine.config import EvalConfig, TrainConfig
from tiramisu.engine.evaluate import (
    augmented_logits,
    evaluate,
    evaluate_checkpoint,
    recalibrate_batch_norm,
    use_batch_statistics,
)
from tiramisu.engine.metrics import score
from tiramisu.engine.model import SegmentationModel
from tiramisu.engine.train import build_model_for, train


@pytest.fixture(scope="module")
def dataset(rectangles: Path) -> SegmentationDataset:
    return SegmentationDataset(load_spec(str(rectangles)), "val", root=None)


@pytest.fixture
def model(rectangles: Path) -> SegmentationModel:
    spec = load_spec(str(rectangles))
    return build_model_for(spec, TrainConfig(arch="fc56", data=str(rectangles))).eval()


def test_scores_are_those_of_a_plain_loop(dataset, model) -> None:
    expected = torch.zeros(3, 3, dtype=torch.int64)
    for i in range(len(dataset)):
        image, label = dataset.read(i)
        with torch.inference_mode():
            predicted = model(torch.from_numpy(image).permute(2, 0, 1)[None])[0].argmax(0)
        for t, p in zip(label.ravel().tolist(), predicted.ravel().tolist(), strict=True):
            if t != 255:
                expected[t, p] += 1
    for batch_size in (1, 2, 3):
        scores = evaluate(model, dataset, batch_size=batch_size)
        assert abs(scores.matrix - expected.numpy()).sum() <= 4  # ties, in another batch size
    assert evaluate(model, dataset).mean_iou == pytest.approx(score(expected).mean_iou, abs=1e-3)


def test_recalibrated_statistics_are_the_mean_over_the_split(dataset, model) -> None:
    first_inputs: list[torch.Tensor] = []
    norm = "features.denseblock1.denselayer1.norm1"
    hook = model.network.get_submodule(norm).register_forward_pre_hook(
        lambda _, inputs: first_inputs.append(inputs[0].clone())
    )
    with torch.inference_mode():
        for i in range(len(dataset)):
            model(dataset[i]["image"][None])
    hook.remove()
    # Each image counts the same; variances are the mean of the images' own.
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in first_inputs]).mean(dim=0)
    var = torch.stack([x.var(dim=(0, 2, 3)) for x in first_inputs]).mean(dim=0)

    calibrated = recalibrate_batch_norm(model, dataset)
    layer = calibrated.network.get_submodule(norm)
    torch.testing.assert_close(layer.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer.running_var, var, rtol=1e-4, atol=1e-5)
    # The original, and the dropout, are as before.
    assert model.network.get_submodule(norm).running_mean.abs().max() == 0
    assert {m.p for m in calibrated.modules() if isinstance(m, nn.Dropout)} == {0.2}
    assert not calibrated.training


def test_batch_statistics_depend_on_the_batch_and_drop_nothing(dataset, model) -> None:
    by_batch = use_batch_statistics(model)
    images = torch.stack([dataset[i]["image"] for i in range(3)])
    with torch.inference_mode():
        assert torch.equal(by_batch(images), by_batch(images))
        alone, together = by_batch(images[:1]), by_batch(images)[:1]
        assert not torch.allclose(alone, together, atol=1e-3)
        # Batch norm after the first convolution really normalises this batch.
        x = by_batch.network.features.conv0((images - model.mean) / model.std)
        y = by_batch.network.get_submodule("features.denseblock1.denselayer1.norm1")(x)
    assert y.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(y.std(dim=(0, 2, 3)), torch.ones(48), atol=1e-2, rtol=0)


def test_augmentation_averages_mirrored_and_scaled_views(model) -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1, 3, 48, 64)).float()
    with torch.inference_mode():
        mirrored = augmented_logits(model, images.flip(-1)).exp()
        probabilities = augmented_logits(model, images).exp()
        single = augmented_logits(model, images, scales=[1.0]).exp()
        plain = model(images).softmax(1)
        flipped = model(images.flip(-1)).flip(-1).softmax(1)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(1, 48, 64))
    torch.testing.assert_close(mirrored.flip(-1), probabilities, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(single, (plain + flipped) / 2)


def test_command_writes_its_folder_and_replaces_nothing(
    quick: Callable[..., TrainConfig], rectangles: Path
) -> None:
    run = train(quick(epochs=1))
    for bn in ("running", "recalibrated", "batch"):
        config = EvalConfig(
            checkpoint=str(run), bn=bn, accelerator="cpu", overwrite=True, batch_size=3
        )
        scores = evaluate_checkpoint(config)
        name = f"{rectangles.name}_val_{'batch3' if bn == 'batch' else bn}"
        saved = json.loads((run / "eval" / name / "scores.json").read_text())
        assert saved["bn"] == bn
        assert saved["mean_iou"] == pytest.approx(scores.mean_iou, abs=1e-6)
        assert saved["confusion_matrix"] == scores.matrix.tolist()
    with pytest.raises(ValueError, match="--overwrite"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(run), accelerator="cpu"))
    with pytest.raises(ValueError, match="no split 'dev'"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(run), accelerator="cpu", split="dev"))
    with pytest.raises(ValueError, match="the model knows the classes"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(run), accelerator="cpu", data="camvid"))


def test_checkpoint_file_and_published_model_agree(
    quick: Callable[..., TrainConfig], dataset
) -> None:
    run = train(quick(epochs=1))
    published, best = load_model(run), load_model(run / "checkpoints" / "best.ckpt")
    image = dataset[0]["image"][None]
    with torch.inference_mode():
        assert torch.equal(published(image), best(image))

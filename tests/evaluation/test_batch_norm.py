"""The statistics of batch norm in an evaluation."""

import pytest
import torch
from torch import nn

from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.dataset import ImageDataset
from tiramisu.evaluation.batch_norm import (
    recalibrate_batch_norm,
    refresh_batch_norm,
    use_batch_statistics,
)

FIRST_NORM = "features.denseblock1.denselayer1.norm1"
LAST_NORM = "decoder.denseblock5.denselayer1.norm1"


def test_recalibrated_statistics_are_the_mean_over_the_split(
    dataset: ImageDataset, model: SegmentationModel
) -> None:
    first_inputs: list[torch.Tensor] = []
    hook = model.network.get_submodule(FIRST_NORM).register_forward_pre_hook(
        lambda _, inputs: first_inputs.append(inputs[0].clone())
    )
    with torch.inference_mode():
        for i in range(len(dataset)):
            model(dataset[i]["image"][None])
    hook.remove()
    # Each image has the same weight; the variance is the mean of the images' variances.
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in first_inputs]).mean(dim=0)
    var = torch.stack([x.var(dim=(0, 2, 3)) for x in first_inputs]).mean(dim=0)

    calibrated = recalibrate_batch_norm(model, dataset)
    layer = calibrated.network.get_submodule(FIRST_NORM)
    torch.testing.assert_close(layer.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer.running_var, var, rtol=1e-4, atol=1e-5)
    # The original is unchanged, and the copy has its dropout again.
    assert model.network.get_submodule(FIRST_NORM).running_mean.abs().max() == 0
    assert {m.p for m in calibrated.modules() if isinstance(m, nn.Dropout)} == {0.2}
    assert not calibrated.training


def test_recalibration_is_without_dropout(dataset: ImageDataset, model: SegmentationModel) -> None:
    """Statistics do not change from time to time, and are those of a dropout rate of 0."""
    first, second = (recalibrate_batch_norm(model, dataset).state_dict() for _ in range(2))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    without = recalibrate_batch_norm(model, dataset).state_dict()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value)
        torch.testing.assert_close(without[name], value)


def test_recalibration_reaches_frozen_parts(
    dataset: ImageDataset, model: SegmentationModel
) -> None:
    model.network.freeze("features")
    calibrated = recalibrate_batch_norm(model, dataset)
    assert calibrated.network.get_submodule(FIRST_NORM).running_mean.abs().max() > 0.01
    assert not model.network.features.conv0.weight.requires_grad


def test_recalibration_of_a_single_pixel_is_refused(model: SegmentationModel) -> None:
    class OnePixel(ImageDataset):
        image_scale, image_size = 1.0, None

        def __init__(self) -> None:
            self.scale_labels = False

        def __len__(self) -> int:
            return 1

        def __getitem__(self, key: int) -> dict[str, torch.Tensor]:
            return {"image": torch.zeros(3, 32, 32), "label": torch.zeros(32, 32)}

    with pytest.raises(ValueError, match="64 pixels or more"):
        recalibrate_batch_norm(model, OnePixel())


def test_batch_statistics_depend_on_the_batch_but_nothing_is_random(
    dataset: ImageDataset, model: SegmentationModel
) -> None:
    by_batch = use_batch_statistics(model)
    images = torch.stack([dataset[i]["image"] for i in range(3)])
    with torch.inference_mode():
        assert torch.equal(by_batch(images), by_batch(images))
        alone, together = by_batch(images[:1]), by_batch(images)[:1]
        assert not torch.allclose(alone, together, atol=1e-3)
        # The first batch norm after the first convolution normalises this batch.
        x = by_batch.network.features.conv0((images - model.mean) / model.std)
        y = by_batch.network.get_submodule(FIRST_NORM)(x)
        assert torch.allclose(model(images[:1]), model(images)[:1], atol=1e-3)  # the original
    assert y.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(y.std(dim=(0, 2, 3)), torch.ones(48), atol=1e-2, rtol=0)


def test_refreshed_statistics_are_the_mean_over_the_batches(model: SegmentationModel) -> None:
    torch.manual_seed(0)
    batches = [255 * torch.rand(3, 3, 64, 64) for _ in range(4)]
    before = model.state_dict()
    before = {name: tensor.clone() for name, tensor in before.items()}
    refresh_batch_norm(model, batches)
    stem = model.network.features.conv0
    with torch.no_grad():
        shown = [stem((batch - model.mean) / model.std) for batch in batches]
    norm = model.network.get_submodule(FIRST_NORM)
    means = torch.stack([x.mean((0, 2, 3)) for x in shown]).mean(0)
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in shown]).mean(0)
    torch.testing.assert_close(norm.running_mean, means, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(norm.running_var, variances, rtol=1e-3, atol=1e-3)
    assert norm.momentum == 0.1
    assert not model.training
    for name, tensor in model.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(tensor, before[name]), name


def test_refreshing_leaves_frozen_parts_as_they_are(model: SegmentationModel) -> None:
    model.network.get_submodule(FIRST_NORM).running_mean.fill_(3.0)
    model.network.freeze("features.denseblock1")
    last = model.network.get_submodule(LAST_NORM)
    before = last.running_mean.clone()
    refresh_batch_norm(model, [255 * torch.rand(3, 3, 64, 64)])
    assert (model.network.get_submodule(FIRST_NORM).running_mean == 3).all()
    assert not torch.allclose(last.running_mean, before)

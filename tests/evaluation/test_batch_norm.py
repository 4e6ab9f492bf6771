"""The three statistics that batch norm can go by."""

import torch
from torch import nn

from tiramisu.evaluation.batch_norm import recalibrate_batch_norm, use_batch_statistics


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

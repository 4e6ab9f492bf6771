"""Predictions averaged over views of an image, and over passes of dropout."""

import math

import pytest
import torch

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.inference.averaging import (
    as_logits,
    augmented_logits,
    average,
    random_dropout,
    run_passes,
)


def model_with(dropout: float) -> SegmentationModel:
    torch.manual_seed(1)
    info = ModelInfo(
        arch="fc56",
        class_names=("a", "b", "c"),
        colors=((255, 0, 0), (0, 255, 0), (0, 0, 255)),
        dropout=dropout,
    )
    return SegmentationModel.build(info).eval()


def an_image() -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, 48, 64), generator=torch.Generator().manual_seed(2)).float()


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


def test_logits_bring_the_probabilities_back() -> None:
    probabilities = torch.tensor([[0.0, 0.25, 0.75]])
    torch.testing.assert_close(as_logits(probabilities).softmax(dim=1), probabilities)


def test_dropout_is_random_within_and_nowhere_else() -> None:
    model, image = model_with(0.2), an_image()
    norm = model.network.get_submodule("features.denseblock1.denselayer1.norm1")
    with torch.inference_mode():
        plain = model(image)
        with random_dropout(model, seed=3):
            first, second = model(image), model(image)
        with random_dropout(model, seed=3):
            again = model(image)
        assert not torch.allclose(first, second, atol=1e-3)
        assert not torch.allclose(first, plain, atol=1e-3)
        assert torch.equal(first, again)
        assert torch.equal(model(image), plain)
    # Batch norm keeps to its running statistics, and does not move them.
    assert norm.num_batches_tracked == 0
    assert not any(module.training for module in model.modules())


def test_random_passes_leave_other_random_numbers_alone() -> None:
    model = model_with(0.2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with torch.inference_mode(), random_dropout(model):
        model(an_image())
    assert torch.equal(torch.rand(3), expected)


def test_fused_and_plain_layers_drop_as_much() -> None:
    """The mean and the spread of many passes do not depend on the path through the blocks."""
    model, image = model_with(0.5), an_image()[..., :32, :32]
    found = []
    for hooked in (False, True):
        hooks = [m.register_forward_hook(lambda *_: None) for m in model.modules()] * hooked
        with torch.inference_mode(), random_dropout(model, seed=7):
            passed = run_passes(model, image, size=(32, 32), passes=60)
        for hook in hooks:
            hook.remove()
        found.append((passed.mean.mean(dim=(2, 3)), passed.mutual_information.mean()))
    torch.testing.assert_close(found[0][0], found[1][0], atol=0.03, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=0, rtol=0.2)


def test_a_model_without_dropout_is_refused() -> None:
    with pytest.raises(ValueError, match="without dropout"), random_dropout(model_with(0.0)):
        pass


def test_entropy_and_mutual_information_by_hand() -> None:
    # Two passes: at the first pixel each is sure and they disagree; at the second both are in
    # doubt; at the third both are sure of the same class.
    passes = iter(
        [
            torch.tensor([[[1.0, 0.5, 1.0], [0.0, 0.5, 0.0]]]),
            torch.tensor([[[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]]]),
        ]
    )
    passed = average(lambda: next(passes), passes=2)
    assert passed.mean.tolist() == [[[0.5, 0.5, 1.0], [0.5, 0.5, 0.0]]]
    log2 = math.log(2)
    assert passed.entropy[0].tolist() == pytest.approx([log2, log2, 0.0])
    assert passed.mutual_information[0].tolist() == pytest.approx([log2, 0.0, 0.0])

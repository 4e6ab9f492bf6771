import pytest
import torch
from torch import nn

from tiramisu.models import build_model, list_models


def dropouts(network: nn.Module) -> set[float]:
    return {m.p for m in network.modules() if isinstance(m, nn.Dropout)}


def test_lists_every_model_once() -> None:
    segmentation = list_models("segmentation")
    classification = list_models("classification")
    assert segmentation == ["fc56", "fc67", "fc103"]
    assert classification == [
        *(f"densenet{depth}" for depth in (121, 161, 169, 201, 264)),
        *(f"densenet{name}" for name in ("40_12", "100_12", "100_24")),
        *(f"densenet_bc{name}" for name in ("40_12", "100_12", "250_24", "190_40")),
    ]
    assert list_models() == segmentation + classification


@pytest.mark.parametrize("name", list_models())
def test_builds_what_the_task_says(name: str) -> None:
    with torch.device("meta"):
        network = build_model(name, num_classes=7, in_channels=4).eval()
        logits = network(torch.empty(2, 4, 64, 48))
    expected = (2, 7, 64, 48) if name in list_models("segmentation") else (2, 7)
    assert logits.shape == expected


def test_dropout_is_the_networks_own_unless_given() -> None:
    assert dropouts(build_model("fc56", num_classes=2)) == {0.2}
    assert dropouts(build_model("fc56", num_classes=2, dropout=0.0)) == {0.0}
    with torch.device("meta"):
        assert dropouts(build_model("densenet121", num_classes=2)) == {0.0}
        assert dropouts(build_model("densenet121", num_classes=2, dropout=0.1)) == {0.1}


def test_unknown_name_says_which_are_known() -> None:
    with pytest.raises(ValueError, match=r"'fc-103'.*fc56.*densenet264.*did you mean fc103\?"):
        build_model("fc-103", num_classes=2)
    with pytest.raises(ValueError, match="unknown model 'xyz'; expected one of fc56"):
        build_model("xyz", num_classes=2)


def test_unknown_task() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'detection'.*segmentation, classification"):
        list_models("detection")


def test_bad_number_of_classes() -> None:
    with pytest.raises(ValueError, match="num_classes is 0"):
        build_model("fc56", num_classes=0)

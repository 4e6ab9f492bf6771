import pytest
import torch
from torch import nn

from tiramisu.models import FCDenseNet, build_model
from tiramisu.summary.block_table import summarize
from tiramisu.summary.layer_table import format_layers, list_layers


@pytest.mark.parametrize("name", ["fc103", "densenet121", "densenet_bc100_12"])
def test_totals_are_those_of_the_summary_and_the_model(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, num_classes=7)
    table = list_layers(model, height=64, width=96)
    summary = summarize(model, height=64, width=96)
    assert len(table.rows) == summary.layers
    assert table.parameters == summary.parameters == sum(p.numel() for p in model.parameters())
    assert table.multiply_adds == summary.multiply_adds
    assert table.other_multiply_adds == 0
    weights = {f"{row.name}.weight" for row in table.rows}
    assert weights <= set(model.state_dict())


def test_rows_say_what_a_layer_is() -> None:
    with torch.device("meta"):
        model = build_model("fc56", num_classes=5)
    rows = {row.name: row for row in list_layers(model, height=32, width=64).rows}
    first = rows["features.conv0"]
    assert (first.kind, first.in_channels, first.out_channels) == ("conv 3x3", 3, 48)
    assert (first.size, first.parameters) == ((32, 64), 3 * 48 * 9 + 48)
    assert first.multiply_adds == 3 * 48 * 9 * 32 * 64
    up = rows["decoder.transition5.conv"]
    assert (up.kind, up.size) == ("transposed 3x3 /2", (33, 65))
    assert list(rows)[-1] == "classifier"


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)
        self.shared = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
        self.strided = nn.Conv2d(3, 6, (3, 1), stride=(2, 1), dilation=2, bias=False)
        self.head = nn.Linear(6, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.strided(self.shared(self.shared(images)))
        pooled = self.head(features.mean(dim=(2, 3)))
        return pooled @ pooled.T


def test_any_network_has_a_table() -> None:
    table = list_layers(Foreign(), height=16, width=16)
    rows = {row.name: row for row in table.rows}
    assert list(rows) == ["shared", "strided", "head", "unused"]
    assert rows["shared"].kind == "depthwise 3x3"
    assert rows["shared"].multiply_adds == 2 * 3 * 9 * 16 * 16
    assert rows["strided"].kind == "conv 3x1 /2x1 dilated 2"
    assert (rows["head"].kind, rows["head"].size) == ("linear", ())
    assert (rows["unused"].multiply_adds, rows["unused"].parameters) == (0, 12)
    assert table.other_multiply_adds == 4  # the product of the logits with themselves
    summary = summarize(Foreign(), height=16, width=16)
    assert summary.parameters == table.parameters == sum(p.numel() for p in Foreign().parameters())
    assert summary.multiply_adds == table.multiply_adds


def test_volumes() -> None:
    with torch.device("meta"):
        model = FCDenseNet(
            growth_rate=4,
            down_blocks=(2,),
            bottleneck_layers=2,
            up_blocks=(2,),
            stem_width=8,
            dims=3,
            in_channels=1,
            num_classes=2,
        )
    table = list_layers(model, depth=4, height=6, width=8)
    assert table.rows[0].kind == "conv 3x3x3"
    assert table.rows[0].multiply_adds == 8 * 27 * 4 * 6 * 8
    summary = summarize(model, depth=4, height=6, width=8)
    assert summary.multiply_adds == table.multiply_adds
    assert summary.rows[2].size == (2, 3, 4)
    assert "4x6x8" in format_layers(table)


# DenseNet-264 counts one layer less than its blocks of 6, 12, 64 and 48 have.
@pytest.mark.parametrize(("name", "layers"), [("fc103", 103), ("densenet264", 265)])
def test_table_fits_a_wide_terminal_and_lines_up(name: str, layers: int) -> None:
    with torch.device("meta"):
        model = build_model(name, num_classes=1000)
    lines = format_layers(list_layers(model, height=1024, width=2048)).splitlines()
    assert max(map(len, lines)) <= 110
    assert len({len(line) for line in lines[1:]}) == 1
    assert lines[-1].startswith(f"total: {layers} layers")


def test_long_names_lose_their_beginning() -> None:
    inner: nn.Module = nn.Conv2d(3, 3, 1)
    for _ in range(9):
        inner = nn.Sequential(nn.Identity(), inner)
    network = nn.ModuleDict({"a_rather_long_name_of_a_module" * 3: inner})
    model = nn.Sequential(network["a_rather_long_name_of_a_module" * 3])
    wrapped = nn.Sequential()
    wrapped.add_module("encoder_of_the_left_camera" * 4, model)
    lines = format_layers(list_layers(wrapped, height=8, width=8)).splitlines()
    assert max(map(len, lines)) <= 110
    assert lines[4].startswith("...")
    assert "1.1.1.1" in lines[4]


def test_refuses_what_is_no_network_for_images() -> None:
    with pytest.raises(ValueError, match="has no convolution"):
        list_layers(nn.Linear(3, 4), height=8, width=8)
    with pytest.raises(ValueError, match="3 x 2 x 2"):
        list_layers(nn.Sequential(nn.Conv2d(3, 4, 5)), height=2, width=2)

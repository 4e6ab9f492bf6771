import copy

import pytest
import torch
from torch import nn

from tiramisu.models import FCDenseNet, build_model
from tiramisu.summary.tables import format_layers, format_summary, list_layers, summarize


@pytest.mark.parametrize(
    ("name", "layers", "parameters", "giga_multiply_adds", "with_norms"),
    [
        ("fc56", 56, 1_376_795, 30.703, 31.2),
        ("fc67", 67, 3_463_243, 71.967, 72.9),
        ("fc103", 103, 9_322_091, 69.068, 69.9),
    ],
)
def test_totals(
    name: str, layers: int, parameters: int, giga_multiply_adds: float, with_norms: float
) -> None:
    with torch.device("meta"):
        model = build_model(name, num_classes=11)
    summary = summarize(model, height=360, width=480)
    assert summary.layers == layers
    assert summary.parameters == parameters
    assert summary.multiply_adds / 1e9 == pytest.approx(giga_multiply_adds, abs=5e-4)

    # Other counters report more: they add two operations an element for batch normalisation.
    elements: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _module, _in, out: elements.append(out.numel()))
    model.eval()(torch.empty(1, 3, 360, 480, device="meta"))
    both = summary.multiply_adds + 2 * sum(elements)
    assert both / 1e9 == pytest.approx(with_norms, abs=0.05)


def test_rows_are_those_of_table_2() -> None:
    with torch.device("meta"):
        model = build_model("fc103", num_classes=11)
    rows = summarize(model, height=224, width=256).parts
    assert [row.words for row in rows] == [
        "3x3 conv",
        *(f"DB ({n} layers) + TD" for n in (4, 5, 7, 10, 12)),
        "DB (15 layers)",
        *(f"TU + DB ({n} layers)" for n in (12, 10, 7, 5, 4)),
        "1x1 conv",
    ]
    widths = [48, 112, 192, 304, 464, 656, 896, 1088, 816, 576, 384, 256, 11]
    assert [row.channels for row in rows] == widths
    scales = [1, 1, 2, 4, 8, 16, 32, 16, 8, 4, 2, 1, 1]
    assert [row.size for row in rows] == [(224 // s, 256 // s) for s in scales]


def test_multiply_adds_of_a_row_by_hand() -> None:
    with torch.device("meta"):
        model = build_model("fc56", num_classes=3)
    rows = summarize(model, height=64, width=32).parts
    pixels = 64 * 32
    assert rows[0].multiply_adds == 3 * 48 * 9 * pixels
    down = sum((48 + 12 * i) * 12 * 9 for i in range(4)) + 96 * 96
    assert rows[1].multiply_adds == down * pixels
    # Every input pixel of a transposed convolution meets the whole kernel, once.
    up = 48 * 48 * 9 * pixels // 4 + sum((144 + 12 * i) * 12 * 9 for i in range(4)) * pixels
    assert rows[-2].multiply_adds == up
    assert rows[-1].multiply_adds == 192 * 3 * pixels


def test_describes_a_densenet() -> None:
    with torch.device("meta"):
        model = build_model("densenet121", num_classes=1000)
    summary = summarize(model, height=224, width=224)
    assert summary.layers == 121
    assert summary.parameters == 7_978_856
    assert summary.multiply_adds / 1e9 == pytest.approx(2.834, abs=1e-3)
    assert [row.words for row in summary.parts] == [
        "7x7 conv /2",
        "DB (6 layers) + TD",
        "DB (12 layers) + TD",
        "DB (24 layers) + TD",
        "DB (16 layers)",
        "linear",
    ]
    assert [row.size for row in summary.parts] == [*((s, s) for s in (112, 56, 28, 14, 7)), ()]


def test_leaves_the_model_as_it_was() -> None:
    model = build_model("fc56", num_classes=3).train()
    before = copy.deepcopy(model.state_dict())
    summarize(model, height=32, width=32)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        assert value.device.type == "cpu"
        assert torch.equal(value, before[name])


def test_refuses_a_size_the_model_cannot_take() -> None:
    with pytest.raises(ValueError, match="expected at least 32x32"):
        summarize(build_model("fc56", num_classes=3), height=16, width=64)


def test_table_of_blocks_fits_a_terminal_and_lines_up() -> None:
    with torch.device("meta"):
        model = build_model("fc103", num_classes=11)
    text = format_summary(summarize(model, height=720, width=960))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    table = lines[1:]
    assert len({len(line) for line in table}) == 1
    assert "9,322,091" in table[-1]
    assert "DB (15 layers)" in text


@pytest.mark.parametrize("name", ["fc103", "densenet121", "densenet_bc100_12"])
def test_totals_are_those_of_the_summary_and_the_model(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, num_classes=7)
    table = list_layers(model, height=64, width=96)
    summary = summarize(model, height=64, width=96)
    layers = [row for row in table.parts if row.layers]
    assert len(layers) == summary.layers
    assert table.parts[-1].words == "norms and other"
    assert table.parameters == summary.parameters == sum(p.numel() for p in model.parameters())
    assert table.multiply_adds == summary.multiply_adds
    assert table.parts[-1].multiply_adds == 0
    weights = {f"{row.name}.weight" for row in layers}
    assert weights <= set(model.state_dict())


def test_rows_say_what_a_layer_is() -> None:
    with torch.device("meta"):
        model = build_model("fc56", num_classes=5)
    rows = {row.name: row for row in list_layers(model, height=32, width=64).parts}
    first = rows["features.conv0"]
    assert (first.kind, first.words, first.detail) == ("convolution", "3x3 conv", "3 -> 48")
    assert (first.size, first.parameters) == ((32, 64), 3 * 48 * 9 + 48)
    assert first.multiply_adds == 3 * 48 * 9 * 32 * 64
    up = rows["decoder.transition5.conv"]
    assert (up.words, up.size) == ("3x3 transposed conv /2", (33, 65))
    assert list(rows)[-2:] == ["classifier", ""]


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
    rows = {row.name: row for row in table.parts}
    assert list(rows) == ["shared", "strided", "head", "unused", ""]
    assert rows["shared"].words == "3x3 depthwise conv"
    assert rows["shared"].multiply_adds == 2 * 3 * 9 * 16 * 16
    assert rows["strided"].words == "3x1 conv /2x1, dilation 2"
    assert (rows["head"].kind, rows["head"].size) == ("linear", ())
    assert (rows["unused"].multiply_adds, rows["unused"].parameters) == (0, 12)
    assert rows[""].multiply_adds == 4  # the product of the logits with themselves
    summary = summarize(Foreign(), height=16, width=16)
    assert summary.parameters == table.parameters == sum(p.numel() for p in Foreign().parameters())
    assert summary.multiply_adds == table.multiply_adds


def test_groups_are_counted() -> None:
    network = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2))
    (row,) = list_layers(network, height=8, width=8).parts
    assert row.words == "3x3 conv, 2 groups"
    assert row.multiply_adds == 6 * 2 * 9 * 6 * 6


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
    assert table.parts[0].words == "3x3x3 conv"
    assert table.parts[0].multiply_adds == 8 * 27 * 4 * 6 * 8
    summary = summarize(model, depth=4, height=6, width=8)
    assert summary.multiply_adds == table.multiply_adds
    assert summary.parts[2].size == (2, 3, 4)
    assert "4x6x8" in format_layers(table)


# DenseNet-264 counts one layer less than its blocks of 6, 12, 64 and 48 have.
@pytest.mark.parametrize(("name", "layers"), [("fc103", 103), ("densenet264", 265)])
def test_table_fits_a_wide_terminal_and_lines_up(name: str, layers: int) -> None:
    with torch.device("meta"):
        model = build_model(name, num_classes=1000)
    lines = format_layers(list_layers(model, height=1024, width=2048)).splitlines()
    assert max(map(len, lines)) <= 120
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
    assert max(map(len, lines)) <= 120
    assert "1.1.1.1" in lines[4]


def test_refuses_what_is_no_network_for_images() -> None:
    with pytest.raises(ValueError, match="has no convolution"):
        list_layers(nn.Linear(3, 4), height=8, width=8)
    with pytest.raises(ValueError, match="3 x 2 x 2"):
        list_layers(nn.Sequential(nn.Conv2d(3, 4, 5)), height=2, width=2)

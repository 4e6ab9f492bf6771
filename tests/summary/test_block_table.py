import copy

import pytest
import torch
from torch import nn

from tiramisu.models import build_model
from tiramisu.summary.block_table import format_summary, summarize


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
    rows = summarize(model, height=224, width=256).rows
    assert [row.kind for row in rows] == [
        "3x3 convolution",
        *(f"DB ({n} layers) + TD" for n in (4, 5, 7, 10, 12)),
        "DB (15 layers)",
        *(f"TU + DB ({n} layers)" for n in (12, 10, 7, 5, 4)),
        "1x1 convolution",
    ]
    widths = [48, 112, 192, 304, 464, 656, 896, 1088, 816, 576, 384, 256, 11]
    assert [row.channels for row in rows] == widths
    scales = [1, 1, 2, 4, 8, 16, 32, 16, 8, 4, 2, 1, 1]
    assert [row.size for row in rows] == [(224 // s, 256 // s) for s in scales]


def test_multiply_adds_of_a_row_by_hand() -> None:
    with torch.device("meta"):
        model = build_model("fc56", num_classes=3)
    rows = summarize(model, height=64, width=32).rows
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
    assert [row.kind for row in summary.rows] == [
        "7x7 convolution",
        "DB (6 layers) + TD",
        "DB (12 layers) + TD",
        "DB (24 layers) + TD",
        "DB (16 layers)",
        "linear",
    ]
    assert [row.size[0] for row in summary.rows] == [112, 56, 28, 14, 7, 1]


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


def test_table_fits_a_terminal_and_lines_up() -> None:
    with torch.device("meta"):
        model = build_model("fc103", num_classes=11)
    text = format_summary(summarize(model, height=720, width=960))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    table = lines[1:]
    assert len({len(line) for line in table}) == 1
    assert "9,322,091" in table[-1]
    assert "DB (15 layers)" in text

import itertools

import pytest
import torch

from tiramisu.inference.tiles import place_tiles


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize(("length", "tile"), [(64, 64), (65, 64), (100, 32), (257, 48), (31, 64)])
def test_weights_sum_to_one_everywhere(length: int, tile: int, overlap: float) -> None:
    total = torch.zeros(length)
    for start, weights in place_tiles(length, tile=tile, overlap=overlap):
        assert len(weights) == min(tile, length)
        assert (weights >= 0).all()
        total[start : start + tile] += weights
    assert torch.allclose(total, torch.ones(length), atol=1e-6)


def test_neighbours_share_at_least_the_overlap() -> None:
    starts = [start for start, _ in place_tiles(1000, tile=100, overlap=0.25)]
    assert starts[0] == 0
    assert starts[-1] == 900
    assert all(b - a <= 75 for a, b in itertools.pairwise(starts))


def test_no_more_tiles_than_needed() -> None:
    assert len(place_tiles(175, tile=100, overlap=0.25)) == 2
    assert len(place_tiles(176, tile=100, overlap=0.25)) == 3


def test_seams_are_context_alone_and_borders_count_in_full() -> None:
    (_, first), (_, last) = place_tiles(160, tile=96, overlap=1 / 3)
    assert (first[-8:] == 0).all()
    assert (last[:8] == 0).all()
    assert (first[:64] == 1).all()
    assert (last[-64:] == 1).all()
    assert (first[64:-8].diff() <= 0).all()

import cv2
import numpy as np
import pytest
import torch

from tiramisu.inference.predict import _prepare
from tiramisu.inference.windows import SeenTiles, Shrinking, Values, shrink

RNG = np.random.default_rng(0)


class InMemory:
    """Windows of an array, which remember how many rows were read at once."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.shape = image.shape
        self.most_rows = 0

    def read(self, rows: slice, columns: slice) -> Values:
        assert 0 <= rows.start < rows.stop <= self.shape[0]
        assert 0 <= columns.start < columns.stop <= self.shape[1]
        self.most_rows = max(self.most_rows, rows.stop - rows.start)
        return self.image[rows, columns]


def noise(height: int, width: int, *, type: str = "uint8", bands: int = 3) -> np.ndarray:
    values = RNG.random((height, width, bands)) * (1 if type == "float32" else np.iinfo(type).max)
    return values.astype(type)


@pytest.mark.parametrize("type", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((200, 300), (100, 150)),
        ((201, 303), (100, 152)),
        ((400, 200), (100, 67)),
        ((311, 277), (115, 102)),
        ((120, 130), (108, 117)),
        ((90, 1), (45, 1)),
    ],
)
def test_a_piece_is_that_piece_of_the_image_shrunk_by_opencv(
    size: tuple[int, int], seen: tuple[int, int], type: str
) -> None:
    image = noise(*size, type=type)
    expected = cv2.resize(image, seen[::-1], interpolation=cv2.INTER_AREA)
    down, across = (Shrinking(*axis) for axis in zip(size, seen, strict=True))
    for top, left in ((0, 0), (7, 0), (seen[0] - 3, seen[1] // 2)):
        rows, columns = slice(top, min(top + 31, seen[0])), slice(left, seen[1])
        piece = image[down.source_of(rows), across.source_of(columns)]
        found = shrink(piece, down, rows, across, columns)
        assert found.dtype == image.dtype
        np.testing.assert_allclose(found, expected[rows, columns], rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (70, 20), (300, 160)])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37])
def test_a_small_image_is_padded_as_a_whole_one_is(size: tuple[int, int], scale: float) -> None:
    image = noise(*size)
    seen = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    expected = _prepare(image, seen)
    tiles = SeenTiles(InMemory(image), seen=seen, convert=lambda values: values)
    assert (tiles.height, tiles.width) == expected.shape[2:]
    assert torch.equal(tiles.read(slice(0, tiles.height), slice(0, tiles.width)), expected)


def test_bands_are_converted_before_they_are_shrunk() -> None:
    image = noise(40, 40, bands=5)
    tiles = SeenTiles(InMemory(image), seen=(40, 40), convert=lambda values: values[..., 2:3])
    assert torch.equal(tiles.read(slice(0, 40), slice(0, 40))[0, 0], torch.tensor(image[..., 2]))
    shrunk = SeenTiles(InMemory(image), seen=(33, 37), convert=lambda values: values[..., 2:3])
    expected = cv2.resize(image[..., 2], (37, 33), interpolation=cv2.INTER_AREA)
    assert (shrunk.read(slice(0, 33), slice(0, 37))[0, 0].numpy() == expected).all()


def test_a_large_piece_is_shrunk_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(900, 120)
    monkeypatch.setattr("tiramisu.inference.windows._MOST_PIXELS", 120 * 60)
    windows = InMemory(image)
    tiles = SeenTiles(windows, seen=(333, 44), convert=lambda values: values)
    expected = cv2.resize(image, (44, 333), interpolation=cv2.INTER_AREA)
    found = tiles.read(slice(0, 333), slice(0, 44))[0].permute(1, 2, 0).numpy()
    assert (found == expected).all()
    assert windows.most_rows <= 63


@pytest.mark.parametrize("seen", [(30, 30), (37, 41)])
def test_a_pixel_that_is_no_number_stays_where_it_is(seen: tuple[int, int]) -> None:
    image = noise(60, 60, type="float32", bands=6)
    image[20, 20] = np.nan
    tiles = SeenTiles(InMemory(image), seen=seen, convert=lambda values: values)
    found = tiles.read(slice(0, tiles.height), slice(0, tiles.width))[0].permute(1, 2, 0)
    found = found[: seen[0], : seen[1]].numpy()
    expected = cv2.resize(image[..., :3], seen[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(found[..., :3], expected, rtol=1e-5)
    assert np.isnan(found).any()

"""Images of any bands and types, with known values."""

from pathlib import Path

import numpy as np
import tifffile

TYPES = ("uint8", "uint16", "int16", "float32")


def values(
    type: str, *, bands: int, height: int = 20, width: int = 24, seed: int = 0
) -> np.ndarray:
    """Random values over the whole range of a type: (H, W, bands)."""
    rng = np.random.default_rng(seed)
    if type == "float32":
        return rng.normal(size=(height, width, bands)).astype(np.float32)
    limits = np.iinfo(type)
    shape = (height, width, bands)
    return rng.integers(limits.min, limits.max, shape, endpoint=True, dtype=type)


def write_tiff(path: Path, image: np.ndarray, **options: object) -> None:
    """Write (H, W, bands) as bands without a meaning, unless options say otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image[..., 0] if image.shape[2] == 1 else image
    options.setdefault("photometric", "minisblack")
    if image.ndim == 3:
        options.setdefault("planarconfig", "contig")
    if options.get("planarconfig") == "separate":
        image = np.moveaxis(image, -1, 0)
    tifffile.imwrite(path, image, **options)


def write_set(root: Path, type: str, *, bands: int, side: int = 64) -> None:
    """A folder for segmentation: two images of train and one of val, with two classes."""
    from PIL import Image

    for split, seeds in (("train", (1, 2)), ("val", (3,))):
        for seed in seeds:
            image = values(type, bands=bands, height=side, width=side, seed=seed)
            write_tiff(root / "images" / split / f"{seed}.tif", image, compression="deflate")
            mask = root / "masks" / split / f"{seed}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image[..., 0] > np.median(image)).astype(np.uint8)).save(mask)

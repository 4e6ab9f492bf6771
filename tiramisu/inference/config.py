"""The settings of prediction. No torch in this file."""

import dataclasses
from typing import Literal

from tiramisu.settings import Accelerator, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """A prediction on images or videos."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, exported .onnx, .xml or .pt2, a shipped model's name,
    or hf://USER/NAME."""
    out: str = "predictions"
    """Folder for masks, overlays and JSON."""
    tile: int | Literal["auto", "off"] = "auto"
    """Side of overlapping tiles, in pixels; auto tiles only what memory would not hold whole, off
    nothing."""
    tta: bool = False
    """Test-time augmentation: average over scales 0.75, 1 and 1.25, each also mirrored."""
    uncertainty: bool = False
    """Monte Carlo dropout: predict the mean of several passes with random dropout, and write
    pictures of the entropy and of the mutual information (where the passes disagree)."""
    mc_dropout: int | None = None
    """Number of those passes; by default 20."""
    overwrite: bool = False
    """Replace earlier predictions in the folder."""
    accelerator: Accelerator = "auto"
    """Where to compute."""

    @property
    def passes(self) -> int:
        """Passes with random dropout; 0 for one without."""
        return (self.mc_dropout or 20) if self.uncertainty else 0

    def __post_init__(self) -> None:
        require(
            self.mc_dropout is None or self.mc_dropout >= 2,
            "mc_dropout",
            self.mc_dropout,
            "2 passes or more",
        )
        if self.mc_dropout is not None and not self.uncertainty:
            raise ValueError("--mc-dropout is the number of passes of --uncertainty: give both")
        if self.tta and self.uncertainty:
            raise ValueError("--tta and --uncertainty average in two ways; give one of them")
        require(
            isinstance(self.tile, str) or self.tile >= 64,
            "tile",
            self.tile,
            "64 or more, auto or off",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifyConfig:
    """A classification of images."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, exported .onnx, .xml or .pt2, a shipped model's name,
    or hf://USER/NAME."""
    out: str = "predictions"
    """Folder for classes.csv and classes.json."""
    top: int = 5
    """Classes to name for each image, the likeliest first."""
    batch_size: int = 16
    """Images at a time."""
    overwrite: bool = False
    """Replace earlier predictions in the folder."""
    accelerator: Accelerator = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        require(self.top >= 1, "top", self.top, "1 or more")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "1 or more")

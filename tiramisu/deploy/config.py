"""The settings of the commands that use a trained network. No torch in this file.

As in `tiramisu.engine.config`, a field here is a flag there.
"""

import dataclasses
from typing import Literal

from tiramisu.engine.config import Accelerator, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """A prediction on images or videos."""

    checkpoint: str
    """Run's folder, model.safetensors, or .ckpt."""
    out: str = "predictions"
    """Folder for masks, overlays and JSON."""
    tile: int | Literal["auto", "off"] = "auto"
    """Side of overlapping tiles, in pixels; auto tiles only what memory would not hold whole."""
    tta: bool = False
    """Test-time augmentation: average over scales 0.75, 1 and 1.25, each also mirrored."""
    overwrite: bool = False
    """Replace earlier predictions in the folder."""
    accelerator: Accelerator = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.tile, str) or self.tile >= 64,
            "tile",
            self.tile,
            "64 or more, auto or off",
        )

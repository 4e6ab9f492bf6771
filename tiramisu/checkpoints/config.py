"""The settings of publishing a model. No torch in this file."""

import dataclasses

from tiramisu.settings import check_ranges


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """A model to publish in Hugging Face's layout.

    Raises:
        ValueError: a field has a value it may not have, or no place to publish to is given.
    """

    checkpoint: str
    """Model: a run's folder, model.safetensors, a .ckpt, the name of a model that comes with the
    package, or hf://USER/NAME."""
    out: str | None = None
    """Folder for model.safetensors, config.json and the model card README.md."""
    push: str | None = None
    """Upload these files to USER/NAME on Hugging Face's Hub; log in first with `hf auth login`."""
    half: bool = False
    """Store the weights in fp16, which halves the file; those of batch norm stay in fp32. When the
    model is loaded, it computes in fp32 as before."""
    private: bool = False
    """Make the repository on the Hub private, if it is new."""
    overwrite: bool = False
    """Replace an earlier model and its card in the folder."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.out is None and self.push is None:
            raise ValueError("nowhere to publish to; give --out FOLDER, --push USER/NAME, or both")

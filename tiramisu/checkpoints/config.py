"""The settings of publishing a model. No torch in this file."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """A model to publish in Hugging Face's layout.

    Raises:
        ValueError: no place to publish to is given.
    """

    checkpoint: str
    """Model: a run's folder, model.safetensors, a .ckpt, the name of a shipped model, or
    hf://USER/NAME."""
    out: str | None = None
    """Folder for model.safetensors, config.json and the model card README.md."""
    push: str | None = None
    """USER/NAME on Hugging Face's Hub to upload them to; first log in with `hf auth login`."""
    half: bool = False
    """Store the weights in 16 bit, which halves the file; those of batch norm stay in 32 bit. The
    computation stays in 32 bit."""
    private: bool = False
    """Make a new repository on the Hub private."""
    overwrite: bool = False
    """Replace an earlier model and its card in the folder."""

    def __post_init__(self) -> None:
        if self.out is None and self.push is None:
            raise ValueError("nowhere to publish to; give --out FOLDER, --push USER/NAME, or both")

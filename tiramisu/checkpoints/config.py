"""The settings of publishing a model. No torch in this file."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """A trained model in Hugging Face's layout."""

    checkpoint: str
    """Run's folder, model.safetensors, .ckpt, a shipped model's name, or hf://USER/NAME."""
    out: str | None = None
    """Folder to write model.safetensors, config.json and the model card README.md to."""
    push: str | None = None
    """USER/NAME on Hugging Face's Hub to upload them to; log in by `hf auth login` before."""
    half: bool = False
    """Store the weights in 16 bit, half the size; they are computed with in 32, as before. Batch
    norm keeps its 32."""
    private: bool = False
    """Keep a new repository on the Hub to yourself."""
    overwrite: bool = False
    """Replace an earlier model and its card in the folder."""

    def __post_init__(self) -> None:
        if self.out is None and self.push is None:
            raise ValueError("say where to publish: --out FOLDER, --push USER/NAME, or both")

"""`save_pretrained`, `from_pretrained` and `push_to_hub` for a model."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import nn
from typing_extensions import Self

from tiramisu.checkpoints.card import write_card
from tiramisu.checkpoints.hub import CARD_NAME, SCHEME, fetch_model, hub_errors
from tiramisu.checkpoints.info import HUB_CONFIG_NAME, INFO_NAME, ModelInfo, config_of, read_info
from tiramisu.checkpoints.weights_file import WEIGHTS_NAME, load_weights, read_weights, save_weights


class HubMixin(ModelHubMixin, nn.Module, ABC):
    """Gives a model `save_pretrained`, `from_pretrained` and `push_to_hub`."""

    network: nn.Module
    info: ModelInfo

    source: Path | None = None
    """The file that `load_model` read the weights from. The card takes the recipe and the figures
    from its run's folder; once the weights have changed, set it to
    None and `info.metrics` to {}."""

    @classmethod
    @abstractmethod
    def build(cls, info: ModelInfo, *, memory_efficient: bool = False) -> Self:
        """A model with fresh weights for what `info` describes."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        device: str | torch.device = "cpu",
        **model_kwargs: Any,
    ) -> Self:
        """Load a model from a folder or from the Hub, ready to predict (evaluation mode).

        Args:
            pretrained_model_name_or_path: a folder, or USER/NAME on the Hub.
            force_download: fetch anew what is in the cache.
            token: of the Hub, for private models; by default that of `hf auth login` or HF_TOKEN.
            cache_dir: where downloads are kept; by default Hugging Face's own cache.
            local_files_only: use what is in the cache, without asking the Hub.
            revision: branch, tag or commit on the Hub; by default its main branch.
            device: where the weights go.

        Raises:
            ValueError: there is no such model, it is none of ours, or of another task.
            FileNotFoundError: the folder holds no model.
            OSError: the Hub cannot be reached.
        """
        if model_kwargs:
            raise ValueError(
                f"from_pretrained does not know {', '.join(model_kwargs)}: a model is built as its "
                f"{HUB_CONFIG_NAME} says"
            )
        name = str(pretrained_model_name_or_path)
        folder = Path(name)
        if not folder.is_dir():
            folder = fetch_model(
                name if name.startswith(SCHEME) else SCHEME + name,
                revision=revision,
                force_download=force_download,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
            )
        info = read_info(folder / INFO_NAME)
        model = cls.build(info)
        model.source = folder / WEIGHTS_NAME
        load_weights(model.network, read_weights(model.source), origin=f"{name} ({info.arch})")
        return model.to(device).eval()

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the model to the Hub, into a repository that is made if there is none.

        Weights, config.json and a new card go up in one commit.

        Args:
            repo_id: USER/NAME.
            **options: private (True keeps a new repository to yourself), token, branch, create_pr,
                commit_message and others, as `huggingface_hub.ModelHubMixin.push_to_hub` has them.

        Returns:
            A URL to look at what was uploaded.

        Raises:
            ValueError: no token, one that may not write there, or no such name.
            OSError: the Hub cannot be reached, or the upload broke off.
        """
        card = {"repo_id": repo_id, **(options.pop("model_card_kwargs", None) or {})}
        options.setdefault("commit_message", f"{self.info.arch} by Tiramisu")
        with hub_errors(repo_id):
            return super().push_to_hub(repo_id, model_card_kwargs=card, **options)

    def generate_model_card(self, *, repo_id: str | None = None) -> ModelCard:
        """The model card; `repo_id` is the name under which others will find the model."""
        # A model that was published before has no run any more, but its card.
        if self.source is not None and self.source.with_name(HUB_CONFIG_NAME).is_file():
            card = self.source.with_name(CARD_NAME)
            if card.is_file():
                return ModelCard(card.read_text())
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        text = write_card(
            self.info,
            network=type(self.network).__name__,
            parameters=parameters,
            half=any(p.dtype == torch.float16 for p in self.network.parameters()),
            source=self.source,
            repo_id=repo_id,
        )
        return ModelCard(text)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write weights and config.json; `save_pretrained` calls it, and adds the card."""
        from tiramisu.checkpoints.info import INFO_NAME

        if (save_directory / INFO_NAME).exists():
            raise ValueError(
                f"{save_directory} is a run's folder: it has its own {INFO_NAME}, which would "
                "describe the new weights wrongly; give another folder"
            )
        save_weights(self.network, save_directory)
        text = json.dumps(config_of(self.info), indent=2)
        (save_directory / HUB_CONFIG_NAME).write_text(text + "\n")

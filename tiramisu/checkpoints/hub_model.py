"""`save_pretrained`, `from_pretrained` and `push_to_hub` for a model."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import nn
from typing_extensions import Self

from tiramisu.checkpoints.card import make_card
from tiramisu.checkpoints.hub import CARD_NAME, SCHEME, fetch_model, hub_errors
from tiramisu.checkpoints.info import HUB_CONFIG_NAME, INFO_NAME, ModelInfo, write_hub_config
from tiramisu.checkpoints.model_files import find_checkpoint
from tiramisu.checkpoints.weights_file import save_weights
from tiramisu.models.own_network import NetworkBuilder
from tiramisu.text import in_one_line


class HubMixin(ModelHubMixin, nn.Module, ABC):
    """Gives a model `save_pretrained`, `from_pretrained` and `push_to_hub`."""

    network: nn.Module
    info: ModelInfo
    source: Path | None = None
    """The file that the weights were loaded from. The model card takes training settings and scores
    from the folder of its run. After you change the weights, set it to None and `info.metrics` to
    {}."""

    @classmethod
    @abstractmethod
    def load(
        cls,
        path: Path,
        *,
        device: str | torch.device = "cpu",
        network: NetworkBuilder | None = None,
        is_downloaded: bool = False,
    ) -> Self:
        """Load a model from its file, ready to predict (evaluation mode)."""

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
        network: NetworkBuilder | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Load a model from a folder or from the Hub, ready to predict (evaluation mode).

        Args:
            pretrained_model_name_or_path: a folder, or USER/NAME on the Hub.
            force_download: download again even if the model is in the cache.
            token: of the Hub, for private models; by default that of `hf auth login` or HF_TOKEN.
            cache_dir: where downloads are kept; by default Hugging Face's own cache.
            local_files_only: only use the cache, without asking the Hub.
            revision: branch, tag or commit on the Hub; by default its main branch.
            device: where the weights go.
            network: see `load_model`.
            **model_kwargs: none are accepted.

        Raises:
            ValueError: there is no such model, Tiramisu did not write it, or it is for another
                task.
            FileNotFoundError: the folder holds no model.
            OSError: the Hub cannot be reached.
        """
        if model_kwargs:
            raise ValueError(
                f"from_pretrained does not know {', '.join(model_kwargs)}; the model is built from "
                f"its {HUB_CONFIG_NAME}"
            )
        name = str(pretrained_model_name_or_path)
        folder = Path(name)
        is_downloaded = not folder.is_dir()
        if is_downloaded:
            folder = fetch_model(
                name if name.startswith(SCHEME) else SCHEME + name,
                revision=revision,
                force_download=force_download,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
            )
        return cls.load(
            find_checkpoint(folder), device=device, network=network, is_downloaded=is_downloaded
        )

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the model to the Hub; its repository is created if it does not exist.

        Weights, config.json and the model card are uploaded in one commit.

        Args:
            repo_id: USER/NAME.
            **options: private (True makes a new repository private), token, branch, create_pr,
                commit_message and others of `huggingface_hub.ModelHubMixin.push_to_hub`.

        Returns:
            The URL of the uploaded model.

        Raises:
            ValueError: there is no token, it has no write permission, or the name is not valid.
            OSError: the Hub cannot be reached, or the upload broke off.
        """
        card = {"repo_id": repo_id, **(options.pop("model_card_kwargs", None) or {})}
        options.setdefault("commit_message", f"{self.info.arch} by Tiramisu")
        with hub_errors(repo_id):
            return super().push_to_hub(repo_id, model_card_kwargs=card, **options)

    def generate_model_card(self, *, repo_id: str | None = None) -> ModelCard:
        """The model card.

        Args:
            repo_id: USER/NAME under which the model will be on the Hub, if it will be.
        """
        # A published model is no longer in the folder of its run, but has its card.
        if self.source is not None and self.source.with_name(HUB_CONFIG_NAME).is_file():
            card = self.source.with_name(CARD_NAME)
            if card.is_file():
                return _read_card(card)
        parameters = list(self.network.parameters())
        return make_card(
            self.info,
            network=type(self.network).__name__,
            num_parameters=sum(parameter.numel() for parameter in parameters),
            half=any(parameter.dtype == torch.float16 for parameter in parameters),
            source=self.source,
            repo_id=repo_id,
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write weights and config.json; `save_pretrained` calls it, and then writes the card."""
        if (save_directory / INFO_NAME).exists():
            raise ValueError(
                f"{save_directory} is a run's folder: its {INFO_NAME} would not fit the new "
                "weights; give another folder"
            )
        save_weights(self.network, save_directory)
        write_hub_config(self.info, save_directory)


def _read_card(path: Path) -> ModelCard:
    """The card of a published model. Raises ValueError if it is damaged."""
    try:
        return ModelCard(path.read_text(encoding="utf-8"))
    except OSError:
        raise
    except Exception as error:  # of many kinds, from the YAML at its top
        raise ValueError(
            f"{path} is no model card ({in_one_line(error)}); mend the YAML at its top, or remove "
            "the file: a new card is made then"
        ) from None

"""Trained models in Hugging Face's layout: a folder, or a repository of the Hub.

Such a folder holds `model.safetensors`, `config.json` (what `model.json` says in a run's folder,
and by what it was written) and `README.md`, the model card. Weights are never read from a pickle.
Where a path is asked for, `hf://USER/NAME` or `hf://USER/NAME@REVISION` names a model on the Hub:
a plain `USER/NAME` is a folder there, so that a mistyped path never goes to the network.
"""

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin, constants, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from torch import nn
from typing_extensions import Self

if TYPE_CHECKING:
    from tiramisu.engine.model import ModelInfo

HUB_CONFIG_NAME = "config.json"
CARD_NAME = "README.md"
SCHEME = "hf://"
# What config.json says besides a ModelInfo: for people, and for the Hub.
CONFIG_EXTRAS = ("library_name", "tiramisu_version")

_NAME = re.compile(rf"{SCHEME}(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


class HubMixin(ModelHubMixin):
    """Gives a model `save_pretrained`, `from_pretrained` and `push_to_hub`."""

    network: nn.Module
    info: "ModelInfo"

    source: Path | None = None
    """The file that `load_model` read the weights from. The card takes the recipe and the figures
    from its run's folder; once the weights have changed, set it to
    None and `info.metrics` to {}."""

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
        from tiramisu.engine.checkpoint import load_model

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
        model = load_model(folder, device=device)
        if not isinstance(model, cls):
            raise ValueError(
                f"{name} is a {type(model).__name__} ({model.info.arch}): load it by "
                f"{type(model).__name__}.from_pretrained, or by load_model"
            )
        return model

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
        from tiramisu.engine.card import write_card

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
        from tiramisu.engine.checkpoint import INFO_NAME, save_weights

        if (save_directory / INFO_NAME).exists():
            raise ValueError(
                f"{save_directory} is a run's folder: it has its own {INFO_NAME}, which would "
                "describe the new weights wrongly; give another folder"
            )
        save_weights(self.network, save_directory)
        text = json.dumps(config_of(self.info), indent=2)
        (save_directory / HUB_CONFIG_NAME).write_text(text + "\n")


def config_of(info: "ModelInfo") -> dict[str, Any]:
    """What config.json says of a model."""
    try:
        ours = version("tiramisu-seg")
    except PackageNotFoundError:  # used from a clone, by torch.hub for one
        ours = None
    extras = dict(zip(CONFIG_EXTRAS, ("tiramisu", ours), strict=True))
    return {**extras, **dataclasses.asdict(info)}


def strip_extras(config: dict[str, Any]) -> dict[str, Any]:
    """What config.json says of a model, as `model.json` would say it."""
    return {name: value for name, value in config.items() if name not in CONFIG_EXTRAS}


def fetch_model(name: str, *, revision: str | None = None, **options: Any) -> Path:
    """The folder, in Hugging Face's cache, of a model on the Hub; fetched if it is not there.

    Args:
        name: hf://USER/NAME or hf://USER/NAME@REVISION.
        revision: branch, tag or commit, if the name has none.
        **options: token, cache_dir, force_download and others of `snapshot_download`.

    Raises:
        ValueError: there is no such model, or it is none of ours.
        OSError: the Hub cannot be reached.
    """
    from tiramisu.engine.checkpoint import WEIGHTS_NAME

    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name} names no model: there is no such folder, and on the Hub a model is called "
            f"{SCHEME}USER/NAME"
        )
    revision = match["revision"] or revision
    with hub_errors(match["repo"], revision=revision):
        # One snapshot: config and weights are of the same commit.
        folder = snapshot_download(
            match["repo"],
            revision=revision,
            allow_patterns=[HUB_CONFIG_NAME, WEIGHTS_NAME],
            **options,
        )
    missing = [part for part in (HUB_CONFIG_NAME, WEIGHTS_NAME) if not Path(folder, part).is_file()]
    if missing:
        raise ValueError(
            f"{match['repo']} on the Hub has no {' and no '.join(missing)}: it is no model that "
            "Tiramisu published"
        )
    return Path(folder)


@contextmanager
def hub_errors(repo_id: str, *, revision: str | None = None) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line that says what to do."""
    log_in = "log in by `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except HFValidationError:
        raise ValueError(
            f"{repo_id} is no name on the Hub; expected USER/NAME of letters, digits, -, _ and ."
        ) from None
    except LocalTokenNotFoundError:
        raise ValueError(f"the Hub wants to know who you are: {log_in}") from None
    except GatedRepoError:
        raise ValueError(
            f"{repo_id} is open to approved users only: ask for access on its page, then {log_in}"
        ) from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"there is no model {repo_id} on the Hub that you may use: check the name, and for a "
            f"private one {log_in}"
        ) from None
    except RevisionNotFoundError:
        raise ValueError(f"{repo_id} has no branch, tag or commit {revision}") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise OSError(
            f"{repo_id} is not in the cache, and {constants.ENDPOINT} cannot be reached or must "
            "not be asked: check the network and HF_HUB_OFFLINE, or give a folder"
        ) from None
    except EntryNotFoundError as error:
        raise ValueError(f"{repo_id}: {_first_line(error)}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise ValueError(
                f"the Hub does not let you do this to {repo_id} (status {status}): {log_in}, with "
                "a token that may write there"
            ) from None
        raise OSError(f"the Hub failed on {repo_id}: {_first_line(error)}; try again") from None
    except (HTTPError, RuntimeError) as error:
        # The HTTP library's own base class, and what huggingface_hub wraps a broken upload in.
        raise OSError(
            f"{constants.ENDPOINT} cannot be reached, or the connection broke "
            f"({_first_line(error.__cause__ or error)}): check the network and try again"
        ) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def is_hub_name(path: str | os.PathLike[str]) -> bool:
    """Whether a path is none, but names a model on the Hub."""
    return os.fspath(path).startswith(SCHEME)

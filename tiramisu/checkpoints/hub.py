"""Trained models in Hugging Face's layout: a folder, or a repository of the Hub.

Such a folder holds `model.safetensors`, `config.json` (the content of `model.json`, and the version
of Tiramisu that wrote it) and `README.md`, the model card. Weights are never read from a pickle.
Where a path is expected, `hf://USER/NAME` or `hf://USER/NAME@REVISION` names a model on the Hub. A
plain `USER/NAME` is always a local folder, so a mistyped path never goes to the network.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants, errors, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tiramisu.checkpoints.info import HUB_CONFIG_NAME
from tiramisu.checkpoints.weights_file import WEIGHTS_NAME

CARD_NAME = "README.md"
SCHEME = "hf://"

# The base class of the HTTP library's errors: httpx, or requests before huggingface_hub 1.0.
_HTTPError: type[Exception] = vars(errors)["HTTPError"]
_NAME = re.compile(rf"{SCHEME}(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def fetch_model(name: str, *, revision: str | None = None, **options: Any) -> Path:
    """Download a model from the Hub unless it is in Hugging Face's cache; returns its folder.

    Args:
        name: hf://USER/NAME or hf://USER/NAME@REVISION.
        revision: branch, tag or commit, if the name has none.
        **options: token, cache_dir, force_download and others of `hf_hub_download`.

    Raises:
        ValueError: there is no such model, or Tiramisu did not publish it.
        OSError: the Hub cannot be reached.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name} is neither a folder nor the name of a model on the Hub; expected "
            f"{SCHEME}USER/NAME"
        )
    revision = match["revision"] or revision
    repo = match["repo"]
    with hub_errors(repo, revision=revision):
        # One after the other in this thread: Ctrl-C does not end the threads of a whole snapshot.
        config = _fetch(repo, HUB_CONFIG_NAME, revision=revision, **options)
        # The folder's name is its commit, from which the weights must be too.
        commit = revision if "local_dir" in options else config.parent.name
        return _fetch(repo, WEIGHTS_NAME, revision=commit, **options).parent


def _fetch(repo: str, name: str, **options: Any) -> Path:
    try:
        return Path(hf_hub_download(repo, name, **options))
    except LocalEntryNotFoundError:  # also an EntryNotFoundError, but about the network
        raise
    except EntryNotFoundError:
        raise ValueError(
            f"{repo} on the Hub has no {name}; expected a model that Tiramisu published"
        ) from None


@contextmanager
def hub_errors(repo_id: str, *, revision: str | None = None) -> Iterator[None]:
    """Replace errors of huggingface_hub by one line that says what to do.

    Args:
        repo_id: USER/NAME, for the message.
        revision: branch, tag or commit, for the message.
    """
    log_in = "log in by `hf auth login`, or set HF_TOKEN"
    # GatedRepoError is also a RepositoryNotFoundError, so it comes first.
    mistakes: dict[type[Exception], str] = {
        HFValidationError: f"{repo_id} is not a valid name on the Hub; expected USER/NAME, made of "
        "letters, digits and the characters - _ .",
        LocalTokenNotFoundError: f"the Hub requires a login: {log_in}",
        GatedRepoError: f"{repo_id} is only open to approved users: ask for access on its page, "
        f"then {log_in}",
        RepositoryNotFoundError: f"there is no model {repo_id} on the Hub, or you have no access "
        f"to it: check the name, and for a private model {log_in}",
        RevisionNotFoundError: f"{repo_id} has no branch, tag or commit {revision}",
    }
    try:
        yield
    except tuple(mistakes) as error:
        problem = next(text for kind, text in mistakes.items() if isinstance(error, kind))
        raise ValueError(problem) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise OSError(
            f"{repo_id} is not in the cache, and {constants.ENDPOINT} cannot be reached or is "
            "switched off: check the network and HF_HUB_OFFLINE, or give a folder"
        ) from None
    except EntryNotFoundError as error:
        raise ValueError(f"{repo_id}: {_first_line(error)}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise ValueError(
                f"the Hub refused access to {repo_id} (status {status}): {log_in}, with a token "
                "that has write permission"
            ) from None
        raise OSError(f"the Hub failed on {repo_id}: {_first_line(error)}; try again") from None
    except (_HTTPError, RuntimeError) as error:
        # huggingface_hub raises RuntimeError when an upload breaks off.
        raise OSError(
            f"{constants.ENDPOINT} cannot be reached, or the connection broke "
            f"({_first_line(error.__cause__ or error)}): check the network and try again"
        ) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def is_hub_name(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the name of a model on the Hub (hf://...)."""
    return os.fspath(path).startswith(SCHEME)

"""Trained models in Hugging Face's layout: a folder, or a repository of the Hub.

Such a folder holds `model.safetensors`, `config.json` (what `model.json` says in a run's folder,
and by what it was written) and `README.md`, the model card. Weights are never read from a pickle.
Where a path is asked for, `hf://USER/NAME` or `hf://USER/NAME@REVISION` names a model on the Hub:
a plain `USER/NAME` is a folder there, so that a mistyped path never goes to the network.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants, snapshot_download
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

from tiramisu.checkpoints.info import HUB_CONFIG_NAME
from tiramisu.checkpoints.weights_file import WEIGHTS_NAME

if TYPE_CHECKING:
    pass

CARD_NAME = "README.md"
SCHEME = "hf://"

_NAME = re.compile(rf"{SCHEME}(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


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

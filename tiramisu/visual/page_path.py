"""The file of a page, checked before the work; imports no library, so that this takes no time."""

from pathlib import Path

from tiramisu.atomic import make_folder

_SUFFIX = ".html"


def check_page_path(path: str | None, *, overwrite: bool) -> None:
    """Refuse a file for a page before the work, not after it.

    Args:
        path: the file; None if there shall be none.
        overwrite: whether it may replace a file.

    Raises:
        ValueError: no page can be written there.
    """
    if path is None:
        return
    file = Path(path)
    if file.suffix.lower() != _SUFFIX:
        raise ValueError(f"{file} is no page; expected a file that ends in {_SUFFIX}")
    if file.is_dir():
        raise ValueError(f"{file} is a folder; expected a file that ends in {_SUFFIX}")
    if not file.parent.is_dir():
        raise ValueError(
            f"there is no folder {file.parent} for {file.name}; make it, or give another"
        )
    if file.exists() and not overwrite:
        raise ValueError(f"{file} exists already; give --overwrite, or another file")
    make_folder(file.parent, flag="file")  # it exists: this tries whether files can be made there

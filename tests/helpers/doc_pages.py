"""The pages of the documentation, and the code in them."""

import re
from pathlib import Path

CLONE = Path(__file__).parents[2]
DOCS = CLONE / "docs"
PAGES = [CLONE / "README.md", *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(CLONE).as_posix()


def find_blocks(page: Path, language: str) -> list[str]:
    """The blocks of code of a page in a language, a regular expression."""
    return re.findall(rf"^```(?:{language})\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def find_inline(page: Path) -> list[str]:
    """What stands between single backticks, outside of blocks; lines are joined."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]

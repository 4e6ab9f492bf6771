"""A page in one file, as a test reads it."""

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """The texts of a page, and its elements with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

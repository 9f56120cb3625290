"""The Markdown pages of the project and what stands in them, for tests that hold them to the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]

_FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


class Page(msgspec.Struct, frozen=True):
    """One page."""

    path: Path
    text: str

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def prose(self) -> str:
        """The page without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def blocks(self, *languages: str) -> Iterator[tuple[int, str]]:
        """The fenced blocks of some languages, as (line of the first line, text)."""
        for found in _FENCE.finditer(self.text):
            if found[1] in languages:
                yield self.text.count("\n", 0, found.start(2)) + 1, found[2]

    def links(self) -> list[str]:
        """Where the page's links point."""
        return _LINK.findall(self.prose)

    def code(self) -> list[str]:
        """The code in the running text."""
        return _CODE.findall(self.prose)

    def anchors(self) -> set[str]:
        """The names of the headings that a link can point at, as GitHub makes them."""
        plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(self.prose))
        return {title.strip().replace(" ", "-") for title in plain}

    def commands(self) -> Iterator[str]:
        """Every command line shown: in shell blocks, and in the text where it holds no placeholder."""
        for _, block in self.blocks("sh", "shell", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                yield line.removeprefix("$ ").partition(" # ")[0].strip()
        yield from (code for code in self.code() if not set(code) & set("…[]{}|"))


def pages() -> list[Page]:
    """Every page of the project."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [Page(path, path.read_text(encoding="utf-8")) for path in sorted(paths)]

"""Counts the lines of docs/coming_from.md and writes its table: python docs/make_coming_from_table.py.

The rule, for both sides alike. Python is written anew, by `ast.unparse`: one statement a line, however it was broken
into lines. A command of a shell is one line, however it is continued. Blank lines, comments and imports are not
counted. kdvideo's lines are at most 120 characters long as they stand on the page, so that nothing is packed into one.
What kdvideo lacks has no lines, and is not among those that take as few.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

from kdvideo.tables import markdown_table

PAGE = Path(__file__).with_name("coming_from.md")
START, END = "<!-- table -->\n", "<!-- end of table -->\n"
ITEM = re.compile(r"^### (\d+)\. (.+?)\n(.*?)(?=^##)", flags=re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
LIBRARY = re.compile(r"^\[(.+?)\]\((https://.+?)\):$", flags=re.MULTILINE)
THEIRS, OURS = ("py", "sh"), ("python", "bash")


class Item(NamedTuple):
    """A thing to do, in two ways.

    Attributes:
        number: its place on the page, from 1.
        what: its title.
        library: who does it.
        address: where they show it.
        theirs: kind and text of their block.
        ours: kind and text of kdvideo's block. None where it has no way.
    """

    number: int
    what: str
    library: str
    address: str
    theirs: tuple[str, str]
    ours: tuple[str, str] | None

    @property
    def as_few(self) -> bool:
        """Whether kdvideo takes at most as many lines."""
        return self.ours is not None and count_lines(*self.ours) <= count_lines(*self.theirs)


def read_items(text: str) -> list[Item]:
    """Reads the things that the page compares."""
    items = []
    for number, what, body in ITEM.findall(text):
        blocks: list[tuple[str, str]] = BLOCK.findall(body)
        (theirs,) = [block for block in blocks if block[0] in THEIRS]
        ours = [block for block in blocks if block[0] in OURS]
        ((library, address),) = LIBRARY.findall(body)
        items.append(Item(int(number), what, library, address, theirs, ours[0] if ours else None))
    return items


def count_lines(kind: str, text: str) -> int:
    """Counts the lines of a block by the rule above."""
    if kind in ("sh", "bash"):
        lines = text.replace("\\\n", " ").splitlines()
        return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)
    statements = [each for each in ast.parse(text).body if not isinstance(each, ast.Import | ast.ImportFrom)]
    return sum(len(ast.unparse(each).splitlines()) for each in statements)


def make_table(items: list[Item]) -> str:
    """Renders the lines of both sides, and how often kdvideo takes at most as many."""
    rows = [
        (
            str(item.number),
            item.what,
            item.library,
            str(count_lines(*item.theirs)),
            str(count_lines(*item.ours)) if item.ours else "none",
        )
        for item in items
    ]
    number = sum(item.as_few for item in items)
    return (
        markdown_table([("", "What", "Library", "Its lines", "kdvideo's"), *rows])
        + f"\nAt most as many lines: {number} of {len(items)}.\n"
    )


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    table = make_table(read_items(page))
    PAGE.write_text(page[: page.index(START) + len(START)] + "\n" + table + "\n" + page[page.index(END) :], "utf-8")
    print(table)

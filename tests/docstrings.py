"""Measures how docstrings begin: `python tests/docstrings.py [PATHS]` lists those to mend and prints the counts.

A docstring of a function or method begins with a verb ("Returns the ..") and has five words or more.
"""

import ast
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Docstring", "find_docstrings"]

VERBS = frozenset((Path(__file__).parent / "verbs.txt").read_text("utf-8").split())  # add one that is missing
LEAST_WORDS = 5


@dataclass(frozen=True)
class Docstring:
    """The docstring of a function or method."""

    where: str
    text: str
    is_property: bool

    @property
    def first_sentence(self) -> list[str]:
        """Returns the words of the first sentence."""
        return self.text.split("\n\n")[0].split(". ")[0].split()

    @property
    def begins_with_verb(self) -> bool:
        """Tells whether it begins with a verb; a property may say what it is instead, in up to eight words."""
        if self.is_property and len(self.first_sentence) <= 8:
            return True
        return self.first_sentence[0] in VERBS

    @property
    def is_short(self) -> bool:
        """Tells whether it has so few words that it says nothing."""
        return len(self.text.split()) < LEAST_WORDS


def find_docstrings(paths: Sequence[Path]) -> Iterator[Docstring]:
    """Yields the docstrings of all functions and methods in these files and folders."""
    for file in (file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
                decorators = {getattr(item, "id", getattr(item, "attr", "")) for item in node.decorator_list}
                is_property = bool(decorators & {"property", "cached_property"})
                yield Docstring(f"{file}:{node.lineno} {node.name}", text, is_property)


def main() -> None:
    """Prints the docstrings to mend and the counts."""
    found = list(find_docstrings([Path(path) for path in sys.argv[1:]] or [Path("kdvideo")]))
    for docstring in found:
        if not docstring.begins_with_verb or docstring.is_short:
            print(f"{docstring.where}: {' '.join(docstring.first_sentence)}")
    verbs = sum(docstring.begins_with_verb for docstring in found)
    print(f"{len(found)} docstrings of functions and methods; {verbs / len(found):.1%} begin with a verb")
    print(f"{sum(docstring.is_short for docstring in found)} have fewer than {LEAST_WORDS} words")
    print(f"first sentences have {statistics.median(len(each.first_sentence) for each in found):g} words in the median")


if __name__ == "__main__":
    main()

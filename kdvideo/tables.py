"""Tables in markdown."""

from collections.abc import Iterable, Sequence

__all__ = ["markdown_rows", "markdown_table"]


def markdown_rows(rows: Iterable[Sequence[str]]) -> str:
    """Formats each row as a line of a markdown table, with its line end."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Formats a markdown table. The first row is its header."""
    head, *body = rows
    return f"{markdown_rows([head])}{'|---' * len(head)}|\n{markdown_rows(body)}"

"""Counts what docs/design.md promises of the code: `python tests/counts.py`; tests/test_counts.py holds the limits."""

import ast
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

__all__ = ["ALLOWED", "count", "metric_names_taken_apart", "raises_that_name_settings"]

PACKAGE = Path(__file__).resolve().parent.parent / "kdvideo"
GROUND_FLOOR = ("data", "models", "losses", "tasks", "evaluation", "zoo", "inference", "registry.py")
# A config key or a flag. A whole command in backquotes may be run by anybody, from wherever the error came.
SETTING = re.compile(r"\b[A-Z]{3,}\.[A-Z_]{2,}\b|--[a-z]")
COMMAND = re.compile(r"`kdvideo [^`]*`")
TAKEN_APART = re.compile(
    r"metric\w*(\[[^]]*\])?\.(removeprefix|removesuffix|startswith|endswith|partition|rpartition|split|replace)\("
    r"|\"\w+\" (not )?in (metric|name)\b|re\.\w+\(.*\bmetric"
)
ALLOWED = {  # the most that each count may be
    "files that name metrics.jsonl": 1,
    "files that name config.yaml": 1,
    "files that enter a zoo's entries": 1,
    "files that enter a zoo's weights": 1,
    "times zoo_dir": 5,
    "assert isinstance": 5,
    "raises that name settings": 0,
    "lines of the median file": 110,
    "lines of the longest file": 300,
    "lines of a function, 90 % of them": 25,
    "lines of the longest function": 60,
    "arguments of a function": 8,
}


@cache
def _files() -> Mapping[Path, tuple[str, ast.Module]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    texts = {path: path.read_text("utf-8") for path in paths}
    return {path: (text, ast.parse(text)) for path, text in texts.items()}


def _nodes(kind: type, *parts: str) -> Iterator[tuple[Path, ast.AST]]:
    for path, (_, tree) in _files().items():
        if not parts or path.relative_to(PACKAGE).parts[0] in parts:
            yield from ((path, node) for node in ast.walk(tree) if isinstance(node, kind))


def _files_with(kind: type, holds: Callable[[ast.AST], bool]) -> int:
    return len({path for path, node in _nodes(kind) if holds(node)})


def _is_text(text: str) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, ast.Constant) and node.value == text


def _is_folder(name: str) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _is_text(name)(node.right)


def _texts(node: ast.AST) -> str:
    parts = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
    return "".join(part for part in parts if isinstance(part, str))


def raises_that_name_settings() -> list[str]:
    """Returns the raises of the ground floor whose texts name a config key or a flag."""
    return [
        f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
        for path, node in _nodes(ast.Raise, *GROUND_FLOOR)
        if SETTING.search(COMMAND.sub("", _texts(node)))
    ]


def metric_names_taken_apart() -> list[str]:
    """Returns the lines that seem to take a metric's name apart, to be looked at."""
    return [
        f"{path.relative_to(PACKAGE.parent)}:{number} {line.strip()}"
        for path, (text, _) in _files().items()
        for number, line in enumerate(text.splitlines(), 1)
        if TAKEN_APART.search(line)
    ]


def _is_isinstance(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"


def _num_arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def count() -> dict[str, float]:
    """Returns each of the counts that `ALLOWED` has a limit for."""
    files = [len(text.splitlines()) for path, (text, _) in _files().items() if path.name != "__init__.py"]
    functions = [node for _, node in _nodes(ast.FunctionDef)]
    lines = [node.end_lineno - node.lineno + 1 for node in functions]
    return {
        "files that name metrics.jsonl": _files_with(ast.Constant, _is_text("metrics.jsonl")),
        "files that name config.yaml": _files_with(ast.Constant, _is_text("config.yaml")),
        "files that enter a zoo's entries": _files_with(ast.BinOp, _is_folder("entries")),
        "files that enter a zoo's weights": _files_with(ast.BinOp, _is_folder("weights")),
        "times zoo_dir": sum(len(re.findall(r"\bzoo_dir\b", text)) for text, _ in _files().values()),
        "assert isinstance": sum(_is_isinstance(node.test) for _, node in _nodes(ast.Assert)),
        "raises that name settings": len(raises_that_name_settings()),
        "lines of the median file": statistics.median(files),
        "lines of the longest file": max(files),
        "lines of a function, 90 % of them": statistics.quantiles(lines, n=10)[-1],
        "lines of the longest function": max(lines),
        "arguments of a function": max(map(_num_arguments, functions)),
    }


def main() -> None:
    """Prints the counts beside what is allowed, and the places to look at."""
    for name, number in count().items():
        print(f"{number:6g}  {'of' if number <= ALLOWED[name] else 'MORE THAN'} {ALLOWED[name]}  {name}")
    for title, places in (
        ("raises that name settings", raises_that_name_settings()),
        ("metrics' names taken apart, perhaps", metric_names_taken_apart()),
    ):
        print(f"\n{title}:", *places, sep="\n  ")


if __name__ == "__main__":
    main()

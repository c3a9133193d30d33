"""Every public name has a docstring that begins with a verb and, with tensors, says their shapes."""

import inspect
import pkgutil
import re
import statistics
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from docstrings import find_docstrings

import kdvideo

SHAPE = re.compile(r"\[(\d|\.\.\.|[A-Za-z*])[^\[\]]*\]")  # [B, C, T, H, W], [B], [..., D], [2*B, K]
STATE = re.compile(r"(Mapping|dict|OrderedDict)\[str, [\w.]*Tensor\]")  # a state dict: each tensor has its own shape
MODULES = [
    import_module(module.name)
    for module in pkgutil.walk_packages(kdvideo.__path__, "kdvideo.")
    if not module.name.endswith("__main__")
]


def public_objects(module: ModuleType) -> Iterator[tuple[str, object]]:
    """What `__all__` names and the module defines: functions, classes and their own public members."""
    for name in module.__all__:
        found = getattr(module, name)
        if getattr(found, "__module__", None) != module.__name__ or not (
            inspect.isclass(found) or inspect.isfunction(found)
        ):
            continue
        yield name, found
        if inspect.isclass(found):
            for member, value in vars(found).items():
                value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                value = value.fget if isinstance(value, property) else value
                if not member.startswith("_") and inspect.isfunction(value):
                    yield f"{name}.{member}", value


OBJECTS = {
    f"{module.__name__}.{name}": found
    for module in MODULES
    if hasattr(module, "__all__")
    for name, found in public_objects(module)
}

DOCSTRINGS = list(find_docstrings([Path(kdvideo.__file__).parent]))


def annotations(found: object) -> list[str]:
    """Of arguments and result, or of a class's fields, as text."""
    if inspect.isclass(found):
        return [str(annotation) for annotation in vars(found).get("__annotations__", {}).values()]
    signature = inspect.signature(found)
    return [str(item.annotation) for item in signature.parameters.values()] + [str(signature.return_annotation)]


def takes_tensors(where: str, found: object) -> bool:
    """Whether a tensor goes in or out; mappings of tensors count for `forward` alone, elsewhere they are states."""
    texts = annotations(found)
    if not where.rpartition(".")[2].startswith("forward"):
        texts = [STATE.sub("", text) for text in texts]
    return any(re.search(r"\bTensor\b", text) for text in texts)


def test_something_is_looked_at():
    """The package's names, with tensors and without."""
    assert len(OBJECTS) > 300
    assert len([where for where, found in OBJECTS.items() if takes_tensors(where, found)]) > 60


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_modules_say_what_is_public(module: ModuleType):
    """Each has a docstring and an `__all__` of names that exist; a package that gives no names has none."""
    assert module.__doc__
    defined = [item for item in vars(module).values() if inspect.isfunction(item) or inspect.isclass(item)]
    assert hasattr(module, "__all__") or not defined
    assert all(hasattr(module, name) for name in getattr(module, "__all__", ()))


@pytest.mark.parametrize("name", kdvideo.__all__)
def test_top_level_names(name: str):
    """What `kdvideo.NAME` gives has a docstring; `__version__` is a string."""
    found = getattr(kdvideo, name)
    assert isinstance(found, str) or inspect.getdoc(found)


@pytest.mark.parametrize("where", OBJECTS)
def test_docstring(where: str):
    """There is one of its own; with tensors, it has a shape in brackets."""
    found = OBJECTS[where]
    docstring = found.__doc__  # not inspect.getdoc, which would take the base class's
    assert docstring, f"{where} has no docstring"
    assert not docstring.startswith(f"{where.rpartition('.')[2]}("), f"{where} has no docstring but dataclass's own"
    if takes_tensors(where, found):
        assert SHAPE.search(docstring), f"{where} takes or gives tensors, its docstring names no shape: {docstring!r}"


def test_docstrings_of_functions_begin_with_a_verb():
    """A property may say what it is instead; tests/verbs.txt has the verbs."""
    assert len(DOCSTRINGS) > 800
    assert not [found.where for found in DOCSTRINGS if not found.begins_with_verb]


def test_docstrings_say_something_in_few_words():
    """None has fewer than five words; a first sentence has ten in the median."""
    assert not [found.where for found in DOCSTRINGS if found.is_short]
    assert statistics.median(len(found.first_sentence) for found in DOCSTRINGS) <= 10

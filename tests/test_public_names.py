"""Every public name is documented: what it is, what goes in and comes out, which errors, and an example that is run.

Public is what a module lists in `__all__`, whichever module of `zest_jax` that is; a module without one holds no public name.
Constants and type aliases are values, whose documentation is where they are used.
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import zest_jax

PACKAGE = Path(zest_jax.__file__).parent
#: The headings that mkdocstrings reads in Google's style; another would be shown as text.
HEADINGS = ("Args", "Attributes", "Returns", "Yields", "Raises")
ARRAY = re.compile(r"\b(ndarray|Array|ArrayLike|Float|Int|Bool|Shaped|Num|UInt8)\b")
#: `[N, H, W, C]`, `[..]` or `[sum of K_i, classes]`; not `[0, 1]`, and not the `[onnx]` of a requirement.
SHAPE = re.compile(r"(?<![\w\"])\[(?=[^\[\]]*([A-Za-z]|\.\.))[^\[\]\"'=]+\]")


class Public(NamedTuple):
    """A public function or class, under the shortest of its names."""

    name: str
    value: Any

    @property
    def doc(self) -> str:
        return own_doc(self.value)

    @property
    def prose(self) -> str:
        """The docstring without its examples."""
        return re.sub(r"^( *)(>>>|\.\.\.).*$", "", self.doc, flags=re.M)


def declares_names(path: Path) -> bool:
    """Whether a module has an `__all__`, told from its text: importing every module would need every extra."""
    return any(
        isinstance(node, ast.Name) and node.id == "__all__" and isinstance(node.ctx, ast.Store)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


@functools.cache
def public_modules() -> tuple[ModuleType, ...]:
    names = [zest_jax.__name__]
    names += [found.name for found in pkgutil.walk_packages([str(PACKAGE)], "zest_jax.")]
    paths = {name: PACKAGE.joinpath(*name.split(".")[1:]) for name in names}
    files = {name: path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for name, path in paths.items()}
    return tuple(importlib.import_module(name) for name, file in files.items() if declares_names(file))


@functools.cache
def public_names() -> tuple[Public, ...]:
    """Public functions and classes of this package, each once."""
    found: dict[int, Public] = {}
    for module in sorted(public_modules(), key=lambda module: module.__name__.count(".")):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(id(value), Public(f"{module.__name__}.{name}", value))
    return tuple(found.values())


def own_doc(value: Any) -> str:
    """The docstring that was written: not inherited, and not the signature that NamedTuples and dataclasses get."""
    doc = inspect.cleandoc(vars(value).get("__doc__") or "" if inspect.isclass(value) else value.__doc__ or "")
    return "" if inspect.isclass(value) and doc.startswith(f"{value.__name__}(") else doc


def fields(value: type) -> dict[str, Any]:
    """What a class is made from, by name: the fields of dataclasses and NamedTuples, the arguments of other classes."""
    if issubclass(value, tuple) and hasattr(value, "_fields"):
        return {name: value.__annotations__.get(name) for name in value._fields}
    if dataclasses.is_dataclass(value):
        return {field.name: field.type for field in dataclasses.fields(value) if not field.name.startswith("_")}
    if "__init__" not in vars(value) or typing.is_protocol(value) if hasattr(typing, "is_protocol") else False:
        return {}
    return arguments(vars(value)["__init__"]) if "__init__" in vars(value) else {}


def arguments(function: Any) -> dict[str, Any]:
    """Annotations of what a function is given, without the object that it is a method of."""
    parameters = inspect.signature(function).parameters
    return {
        name: parameter.annotation
        for name, parameter in parameters.items()
        if name not in ("self", "cls") and not name.startswith("_")
    }


def methods(value: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that are written in a class."""
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, (classmethod, staticmethod)):
            yield name, member.__func__
        elif isinstance(member, (property, functools.cached_property)):
            yield name, member.fget if isinstance(member, property) else member.func
        elif inspect.isfunction(member):
            yield name, member


def section(doc: str, heading: str) -> str | None:
    """What is indented below a heading."""
    found = re.search(rf"^{heading}:\n((?:(?: +.*)?(?:\n|\Z))+)", doc, re.M)
    return found[1] if found else None


def described(doc: str) -> set[str]:
    """The names that stand before a colon below `Args:` and `Attributes:`; one line may hold several."""
    text = "".join(textwrap.dedent(section(doc, heading) or "") for heading in ("Args", "Attributes"))
    lines = re.findall(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:", text, re.M)
    return {name.lstrip("*") for line in lines for name in line.split(", ")}


def raised(function: Any) -> set[str]:
    """The kinds of errors that the body of a function raises by name."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        return set()
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = [call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)]
    return {name for name in names if name.endswith("Error")}


def text_of(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def holds_arrays(annotations: dict[str, Any]) -> bool:
    return any(ARRAY.search(text_of(annotation)) for annotation in annotations.values())


def tells_shapes(annotations: dict[str, Any], doc: str) -> bool:
    typed = any(re.search(r"\[.*['\"]", text_of(annotation)) for annotation in annotations.values())
    return typed or bool(SHAPE.search(re.sub(r"^ *(>>>|\.\.\.).*$", "", doc, flags=re.M)))


def returns(function: Any) -> Any:
    return inspect.signature(function).return_annotation


def needs_returns(annotation: Any) -> bool:
    """A value whose meaning its type does not tell; a class of this package has a docstring of its own."""
    text = text_of(annotation)
    if annotation in (None, inspect.Signature.empty) or text in ("None", "NoReturn", "Self"):
        return False
    return not (
        (inspect.isclass(annotation) and annotation.__module__.startswith("zest_jax")) or text.strip('"') in CLASSES
    )


CLASSES = {public.value.__name__ for public in public_names() if inspect.isclass(public.value)}
EVERY = pytest.mark.parametrize("public", [pytest.param(public, id=public.name) for public in public_names()])


@EVERY
def test_what_it_is_is_said(public):
    problems = []
    if not public.doc:
        problems.append("no docstring")
    if inspect.isclass(public.value):
        problems += [
            f"method `{name}` has no docstring"
            for name, method in methods(public.value)
            if not inherited_doc(public.value, name, method)
        ]
    assert not problems


def inherited_doc(value: type, name: str, method: Any) -> str:
    """The docstring of a method, or else of the method that it overrides."""
    if method.__doc__:
        return method.__doc__
    return inspect.getdoc(getattr(value, name)) or ""


@EVERY
def test_every_argument_is_described(public):
    value = public.value
    wanted = fields(value) if inspect.isclass(value) else arguments(value)
    known = described(public.doc)
    assert sorted(set(wanted) - known) == []


@EVERY
def test_what_comes_back_is_described(public):
    value = public.value
    if inspect.isfunction(value) and needs_returns(returns(value)):
        assert section(public.doc, "Returns") or section(public.doc, "Yields")


@EVERY
def test_errors_are_told(public):
    value = public.value
    if not inspect.isclass(value):
        assert sorted(kind for kind in raised(value) if kind not in (section(public.doc, "Raises") or "")) == []
        return
    missing = []
    for name, method in [
        ("__init__", vars(value).get("__init__")),
        ("__post_init__", vars(value).get("__post_init__")),
        *methods(value),
    ]:
        doc = public.doc + (inherited_doc(value, name, method) if method and not name.startswith("_") else "")
        missing += [f"{name}: {kind}" for kind in sorted(raised(method)) if kind not in doc]
    assert missing == []


@EVERY
def test_arrays_have_shapes(public):
    value = public.value
    if not inspect.isclass(value):
        annotations = {**arguments(value), "return": returns(value)}
        assert not holds_arrays(annotations) or tells_shapes(annotations, public.doc)
        return
    annotations = fields(value)
    assert not holds_arrays(annotations) or tells_shapes(annotations, public.doc)
    without = []
    for name, method in methods(value):
        annotations = {**arguments(method), "return": returns(method)}
        if holds_arrays(annotations) and not tells_shapes(annotations, inherited_doc(value, name, method)):
            without.append(name)
    assert without == []


@EVERY
def test_an_example_is_run(public):
    docs = [public.doc]
    if inspect.isclass(public.value):
        docs += [method.__doc__ or "" for _, method in methods(public.value)]
    assert any(has_a_checked_example(doc) for doc in docs)


def has_a_checked_example(doc: str) -> bool:
    """Whether doctest finds a statement with an expected output, or one that asserts."""
    import doctest

    examples = doctest.DocTestParser().get_examples(doc)
    return any((example.want or example.source.startswith("assert ")) and not example.options for example in examples)

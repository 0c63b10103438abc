"""Every public name is documented: what it is, what goes in and comes out, which errors, and an example that is run.

Public is what a module lists in `__all__`, whichever module of `zest_jax` that is; a module without one holds no public name.
Constants and type aliases are values, whose meaning stands where they are used. Each test lists all that is missing.
"""

import ast
import collections.abc
import dataclasses
import doctest
import functools
import importlib
import inspect
import logging
import pkgutil
import re
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jaxtyping
import pytest

import zest_jax
from zest_jax import errors

PACKAGE = Path(zest_jax.__file__).parent
ARRAY = re.compile(r"\b(ndarray|Array|ArrayLike)\b")
#: `[N, H, W, C]`, `[..]` or `[sum of K_i, classes]`; not the range `[0, 1]`, nor the `[onnx]` of a requirement.
SHAPE = re.compile(r"(?<![\w\"])\[(?=[^\[\]]*([A-Za-z]|\.\.))[^\[\]\"'=]+\]")


def declares_names(path: Path) -> bool:
    """Whether a module has an `__all__`, told from its text, so that only those modules need to be imported."""
    return any(
        isinstance(node, ast.Name) and node.id == "__all__" and isinstance(node.ctx, ast.Store)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


@functools.cache
def public_modules() -> tuple[ModuleType, ...]:
    """Those that list names, the shortest path first."""
    names = [zest_jax.__name__, *(found.name for found in pkgutil.walk_packages([str(PACKAGE)], "zest_jax."))]
    found = []
    for name in sorted(names, key=lambda name: name.count(".")):
        path = PACKAGE.joinpath(*name.split(".")[1:])
        if declares_names(path / "__init__.py" if path.is_dir() else path.with_suffix(".py")):
            found.append(importlib.import_module(name))
    return tuple(found)


@functools.cache
def public() -> dict[Any, str]:
    """Public functions and classes of this package, each once, with the shortest of its names."""
    found: dict[Any, str] = {}
    for module in public_modules():
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(value, f"{module.__name__}.{name}")
    return found


def classes() -> list[tuple[str, type]]:
    return [(name, value) for value, name in public().items() if inspect.isclass(value)]


def functions() -> list[tuple[str, Any]]:
    return [(name, value) for value, name in public().items() if not inspect.isclass(value)]


def own_doc(value: Any) -> str:
    """The docstring that was written: not inherited, and not the signature that NamedTuples and dataclasses get."""
    if not inspect.isclass(value):
        return inspect.cleandoc(value.__doc__ or "")
    doc = inspect.cleandoc(vars(value).get("__doc__") or "")
    return "" if doc.startswith(f"{value.__name__}(") else doc


def doc_of_method(value: type, name: str, method: Any) -> str:
    """The docstring of a method, or else of the one that it overrides."""
    return method.__doc__ or inspect.getdoc(getattr(value, name)) or ""


def without_examples(doc: str) -> str:
    return re.sub(r"^ *(>>>|\.\.\. ).*$", "", doc, flags=re.M)


def arguments(function: Any) -> dict[str, Any]:
    """Annotations of what a function is given, without the object that it is a method of."""
    parameters = inspect.signature(function).parameters
    return {name: each.annotation for name, each in parameters.items() if name not in ("self", "cls")}


def fields(value: type) -> dict[str, Any]:
    """What a class is made from, by name: the fields of dataclasses and NamedTuples, the arguments of other classes."""
    if names := getattr(value, "_fields", None):
        return {name: value.__annotations__.get(name) for name in names}
    if dataclasses.is_dataclass(value):
        return {field.name: field.type for field in dataclasses.fields(value) if not field.name.startswith("_")}
    return arguments(made_by(value)["__init__"]) if "__init__" in made_by(value) else {}


def made_by(value: type) -> dict[str, Any]:
    """What is written in a class and runs when it is made; a Protocol is not made."""
    if getattr(value, "_is_protocol", False):
        return {}
    return {name: vars(value)[name] for name in ("__init__", "__post_init__") if name in vars(value)}


def methods(value: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that are written in a class."""
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod | staticmethod):
            yield name, member.__func__
        elif isinstance(member, property):
            yield name, member.fget
        elif isinstance(member, functools.cached_property):
            yield name, member.func
        elif inspect.isfunction(member):
            yield name, member


def section(doc: str, heading: str) -> str:
    """What is indented below a heading."""
    found = re.search(rf"^{heading}:\n((?:(?: +.*)?(?:\n|\Z))+)", doc, re.M)
    return textwrap.dedent(found[1]) if found else ""


def others(doc: str) -> list[Any]:
    """The functions that a docstring refers to: "The other arguments and errors are those of `sign`"."""
    names = re.findall(r"The other arguments(?: and errors)? are those of `(\w+)`", doc)
    return [value for _, value in functions() if value.__name__ in names]


def described(value: Any) -> set[str]:
    """The names that stand before a colon below `Args:` and `Attributes:`, in the docstring or those that it stands on."""
    names: set[str] = set()
    for each in [base for base in value.__mro__ if base in public()] if inspect.isclass(value) else [value]:
        doc = own_doc(each)
        for heading in ("Args", "Attributes"):
            names |= set(re.findall(r"^\*{0,2}(\w+):", section(doc, heading), re.M))
        names |= {name for other in others(doc) for name in described(other)}
    return names


def raised(function: Any) -> set[str]:
    """The kinds of errors that the body of a function raises by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = [call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)]
    return {name for name in names if name.endswith("Error")}


def is_told(kind: str, text: str) -> bool:
    """Whether a text names an error, or the kind of our own that it belongs to, short of the one that all are."""
    known = getattr(errors, kind, None)
    kinds = [each.__name__ for each in known.__mro__ if issubclass(each, errors.ZestError)][:-1] if known else [kind]
    return any(re.search(rf"\b{each}\b", text) for each in kinds or [kind])


def has_shape(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(has_shape, typing.get_args(hint)))


def text_of(hint: Any) -> str:
    return hint if isinstance(hint, str) else inspect.formatannotation(hint)


def lacks_shapes(hints: dict[str, Any], doc: str) -> bool:
    """Whether there are arrays whose shapes neither an annotation nor the docstring tells."""
    # A function that is returned, such as a schedule, tells its own.
    plain = [hint for hint in hints.values() if typing.get_origin(hint) is not collections.abc.Callable]
    arrays = any(ARRAY.search(text_of(hint)) for hint in (plain if "return" in hints else hints.values()))
    return arrays and not any(map(has_shape, hints.values())) and not SHAPE.search(without_examples(doc))


def test_the_modules_that_the_documentation_names_list_their_names():
    names = {module.__name__ for module in public_modules()}
    packages = ("baselines", "blackbox", "data", "doctor", "many", "models", "probes", "report", "reuse", "screening")
    assert {f"zest_jax.{name}" for name in (*packages, "training", "zoo", "errors", "intervals", "evidence")} <= names
    assert len(public()) > 200


def test_every_name_and_method_has_a_docstring():
    missing = [name for value, name in public().items() if not own_doc(value)]
    for name, value in classes():
        missing += [f"{name}.{each}" for each, method in methods(value) if not doc_of_method(value, each, method)]
    assert missing == []


def test_every_argument_and_attribute_is_described():
    missing = []
    for value, name in public().items():
        wanted = fields(value) if inspect.isclass(value) else arguments(value)
        missing += [f"{name}: {each}" for each in wanted.keys() - described(value)]
    assert sorted(missing) == []


def test_what_functions_return_is_described_where_their_type_does_not_tell():
    def needs_it(hint: Any) -> bool:
        if hint in (None, "None", inspect.Signature.empty):
            return False
        # A class of this package has a docstring of its own.
        ours = inspect.isclass(hint) and hint.__module__.startswith("zest_jax")
        return not ours and text_of(hint) not in names

    names = {value.__name__ for _, value in classes()}
    assert [
        name
        for name, value in functions()
        if needs_it(inspect.signature(value).return_annotation)
        and not (section(own_doc(value), "Returns") or section(own_doc(value), "Yields"))
    ] == []


def test_errors_that_are_raised_by_name_are_told():
    missing = []
    for name, value in functions():
        told = "".join(section(own_doc(each), "Raises") for each in (value, *others(own_doc(value))))
        missing += [f"{name}: {kind}" for kind in raised(value) if not is_told(kind, told)]
    for name, value in classes():
        told = section(own_doc(value), "Raises")
        for method in made_by(value).values():
            if has_no_source(method):
                continue
            missing += [f"{name}: {kind}" for kind in raised(method) if not is_told(kind, told)]
        for each, method in methods(value):
            text = told + section(inspect.cleandoc(doc_of_method(value, each, method)), "Raises")
            missing += [f"{name}.{each}: {kind}" for kind in raised(method) if not is_told(kind, text)]
    assert sorted(missing) == []


def has_no_source(method: Any) -> bool:
    """As the `__init__` of a dataclass has none."""
    return inspect.unwrap(method).__code__.co_filename == "<string>"


def test_arrays_have_shapes():
    missing = []
    for name, value in functions():
        hints = {**arguments(value), "return": inspect.signature(value).return_annotation}
        missing += [name] if lacks_shapes(hints, own_doc(value)) else []
    for name, value in classes():
        missing += [name] if lacks_shapes(fields(value), own_doc(value)) else []
        for each, method in methods(value):
            hints = {**arguments(method), "return": inspect.signature(method).return_annotation}
            missing += [f"{name}.{each}"] if lacks_shapes(hints, doc_of_method(value, each, method)) else []
    assert missing == []


def test_every_name_has_an_example_whose_outcome_doctest_checks():
    parser = doctest.DocTestParser()

    def checked(doc: str) -> bool:
        examples = parser.get_examples(doc)
        return any((each.want or each.source.startswith("assert ")) and not each.options for each in examples)

    missing = []
    for value, name in public().items():
        docs = [own_doc(value)]
        if inspect.isclass(value):
            docs += [method.__doc__ or "" for _, method in methods(value)]
        missing += [] if any(map(checked, docs)) else [name]
    assert missing == []


def test_the_documentation_site_reads_every_section(caplog):
    """mkdocstrings reads docstrings with griffe, which warns of arguments that do not exist and sections it cannot read."""
    griffe = pytest.importorskip("griffe")
    package = griffe.load("zest_jax", search_paths=[str(PACKAGE.parent)], docstring_parser="google")
    caplog.clear()
    caplog.set_level(logging.WARNING, logger="griffe")
    for value, name in public().items():
        found = package[f"{value.__module__}.{value.__qualname__}".removeprefix("zest_jax.")]
        for each in (found, *(member for member in found.members.values() if not member.is_alias)):
            sections = each.docstring.parse("google") if each.docstring else []
            # A heading that is spelt in another way would be shown as a box of its own.
            assert [part.title for part in sections if part.kind.value == "admonition"] == [], name
    assert [record.getMessage() for record in caplog.records] == []

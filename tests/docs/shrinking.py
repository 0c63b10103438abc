"""How the commands and the Python of documents are made small for the tests, and what stands for machines that are not here.

Documents show sizes that one would take; tests cannot. What is said here is all that is changed between the document and what runs,
and every line of it is used by a document (`test_tables.py`).
"""

import dataclasses
from collections.abc import Mapping

SERVER, CLUSTER, FOLDER = "{server}", "{cluster}", "{folder}"


@dataclasses.dataclass(frozen=True)
class Replaced:
    """What a document shows, and what runs; the latter may name SERVER, CLUSTER and FOLDER."""

    shown: str
    small: str


REPLACED = (
    # Images of 32 x 32, which is what the test's models take.
    Replaced("--size 224", "--size 32"),
    Replaced("n_references=128, n_samples=1000", "n_references=2, n_samples=100"),
    # An eighth of the operations to compile.
    Replaced("--model resnet20", "--model resnet8"),
    Replaced('name="resnet20"', 'name="resnet8"'),
    Replaced('recipe("fast-cifar")', 'recipe("fast-cifar").lasting(1)'),
    Replaced('recipe("fine-tune")', 'recipe("fine-tune").lasting(1)'),
    # Machines of others.
    Replaced("cpus=4", "cpus=1"),
    Replaced("https://host/", SERVER + "/"),
    Replaced("https://models.example/", SERVER + "/"),
    Replaced("10.0.0.1:6379", CLUSTER),
    Replaced("/shared/", FOLDER + "/shared/"),
)

# Batches are those of the recipes, which the data fill once: one compilation does for the command line and for Python.
_TRAINING = {"--epochs": "1"}

#: Options that a command of `zest` gets where the document leaves them out.
ADDED: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("probes",): {"--n-references": "3", "--n-samples": "80"},
    ("train",): _TRAINING,
    ("reuse", "prune"): _TRAINING,
    ("reuse", "extract"): _TRAINING,
}


def small(text: str, places: Mapping[str, str]) -> str:
    """A block as it runs; `places` says what SERVER, CLUSTER and FOLDER are."""
    for each in REPLACED:
        if each.shown in text:
            made = each.small
            for place, where in places.items():
                made = made.replace(place, where)
            text = text.replace(each.shown, made)
    return text


def with_small_sizes(words: list[str]) -> list[str]:
    """The words of a `zest` command (without `zest`) with the options that make it small.

    >>> with_small_sizes(["probes", "photos/", "--n-references", "20", "-o", "p.npz"])
    ['probes', 'photos/', '--n-references', '20', '-o', 'p.npz', '--n-samples', '80']
    """
    more = [
        word
        for command, options in ADDED.items()
        if tuple(words[: len(command)]) == command
        for option, value in options.items()
        if option not in words
        for word in (option, value)
    ]
    return [*words, *more]

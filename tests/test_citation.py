"""CITATION.cff is a file of the Citation File Format 1.2 that cites this version of the software, and the paper."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

import zest_jax

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
# Not as `preferred-citation`, which would be shown instead of the software.
(PAPER,) = CITATION["references"]

# From the schema of version 1.2.0 (https://github.com/citation-file-format/citation-file-format).
REQUIRED = {"cff-version", "message", "title", "authors"}
OF_SOFTWARE = REQUIRED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url"),
    *(
        "preferred-citation",
        "references",
        "repository",
        "repository-artifact",
        "repository-code",
        "type",
        "url",
        "version",
    ),
}
REQUIRED_OF_REFERENCE = {"authors", "title", "type"}
OF_REFERENCE = REQUIRED_OF_REFERENCE | {
    *(
        "abstract",
        "collection-title",
        "collection-type",
        "conference",
        "date-published",
        "doi",
        "editors",
        "end",
        "isbn",
    ),
    *(
        "issn",
        "keywords",
        "languages",
        "location",
        "month",
        "notes",
        "number",
        "pages",
        "publisher",
        "section",
        "start",
    ),
    *("status", "url", "volume", "year"),
}
OF_PERSON = {
    "affiliation",
    "alias",
    "email",
    "family-names",
    "given-names",
    "name-particle",
    "name-suffix",
    "orcid",
    "website",
}
OF_ENTITY = {"alias", "city", "country", "date-end", "date-start", "email", "location", "name", "orcid", "website"}


def test_the_file_is_of_version_1_2_and_has_what_that_requires_and_nothing_else():
    assert CITATION["cff-version"] == "1.2.0"
    assert REQUIRED <= CITATION.keys() <= OF_SOFTWARE
    assert REQUIRED_OF_REFERENCE <= PAPER.keys() <= OF_REFERENCE
    assert CITATION["type"] == "software"
    assert PAPER["type"] == "conference-paper"
    texts = [CITATION[name] for name in ("message", "title", "abstract", "license", "version")]
    assert all(isinstance(text, str) and text for text in [*texts, *CITATION["keywords"], PAPER["title"]])


@pytest.mark.parametrize("cited", [CITATION, PAPER], ids=["software", "paper"])
def test_authors_are_persons_or_entities(cited):
    assert cited["authors"]
    for author in cited["authors"]:
        if "name" in author:
            assert author.keys() <= OF_ENTITY
        else:
            assert {"family-names", "given-names"} <= author.keys() <= OF_PERSON


def test_the_software_is_this_version_of_it():
    assert CITATION["version"] == zest_jax.__version__
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["keywords"] == PROJECT["keywords"]
    # Where the repository is told, it is where the package says that it is.
    assert CITATION.get("repository-code", PROJECT["urls"]["Repository"]) == PROJECT["urls"]["Repository"]


def test_the_paper_is_the_one_whose_method_this_is():
    assert PAPER["title"] == "A Zest of LIME: Towards Architecture-Independent Model Distances"
    assert PAPER["year"] == 2022
    assert PAPER["conference"].keys() <= OF_ENTITY
    assert PAPER["conference"]["name"] == "International Conference on Learning Representations"
    authors = [author["family-names"] for author in PAPER["authors"]]
    assert authors == ["Jia", "Chen", "Guan", "Shamsabadi", "Papernot"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert PAPER["title"] in " ".join(readme.split())

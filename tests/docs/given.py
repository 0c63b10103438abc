"""Variables that the Python of documents takes for granted."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.docs import world
from tests.docs.markdown import Document

#: On every page.
EVERYWHERE: Mapping[str, Callable[[], Any]] = {
    "images": world.images,
    "labels": world.labels,
    "texts": world.texts,
    "sounds": world.sounds,
}


def _flax() -> Any:
    from tests.golden.flax_twin import flax_twin

    return flax_twin(world.GOLDEN.models["victim"])


def _pipeline(n: int | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = world.texts()[:n]
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [world.topic_of(text) for text in texts])


#: On these pages besides.
ON_PAGE: Mapping[str, Mapping[str, Callable[[], Any]]] = {
    "README.md": {"model": _flax, "pipeline": _pipeline, "ask": lambda: _pipeline(60).decision_function},
    "docs/cluster.md": {"mean": lambda: (0.485, 0.456, 0.406), "std": lambda: (0.229, 0.224, 0.225)},
}


def names_for(document: Document) -> dict[str, Callable[[], Any]]:
    """What makes the variables of a document."""
    return {**EVERYWHERE, **ON_PAGE.get(document.name, {})}

# What the package offers, and where it lives; read by type checkers and, at run time, by lazy_loader.

from .alignment import Alignment, align
from .blackbox import (
    BlackBox,
    from_callable,
    from_checkpoint,
    from_flax,
    from_http,
    from_jax,
    from_linen,
    from_onnx,
    from_sklearn,
    from_texts,
    from_torch,
    from_transformers,
    load_model,
)
from .distances import distance, distance_matrix, relative_distance
from .errors import ZestError
from .probes import ProbeSet, audio_probes, compose, draw_masks, image_probes, segment_images, text_probes
from .querying import query
from .references import choose_references
from .signature import Signature
from .signing import sign, sign_many
from .solving import SolveSettings, solve
from .verdicts import Verdict, verdict
from .version import __version__

__all__ = [
    "Alignment",
    "BlackBox",
    "ProbeSet",
    "Signature",
    "SolveSettings",
    "Verdict",
    "ZestError",
    "__version__",
    "align",
    "audio_probes",
    "choose_references",
    "compose",
    "distance",
    "distance_matrix",
    "draw_masks",
    "from_callable",
    "from_checkpoint",
    "from_flax",
    "from_http",
    "from_jax",
    "from_linen",
    "from_onnx",
    "from_sklearn",
    "from_texts",
    "from_torch",
    "from_transformers",
    "image_probes",
    "load_model",
    "query",
    "relative_distance",
    "segment_images",
    "sign",
    "sign_many",
    "solve",
    "text_probes",
    "verdict",
]

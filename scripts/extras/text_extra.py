"""`zest_jax[text]`: a JAX model that takes token ids is signed on texts."""

import jax
import numpy as np

import zest_jax as zest
from zest_jax.data.tokens import Tokenizer

texts = ["a good film with bad music", "bad music but a good old house", "an old house and good people"]
probes = zest.text_probes(texts, 3, 40)
tokenizer = Tokenizer.of_texts(texts, vocabulary=20, length=8)
vectors = jax.random.normal(jax.random.key(0), (20, 4))
signature = zest.sign(zest.from_jax(lambda vectors, ids: vectors[ids].sum(1), vectors, tokenizer=tokenizer), probes)
assert np.isfinite(signature.weights).all()
assert np.abs(signature.weights).max() > 0.1

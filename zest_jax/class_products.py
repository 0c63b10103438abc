"""The compiled part of `zest_jax.alignment.class_distances`."""

import jax
import jax.numpy as jnp

# Numbers of an intermediate [rows, classes, features] array when l1 or linf distances are computed in pieces.
PIECE = 2**24


def _by_products_impl(a: jax.Array, b: jax.Array, cosine: bool) -> jax.Array:
    aa, bb = jnp.square(a).sum(axis=1)[:, None], jnp.square(b).sum(axis=1)[None]
    ab = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
    if cosine:
        norms = jnp.sqrt(aa) * jnp.sqrt(bb)
        return 1 - jnp.where(norms > 0, ab / jnp.where(norms > 0, norms, 1), 0)
    return jnp.sqrt(jnp.maximum(aa + bb - 2 * ab, 0))


by_products = jax.jit(_by_products_impl, static_argnums=2)


def _by_differences_impl(a: jax.Array, b: jax.Array, l1: bool, piece: int) -> jax.Array:
    def row(x: jax.Array) -> jax.Array:
        difference = jnp.abs(x - b)
        return difference.sum(axis=1) if l1 else difference.max(axis=1)

    return jax.lax.map(row, a, batch_size=piece)


by_differences = jax.jit(_by_differences_impl, static_argnums=(2, 3))

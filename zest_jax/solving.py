"""Phase 3b: fit one linear model per reference, masks to outputs (paper, section 3; LIME).

The design matrix of a fit is the masks, which do not depend on the model. So the default solver factors it once, in
float64 on the host, into an operator that turns any model's outputs into weights on the device; the other one is
`jnp.linalg.lstsq` under `vmap`, kept as the oracle. benchmarks/speed/solve.py compares both.
"""

import contextlib
import dataclasses
import functools
import threading
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.linalg import lapack
from threadpoolctl import ThreadpoolController

from zest_jax.probes.probe_set import ProbeSet

__all__ = ["LocalFits", "SolveSettings", "solve"]

Solver = Literal["factored", "lstsq"]

_potrf, _pocon, _potrs = lapack.get_lapack_funcs(("potrf", "pocon", "potrs"), dtype=np.float64)

# A direction of the masks whose squared singular value is below this share of the largest counts as missing. Unweighted
# Gram matrices are exact integers, so this only has to stand above float64 rounding.
RANK_TOLERANCE = 1e-10
# Multiplications for a reference's normal equations, or their eigenvectors, up to which BLAS gets one thread.
_SMALL = 2**27


@dataclasses.dataclass(frozen=True, kw_only=True)
class SolveSettings:
    """How the local linear models are fitted. The defaults are the paper's: plain least squares, no intercept.

    Attributes:
        ridge: strength of the L2 penalty on the weights, 0 for none (LIME's own default is 1).
        intercept: also fit a constant, which is never penalised and not part of the signature.
        kernel_width: width of LIME's exponential kernel on the cosine distance between a mask and the full input (LIME's
            own default is 0.25), or None to weight all samples alike.
        underdetermined: what to do where the masks do not determine the weights: "error", or the "minimum-norm" solution.
        solver: "factored" or "lstsq".

    Raises:
        ValueError: a setting is out of its range.

    >>> SolveSettings(ridge=1.0, kernel_width=0.25).ridge                           # as LIME fits
    1.0
    >>> SolveSettings(ridge=-1.0)
    Traceback (most recent call last):
    ValueError: `ridge` is -1.0; give a finite strength of at least 0
    """

    ridge: float = 0.0
    intercept: bool = False
    kernel_width: float | None = None
    underdetermined: Literal["error", "minimum-norm"] = "error"
    solver: Solver = "factored"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.ridge) and self.ridge >= 0):
            raise ValueError(f"`ridge` is {self.ridge}; give a finite strength of at least 0")
        if self.kernel_width is not None and not (np.isfinite(self.kernel_width) and self.kernel_width > 0):
            raise ValueError(f"`kernel_width` is {self.kernel_width}; give a width above 0 (LIME: 0.25) or None")
        if self.underdetermined not in ("error", "minimum-norm"):
            raise ValueError(f"`underdetermined` is {self.underdetermined!r}; choose 'error' or 'minimum-norm'")
        if self.solver not in ("factored", "lstsq"):
            raise ValueError(f"`solver` is {self.solver!r}; choose 'factored' or 'lstsq'")


class Design(NamedTuple):
    """The masks of some references as they enter the fit, and what solves it. Rows of weight 0 are padding.

    Attributes:
        rows: bool [refs, rows, columns]; the columns are the segments, and last the intercept when there is one.
        weight: float32 [refs, rows]; how often the row counts.
        operator: float32 [refs, columns, rows], turns outputs into weights; None for the "lstsq" solver.
    """

    rows: np.ndarray
    weight: np.ndarray
    operator: np.ndarray | None


class LocalFits(NamedTuple):
    """Linear models around the references.

    Attributes:
        weights: float32 [refs, segments, classes]; 0 in padding columns.
        intercept: float32 [refs, classes], or None.
        r2: share of the outputs' variance that the linear model explains, float32 [refs, classes]; NaN where the output
            does not vary. Without an intercept it can be negative.
        variance: of the outputs over the samples, float32 [refs, classes].

    >>> fits = LocalFits(weights=np.ones((2, 4, 3), np.float32), intercept=None, r2=np.ones((2, 3)), variance=np.ones((2, 3)))
    >>> fits.first(1).weights.shape
    (1, 4, 3)
    """

    weights: np.ndarray
    intercept: np.ndarray | None
    r2: np.ndarray
    variance: np.ndarray

    def first(self, n: int) -> "LocalFits":
        """The fits of the first n references."""
        intercept = None if self.intercept is None else self.intercept[:n]
        return LocalFits(self.weights[:n], intercept, self.r2[:n], self.variance[:n])


def solve(
    probes: ProbeSet,
    outputs: Float[np.ndarray, "refs samples classes"] | Float[Array, "refs samples classes"],
    *,
    settings: SolveSettings | None = None,
    devices: list[jax.Device] | None = None,
) -> LocalFits:
    """Fit the local linear models to stored outputs: min_W || M W - Z ||^2 for each reference (paper, Algorithm 1, line 7).

    Args:
        probes: their masks are M, [samples, segments] for each reference.
        outputs: a model's outputs Z for every sample, repeats included.
        settings: least squares without an intercept by default.
        devices: references are shared among them; one device by default.

    Raises:
        ValueError: `outputs` does not fit the probes, is not finite, or the masks do not determine the weights.

    >>> probes = ProbeSet.from_arrays(
    ...     references=np.zeros((1, 1, 2, 1), np.uint8), segments=np.array([[[0, 1]]]),
    ...     masks=np.array([[[1, 1], [0, 1], [1, 0]]]), fill=0)
    >>> solve(probes, np.array([[[5.0], [2.0], [3.0]]], np.float32)).weights.round(4).tolist()
    [[[3.0], [2.0]]]
    """
    outputs = np.asarray(outputs, np.float32)
    if outputs.ndim != 3 or outputs.shape[:2] != (probes.n_references, probes.n_samples):
        raise ValueError(
            f"`outputs` has shape {outputs.shape}; the probes need [{probes.n_references}, {probes.n_samples}, "
            "classes], one row per mask"
        )
    if not np.isfinite(outputs).all():
        raise ValueError(
            f"`outputs` holds {np.count_nonzero(~np.isfinite(outputs))} NaN or infinite values; a fit needs finite ones"
        )
    settings = settings or SolveSettings()
    masks = probes.masks
    counts = np.ones(masks.shape[:2], np.float32)
    return fit(design(masks, counts, probes.n_segments, settings), outputs, settings, devices=devices)


def design(
    masks: Bool[np.ndarray, "refs rows segments"],
    count: Float[np.ndarray, "refs rows"],
    n_segments: np.ndarray,
    settings: SolveSettings,
    *,
    first_reference: int = 0,
) -> Design:
    """Prepare the fits of some references: model-independent, so made once for any number of models.

    Args:
        masks: rows of count 0 are padding, so are columns past a reference's n_segments.
        count: how often each mask was drawn.
        n_segments: K of each reference, [refs]; 0 for a reference that is itself padding.
        settings: how to fit.
        first_reference: index of the first reference, for messages.

    Raises:
        ValueError: the masks of a reference do not determine its weights, and the settings do not say what to do then.
    """
    weight = count.astype(np.float32)
    if settings.kernel_width is not None:
        weight = weight * lime_kernel(masks, n_segments, settings.kernel_width)
    rows = masks
    if settings.intercept:
        rows = np.concatenate([masks, np.broadcast_to((count > 0)[..., None], (*count.shape, 1))], axis=-1)
    refs, n_rows, n_columns = rows.shape
    operator = np.zeros((refs, n_columns, n_rows), np.float32) if settings.solver == "factored" else None
    short = []
    small = max(n_rows, n_columns) * n_columns**2 <= _SMALL
    with _ONE_THREAD if small else contextlib.nullcontext():
        for i, k in enumerate(n_segments):
            used = np.flatnonzero(count[i])
            columns = np.r_[:k, n_columns - 1] if settings.intercept and k else np.r_[:k]
            if len(columns) == 0:
                continue
            factors = _Factors(rows[i][np.ix_(used, columns)].astype(np.float64), weight[i, used], settings)
            if factors.rank < len(columns) and settings.ridge == 0 and settings.underdetermined == "error":
                short.append((first_reference + i, len(used), factors.rank, int(k)))
            elif operator is not None:
                operator[i][np.ix_(columns, used)] = factors.operator()
    if short:
        raise _underdetermined(short, settings)
    return Design(rows, weight, operator)


class _OneThread:
    """A context in which BLAS has one thread; of contexts that overlap, also in several threads, the last restores the rest.

    On many cores, waking the others takes longer than a product of small matrices does.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit = _libraries().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


_ONE_THREAD = _OneThread()


@functools.cache
def _libraries() -> ThreadpoolController:
    # Looked for once: it takes milliseconds.
    return ThreadpoolController()


class _Factors:
    """The normal equations of one reference in float64, (A^T W A + R) x = A^T W z.

    A is 0/1 and the weights are counts, so A^T W A is exact and its condition is that of random masks, about K^2 at worst:
    a Cholesky factorisation loses nothing that float32 outputs have. Where it fails, masks do not determine the weights and
    the eigenvectors give rank and minimum-norm solution.
    """

    def __init__(self, a: np.ndarray, weight: np.ndarray, settings: SolveSettings) -> None:
        self.weighted = a.T * weight
        gram = self.weighted @ a
        if settings.ridge:
            penalised = np.arange(len(gram) - settings.intercept)
            gram[penalised, penalised] += settings.ridge
        norm = float(np.abs(gram).sum(axis=0).max())
        self.cholesky, failed = _potrf(gram, lower=True)
        rcond = 0.0 if failed else _pocon(self.cholesky, norm, uplo="L")[0]
        self.rank, self.eigen = len(gram), None
        if rcond < RANK_TOLERANCE:
            values, vectors = np.linalg.eigh(gram)
            kept = values > RANK_TOLERANCE * max(values[-1], 1e-300)
            self.rank, self.eigen = int(kept.sum()), (values[kept], vectors[:, kept])

    def operator(self) -> np.ndarray:
        """What turns outputs into weights, [columns, rows]."""
        if self.eigen is None:
            return _potrs(self.cholesky, self.weighted, lower=True)[0]
        values, vectors = self.eigen
        return (vectors / values) @ (vectors.T @ self.weighted)


def lime_kernel(
    masks: Bool[np.ndarray, "refs rows segments"], n_segments: np.ndarray, width: float
) -> Float[np.ndarray, "refs rows"]:
    """LIME's weight of a sample, sqrt(exp(-d^2 / width^2)), d the cosine distance of its mask to the full one."""
    kept = masks.sum(axis=-1)
    distance = 1 - np.sqrt(kept / np.maximum(n_segments[:, None], 1))
    return np.sqrt(np.exp(-(distance**2) / width**2)).astype(np.float32)


def _underdetermined(short: list[tuple[int, int, int, int]], settings: SolveSettings) -> ValueError:
    reference, samples, rank, k = short[0]
    others = f" (and {len(short) - 1} more references)" if len(short) > 1 else ""
    return ValueError(
        f"masks of reference {reference} have {samples} distinct samples of rank {rank} for {k} "
        f"segments{' and an intercept' if settings.intercept else ''}, so the fit is underdetermined{others}; "
        "raise n_samples or lower "
        "the segment count, or fit with `ridge` or `underdetermined='minimum-norm'`"
    )


def fit(
    prepared: Design,
    outputs: Float[np.ndarray, "refs rows classes"],
    settings: SolveSettings,
    *,
    devices: list[jax.Device] | None = None,
) -> LocalFits:
    """Solve prepared fits for one model's outputs; rows of weight 0 may hold anything finite."""
    n = len(outputs)
    arrays = (prepared.rows, prepared.weight, outputs, prepared.operator)
    if devices and len(devices) > 1:
        padded = -(-n // len(devices)) * len(devices)
        arrays = jax.tree.map(lambda a: np.pad(a, ((0, padded - n),) + ((0, 0),) * (a.ndim - 1)), arrays)
        mesh = jax.sharding.Mesh(np.array(devices), ("refs",))
        arrays = jax.device_put(arrays, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("refs")))
    rows, weight, z, operator = arrays
    if operator is None:
        solution, r2, variance = _fit_lstsq(rows, weight, z, settings.ridge, settings.intercept)
    else:
        solution, r2, variance = _fit_factored(rows, weight, z, operator)
    solution, r2, variance = (np.asarray(x)[:n] for x in (solution, r2, variance))
    if settings.intercept:
        return LocalFits(solution[:, :-1], solution[:, -1], r2, variance)
    return LocalFits(solution, None, r2, variance)


@jax.jit
def _fit_factored(rows: jax.Array, weight: jax.Array, z: jax.Array, operator: jax.Array):
    solution = jnp.einsum("rkl,rlc->rkc", operator, z, precision=jax.lax.Precision.HIGHEST)
    return solution, *_quality(rows, weight, z, solution)


@jax.jit
def _fit_lstsq(rows: jax.Array, weight: jax.Array, z: jax.Array, ridge: float, intercept: bool):
    def one(rows: jax.Array, weight: jax.Array, z: jax.Array) -> jax.Array:
        root = jnp.sqrt(weight)[:, None]
        columns = rows.shape[1]
        # Ridge as extra rows sqrt(ridge) * I with target 0 (Tikhonov); the intercept column goes free.
        penalty = jnp.sqrt(ridge) * jnp.eye(columns).at[-1, -1].multiply(jnp.where(intercept, 0.0, 1.0))
        a = jnp.concatenate([rows * root, penalty])
        b = jnp.concatenate([z * root, jnp.zeros((columns, z.shape[1]))])
        return jnp.linalg.lstsq(a, b)[0]

    with jax.default_matmul_precision("highest"):
        solution = jax.vmap(one)(rows, weight, z)
    return solution, *_quality(rows, weight, z, solution)


def _quality(rows: jax.Array, weight: jax.Array, z: jax.Array, solution: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weighted R^2 and variance of the outputs."""
    total = jnp.maximum(weight.sum(axis=1), 1e-30)[:, None]
    w = weight[..., None]
    mean = (w * z).sum(axis=1) / total
    variance = (w * jnp.square(z - mean[:, None])).sum(axis=1) / total
    fitted = jnp.einsum("rlk,rkc->rlc", rows.astype(z.dtype), solution, precision=jax.lax.Precision.HIGHEST)
    residual = (w * jnp.square(z - fitted)).sum(axis=1) / total
    # What rounding alone leaves of a constant is no variance.
    varies = variance > 1e-12 * jnp.square(mean)
    return jnp.where(varies, 1 - residual / jnp.where(varies, variance, 1), jnp.nan), jnp.where(varies, variance, 0)

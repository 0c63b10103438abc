"""What can go wrong, by kind, so that callers can tell a bad file from a bad model.

Wrong arguments are plain `ValueError`s; every error here derives from `ZestError`, every warning from `UserWarning`.
"""

__all__ = [
    "BudgetError",
    "ClusterError",
    "ConstantOutputsWarning",
    "DegenerateSignatureError",
    "FileFormatError",
    "MissingExtraError",
    "ModelOutputError",
    "NonFiniteLossError",
    "NotAStoreError",
    "NotInStoreError",
    "PoorFitWarning",
    "ProbeMismatchError",
    "RemoteError",
    "StoreError",
    "UnsafeFileError",
    "WrongFileError",
    "WrongUseError",
    "ZestError",
]


class ZestError(Exception):
    """Base of the errors that this package raises about files, models and signatures.

    >>> from zest_jax import Signature
    >>> try:
    ...     Signature.from_bytes(b"no such thing", origin="suspect.sig")
    ... except ZestError as error:
    ...     print(type(error).__name__)
    WrongFileError
    """


class WrongUseError(ZestError):
    """What was asked for cannot be, however often it is tried; the command line ends with exit code 2.

    >>> issubclass(ProbeMismatchError, WrongUseError), issubclass(FileFormatError, WrongUseError)
    (True, False)
    """


class ProbeMismatchError(WrongUseError):
    """Two things that must come from the same probe set do not.

    >>> from zest_jax import Signature, distance
    >>> one = np.ones((1, 1), np.float32)
    >>> parts = {"weights": one, "segment_counts": np.array([1]), "r2": one, "variance": one}
    >>> a, b = (Signature(**parts, probe_hash=digit * 64, label=f"model {digit}") for digit in "01")
    >>> distance(a, b)
    Traceback (most recent call last):
    zest_jax.errors.ProbeMismatchError: model 0 was signed with probe set 0000000000000000, model 1 with 1111111111111111; ...
    """


class ModelOutputError(ZestError):
    """A black box answered something that cannot be used: NaN, a wrong shape, another answer to the same input.

    >>> from zest_jax import from_callable
    >>> from_callable(lambda images: images.sum(), label="total")(np.ones((2, 8, 8, 3), np.float32))
    Traceback (most recent call last):
    zest_jax.errors.ModelOutputError: total ...
    """


class RemoteError(ZestError):
    """A service cannot be reached, refuses what it is asked, or fails again and again.

    >>> from zest_jax import from_http
    >>> from_http("http://127.0.0.1:9/v2/models/cats", journal=None, attempts=1)    # where nothing listens
    Traceback (most recent call last):
    zest_jax.errors.RemoteError: ...
    """


class BudgetError(ZestError):
    """A question was not sent, since the budget of inputs does not reach.

    >>> from zest_jax.blackbox.http import Journal
    >>> Journal(None).spend("endpoint", 16, retry=False, budget=10)
    Traceback (most recent call last):
    zest_jax.errors.BudgetError: the budget of 10 inputs is spent: ...
    """


class DegenerateSignatureError(ZestError):
    """A signature carries no information, so that no distance to it is defined.

    >>> from zest_jax import Signature
    >>> zero = np.zeros((1, 1), np.float32)
    >>> Signature(weights=zero, segment_counts=np.array([1]), r2=zero, variance=zero, probe_hash="0" * 64,
    ...           label="constant").check_informative()
    Traceback (most recent call last):
    zest_jax.errors.DegenerateSignatureError: the signature of constant says nothing about the model: all its weights are 0. ...
    """


class FileFormatError(ZestError):
    """A file is truncated, damaged, or not of the format it was opened as.

    >>> from zest_jax import Signature
    >>> Signature.from_bytes(bytes(3), origin="suspect.sig")     # cut off
    Traceback (most recent call last):
    zest_jax.errors.FileFormatError: suspect.sig is not a signature, or is truncated ...
    """


class WrongFileError(WrongUseError, FileFormatError):
    """A file or folder is sound, but of another kind than what is needed, or has not what is asked of it.

    >>> from safetensors.numpy import save
    >>> from zest_jax import Signature
    >>> Signature.from_bytes(save({"kernel": np.zeros(3, np.float32)}), origin="weights.safetensors")
    Traceback (most recent call last):
    zest_jax.errors.WrongFileError: weights.safetensors is a safetensors file but not a signature; ...
    """


class StoreError(ZestError):
    """A store of signatures cannot be read or changed: another format, damaged, no room, or other content under a name.

    >>> import pathlib, tempfile
    >>> from zest_jax.screening import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = pathlib.Path(folder, "models.store").write_text("no store")
    ...     try:
    ...         Store.open(f"{folder}/models.store")
    ...     except StoreError as error:
    ...         print(type(error).__name__)
    NotAStoreError
    """


class NotInStoreError(WrongUseError, StoreError):
    """A store has no such version, or no models, or too few, of those that are meant.

    >>> import tempfile
    >>> from zest_jax import Signature
    >>> from zest_jax.screening import Store, screen
    >>> one = np.ones((1, 1), np.float32)
    >>> suspect = Signature(weights=one, segment_counts=np.array([1]), r2=one, variance=one, probe_hash="0" * 64, label="suspect")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     screen(suspect, Store.create(f"{folder}/empty.store", like=suspect))
    Traceback (most recent call last):
    zest_jax.errors.NotInStoreError: ...empty.store holds no models; add some with `zest store add`
    """


class NotAStoreError(WrongUseError, StoreError):
    """Where a store of signatures was to be is something else.

    >>> import pathlib, tempfile
    >>> from zest_jax.screening import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = pathlib.Path(folder, "models.store").write_text("no store")
    ...     Store.open(f"{folder}/models.store")
    Traceback (most recent call last):
    zest_jax.errors.NotAStoreError: ...models.store is a file, ...
    """


class ClusterError(ZestError):
    """A Ray cluster cannot be reached or used: no such address, other versions, no node with what a model needs.

    >>> from zest_jax import ProbeSet
    >>> from zest_jax.many import Job, RayTasks
    >>> probes = ProbeSet.from_arrays(references=np.zeros((1, 1, 2, 1), np.uint8), segments=np.array([[[0, 1]]]),
    ...                               masks=np.array([[[1, 1], [0, 1], [1, 0]]]), fill=0.5)
    >>> signer = RayTasks(address="127.0.0.1:9")                                    # where nothing listens
    >>> next(signer.outcomes([Job(name="victim", model="tests/golden/models/victim.onnx")], probes, print))
    Traceback (most recent call last):
    zest_jax.errors.ClusterError: nothing answers at 127.0.0.1:9 ...
    """


class UnsafeFileError(ZestError):
    """Loading the file could run code of its author; refused unless the caller trusts it.

    >>> import tempfile
    >>> from zest_jax.data import load_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/pool.npy", np.array([{"any": "object"}]))
    ...     load_images(f"{folder}/pool.npy")
    Traceback (most recent call last):
    zest_jax.errors.UnsafeFileError: ...pool.npy ...
    """


class NonFiniteLossError(ZestError):
    """A training diverged: its loss became infinite or no number.

    >>> from zest_jax.data import Dataset
    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import LineageStep, Recipe, fit, start_checkpoint
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> start = start_checkpoint(config, data, seed=0)
    >>> start.model.head.bias[...] = np.array([np.nan, 0], np.float32)
    >>> fit(start, data, Recipe(batch_size=4), seed=0, step=LineageStep(kind="fine-tune"))
    Traceback (most recent call last):
    zest_jax.errors.NonFiniteLossError: the loss of step 1 (epoch 1 of 1) is nan; lower the learning rate, ...
    """


class MissingExtraError(ZestError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it.

    >>> isinstance(missing_extra("onnxruntime", "onnx"), ImportError)
    True
    """


class PoorFitWarning(UserWarning):
    """Linear explanations hardly fit a model, so that distances to it say little.

    >>> issubclass(PoorFitWarning, UserWarning)
    True
    """


class ConstantOutputsWarning(PoorFitWarning):
    """A model gave the same outputs whatever was masked, so that no distance to it is defined.

    >>> issubclass(ConstantOutputsWarning, PoorFitWarning)
    True
    """


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """Build the error for an absent optional dependency.

    >>> raise missing_extra("onnxruntime", "onnx")
    Traceback (most recent call last):
    zest_jax.errors.MissingExtraError: onnxruntime is not installed; install it with `pip install "zest_jax[onnx]"`
    """
    return MissingExtraError(f'{what} is not installed; install it with `pip install "zest_jax[{extra}]"`')

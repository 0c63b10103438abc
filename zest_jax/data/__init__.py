"""Data sets and local files as arrays; parts of them, streams of batches, and random changes to images."""

from zest_jax.data.augment import Augment, augment, resize
from zest_jax.data.datasets import Dataset, KnownDataset, dataset_names, known_dataset, load_dataset
from zest_jax.data.images import ImageSet, load_images
from zest_jax.data.streaming import Batch, Stream, stream
from zest_jax.data.subsets import fraction, of_classes, of_rows, without_rows

__all__ = [
    "ImageSet",
    "load_images",
    "Dataset",
    "KnownDataset",
    "dataset_names",
    "known_dataset",
    "load_dataset",
    "of_classes",
    "of_rows",
    "without_rows",
    "fraction",
    "Augment",
    "augment",
    "resize",
    "Batch",
    "Stream",
    "stream",
]

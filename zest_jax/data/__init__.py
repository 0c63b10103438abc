"""Data sets and local files: images, texts and sounds; parts of them, streams of batches, random changes to images."""

from zest_jax.data.augment import Augment, augment, resize
from zest_jax.data.datasets import Dataset, load_dataset
from zest_jax.data.images import ImageSet, load_images
from zest_jax.data.known import KnownDataset, dataset_names, known_dataset
from zest_jax.data.modality import modality_of
from zest_jax.data.sounds import SoundSet, load_sound_pool
from zest_jax.data.streaming import Batch, Stream, stream
from zest_jax.data.subsets import fraction, of_classes, of_rows, without_rows
from zest_jax.data.texts import TextSet, load_text_pool
from zest_jax.data.tokens import Tokenizer

__all__ = [
    "ImageSet",
    "load_images",
    "TextSet",
    "load_text_pool",
    "Tokenizer",
    "SoundSet",
    "load_sound_pool",
    "modality_of",
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

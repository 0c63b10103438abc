"""The classifiers of the paper's experiments, in Flax NNX."""

from zest_jax.models.cifar_resnet import CifarResNet
from zest_jax.models.classifier import Classifier, with_head
from zest_jax.models.lstm import LSTMClassifier
from zest_jax.models.m5 import M5
from zest_jax.models.mobilenet import MobileNetV2
from zest_jax.models.registry import ModelConfig, create, model_names
from zest_jax.models.resnet import ResNet
from zest_jax.models.torch_layout import load_torch_state_dict

__all__ = [
    "M5",
    "CifarResNet",
    "Classifier",
    "LSTMClassifier",
    "MobileNetV2",
    "ModelConfig",
    "ResNet",
    "create",
    "load_torch_state_dict",
    "model_names",
    "with_head",
]

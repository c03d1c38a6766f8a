"""The exact wing of flatmin: models, algorithms, claims and what the theory predicts. It draws no random number."""

from .algorithm import Algorithm
from .claim import Claim, RunOptions
from .errors import InvalidInput, NotApplicable
from .indexed import IndexedModel
from .model import Model
from .noise import GradientNoise, LabelFlip, LabelNoise
from .rules import UpdateRule

__all__ = [
    "Algorithm",
    "Claim",
    "GradientNoise",
    "IndexedModel",
    "InvalidInput",
    "LabelFlip",
    "LabelNoise",
    "Model",
    "NotApplicable",
    "RunOptions",
    "UpdateRule",
]

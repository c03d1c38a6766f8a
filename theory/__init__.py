"""The exact wing of flatmin: models, algorithms, claims and what the theory predicts. It draws no random number."""

from .algorithm import Algorithm, LabelNoise
from .claim import Claim, RunOptions
from .errors import InvalidInput, NotApplicable
from .indexed import IndexedModel
from .model import Model

__all__ = ["Algorithm", "Claim", "IndexedModel", "InvalidInput", "LabelNoise", "Model", "NotApplicable", "RunOptions"]

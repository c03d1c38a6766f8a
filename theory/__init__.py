"""The exact wing of flatmin: models, algorithms, claims and what the theory predicts. It draws no random number."""

from .algorithm import Algorithm, LabelNoise
from .claim import Claim, RunOptions
from .errors import InvalidInput, NotApplicable
from .model import Model

__all__ = ["Algorithm", "Claim", "InvalidInput", "LabelNoise", "Model", "NotApplicable", "RunOptions"]

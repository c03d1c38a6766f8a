"""The study file that `flatmin init` writes: every table, with words on what may stand there."""

from __future__ import annotations

__all__ = ["TEMPLATE"]

TEMPLATE = """\
# A study: one model, one algorithm, a start, and claims about them.
#   flatmin verify {name}     decides the claims
#   flatmin derive {name}     prints what the theory predicts
# For completion and checks in an editor: flatmin schema > study.schema.json
#:schema ./study.schema.json

[model]
parameters = ["w", "a", "b"]            # their order fixes theta
inputs     = ["x"]                      # columns of the data; leave out for one expression per sample
prediction = "a*tanh(w*x) + b*x"        # + - * / **, sin cos tan sinh cosh tanh exp log sqrt abs
# loss     = "square"                   # or "logistic", "exponential": then y holds labels -1 and 1

[data]
x = [[1.0], [3.0]]                      # one row per sample; or: file = "points.csv", header: the inputs and y
y = [1.0, 0.5]

[algorithm]
lr         = 0.27                       # learning rate eta
batch_size = "full"                     # or a number: samples drawn per step, each with its own noise
# sampling = "with-replacement"         # or "without-replacement"
# momentum = 0.0                        # heavy ball

[algorithm.noise]
kind  = "label"                         # or "label-gaussian", "flip", "gradient", "none"
sigma = 0.1                             # standard deviation of the label noise; or a list, one per sample

[start]                                 # moved to the nearest zero-loss point first
w = 2.0
a = 1.3
b = -0.27

# [run]                                 # optional; these are the defaults
# margin     = 0.02                     # relative error that counts as agreement
# confidence = 0.999                    # of each verdict, after correction for how many there are
# budget     = 60.0                     # seconds a claim may use
# seed       = 0

[[claim]]                               # where label noise takes it, by the best theory there is for this algorithm
kind = "fixed-point"

[[claim]]                               # the same in the limit of small learning rates, R = tr(H)/4
kind   = "fixed-point"
theory = "small-lr"

[[claim]]                               # a formula of one's own in place of R
kind        = "drift"
theory      = "conjecture"
regularizer = "log(1 + a**2) + w**2"
"""

"""The study file that `flatmin init` writes: every key, with words on what may stand there."""

from __future__ import annotations

__all__ = ["TEMPLATE"]

TEMPLATE = """\
# A study: one model, one algorithm, a start, and claims about them.
#   flatmin verify {name}     decides the claims
#   flatmin derive {name}     prints what the theory predicts
# For completion and checks in an editor: flatmin schema > study.schema.json
#:schema ./study.schema.json
# Lines that begin with "# " and hold a key are optional: remove the "# " to use them.

# [about]                               # in words, for tables and reports
# theorem    = "Theorem 1"
# section    = "3.2"
# statement  = "What is claimed, in one or two sentences."
# hypotheses = ["Under which it is claimed."]
# source     = "Where it is written"
# refuted_by = "What data would refute it."
# quick      = false                    # of the built-in catalogue: whether `flatmin verify --quick` takes it

[model]
parameters = ["w", "a", "b"]            # their order fixes theta
inputs     = ["x"]                      # columns of the data; leave out for one expression per sample
prediction = "a*tanh(w*x) + b*x"        # + - * / **, sin cos tan sinh cosh tanh exp log sqrt abs
# loss     = "square"                   # or "logistic", "exponential": then y holds labels -1 and 1; or
#                                         # "cross-entropy": K logits as prediction, classes 0 to K-1 in y

[data]
x = [[1.0], [3.0]]                      # one row per sample
y = [1.0, 0.5]
# file = "points.csv"                   # in place of x and y; its header names the inputs and y

[algorithm]
lr         = 0.27                       # learning rate eta
batch_size = "full"                     # or a number: samples drawn per step, each with its own noise
# sampling = "with-replacement"         # or "without-replacement"
# momentum = 0.0                        # heavy ball

# [algorithm.rule]                      # a rule in place of momentum
# kind     = "sgd"                      # or "heavy-ball", "nesterov", "weight-decay", "preconditioned",
#                                         # "sharpness-aware"
# beta     = 0.9                        # heavy-ball, nesterov: momentum
# ratio    = 1.0                        # weight-decay: over lambda
# diagonal = [1.0, 0.5, 2.0]            # preconditioned: a factor of each coordinate of the gradient
# rho      = 0.1                        # sharpness-aware: length scale of the ascent step

[algorithm.noise]
kind  = "label"                         # or "label-gaussian", "flip", "gradient", "none"
sigma = 0.1                             # standard deviation of the label noise; or a list, one per sample
# flip       = 0.1                      # flip: probability that a drawn label is replaced
# covariance = [["1", "0", "0"], ["0", "1", "0"], ["0", "0", "w**2"]]   # gradient: Sigma(theta), d x d
# strength   = 1e-4                     # gradient: lambda; each step adds noise of covariance lr*strength*Sigma

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

# Of what a claim may hold:
# [[claim]]
# name         = "a title for tables"
# kind         = "fixed-point"          # or "drift", "covariance", "trajectory", "stays", "escape", "scaling",
#                                         # "diffusion", "circulation", "coupling", "hitting-time",
#                                         # "hitting-exponent", "reaches"
# theory       = "derived"              # or "paper", "small-lr", "conjecture"
# regularizer  = "w**2 + a**2"          # conjecture: R(theta); may use eta, sigma, B, beta, n
# strength     = "eta*sigma**2/B"       # conjecture: lambda
# covariance   = [["eta", "0", "0"], ["0", "eta", "0"], ["0", "0", "eta"]]   # conjecture: S(theta); may also use lam
# time         = 1.0                    # stays, circulation: length in slow time
# distance     = 1.0                    # stays: how far off the zero-loss set it starts, over sqrt(lambda)
# lr           = 0.1                    # scaling: learning rate of the other algorithm
# batch_size   = "same"                 # scaling: its batch size
# moment       = "mean"                 # diffusion: or "covariance", of the change per step
# plane        = ["w", "a"]             # circulation: the angle is taken in this plane
# center       = [0.0, 0.0]             # circulation: about this point of it
# window       = "long"                 # coupling: 1/(eta lambda) steps; "middle" 1/(eta sqrt lambda); "short" 50/eta
# exponent     = 0.5                    # coupling, hitting-exponent: a power of lambda other than the theory's
# bound        = false                  # coupling, hitting-exponent: whether the power is a bound
# gamma        = 0.1                    # hitting-time, hitting-exponent, reaches: radius of the ball
# displacement = [0.0, 0.0, 0.1]        # the same kinds: added to the zero-loss start
"""

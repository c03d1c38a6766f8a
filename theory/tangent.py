"""Noise with a part along Gamma: its limit is a diffusion on Gamma, with a drift of its own.

Problem: each step adds noise of covariance eta lambda Sigma(theta), and Sigma has a part along Gamma (isotropic noise).
Scaling: let Phi(theta) be where the noise-free iteration U from theta ends. Phi(U(theta)) = Phi(theta), so that a step
changes Phi, to leading order in lambda and at a point of Gamma, by

    mean        b = (eta lambda/2) D2Phi[Sigma]
    covariance  a = eta lambda DPhi Sigma DPhi'

Both are of order eta lambda: over the slow time t = eta lambda k of order one, b and a are of order one, and as
lambda -> 0 at fixed eta Phi(theta_k) tends to the diffusion dY = (1/2) D2Phi[Sigma] dt + DPhi Sigma^(1/2) dW (Ito).
Noise normal to Gamma has a = 0 and b along Gamma, the drift of the other theories; label noise of any kind has that.
Statements, for plain SGD, with H v = h v (h = 0 along Gamma) and J the rows g_i: DPhi = P;
D2Phi[u, v] = -P D3L[u, v]/(h_u + h_v - eta h_u h_v) unless both u and v are tangent; D2Phi[t, t'] = -J^+ (t' F_i t')_i,
the second fundamental form. eta = 0 in it is the projection along gradient flow.
References: Katzenberger, *Solutions of a stochastic differential equation forced onto a manifold by a large drift*,
Ann. Probab. 1991, Theorem 6.3; Li, Wang, Arora (2022), Theorem 4.6; for a finite eta second-order averaging.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .derived import Derived
from .errors import NotApplicable
from .geometry import LocalGeometry
from .rules import SGD
from .slow import SlowTheory, SmallLearningRate, gradient_covariance

__all__ = [
    "DiffusionLimit",
    "GradientFlowLimit",
    "NoItoTerm",
    "NoiseAlongOnly",
    "UnprojectedNoise",
    "projection_derivatives",
]

Array = NDArray[np.float64]


def projection_derivatives(local: LocalGeometry, lr: float) -> tuple[Array, Array]:
    """DPhi, shape (d, d), and D2Phi, shape (d, d, d), of plain gradient descent at a point of Gamma.

    Parameters
    ----------
    local : LocalGeometry
    lr : float
        Learning rate; 0 for gradient flow.
    """
    vectors = np.hstack([local.normal, local.tangent])
    h = np.concatenate([local.curvatures, np.zeros(local.tangent.shape[1])])
    g = local.jacobian @ vectors
    bent = np.einsum("iab,bu->iau", local.second, vectors)
    # P D3L[u, v]: the part along the g_i drops out.
    third = np.einsum("iau,iv->auv", bent, g)
    third = local.project((third + third.transpose(0, 2, 1)).transpose(1, 2, 0)) / local.n
    rate = h[:, None] + h - lr * np.multiply.outer(h, h)
    fast = np.maximum.outer(h, h) > 0
    form = np.where(fast, -1 / np.where(fast, rate, 1.0), 0.0)[..., None] * third
    along = np.einsum("iau,av->uvi", bent, vectors)
    form[~fast] = -along[~fast] @ np.linalg.pinv(local.jacobian, rcond=1e-7).T
    dphi = local.tangent @ local.tangent.T
    return dphi, np.einsum("uvc,au,bv->cab", form, vectors, vectors)


class DiffusionLimit(Derived):
    """Second-order averaging for exactly this algorithm, noise along Gamma included.

    `drift` is b with all its parts: that of the fast fluctuation, that of its correlation with the noise along Gamma,
    and the normal part by which a diffusion on a curved Gamma leaves its tangent space.
    """

    needs_normal_noise = False

    def regularizer(self, local: LocalGeometry) -> float | None:
        """None: no R describes a diffusion."""
        return None


class NoItoTerm(DiffusionLimit):
    """A wrong theory: the drift of the other theories, as if the noise along Gamma had mean effect zero."""

    name = "no Ito term"

    def drift(self, local: LocalGeometry) -> Array:
        """Without what the noise along Gamma adds."""
        averaged = self.averaged(local)
        return averaged.drift - averaged.ito


class NoiseAlongOnly(DiffusionLimit):
    """A wrong theory: a diffusion on a curved Gamma, without the drift that the fast fluctuation makes."""

    name = "noise-only drift"

    def drift(self, local: LocalGeometry) -> Array:
        """Only what the noise along Gamma adds."""
        return self.averaged(local).ito


class UnprojectedNoise(DiffusionLimit):
    """A wrong theory: all of the noise stays, also what is normal to Gamma."""

    name = "noise not projected"

    def diffusion(self, local: LocalGeometry) -> Array:
        """Covariance of the noise of a step."""
        return self.rate * self.strength * gradient_covariance(self.model, self.algorithm, local)


class GradientFlowLimit(SlowTheory):
    """The limit eta -> 0 at fixed Sigma, for plain SGD: Phi is the projection along gradient flow.

    References
    ----------
    Li, Wang, Arora (2022), Theorem 4.6.
    """

    name = "small-lr"

    def __init__(self, *case) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*case)
        if not isinstance(self.algorithm.update_rule, SGD):
            raise NotApplicable("update rule", f"this limit is for plain SGD, not for {self.algorithm.update_rule}")

    def covariance(self, local: LocalGeometry) -> Array | None:
        """S, shape (d, d)."""
        return SmallLearningRate(self.model, self.algorithm).covariance(local)

    def regularizer(self, local: LocalGeometry) -> float | None:
        """None: no R describes a diffusion."""
        return None

    def drift(self, local: LocalGeometry) -> Array:
        """Mean of the change of Phi per step, shape (d,)."""
        return 0.5 * np.einsum("cab,ab->c", projection_derivatives(local, 0.0)[1], self._noise(local))

    def diffusion(self, local: LocalGeometry) -> Array:
        """Covariance of the change of Phi per step, shape (d, d)."""
        dphi = projection_derivatives(local, 0.0)[0]
        return np.asarray(dphi @ self._noise(local) @ dphi.T)

    def _noise(self, local: LocalGeometry) -> Array:
        return self.lr * self.strength * gradient_covariance(self.model, self.algorithm, local)

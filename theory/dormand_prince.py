"""One step of an explicit Runge-Kutta method of order 8, what it errs by, and points within it.

The method of Dormand and Prince with Hairer's estimate of the error and interpolation of order 7 (DOP853). Tests hold
every number of it against the order that it is for.

References
----------
Hairer, Norsett, Wanner (1993), Solving Ordinary Differential Equations I, Sections II.5, II.6 and II.10.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .errors import NotApplicable

__all__ = ["EVALUATIONS", "StageOutside", "Velocity", "between", "error_of", "stages"]

Array = NDArray[np.float64]
Velocity = Callable[[Array], Array]


def _table(text: str) -> list[Array]:
    return [np.array(row.split(), dtype=np.float64) for row in text.split("\n\n")]


# Weights of the slopes before each stage. The twelfth is the result; three more serve points within the step.
_STAGES = _table("""
0.05260015195876773

0.0197250569845379 0.0591751709536137

0.02958758547680685 0 0.08876275643042054

0.2413651341592667 0 -0.8845494793282861 0.924834003261792

0.037037037037037035 0 0 0.17082860872947386 0.12546768756682242

0.037109375 0 0 0.17025221101954405 0.06021653898045596 -0.017578125

0.03709200011850479 0 0 0.17038392571223998 0.10726203044637328 -0.015319437748624402 0.008273789163814023

0.6241109587160757 0 0 -3.3608926294469414 -0.868219346841726 27.59209969944671 20.154067550477894
  -43.48988418106996

0.47766253643826434 0 0 -2.4881146199716677 -0.590290826836843 21.230051448181193 15.279233632882423
  -33.28821096898486 -0.020331201708508627

-0.9371424300859873 0 0 5.186372428844064 1.0914373489967295 -8.149787010746927 -18.52006565999696
  22.739487099350505 2.4936055526796523 -3.0467644718982196

2.273310147516538 0 0 -10.53449546673725 -2.0008720582248625 -17.9589318631188 27.94888452941996
  -2.8589982771350235 -8.87285693353063 12.360567175794303 0.6433927460157636

0.054293734116568765 0 0 0 0 4.450312892752409 1.8915178993145003 -5.801203960010585 0.3111643669578199
  -0.1521609496625161 0.20136540080403034 0.04471061572777259

0.056167502283047954 0 0 0 0 0 0.25350021021662483 -0.2462390374708025 -0.12419142326381637 0.15329179827876568
  0.00820105229563469 0.007567897660545699 -0.008298

0.03183464816350214 0 0 0 0 0.028300909672366776 0.053541988307438566 -0.05492374857139099 0 0
  -0.00010834732869724932 0.0003825710908356584 -0.00034046500868740456 0.1413124436746325

-0.42889630158379194 0 0 0 0 -4.697621415361164 7.683421196062599 4.06898981839711 0.3567271874552811 0 0 0
  -0.0013990241651590145 2.9475147891527724 -9.15095847217987
""")
# Two estimates of the error, of order 5 and of order 3, that together fall as the eighth power of the step.
(_ERROR,) = _table("""
0.01312004499419488 0 0 0 0 -1.2251564463762044 -0.4957589496572502 1.6643771824549864 -0.35032884874997366
  0.3341791187130175 0.08192320648511571 -0.022355307863886294
""")
_ROUGH_ERROR = _STAGES[11] - _table("0.2440944881889764 0 0 0 0 0 0 0 0.7338466882816119 0 0 0.022058823529411766")[0]
# What the slopes add to the cubic through both ends of a step.
_WITHIN = np.array(
    _table("""
-8.428938276109013 0 0 0 0 0.5667149535193777 -3.0689499459498917 2.38466765651207 2.117034582445028
  -0.871391583777973 2.2404374302607883 0.6315787787694688 -0.08899033645133331 18.148505520854727 -9.194632392478356
  -4.436036387594894

10.427508642579134 0 0 0 0 242.28349177525817 165.20045171727028 -374.5467547226902 -22.113666853125306
  7.733432668472264 -30.674084731089398 -9.332130526430229 15.697238121770845 -31.139403219565178 -9.35292435884448
  35.81684148639408

19.985053242002433 0 0 0 0 -387.0373087493518 -189.17813819516758 527.8081592054236 -11.57390253995963
  6.8812326946963 -1.0006050966910838 0.7777137798053443 -2.778205752353508 -60.19669523126412 84.32040550667716
  11.99229113618279

-25.69393346270375 0 0 0 0 -154.18974869023643 -231.5293791760455 357.6391179106141 93.40532418362432
  -37.45832313645163 104.0996495089623 29.8402934266605 -43.53345659001114 96.32455395918828 -39.17726167561544
  -149.72683625798564
""")
)
# Velocities that a step asks for: the first is the last of the step before.
EVALUATIONS = 12


class StageOutside(Exception):
    """A stage of a step has no velocity.

    Attributes
    ----------
    distance : float
        Of the stage from where the step begins.
    reason : NotApplicable
    """

    def __init__(self, distance: float, reason: NotApplicable) -> None:
        super().__init__(str(reason))
        self.distance, self.reason = distance, reason


def stages(velocity: Velocity, theta: Array, slope: Array, h: float) -> tuple[Array, Array]:
    """Where a step leads, shape (d,), and its slopes, the first and the last those of its ends, shape (13, d).

    Raises
    ------
    StageOutside
        When `velocity` raises `NotApplicable`.
    """
    slopes = np.empty((EVALUATIONS + 1, len(theta)))
    slopes[0], ahead = slope, theta
    for k, weights in enumerate(_STAGES[:EVALUATIONS], 1):
        ahead = theta + h * (weights @ slopes[:k])
        try:
            slopes[k] = velocity(ahead)
        except NotApplicable as error:
            raise StageOutside(float(np.linalg.norm(ahead - theta)), error) from None
    return ahead, slopes


def error_of(slopes: Array, h: float, allowed: Array) -> float:
    """The error of a step over what is `allowed` in each coordinate, shape (d,); no number where a slope is none."""
    fine, rough = (float(np.mean((weights @ slopes[:-1] / allowed) ** 2)) for weights in (_ERROR, _ROUGH_ERROR))
    return h * fine / float(np.sqrt(fine + 0.01 * rough)) if fine != 0 else 0.0


def between(
    velocity: Velocity, begin: float, theta: Array, h: float, ahead: Array, slopes: Array
) -> Callable[[float], Array]:
    """Where the flow is at a time within a step; three more velocities are found when it is first asked."""
    bends: list[Array] = []

    def bend() -> list[Array]:
        known = np.vstack([slopes, np.empty((3, len(theta)))])
        for k, weights in enumerate(_STAGES[EVALUATIONS:], EVALUATIONS + 1):
            known[k] = velocity(theta + h * (weights @ known[:k]))
        way = ahead - theta
        return [way, h * slopes[0] - way, 2 * way - h * (slopes[0] + slopes[-1]), *(h * (_WITHIN @ known))]

    def at(time: float) -> Array:
        if not bends:
            bends[:] = bend()
        part = (time - begin) / h
        point = np.zeros_like(theta)
        for k, coefficient in enumerate(reversed(bends)):
            point = (point + coefficient) * (1 - part if k % 2 else part)
        return theta + point

    return at

"""Whether one set of coefficients is another times one factor: minimum distance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

from seal.stats.regression.inference import Floats

_ANGLES = 91


@dataclass(frozen=True)
class Proportion:
    """r = k h, tested.

    Attributes:
        k: the factor that fits best.
        std_error: of it.
        statistic: minimum distance, chi-squared with `dof` degrees of freedom where r = k h.
        p_value: of r = k h; NaN with one coefficient, where any r is k h.
        dof: K - 1.
    """

    k: float
    std_error: float
    statistic: float
    p_value: float
    dof: int

    @property
    def z_of_one(self) -> float:
        """(k - 1) over its error."""
        return (self.k - 1) / self.std_error


def proportion(h: Floats, r: Floats, covariance: Floats) -> Proportion | None:
    """Test r = k h by minimum distance (Chamberlain 1984).

    The distance of (h, r) from the nearest (g, k g), in the metric of their covariance, is for each k that of
    r - k h from zero in the metric of its own; k is where it is smallest. Which of the two stands for the
    other makes no difference: k runs as the tangent of an angle, through infinity.

    Args:
        h, r: (K,).
        covariance: (2K, 2K) of h, then r.

    Returns:
        None where h and r rest on the same numbers, so that their covariance is singular.
    """
    n = len(h)
    hh, hr, rr = covariance[:n, :n], covariance[:n, n:], covariance[n:, n:]
    scale = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    if not np.all(scale > 0) or np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0] < 1e-9:
        return None

    def distance(angle: ArrayLike) -> Floats:
        c, s = (np.asarray(f(angle))[..., None] for f in (np.cos, np.sin))
        gap, c, s = c * r - s * h, c[..., None], s[..., None]
        spread = c * c * rr - c * s * (hr + hr.T) + s * s * hh
        turned = np.linalg.solve(spread, gap[..., None])[..., 0]
        return np.asarray((gap * turned).sum(axis=-1), dtype=np.float64)

    angles = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES)
    found = distance(angles)
    near, width = angles[int(found.argmin())], angles[1] - angles[0]
    best = minimize_scalar(
        lambda a: float(distance(a)),
        bounds=(near - width, near + width),
        method="bounded",
        options={"xatol": 1e-10},
    )
    k = float(np.tan(best.x))
    base, spread = _nearest(h, r, k, hh, hr, rr)
    std_error = float(1 / np.sqrt(base @ np.linalg.solve(spread, base)))
    p_value = float(chi2.sf(best.fun, n - 1)) if n > 1 else float("nan")
    return Proportion(k, std_error, float(best.fun), p_value, n - 1)


def _nearest(h: Floats, r: Floats, k: float, hh: Floats, hr: Floats, rr: Floats) -> tuple[Floats, Floats]:
    """g of the (g, k g) nearest to (h, r), h less what its error shares with r - k h; the latter's spread."""
    spread = rr - k * (hr + hr.T) + k * k * hh
    base = h - (hr - k * hh) @ np.linalg.solve(spread, r - k * h)
    return np.asarray(base, dtype=np.float64), np.asarray(spread, dtype=np.float64)

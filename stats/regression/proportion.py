"""Whether one set of coefficients is another times one factor: minimum distance."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

from seal.stats.regression.inference import Floats, wald

_ANGLES = 181


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
        None where r - k h has no error for some k (h and r rest on the same numbers), so that nothing can be
        said.
    """
    n = len(h)
    hh, hr, rr = covariance[:n, :n], covariance[:n, n:], covariance[n:, n:]

    def gap(angle: float) -> tuple[Floats, Floats]:
        c, s = float(np.cos(angle)), float(np.sin(angle))
        return c * r - s * h, c * c * rr - c * s * (hr + hr.T) + s * s * hh

    def distance(angle: float) -> float:
        statistic, _, rank = wald(*gap(angle))
        return statistic if rank == n else float("inf")

    angles = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES)
    found = np.array([distance(a) for a in angles])
    if not np.all(np.isfinite(found)):
        return None
    near, width = angles[int(found.argmin())], angles[1] - angles[0]
    best = minimize_scalar(distance, bounds=(near - width, near + width), method="bounded",
                           options={"xatol": 1e-10})  # fmt: skip
    k = float(np.tan(best.x))
    base = _nearest(h, r, k, hh, hr, rr)
    spread = rr - k * (hr + hr.T) + k * k * hh
    std_error = float(1 / np.sqrt(base @ np.linalg.solve(spread, base)))
    p_value = float(chi2.sf(best.fun, n - 1)) if n > 1 else float("nan")
    return Proportion(k, std_error, float(best.fun), p_value, n - 1)


def _nearest(h: Floats, r: Floats, k: float, hh: Floats, hr: Floats, rr: Floats) -> Floats:
    """g of the (g, k g) nearest to (h, r): h less what its error shares with that of r - k h."""
    spread = rr - k * (hr + hr.T) + k * k * hh
    return np.asarray(h - (hr - k * hh) @ np.linalg.solve(spread, r - k * h), dtype=np.float64)

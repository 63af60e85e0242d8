"""Which regressors enter: none that never varies, none that the others repeat, none with too large a VIF."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seal.stats.options import MAX_VIF
from seal.stats.regression.inference import Floats, inverse, pivot_rank


@dataclass(frozen=True)
class Verdict:
    """One regressor's fate.

    Attributes:
        vif: variance inflation factor when it was judged: among the kept ones, or when it was dropped; None
            where it has none (it never varies, or repeats others exactly).
        kept: whether it enters.
        reason: why not, where it does not.
    """

    vif: float | None
    kept: bool
    reason: str | None = None


def select(gram: Floats, names: Sequence[str], *, threshold: float = MAX_VIF) -> list[Verdict]:
    """Choose regressors by their Gram matrix as they enter the regression.

    Of columns that repeat one another the last is kept. A taxonomy runs from the whole dialogue to the last
    response, and of `assistant_is_coherent` and `last_response_is_coherent` it is the second that people
    compared (the published study, too, lost the first to its VIF).

    Without intercept pass the raw cross products, with intercept the centred ones: the VIF of column j is
    then gram_jj (gram^-1)_jj, the factor by which the others inflate its variance in that regression.

    Args:
        gram: (k, k) cross products.
        names: (k,) for the reasons.
        threshold: the largest VIF above it is dropped, one at a time (of equal ones the first).

    Returns:
        One verdict per column, in order.
    """
    verdicts: dict[int, Verdict] = {}
    for j in range(len(names)):
        if not gram[j, j] > 0:
            verdicts[j] = Verdict(None, False, "never varies")
    alive = [j for j in range(len(names)) if j not in verdicts]
    backwards = alive[::-1]
    independent = sorted(backwards[i] for i in pivot_rank(gram[np.ix_(backwards, backwards)]))
    for j in set(alive) - set(independent):
        verdicts[j] = Verdict(None, False, _repeats(gram, j, [i for i in independent if i > j], names))
    while independent:
        part = gram[np.ix_(independent, independent)]
        vifs = np.diag(part) * np.diag(inverse(part))
        worst = int(np.argmax(vifs))
        if vifs[worst] <= threshold:
            verdicts |= {j: Verdict(float(v), True) for j, v in zip(independent, vifs, strict=True)}
            break
        verdicts[independent.pop(worst)] = Verdict(
            float(vifs[worst]), False, f"VIF {vifs[worst]:.3g} above {threshold:g}"
        )
    return [verdicts[j] for j in range(len(names))]


def _repeats(gram: Floats, j: int, later: list[int], names: Sequence[str]) -> str:
    """Say whose exact linear combination column j is."""
    part = gram[np.ix_(later, later)]
    weights = inverse(part) @ gram[later, j]
    share = np.abs(weights) * np.sqrt(np.diag(part)) / np.sqrt(gram[j, j])
    others = [names[i] for i, s in zip(later, share, strict=True) if s > 1e-6]
    return f"an exact linear combination of {', '.join(others)}"

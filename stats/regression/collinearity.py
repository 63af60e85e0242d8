"""Which regressors enter: none that never varies, none that the others repeat, none with too large a VIF."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Design:
    """What one equation regresses on.

    Attributes:
        equation: its name, as reasons have it.
        gram: (c, c) cross products as for `select`.
        owners: (c,) the regressor, by number, that each column is of.
        names: (c,) of the columns, for the reasons.
    """

    equation: str
    gram: Floats
    owners: tuple[int, ...]
    names: tuple[str, ...]

    def columns_of(self, alive: Sequence[int]) -> list[int]:
        """Columns of these regressors that vary."""
        wanted = set(alive)
        return [c for c, r in enumerate(self.owners) if r in wanted and self.gram[c, c] > 0]


def select_together(
    designs: Sequence[Design], n_regressors: int, *, threshold: float = MAX_VIF
) -> tuple[list[int], list[list[Verdict]]]:
    """Choose one set of regressors for several equations: dropped where any of them needs it.

    The rules are those of `select`: out goes what varies in no column of some equation, then what others
    repeat, then, one at a time, the regressor with the largest VIF of all in any equation. Where one side of
    a regressor never varies, that column alone is left out of its equation: no other changes by it.

    Args:
        designs: of the equations, the one to be named first in reasons first.
        n_regressors: how many there are.
        threshold: of the VIF.

    Returns:
        The regressors that are kept, ascending, and for each design one verdict per column: of a dropped one
        the VIF there when it was judged, and the reason with the equation that asked for it.
    """
    work = _Selection(designs, list(range(n_regressors)))
    for design in designs:
        for r in [r for r in work.alive if not design.columns_of([r])]:
            work.drop(r, design, "never varies")
    for design in designs:
        while (found := _repeated(design, work.alive)) is not None:
            work.drop(design.owners[found[0]], design, found[1])
    while work.alive:
        inflated = {(d, c): v for d in range(len(designs)) for c, v in work.vifs(d).items()}
        if not inflated:
            break
        (d, c), largest = max(inflated.items(), key=lambda item: item[1])
        if largest <= threshold:
            break
        work.drop(designs[d].owners[c], designs[d], f"VIF {largest:.3g} above {threshold:g}", vifs=inflated)
    return work.alive, [work.verdicts(d) for d in range(len(designs))]


@dataclass
class _Selection:
    """The regressors still in, and why each other one went."""

    designs: Sequence[Design]
    alive: list[int]
    dropped: dict[int, tuple[Design, str, Mapping[tuple[int, int], float]]] = field(default_factory=dict)

    def drop(
        self, r: int, by: Design, reason: str, vifs: Mapping[tuple[int, int], float] | None = None
    ) -> None:
        self.alive.remove(r)
        self.dropped[r] = (by, reason, vifs or {})

    def vifs(self, d: int) -> dict[int, float]:
        """By column of a design, among the regressors still in."""
        columns = self.designs[d].columns_of(self.alive)
        part = self.designs[d].gram[np.ix_(columns, columns)]
        values = np.diag(part) * np.diag(inverse(part)) if columns else ()
        return {c: float(v) for c, v in zip(columns, values, strict=True)}

    def verdicts(self, d: int) -> list[Verdict]:
        design, vifs = self.designs[d], self.vifs(d)
        found = []
        for c, r in enumerate(design.owners):
            if r not in self.dropped:
                still = c not in vifs
                found.append(Verdict(vifs.get(c), not still, "never varies" if still else None))
                continue
            by, reason, then = self.dropped[r]
            said = reason if by is design else f"{reason} in {by.equation}"
            found.append(Verdict(then.get((d, c)), False, said))
        return found


def _repeated(design: Design, alive: Sequence[int]) -> tuple[int, str] | None:
    """The first column that later ones repeat exactly, and whose combination it is."""
    columns = design.columns_of(alive)
    backwards = columns[::-1]
    independent = [backwards[i] for i in pivot_rank(design.gram[np.ix_(backwards, backwards)])]
    found = sorted(set(columns) - set(independent))
    if not found:
        return None
    later = sorted(i for i in independent if i > found[0])
    return found[0], _repeats(design.gram, found[0], later, design.names)


def _repeats(gram: Floats, j: int, later: list[int], names: Sequence[str]) -> str:
    """Say whose exact linear combination column j is."""
    part = gram[np.ix_(later, later)]
    weights = inverse(part) @ gram[later, j]
    share = np.abs(weights) * np.sqrt(np.diag(part)) / np.sqrt(gram[j, j])
    others = [names[i] for i, s in zip(later, share, strict=True) if s > 1e-6]
    return f"an exact linear combination of {', '.join(others)}"

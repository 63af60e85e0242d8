"""Several labelers made into one: majority vote, and the model of Dawid and Skene (1979).

Texts are grouped by what the labelers said of them, feature by feature. Either method sees these patterns and
how often each occurs, nothing else, so that millions of texts cost one pass to count and one to write, and
texts with the same answers get the same result.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import LABELS, TEXT_KEY, check
from seal.stats.labelers.measures import Labeler, shared_features
from seal.stats.options import Method
from seal.stats.pairs.joins import outer_join, row_blocks
from seal.stats.regression.cells import Tally
from seal.stats.regression.inference import Floats, require_choice

PAIRS_PER_BLOCK = 100_000
ERRORS: dict[str, pl.DataType] = {
    **dict.fromkeys(("feature", "labeler", "truth", "said"), pl.String()),
    "probability": pl.Float64(),
}

_FLOOR = 1e-10  # of a probability: one text must not rule a value out for ever
_TIE = 1e-9
_CONVERGED = 1e-10
_MOST_ITERATIONS = 2000


@dataclass(frozen=True)
class Fit:
    """What the EM algorithm ended with, for p patterns, l labelers and k values.

    Attributes:
        posterior: (p, k), the probability of each value given the answers; NaN where nobody answered.
        prior: (k,), the share of each value.
        errors: (l, k, k), the probability that a labeler says the last index where the middle one is true.
        n_iterations: rounds that were made.
        converged: whether the last one changed no posterior probability by more than 1e-10.
    """

    posterior: Floats
    prior: Floats
    errors: Floats
    n_iterations: int
    converged: bool


@dataclass(frozen=True)
class Consensus:
    """One feature over all labelers.

    Attributes:
        dtype: of its column.
        patterns: what each labeler said (columns "0", "1", ...; null where nothing), then `label` and `p`,
            the probability of that label; a label is null where two values are equally probable.
        values: that occur.
        fit: of the Dawid-Skene model; None for a majority vote.
    """

    dtype: pl.DataType
    patterns: pl.DataFrame
    values: tuple[str, ...]
    fit: Fit | None


@dataclass(frozen=True)
class Combination:
    """Labelers combined.

    Attributes:
        labelers: whose labels.
        method: `majority` or `dawid-skene`.
        features: feature -> its consensus.
    """

    labelers: Sequence[Labeler]
    method: Method
    features: Mapping[str, Consensus]

    @property
    def name(self) -> str:
        """The labeler it is."""
        return self.method.replace("-", "_")

    def blocks(self, *, after: int = -1) -> Iterator[pl.DataFrame]:
        """LABELS frames sorted by key: features, then `p_<feature>`; row_ids up to `after` are left out."""
        for texts in _texts(self.labelers, list(self.features), after):
            columns: list[pl.Series] = []
            for feature, consensus in self.features.items():
                said = texts.select(pl.col(f"{feature}/{i}").alias(str(i)) for i in range(len(self.labelers)))
                found = said.join(
                    consensus.patterns, on=said.columns, how="left", nulls_equal=True, maintain_order="left"
                )
                columns += [_typed(found["label"], consensus.dtype).alias(feature)]
                columns += [found["p"].cast(pl.Float32).alias(f"p_{feature}")]
            key = texts.select(*TEXT_KEY, pl.lit(self.name).alias("labeler"))
            yield key.with_columns(columns[0::2]).with_columns(columns[1::2])

    def errors(self) -> pl.DataFrame:
        """How often each labeler says what where what is true (`ERRORS`); empty for a majority vote."""
        rows = []
        for feature, consensus in self.features.items():
            for i, labeler in enumerate(self.labelers if consensus.fit else ()):
                assert consensus.fit is not None
                for t, truth in enumerate(consensus.values):
                    for s, said in enumerate(consensus.values):
                        probability = float(consensus.fit.errors[i, t, s])
                        rows.append((feature, labeler.name, truth, said, probability))
        return pl.DataFrame(rows, schema=ERRORS, orient="row")


def combine(labelers: Sequence[Labeler], method: Method) -> Combination:
    """Combine labelers on every boolean and text feature that all of them have.

    Texts that only some labeled are combined from those; a text that nobody labeled gets a null.

    Args:
        labelers: two or more.
        method: `majority`, where a label's probability is its share of the votes; or `dawid-skene`, where it
            is the posterior under each labeler's own error rates, at a maximum of the likelihood reached from
            the vote. With two labelers that model is not identified, and its posterior not to be relied on.

    Raises:
        UsageError: fewer than two labelers.
        InputError: they share no feature, or one labels a text twice.
    """
    require_choice("combine", method, get_args(Method))
    if len(labelers) < 2:
        raise UsageError(f"{len(labelers)} labeler to combine; at least two are needed")
    features = shared_features(labelers)
    if not features:
        raise InputError(
            f"{', '.join(x.name for x in labelers)} share no boolean or text feature; nothing can be combined"
        )
    names = {f: [f"{f}/{i}" for i in range(len(labelers))] for f in features}
    tallies = {f: Tally(names[f]) for f in features}
    for texts in _texts(labelers, features):
        for feature, tally in tallies.items():
            tally.add(texts.group_by(names[feature]).agg(n=pl.len().cast(pl.Int64)))
    found = {f: tally.total() for f, tally in tallies.items()}
    schemas = [x.frame.collect_schema() for x in labelers]
    return Combination(
        labelers,
        method,
        {f: _consensus([s[f] for s in schemas], t, method) for f, t in found.items() if t is not None},
    )


def _texts(labelers: Sequence[Labeler], features: Sequence[str], after: int = -1) -> Iterator[pl.DataFrame]:
    """One row a text that any labeler has, sorted by key: what labeler i said of a feature is `feature/i`."""
    frames = [check(x.frame, LABELS, origin=f"labels of {x.name}") for x in labelers]
    for low, high in row_blocks(frames, PAIRS_PER_BLOCK):
        if high <= after:
            continue
        inside = pl.col("row_id").is_between(max(low, after + 1), high)
        blocks = [
            frame.filter(inside).select(
                *TEXT_KEY, *(pl.col(f).cast(pl.String).alias(f"{f}/{i}") for f in features),
                pl.len().over(TEXT_KEY).alias(f"n/{i}"),
            )
            for i, frame in enumerate(frames)
        ]  # fmt: skip
        together = outer_join(blocks, TEXT_KEY)
        if twice := [x.name for i, x in enumerate(labelers) if (together[f"n/{i}"] > 1).any()]:
            raise InputError(f"{twice[0]} labels a text twice; a key stands once")
        if together.height:
            yield together.drop(f"n/{i}" for i in range(len(frames)))


def _consensus(kinds: Sequence[pl.DataType], found: pl.DataFrame, method: Method) -> Consensus:
    names = found.columns[:-1]
    found = found.sort(names)  # groups come in any order, and sums of floats are not to depend on it
    there = {str(value) for name in names for value in found[name].drop_nulls().unique()}
    boolean = all(kind == pl.Boolean() for kind in kinds)
    known = [v for kind in kinds if isinstance(kind, pl.Enum) for v in kind.categories]
    order = ["false", "true"] if boolean else list(dict.fromkeys([*known, *sorted(there)]))
    values = tuple(v for v in order if v in there)
    index = {value: i for i, value in enumerate(values)}
    codes = np.array([[index.get(v, -1) for v in found[n].to_list()] for n in names], dtype=np.int64).T
    codes = codes.reshape(found.height, len(names))
    weights = found["n"].to_numpy().astype(np.float64)
    fit = dawid_skene(codes, weights, len(values)) if method == "dawid-skene" else None
    label, p = _choose(vote(codes, len(values)) if fit is None else fit.posterior)
    patterns = found.select(pl.col(name).alias(str(i)) for i, name in enumerate(names)).with_columns(
        label=pl.Series([values[at] if at >= 0 else None for at in label], dtype=pl.String),
        p=pl.Series(p).fill_nan(None),
    )
    return Consensus(pl.Boolean() if boolean else pl.Enum(order), patterns, values, fit)


def vote(codes: NDArray[np.int64], n_values: int) -> Floats:
    """Shares of the votes.

    Args:
        codes: (patterns, labelers), an index of the values, -1 where there is no answer.
        n_values: k.

    Returns:
        (patterns, k); NaN where nobody answered.
    """
    votes = (codes[:, :, None] == np.arange(n_values)).sum(axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def dawid_skene(
    codes: NDArray[np.int64], weights: Floats, n_values: int, *, n_iterations: int = _MOST_ITERATIONS
) -> Fit:
    """Maximum likelihood of the Dawid-Skene model by EM, started from the votes; nothing in it is random.

    Args:
        codes: (p, l), an index of the k values, -1 where there is no answer.
        weights: (p,) texts of each pattern.
        n_values: k.
        n_iterations: rounds at most.
    """
    posterior = vote(codes, n_values)
    answered = (codes >= 0).any(axis=1)
    said = (codes[:, :, None] == np.arange(n_values)).astype(np.float64)[answered]  # pattern, labeler, value
    n, now = weights[answered], posterior[answered]
    prior, errors = _maximised(said, n, now)
    done, change = 0, np.inf
    while done < n_iterations and change > _CONVERGED:
        before, now = now, _expected(said, prior, errors)
        prior, errors = _maximised(said, n, now)
        change, done = float(np.abs(now - before).max(initial=0.0)), done + 1
    posterior[answered] = now
    return Fit(posterior, prior, errors, done, change <= _CONVERGED)


def _maximised(said: Floats, weights: Floats, posterior: Floats) -> tuple[Floats, Floats]:
    """M step: prior (k,) and errors (labeler, truth, said) from the expected truths."""
    weighted = posterior * weights[:, None]
    prior = weighted.sum(axis=0) / max(weights.sum(), 1.0)
    counts = np.maximum(np.einsum("pt,pls->lts", weighted, said), _FLOOR)
    return np.maximum(prior, _FLOOR), np.asarray(counts / counts.sum(axis=2, keepdims=True))


def _expected(said: Floats, prior: Floats, errors: Floats) -> Floats:
    """E step: the probability of each truth given the answers, (patterns, k)."""
    likelihood = np.log(prior) + np.einsum("pls,lts->pt", said, np.log(errors))
    scaled = np.exp(likelihood - likelihood.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _choose(posterior: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The most probable value of each pattern, -1 for a tie or nothing; its probability, NaN for nothing."""
    if not posterior.shape[1]:
        return np.full(len(posterior), -1), np.full(len(posterior), np.nan)
    ordered = np.sort(posterior, axis=1)
    best = ordered[:, -1]
    second = ordered[:, -2] if posterior.shape[1] > 1 else np.zeros(len(posterior))
    clear = best - second > _TIE  # false for NaN
    return np.where(clear, posterior.argmax(axis=1), -1), best


def _typed(label: pl.Series, dtype: pl.DataType) -> pl.Series:
    return label == "true" if dtype == pl.Boolean() else label.cast(dtype)

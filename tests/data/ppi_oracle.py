"""Makes ppi_oracle.json: what ppi-python and a bootstrap of predict-then-debias make of shared cases.

    python -m venv ppi && ppi/bin/pip install ppi-python==0.2.3
    ppi/bin/python tests/data/ppi_oracle.py

Two cases. `outcome`: regressors are known, the outcome is predicted, gold has both; ppi-python's own setting
(Angelopoulos, Duchi and Zrnic 2023), all pairs taken apart from the gold ones. `regressors`: regressors are
labeled with errors, which ppi-python does not do; predict-then-debias (Kluger et al. 2025) with its matrix
tuned and its errors by the bootstrap, gold and the rest resampled apart. Tests draw the same data.
"""

import json
from pathlib import Path

import numpy as np

N, M, SEED, N_BOOTSTRAP = 6000, 500, 20, 4000


def outcome_case():
    """Regressors, outcome, predicted outcome; the first M rows are gold."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(N, 3)) @ np.array([[1, 0.3, 0], [0, 1, 0.4], [0, 0, 1]])
    y = x @ [1.0, -0.5, 0.2] + rng.normal(size=N) * (1 + 0.3 * np.abs(x[:, 0]))
    return x, y, 0.6 * y + 0.4 * x[:, 2] + 0.7 * rng.normal(size=N)


def regressor_case():
    """True differences, a labeler's, outcome; the first M rows are gold."""
    rng = np.random.default_rng(SEED + 1)
    x = rng.random((N, 2, 3)) < [0.5, 0.3, 0.15]
    wrong = rng.random(x.shape) < 0.1
    d, v = (a[:, 0].astype(float) - a[:, 1] for a in (x, x ^ wrong))
    return d, v, d @ [1.0, -0.5, 0.8] + rng.normal(size=N)


def ols(x, y):
    return np.linalg.solve(x.T @ x, x.T @ y)


def with_errors(lam):
    import ppi_py  # here alone, so that the tests can draw the same data without it

    x, y, said = outcome_case()
    parts = (x[:M], y[:M], said[:M], x[M:], said[M:])
    low, high = ppi_py.ppi_ols_ci(*parts, alpha=0.05, lam=lam)
    estimate = ppi_py.ppi_ols_pointestimate(*parts, lam=lam)
    return {"estimate": estimate.tolist(), "std_error": ((high - low) / 2 / 1.959963984540054).tolist()}


def resampled_untuned():
    """Standard errors of the untuned estimate by the bootstrap.

    ppi-python's are wider: its gradients of the predictions are at the corrected coefficients, not at theirs.
    """
    x, y, said = outcome_case()
    rng, drawn = np.random.default_rng(SEED + 3), []
    for _ in range(N_BOOTSTRAP):
        g, r = rng.integers(0, M, M), rng.integers(M, N, N - M)
        drawn.append(ols(x[r], said[r]) + ols(x[g], y[g] - said[g]))
    return np.std(drawn, axis=0).tolist()


def predict_then_debias():
    d, v, y = regressor_case()
    rng, drawn = np.random.default_rng(SEED + 2), []
    for _ in range(N_BOOTSTRAP):
        g = rng.integers(0, M, M)
        r = rng.integers(M, N, N - M)
        everyone = np.concatenate([g, r])
        drawn.append((ols(d[g], y[g]), ols(v[g], y[g]), ols(v[everyone], y[everyone])))
    b, c, a = (np.array(part) for part in zip(*drawn, strict=True))
    centred = c - a - (c - a).mean(axis=0)
    tuning = (b - b.mean(axis=0)).T @ centred @ np.linalg.inv(centred.T @ centred)
    estimate = ols(d[:M], y[:M]) - tuning @ (ols(v[:M], y[:M]) - ols(v, y))
    spread = (b - (c - a) @ tuning.T).std(axis=0)
    return {"estimate": estimate.tolist(), "std_error": spread.tolist(), "tuning": tuning.tolist()}


def main() -> None:
    outcome = {"untuned": with_errors(1.0), "gold_alone": with_errors(0.0), "tuned": with_errors(None)}
    outcome["untuned"]["bootstrap_std_error"] = resampled_untuned()
    document = {
        "made_with": "ppi-python 0.2.3, numpy",
        "n": N, "m": M, "seed": SEED, "n_bootstrap": N_BOOTSTRAP,
        "outcome": outcome,
        "regressors": predict_then_debias(),
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

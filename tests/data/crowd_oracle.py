"""Makes crowd_oracle.json: answers of simulated annotators, and what crowd-kit makes of them.

    python -m venv crowd && crowd/bin/pip install crowd-kit==1.4.2
    crowd/bin/python tests/data/crowd_oracle.py

crowd-kit is no dependency of the tests: it brings versions that the pinned environment does not hold.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from crowdkit.aggregation import DawidSkene, MajorityVote

CASES = {
    # values, tasks, error rates of the annotators, share of missing answers
    "boolean": (("false", "true"), 120, (0.05, 0.15, 0.25, 0.35, 0.4), 0.0),
    "enum_with_gaps": (("negative", "neutral", "positive"), 120, (0.1, 0.2, 0.3, 0.4), 0.2),
}


def simulated(values, n_tasks, errors, missing, rng):
    """Answers (tasks, annotators) as indices of the values, -1 for none; each task has at least one."""
    truth = rng.choice(len(values), n_tasks, p=np.arange(1, len(values) + 1) / sum(range(1, len(values) + 1)))
    answers = np.repeat(truth[:, None], len(errors), axis=1)
    wrong = rng.random(answers.shape) < np.array(errors)
    answers = np.where(wrong, (answers + rng.integers(1, len(values), answers.shape)) % len(values), answers)
    gaps = rng.random(answers.shape) < missing
    gaps[np.arange(n_tasks), rng.integers(len(errors), size=n_tasks)] = False
    return np.where(gaps, -1, answers)


def main() -> None:
    rng = np.random.default_rng(11)
    cases = {}
    for name, (values, n_tasks, errors, missing) in CASES.items():
        answers = simulated(values, n_tasks, errors, missing, rng)
        data = pd.DataFrame(
            [(t, w, int(a)) for t, row in enumerate(answers) for w, a in enumerate(row) if a >= 0],
            columns=["task", "worker", "label"],
        )
        order = list(range(len(values)))
        twenty = DawidSkene(n_iter=20, tol=-1).fit(data)
        converged = DawidSkene(n_iter=2000, tol=-1).fit(data)
        cases[name] = {
            "values": values,
            "answers": answers.tolist(),
            "majority": MajorityVote().fit_predict_proba(data).sort_index()[order].to_numpy().tolist(),
            "dawid_skene_20": twenty.probas_.sort_index()[order].to_numpy().tolist(),
            "dawid_skene": converged.probas_.sort_index()[order].to_numpy().tolist(),
            "prior": converged.priors_[order].to_numpy().tolist(),
            # [annotator][truth][said]
            "errors": [
                [[float(converged.errors_.loc[(w, s), t]) for s in order] for t in order]
                for w in range(len(errors))
            ],
        }
    document = {"made_with": "crowd-kit 1.4.2", "cases": cases}
    Path(__file__).with_suffix(".json").write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What the tables of a report are called and how their columns are headed, as data."""

SURE = "Bold: adjusted p at most 0.05."
ABOUT: dict[str, tuple[str, str]] = {
    "alignment": (
        "Agreement with the people",
        "Alignment is the share of pairs in which the chosen text has the higher reward, with its Wilson "
        "interval; resistance is the rest. Rulers read no content: a model no better than one has learned "
        "little.",
    ),
    "regimes": (
        "Table 1: what training did to the pairs, and how often the labeler sides with the people",
        "Agreement is the labeler's, among the pairs it decides.",
    ),
    "profile": (
        "Whom the labeler sides with, by regime",
        "c: it prefers the chosen text, r: the rejected one, i: neither, conflict: its targets disagree.",
    ),
    "imprint": (
        "Feature imprint (Eq. 1)",
        f"The reward a feature brings, within pairs; errors clustered by pair. {SURE}",
    ),
    "imprint_chosen": (
        "Feature imprint with a premium of the chosen side",
        f"As Eq. 1, with one more term, `chosen`, for what the features do not explain. {SURE}",
    ),
    "shift": (
        "Reward shift (Eq. 2)",
        "What turns the pair's reward vector (theta, degrees) and what changes its margin; robust errors. "
        f"{SURE}",
    ),
    "resistance": (
        "Alignment resistance (Eq. 3)",
        "A logit of misalignment: log odds, odds ratio and average marginal effect on its probability. "
        f"{SURE}",
    ),
    "robustness": (
        "Alignment robustness (Eq. 4): aligned pairs that a rewriting turned",
        f"A logit of becoming misaligned, for each label lost or gained in rewriting. {SURE}",
    ),
    "robustness_given_aligned": (
        "Alignment robustness, only pairs that were aligned",
        f"As Eq. 4, among the pairs aligned before rewriting. {SURE}",
    ),
    "robustness_became_aligned": (
        "The other direction: misaligned pairs that a rewriting turned",
        f"A logit of becoming aligned. {SURE}",
    ),
    "flips": (
        "What rewriting changed",
        "Pairs in which a label was lost or gained, and what became of them.",
    ),
    "vif": (
        "Regressors: variance inflation, and what was left out",
        "A VIF above the limit drops the regressor, the largest first.",
    ),
    "labelers": (
        "Agreement of the labelers",
        "Chance-corrected agreement on each feature; intervals resample pairs. alpha is Krippendorff's.",
    ),
    "tests": ("Tests", "Each with its p-value, unadjusted."),
    "theta_histogram": ("Reward shift by regime and labeler preference", "What figures 2 and 4 draw."),
    "reward_sample": ("A scatter of pairs and their rewards", "What figure 2 draws."),
}

HEADINGS = {
    "n_pairs": "pairs", "n_ties": "ties", "n_incomplete": "incomplete", "n_decided": "decided pairs",
    "n_informative": "informative pairs", "n_flipped": "pairs flipped", "n": "n", "std_error": "std. error",
    "p_value": "p", "p_adjusted": "adjusted p", "p_bonferroni": "Bonferroni p",
    "estimate_std": "estimate, SDs of reward", "odds_ratio": "odds ratio", "ame": "average marginal effect",
    "ame_std_error": "its std. error", "gamma": "labeler prefers", "vif": "VIF", "kappa": "kappa",
    "ac1": "AC1", "alpha": "alpha", "labeler_a": "labeler A", "labeler_b": "labeler B",
    "prevalence_a": "prevalence A", "prevalence_b": "prevalence B", "f1": "F1", "row_id": "pair",
    "theta_from": "from, degrees", "theta_to": "to, degrees", "mean_margin": "mean margin",
}  # fmt: skip
SHARES = frozenset(
    ("alignment", "resistance", "prevalence", "agreement", "prevalence_a", "prevalence_b", "kappa", "ac1",
     "alpha", "precision", "recall", "f1", "ame", "ame_std_error", "mean_margin", "estimate_std",
     "pre_chosen", "pre_rejected", "post_chosen", "post_rejected")
)  # fmt: skip

"""What the tables of a report are called and how their columns are headed, as data."""

SURE = "Bold: adjusted p at most 0.05."
SPURIOUS = (
    "Of the flips seen some are the labeler's errors: where labels err with probability e and a share p of "
    "them truly flips, p(1 - q) + (1 - p)q are seen to, q = 2e(1 - e), and only p(1 - q) of these are real: "
    "23% at p = 5% and e = 8%. A share f that is seen stands for p = (f - q) / (1 - 2q)."
)
ABOUT: dict[str, tuple[str, str]] = {
    "alignment": (
        "Agreement with the people",
        "Alignment is the share of pairs in which the chosen text has the higher reward, with its Wilson "
        "interval; resistance is the rest. Rulers read no content: a model no better than one has learned "
        "little.",
    ),
    "calibration": (
        "How far margins can be read as probabilities",
        "s(t m) is the probability that a margin m gives to the people's choice: at t = 1, and at the t that "
        "fits their choices best. A coin has a log loss of 0.693, a Brier score of 0.25 and an AUC of 0.5. "
        "The expected calibration error is the mean distance between confidence and hits in 15 bins of equal "
        "counts. Noise alone makes it larger than 0; its interval allows for that.",
    ),
    "regimes": (
        "Table 1: what training did to the pairs, and how often the labeler sides with the people",
        "Agreement is the labeler's, among the pairs it decides.",
    ),
    "profile": (
        "Whom the labeler sides with, by regime",
        "c: it prefers the chosen text, r: the rejected one, i: neither, conflict: its targets disagree.",
    ),
    "human_corrected": (
        "What people pay and what the models pay, corrected for label errors",
        "As the table below, with the labels' errors taken out; beside it the difference that labels taken "
        f"as true give. {SURE}",
    ),
    "human": (
        "What people pay and what the models pay, labels taken as true",
        "log_odds: of a text being chosen for having the feature, by the people and, from margins, by the "
        "model. points: the change in the probability of being chosen. The difference is the model's less "
        f"the people's. {SURE}",
    ),
    "imprint_corrected": (
        "Feature imprint (Eq. 1), corrected for label errors",
        "The reward that a feature brings, beside that with labels taken as true. SDs are those of the "
        f"model's own margins. {SURE}",
    ),
    "imprint": (
        "Feature imprint (Eq. 1), labels taken as true",
        "The reward a feature brings, within pairs, in the model's reward units and in SDs of its own "
        f"margins; only the latter compare models. {SURE}",
    ),
    "imprint_chosen": (
        "Feature imprint with a premium of the chosen side",
        f"As Eq. 1, with one more term, `chosen`, for what the features do not explain. {SURE}",
    ),
    "shift": (
        "Reward shift (Eq. 2)",
        "What changes the pair's margin, and what turns its reward vector (theta, degrees); robust errors. "
        f"{SURE}",
    ),
    "resistance_corrected": (
        "Alignment resistance (Eq. 3), corrected for label errors",
        f"As Eq. 3, beside the estimate with labels taken as true. {SURE}",
    ),
    "resistance": (
        "Alignment resistance (Eq. 3)",
        "A logit of misalignment: log odds, odds ratio and average marginal effect on its probability. "
        f"{SURE}",
    ),
    "robustness": (
        "Alignment robustness (Eq. 4): aligned pairs that a rewriting turned",
        f"A logit of becoming misaligned, for each label lost or gained in rewriting. {SPURIOUS} {SURE}",
    ),
    "robustness_given_aligned": (
        "Alignment robustness, only pairs that were aligned",
        f"As Eq. 4, among the pairs aligned before rewriting. {SURE}",
    ),
    "robustness_became_aligned": (
        "The other direction: misaligned pairs that a rewriting turned",
        f"A logit of becoming aligned. {SURE}",
    ),
    "rewriting": (
        "Agreement with the people before and after rewriting",
        "All rewritten pairs, and those whose target labels stayed. A placebo is a rewriting with no aim: "
        "what it loses, rewriting alone loses.",
    ),
    "flips": (
        "What rewriting changed",
        f"Pairs in which a label was lost or gained, and what became of them. {SPURIOUS}",
    ),
    "causal": (
        "What a change of one attribute does to the reward, by double rewriting",
        "Experiments: two rewritings of a response held against each other, one with the value and one "
        "without. att: texts that have it; atu: texts that have not; ate: both; naive: a single rewriting; "
        "placebo: a rewriting with no aim. The main line holds texts whose rewritings have the values that "
        "they were to have, by the labeler, and no other target than before; intention_to_treat all of them. "
        f"{SURE}",
    ),
    "perturbations": (
        "Perturbed responses, each pair against its twin",
        "flipped: the share of pairs whose order turns, with its Wilson interval. Alignment before and after "
        "is of the same pairs; p is of McNemar's exact test on those that changed sides. Margin and reward "
        "change in SDs of the model's own margins. A good judgement stays where the meaning is kept, and its "
        f"reward falls where it is not. {SURE}",
    ),
    "vif": (
        "Regressors: variance inflation, and what was left out",
        "A VIF above the limit drops the regressor, the largest first.",
    ),
    "label_errors": (
        "Error rates of the labelers",
        "False positives among texts without the feature, false negatives among those with it, on both sides "
        "and on each, in all sources and in each. kappa is Cohen's.",
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
    "n_texts": "texts", "n_left_out": "left out", "p_value": "p", "p_adjusted": "adjusted p",
    "p_bonferroni": "Bonferroni p",
    "estimate_std": "estimate, SDs of margins", "std_error_std": "its std. error",
    "p_value_std": "its p", "p_adjusted_std": "its adjusted p", "human": "people pay", "rm": "the model pays",
    "naive_estimate": "estimate, labels taken as true",
    "naive_difference": "difference, labels taken as true",
    "n_gold": "gold pairs", "n_gold_informative": "gold pairs that differ",
    "false_positive_rate": "false positives", "false_negative_rate": "false negatives",
    "odds_ratio": "odds ratio", "ame": "average marginal effect",
    "ame_std_error": "its std. error", "gamma": "labeler prefers", "vif": "VIF", "kappa": "kappa",
    "ac1": "AC1", "alpha": "alpha", "labeler_a": "labeler A", "labeler_b": "labeler B",
    "prevalence_a": "prevalence A", "prevalence_b": "prevalence B", "f1": "F1", "row_id": "pair",
    "n_not_applied": "pairs it does not apply to", "keeps_meaning": "keeps the meaning",
    "alignment_before": "alignment before", "alignment_after": "after", "alignment_change": "change",
    "n_became_misaligned": "became misaligned", "n_became_aligned": "became aligned",
    "margin_change": "margin change, SDs of margins", "reward_change": "reward change, SDs of margins",
    **{f"{x}_std_error": "its std. error" for x in ("margin", "reward")},
    "flipped": "pairs that flip",
    "sd_margin": "SD of margins", "auc": "AUC", "log_loss": "log loss, t = 1", "brier": "Brier score, t = 1",
    "ece": "calibration error, t = 1", "log_loss_fitted": "log loss, t fitted",
    "brier_fitted": "Brier score, t fitted", "ece_fitted": "calibration error, t fitted",
    "length_spearman": "rank correlation with length", "longer_preferred": "prefers the longer text",
    "theta_from": "from, degrees", "theta_to": "to, degrees", "mean_margin": "mean margin",
}  # fmt: skip
SHARES = frozenset(
    ("alignment", "resistance", "auc", "log_loss", "brier", "ece", "log_loss_fitted", "brier_fitted",
     "ece_fitted", "length_spearman", "longer_preferred", "prevalence", "agreement", "prevalence_a",
     "prevalence_b", "kappa", "ac1", "alpha", "precision", "recall", "f1", "ame", "ame_std_error",
     "mean_margin", "estimate_std",
     "std_error_std", "flipped", "alignment_before", "alignment_after", "alignment_change", "margin_change",
     "margin_std_error", "reward_change", "reward_std_error",
     "false_positive_rate", "false_negative_rate",
     "pre_chosen", "pre_rejected", "post_chosen", "post_rejected")
)  # fmt: skip
# Outcomes of Eq. 2 in the order they are told; theta and the normalised margin depend on the rewards' origin.
OUTCOMES = ("standardised_margin_change", "margin_change", "normalised_margin_change", "theta")
OUTCOME_WORDS = {
    "standardised_margin_change": "the margin, each model's in SDs of its own margins",
    "margin_change": "the margin, in reward units",
}
# Kinds of notes, the first pattern that is found in one decides; what none knows comes last.
KINDS = (
    ("People and models", r"(?i)^human|ruler"),
    (
        "The labels and their errors",
        r"(?i)^label health|labelers? (only|agree)|label error|corrected|\bgold\b|rectified|calibrated|"
        r"latent",
    ),
    ("Few pairs behind a coefficient", r"(?i)fewer than|not estimated|no residual|vary in"),
    ("Left out of the regressions", r"(?i)^left out|collinear|VIF"),
    ("Separated outcomes", r"separated"),
    ("Rewriting", r"^(robustness|rewritten|causal)"),
    ("Pairs", r"(?i)\bpairs\b"),
)
OTHER_KIND = "Other notes"

"""What perturbed texts are called, and which perturbations change the meaning on purpose."""

PREFIX = "perturb:"
"""Of the variant, before the name of the perturbation."""

DOES_NOT_APPLY = "does_not_apply"
"""The code, among the failures, of a text to whose pair a perturbation had nothing to do."""

CHANGES_MEANING = (
    "sentences_shuffled", "last_sentence_cut", "repeated_twice", "answer_of_another_prompt",
    "negation_inserted",
)  # fmt: skip
"""A good judgement falls with these, and stays with all others."""

"""What a model's logits are called, which of them are rewards, and how weights are stated."""

from typing import Any

import pytest

from seal.engine.checkpoints.heads import Heads, Weights, parse_weights, positive_class
from seal.engine.errors import InputError, UsageError


def labels(*names: str) -> dict[str, Any]:
    return {"id2label": {str(i): name for i, name in enumerate(names)}}


@pytest.mark.parametrize(
    ("config", "heads"),
    [
        (labels("reward"), Heads(("reward",))),
        ({"num_labels": 1}, Heads(("LABEL_0",))),
        ({}, Heads(("LABEL_0", "LABEL_1"), 1)),
        ({"id2label": None, "num_labels": 3}, Heads(("LABEL_0", "LABEL_1", "LABEL_2"))),
        (labels("helpful", "harmless"), Heads(("helpful", "harmless"))),
        ({**labels("POSITIVE", "NEGATIVE"), "num_labels": 2}, Heads(("POSITIVE", "NEGATIVE"), 0)),
        ({**labels("LABEL_0", "LABEL_1"), "problem_type": "regression"}, Heads(("LABEL_0", "LABEL_1"))),
        ({"id2label": {str(i): f"h{i}" for i in (10, *range(10))}}, Heads(tuple(f"h{i}" for i in range(11)))),
    ],
)
def test_the_logits_of_a_configuration(config: dict[str, Any], heads: Heads) -> None:
    assert Heads.of(config) == heads


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"id2label": {"1": "a", "2": "b"}}, "a name for each logit 0, 1, ... is needed"),
        ({"id2label": {"a": "a"}}, "a name for each logit"),
        (labels("a", "a"), "a name for each logit"),
        ({**labels("a", "b", "c"), "num_labels": 2}, "num_labels is 2, but id2label names 3"),
        ({"num_labels": 0}, "num_labels is 0; a reward model has one logit or more"),
        ({"num_labels": -1}, "num_labels is -1"),
    ],
)
def test_a_configuration_that_does_not_say_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Heads.of(config)


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (("0", "1"), 1),
        (("1", "0"), 0),
        (("LABEL_0", "LABEL_1"), 1),
        (("negative", "positive"), 1),
        (("Good ", "BAD"), 0),
        (("rejected", "chosen"), 1),
        (("not helpful", "Helpful"), 1),
        (("polite", "non-polite"), 0),
        (("helpful", "harmless"), None),
        (("1", "2"), None),
        (("positive", "neutral"), None),
        (("negative", "neutral", "positive"), None),
        (("1",), None),
    ],
)
def test_two_classes_of_one_question_are_known_by_their_words(
    names: tuple[str, ...], positive: int | None
) -> None:
    assert positive_class(names) == positive


def test_one_logit_is_the_reward_and_says_nothing() -> None:
    heads = Heads(("reward",))
    assert heads.rewards("rm") == {"rm": (1.0,)}
    assert heads.facts((1.0,)) == {}
    assert heads.note("rm") is None


@pytest.mark.parametrize(
    ("heads", "weights", "other"),
    [(Heads(("no", "yes"), 1), (0.0, 1.0), "-1,1"), (Heads(("yes", "no"), 0), (1.0, 0.0), "1,-1")],
)
def test_of_two_classes_the_positive_one_is_the_reward(heads: Heads, weights: Weights, other: str) -> None:
    assert heads.rewards("rm") == {"rm": weights}
    assert heads.facts(weights) == {"weights": {"yes": 1.0}}
    assert heads.note("rm") == (
        "rm has two classes: its reward is the logit of 'yes' "
        f"(--head rm={other} takes the difference to 'no')"
    )


def test_other_heads_are_models_of_their_own() -> None:
    heads = Heads(("helpful", "Code Style/1", "../up", "…"))
    names = ["rm.helpful", "rm.Code-Style-1", "rm...-up", "rm.3"]
    assert list(heads.rewards("rm")) == names
    assert list(heads.rewards("rm").values())[1] == (0.0, 1.0, 0.0, 0.0)
    assert heads.note("rm") == f"rm has 4 heads: {', '.join(names)}"
    with pytest.raises(InputError, match=r"heads of rm \(a b, a/b\) would not all have names"):
        Heads(("a b", "a/b")).rewards("rm")


def test_stated_weights_make_one_reward() -> None:
    heads = Heads(("a", "b", "c"))
    assert heads.rewards("rm", (0.5, 0.0, -2.0)) == {"rm": (0.5, 0.0, -2.0)}
    assert heads.facts((0.5, 0.0, -2.0)) == {"weights": {"a": 0.5, "c": -2.0}}
    assert heads.note("rm", (1.0, 1.0, 1.0)) is None
    with pytest.raises(UsageError, match=r"head rm=1,2: 2 weights for 3 logits \(a, b, c\)"):
        heads.rewards("rm", (1.0, 2.0))


def test_weights_are_read() -> None:
    assert parse_weights(["rm=0.7,-3e-1", "b=1"]) == {"rm": (0.7, -0.3), "b": (1.0,)}
    assert parse_weights([]) == {}


@pytest.mark.parametrize(
    "value", ["rm", "rm=", "=1", "rm=1,", "rm=a", "rm=0,0", "rm=nan,1", "rm=inf", "rm=1;2", ""]
)
def test_what_are_no_weights_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=r"is not NAME=W,\.\.\.: a model's name and a number for each"):
        parse_weights([value])


def test_a_model_is_weighed_once() -> None:
    with pytest.raises(UsageError, match="head names 'rm' twice"):
        parse_weights(["rm=1", "rm=2"])

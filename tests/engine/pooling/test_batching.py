"""Properties of a batch plan."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.engine.pooling.batching import plan_batches

lengths_strategy = st.lists(st.integers(1, 5000), max_size=200).map(lambda x: np.array(x, dtype=np.int64))
budgets = st.integers(1, 20_000)


@given(lengths_strategy, budgets)
def test_every_text_is_in_exactly_one_batch(lengths, budget):
    plan = plan_batches(lengths, budget)
    placed = np.concatenate([*plan.batches, np.empty(0, np.intp)])
    assert sorted(placed) == list(range(len(lengths)))


@given(lengths_strategy, budgets)
def test_the_budget_is_kept_and_an_overlong_text_is_alone(lengths, budget):
    for batch in plan_batches(lengths, budget).batches:
        cost = lengths[batch].max() * len(batch)
        assert cost <= budget or len(batch) == 1


@given(lengths_strategy, budgets)
def test_the_longest_come_first(lengths, budget):
    plan = plan_batches(lengths, budget)
    in_order = lengths[np.concatenate([*plan.batches, np.empty(0, np.intp)])]
    assert np.all(np.diff(in_order) <= 0)


@given(lengths_strategy, budgets)
def test_the_counts_are_those_of_the_batches(lengths, budget):
    plan = plan_batches(lengths, budget)
    assert plan.n_tokens == lengths.sum()
    assert plan.n_slots == sum(int(lengths[b].max()) * len(b) for b in plan.batches)


@given(lengths_strategy, budgets)
def test_no_two_neighbours_could_have_been_one_batch(lengths, budget):
    batches = plan_batches(lengths, budget).batches
    for one, other in pairwise(batches):
        assert lengths[one[0]] * (len(one) + 1) > budget, other


@given(lengths_strategy, budgets)
def test_the_same_lengths_give_the_same_plan(lengths, budget):
    one, other = plan_batches(lengths, budget), plan_batches(lengths.copy(), budget)
    assert all(np.array_equal(a, b) for a, b in zip(one.batches, other.batches, strict=True))


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.int64])
def test_any_integer_type_will_do(dtype):
    plan = plan_batches(np.array([3, 40_000, 7], dtype=dtype), 100)
    assert [b.tolist() for b in plan.batches] == [[1], [2, 0]]

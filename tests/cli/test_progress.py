"""Lines about work under way: something moves, nothing does, and it is over."""

import time
from collections.abc import Sequence

import pytest

from seal.cli import progress as shown
from seal.cli.pipeline.display import board
from seal.cli.pipeline.planning import Decision
from seal.cli.progress import PlainLines
from seal.engine.generation.contract import Answer, Overheard, Request, Told, untold
from seal.engine.labeling.model_labeler import ModelLabeler
from seal.engine.progress import Meter, Progress, describe
from tests.support.decoders import some_features
from tests.support.frames import random_texts
from tests.support.servers import wait_until


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_PLAIN_EVERY_S", 0.2), ("_ALIVE_EVERY_S", 0.6), ("_LOOK_EVERY_S", 0.02)):
        monkeypatch.setattr(shown, name, seconds)


def at(n_answers: int) -> Progress:
    return Progress("label", "texts", 0, 40, elapsed_s=4.0, n_answers=n_answers)


@pytest.mark.usefixtures("quick")
def test_a_line_comes_when_something_moved_and_later_when_nothing_did() -> None:
    said: list[str] = []
    with PlainLines(said.append) as lines:
        lines(at(1))
        lines(at(2))
        wait_until(lambda: len(said) == 1)  # of both, though nothing was heard after
        assert said == ["label: 0 of 40 texts · 2 answers"]
        wait_until(lambda: len(said) == 2)
        assert said[1].startswith("label: 0 of 40 texts · 2 answers · still at work, nothing new for ")
    n_said = len(said)
    time.sleep(0.8)
    assert len(said) == n_said


@pytest.mark.usefixtures("quick")
def test_before_anything_is_heard_there_is_a_sign_of_life() -> None:
    said: list[str] = []
    with PlainLines(said.append):
        wait_until(lambda: bool(said))
    assert said[0].startswith("still at work, nothing new for ")


@pytest.mark.usefixtures("quick")
def test_a_run_says_it_of_the_stage_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    with board(["labels/toy"]) as lines:
        hear = lines.begin("labels/toy", Decision("run", "not there"))
        hear(at(7))

        def alive() -> bool:
            heard.append(capsys.readouterr().err)
            return "labels/toy: 0 of 40 texts · 7 answers · still at work" in "".join(heard)

        wait_until(alive)
        lines.end("labels/toy", at(9), "the labels of toy may mean nothing")
    assert "labels/toy: WARNING: the labels of toy may mean nothing · 0 of 40" in capsys.readouterr().err
    time.sleep(0.8)
    assert capsys.readouterr().err == ""


class Slow:
    """Answers one request after the other, and tells of each."""

    identity, context = {"backend": "test"}, None

    def count_tokens(self, message: str) -> None:
        return None

    def answer(self, requests: Sequence[Request], told: Told = untold) -> list[Answer]:
        answers = []
        for request in requests:
            likely = (0.9, *(0.1 / (len(request.choices) - 1) for _ in request.choices[1:]))
            answers.append(Answer(request.choices[0], probabilities=likely))
            told(1)
        return answers


def test_answers_are_counted_long_before_a_text_is_done() -> None:
    heard: list[Progress] = []
    meter = Meter(heard.append, "label", 8, 0, 1)
    ModelLabeler("slow", Slow(), some_features(), "choice").label(random_texts(4), meter)
    before = [p for p in heard if p.n_done == 0]
    assert [p.n_answers for p in before] == list(range(1, len(before) + 1))
    assert len(before) >= 8 * len(some_features())
    assert heard[-1].n_done == 8
    assert describe(before[0]).startswith("label: 0 of 8 texts · 1 answers")


def test_several_may_hear() -> None:
    told: list[str] = []
    overheard = Overheard(Slow(), lambda n: told.append("outer"))
    overheard.answer([Request("a", choices=("yes", "no"))], lambda n: told.append("inner"))
    assert told == ["outer", "inner"]

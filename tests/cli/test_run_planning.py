"""What `seal run` decides before it starts anything: settings, stages, calls, what is done already."""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click
import polars as pl
import pytest

from seal.cli.commands.init import template
from seal.cli.main import cli, main
from seal.cli.pipeline.calls import make_call
from seal.cli.pipeline.environments import Interpreter, choose
from seal.cli.pipeline.identity import HashBook
from seal.cli.pipeline.planning import changes, decide, waits
from seal.cli.pipeline.record import Entry, load_record, save_record
from seal.cli.pipeline.runner import make_of
from seal.cli.pipeline.running import plan_run
from seal.cli.pipeline.settings import check_keys, load_run, parse_run
from seal.cli.pipeline.stages import EXPORT, ONNX, TORCH, VLLM, Stage, stages_of
from seal.cli.registry import load_all
from seal.cli.settings import load_settings
from seal.engine.errors import InputError, SealError, UsageError

FILE = Path("/project/seal.toml")
LEAST = {"sources": ["pairs.jsonl"], "pre": "pre", "post": "post", "labelers": ["computed"]}
ALL = LEAST | {
    "labelers": {
        "computed": {},
        "qwen": "models/qwen",
        "judge": {"model": "http://localhost:8000/v1", "protocol": "choice"},
    },
    "labels": "truth.parquet",
    "gold": "gold/labels",
    "combine": "majority",
    "rewriter": "models/mistral",
    "embedder": "models/bge",
}


def stages(values, *, exported=(), backend=None, kinds=None, labeler=None):
    run = parse_run(values, FILE, kinds)
    gold = "ann" if run.gold else None
    return stages_of(
        run, score_backend=backend, is_exported=lambda folder: folder.name in exported, gold=gold,
        labeler=labeler,
    )  # fmt: skip


def words(values, name, **more):
    return next(s for s in stages(values, **more) if s.name == name).words


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in [n for n in os.environ if n.startswith("SEAL_")]:
        monkeypatch.delenv(name)


# Settings


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"source": "x"}, "[run] has no setting 'source'; did you mean 'sources'?"),
        ({"labeller": "x"}, "[run] has no setting 'labeller'; did you mean 'labelers'?"),
        ({"environments": {"vlm": "x"}}, "[run.environments] has no setting 'vlm'; did you mean 'vllm'?"),
        ({"texts": "texts"}, "needs either sources (datasets to import) or texts"),
        ({"sources": []}, "needs either sources (datasets to import) or texts"),
        ({"sources": [1]}, "sources must be a path or a list of paths"),
        ({"labelers": []}, "needs labelers ('computed', a model) or labels (files), or both"),
        ({"labelers": ["a=x", "a=y"]}, "two labelers named 'a'; write NAME=DIR"),
        ({"labelers": ["http://localhost/v1"]}, "write NAME=http://localhost/v1, its rows need a name"),
        ({"labelers": {"../up": "x"}}, "labelers must be named by letters, digits"),
        ({"labelers": 5}, "labelers must be a list, or a table of names"),
        ({"post": "pre=x"}, "two models named 'pre'; write NAME=DIR"),
        ({"pre": {"max-tokens": 5}}, "pre must be a folder, [NAME=]MODEL, or a table with `model`"),
        ({"embedder": "x"}, "has an embedder but no rewriter"),
        ({"combine": "majority"}, "combine needs two labelers or more"),
        ({"combine": "majorities"}, "cannot combine by 'majorities'; did you mean 'majority'?"),
        ({"out": ""}, "out must be a text"),
        ({"gold": ["a", "b"]}, "gold must be a text"),
        ({"labels": "people", "gold": "people"}, "names /project/people under labels and as gold"),
    ],
)
def test_a_mistake_in_run_is_told(more, said):
    with pytest.raises(UsageError) as error:
        parse_run(LEAST | more, FILE)
    assert said in str(error.value)
    assert str(error.value).startswith(str(FILE))


def test_a_model_that_is_not_named_is_missed():
    with pytest.raises(UsageError, match="names no post: a reward model's folder"):
        parse_run({k: v for k, v in LEAST.items() if k != "post"}, FILE)


def test_relative_paths_start_at_the_settings_file():
    run = parse_run(LEAST | {"environments": {"vllm": ".venv-vllm/bin/python"}}, FILE)
    assert run.sources == (Path("/project/pairs.jsonl"),)
    assert run.out == Path("/project/out")
    assert run.pre.where == "/project/pre"
    assert run.environments == {"vllm": Path("/project/.venv-vllm/bin/python")}


# Stages


def test_each_stage_stands_behind_those_it_reads():
    found = stages(ALL)
    names = [stage.name for stage in found]
    assert len(set(names)) == len(names)
    for i, stage in enumerate(found):
        assert set(stage.reads) <= set(names[:i]), stage.name
    assert names[0] == "texts"
    assert names[-2:] == ["results", "report.html"]


def test_rewritten_texts_are_scored_labeled_compared_and_analyzed():
    said = words(ALL, "results")
    pairs = {said[i + 1] for i, word in enumerate(said) if word.startswith("--rewritten")}
    assert pairs == {
        f"/project/out/rewritten/{name}"
        for name in ("texts", "scores/pre", "scores/post", "labels/computed", "labels/qwen", "labels/judge",
                     "labels/combined")
    }  # fmt: skip
    assert "/project/out/rewritten/similarities" in said
    assert "/project/truth.parquet" in said
    assert said[said.index("--labeler") + 1] == "majority"
    assert words(ALL, "rewritten/scores/post")[0] == "/project/out/rewritten/texts"


KINDS = {
    "perturbed": {"perturb": "all"},
    "causal": {"toward": ["last_response_sentiment=positive"], "double": True},
}


def test_each_kind_of_rewriting_has_a_folder_of_its_own():
    some = ALL | {"labelers": {"computed": {}, "qwen": "models/qwen"}}
    del some["labels"], some["combine"], some["embedder"]
    found = {s.name: s for s in stages(some, kinds=KINDS)}
    perturbed, causal = found["perturbed/texts"], found["causal/texts"]
    assert perturbed.words == ("/project/out/texts",)  # no model
    assert perturbed.models == {}
    assert perturbed.needs({}) == ()
    assert perturbed.own == {"perturb": "all"}
    labels = "/project/out/labels/qwen"  # what each text is: labels of the only model
    assert causal.words[1:] == ("--rewriter", "/project/models/mistral", "--labels", labels)
    assert causal.reads == ("texts", "labels/qwen")
    below = [name for name in found if name.startswith(("perturbed/", "causal/"))]
    assert below == [
        "perturbed/texts", "perturbed/scores/pre", "perturbed/scores/post",
        "causal/texts", "causal/scores/pre", "causal/scores/post", "causal/labels/computed",
        "causal/labels/qwen",
    ]  # fmt: skip
    analyze = found["results"]
    given = [tuple(analyze.words[i : i + 2]) for i in range(0, len(analyze.words), 2)]
    for name, option in (("rewritten", "rewritten"), ("perturbed", "perturbed"), ("causal", "rewritten")):
        assert (f"--{option}-scores", f"/project/out/{name}/scores/post") in given
        assert ((f"--{option}", f"/project/out/{name}/texts") in given) == (name != "causal")
    labeled = [path for option, path in given if option == "--rewritten-labels"]
    assert [path.split("/")[3] for path in labeled] == ["rewritten"] * 2 + ["causal"] * 2
    assert set(below) - {"causal/texts"} <= set(analyze.reads)


@pytest.mark.parametrize(
    ("labeler", "combine", "expected"),
    [("judge", None, "judge"), (None, None, None), ("file", None, None), (None, "majority", "combined")],
)
def test_what_a_text_is_comes_from_the_labels_that_are_analyzed(labeler, combine, expected):
    some = {k: v for k, v in ALL.items() if k != "labels"} | {"combine": combine}
    causal = words(some, "causal/texts", kinds=KINDS, labeler=labeler)
    given = ("--labels", f"/project/out/labels/{expected}") if expected else ()
    assert causal[3:] == given


def test_labels_that_a_kind_names_itself_go_first():
    own = {"causal": KINDS["causal"] | {"labels": "truth.parquet"}}
    assert "--labels" not in words(ALL, "causal/texts", kinds=own)


def test_perturbing_takes_nothing_of_what_a_rewriter_is_told(tmp_path):
    (tmp_path / "seal.toml").write_text(
        '[run]\nsources = "x"\npre = "a"\npost = "b"\nlabelers = ["computed"]\nrewriter = "m"\n'
        "[rewrite]\nsample = 0.5\ntemperature = 0.7\n"
        '[rewrite.perturbed]\nperturb = "typo_swap"\n[rewrite.causal]\nplacebo = true\nsample = 0.1\n'
    )
    command = load_all()["rewrite"]
    tables = load_settings(tmp_path / "seal.toml", load_all(), {"run": check_keys})
    assert tables["rewrite"] == {"sample": 0.5, "temperature": 0.7}  # and so for `seal rewrite` alone
    run = load_run(tmp_path / "seal.toml")
    made = {
        s.name: make_call(s, command, tables["rewrite"], run)
        for s in stages_of(run, score_backend=None, is_exported=lambda folder: False)
        if s.command == "rewrite"
    }
    assert made["perturbed/texts"].words[-1] == "--perturb=typo_swap"
    assert not {w for w in made["perturbed/texts"].words if w.startswith(("--sample", "--temperature"))}
    assert {"--sample=0.1", "--temperature=0.7", "--placebo"} <= set(made["causal/texts"].words)
    assert {"--sample=0.5", "--temperature=0.7"} <= set(made["rewritten/texts"].words)


@pytest.mark.parametrize(
    ("kinds", "more", "said"),
    [
        ({"texts": {"perturb": "all"}}, {}, "[rewrite.texts] cannot be called so"),
        ({"../up": {"perturb": "all"}}, {}, "[rewrite.../up] cannot be called so"),
        ({"rewritten": {"placebo": True}}, {}, "[rewrite.rewritten] cannot be called so"),
        ({"other": {"sample": 0.1}}, {}, "needs perturb, toward or placebo"),
        ({"causal": {"placebo": True}}, {"rewriter": None}, "needs a rewriter under [run]"),
    ],
)
def test_a_mistake_in_a_kind_of_rewriting_is_told(kinds, more, said):
    values = {k: v for k, v in (LEAST | {"rewriter": "m"} | more).items() if v is not None}
    with pytest.raises(UsageError) as error:
        parse_run(values, FILE, kinds)
    assert said in str(error.value)


def test_gold_is_of_the_analysis_alone():
    """It is never labeled with, combined, or asked about rewritten texts; what it corrects is one table's."""
    said = words(ALL, "results")
    assert [said[i + 1] for i, word in enumerate(said) if word == "--gold"] == ["ann"]
    assert said[said.index("/project/gold/labels") - 1] == "--labels"
    assert [s.name for s in stages(ALL) if "/project/gold/labels" in s.words] == ["results"]
    assert next(s for s in stages(ALL) if s.name == "results").facts["gold"] == "ann"
    without = {k: v for k, v in ALL.items() if k != "gold"}
    assert "--gold" not in words(without, "results")
    assert "gold" not in next(s for s in stages(without) if s.name == "results").facts


def test_exported_models_are_not_exported_again_nor_those_that_torch_runs():
    exports = [s.name for s in stages(ALL, exported=("pre", "bge")) if s.command == "export"]
    assert exports == ["models/post"]
    assert [s.name for s in stages(ALL, backend="torch") if s.command == "export"] == ["models/embedder"]
    own = LEAST | {"post": {"model": "post", "backend": "torch"}}
    assert [s.name for s in stages(own) if s.command == "export"] == ["models/pre"]
    assert "post=/project/post" in words(own, "scores/post")
    assert "pre=/project/out/models/pre" in words(own, "scores/pre")


def test_texts_imported_before_are_taken_as_they_are():
    values = {k: v for k, v in LEAST.items() if k != "sources"} | {"texts": "old"}
    assert "texts" not in [s.name for s in stages(values)]
    assert words(values, "scores/pre")[0] == "/project/old"


@pytest.mark.parametrize(
    ("command", "models", "options", "needs"),
    [
        ("score", {}, {"backend": "onnx"}, (ONNX,)),
        ("score", {}, {"backend": "torch"}, (TORCH,)),
        ("export", {}, {}, (EXPORT,)),
        ("similarity", {}, {}, (ONNX,)),
        ("label", {}, {}, ()),
        ("label", {"judge": "http://localhost/v1"}, {"backend": None}, ()),
        ("label", {"qwen": "/models/qwen"}, {"backend": None}, (VLLM, TORCH)),
        ("label", {"qwen": "/models/qwen"}, {"backend": "vllm"}, (VLLM,)),
        ("rewrite", {"m": "/models/m"}, {"backend": "transformers"}, (TORCH,)),
        ("analyze", {}, {}, ()),
    ],
)
def test_what_a_stage_needs(command, models, options, needs):
    assert Stage("x", command, (), models=models).needs(options) == needs


# Command lines


def call(stage, table=None):
    command = cli.get_command(click.Context(cli), stage.command)
    return make_call(stage, command, table or {}, parse_run(ALL, FILE))


def labeling(name, **more):
    return replace(next(s for s in stages(ALL) if s.name == name), **more)


def test_options_of_the_table_then_of_the_stage_then_variables(monkeypatch):
    table = {"protocol": "json", "retries": 5, "seed": 3}
    made = call(labeling("labels/judge"), table)
    assert made.options["protocol"] == "choice"
    assert made.words[-3:] == ("--seed=3", "--protocol=choice", "--retries=5")
    monkeypatch.setenv("SEAL_LABEL_PROTOCOL", "json")
    assert call(labeling("labels/judge"), table).options["protocol"] == "json"


def test_computed_takes_nothing_that_is_for_models(monkeypatch):
    monkeypatch.setenv("SEAL_LABEL_RETRIES", "4")
    made = call(labeling("labels/computed"), {"protocol": "choice", "sample": 0.5, "part_pairs": 7})
    assert made.words[-2:] == ("--sample=0.5", "--part-pairs=7")
    assert not made.options.keys() & {"protocol", "retries"}


def test_computed_takes_what_is_said_to_it_alone():
    made = call(labeling("labels/computed", own={"features": "n_words"}), {"features": "topics"})
    assert made.words[-1] == "--features=n_words"
    assert made.options["features"] == ["n_words"]


def test_rewritten_texts_are_not_sampled_again():
    made = call(labeling("rewritten/labels/qwen"), {"sample": 0.5, "seed": 2, "limit": 9, "retries": 1})
    assert made.words[-1] == "--retries=1"
    assert not made.options.keys() & {"sample", "seed", "limit"}


def test_every_stage_remembers_every_file_and_folder_that_it_reads():
    """A path of its command line that is no input of the record would go stale unseen."""
    for stage in stages(ALL):
        if cli.get_command(click.Context(cli), stage.command):
            made = call(stage, {"protocol": "json"}) if stage.command != "import" else None
            if made is None:
                continue
            models = {Path(where) for where in stage.models.values()}
            said = {Path(w.partition("=")[2] or w) for w in stage.words if w.startswith("/") or "=/" in w}
            remembered = set(made.files.values()) | models
            assert said <= remembered, stage.name
            assert {Path("/project/out") / name for name in stage.reads} <= remembered, stage.name


def test_a_key_stands_neither_in_the_command_nor_among_the_options():
    made = call(labeling("labels/judge"), {"api_key": "secret"})
    assert made.variables == {"SEAL_LABEL_API_KEY": "secret"}
    assert "secret" not in str((made.words, made.options, made.files))


FAR = ALL | {"labelers": {"computed": {}, "qwen": "models/qwen", "judge": "https://far.invalid/v1"}}


def of_far(name, table, **more):
    return call(next(s for s in stages(FAR | more) if s.name == name), table)


def test_a_server_on_another_machine_is_refused_before_anything_is_done(monkeypatch):
    with pytest.raises(UsageError, match=r"labels/judge: https://far.invalid/v1 stands on another machine"):
        of_far("labels/judge", {})
    with pytest.raises(UsageError, match=r"rewritten/texts: http://10\.0\.0\.1/v1 stands on another machine"):
        of_far("rewritten/texts", {}, rewriter="http://10.0.0.1/v1")
    made = of_far("labels/judge", {"allow_remote": True, "api_key": "sk-1"})
    assert "--allow-remote" in made.words
    assert "allow-remote" not in made.options  # it changes no result
    monkeypatch.setenv("SEAL_REWRITE_ALLOW_REMOTE", "yes")
    assert "--allow-remote" in of_far("rewritten/texts", {}, rewriter="http://10.0.0.1/v1").words
    monkeypatch.setenv("SEAL_REWRITE_API_KEY", "sk-1")
    with pytest.raises(UsageError, match=r"rewritten/texts: .* would get the API key over plain http"):
        of_far("rewritten/texts", {}, rewriter="http://10.0.0.1/v1")


def test_a_plan_says_that_a_server_must_be_allowed(tmp_path, capsys):
    settings = tmp_path / "seal.toml"
    settings.write_text(
        '[run]\ntexts = "t"\npre = "a"\npost = "b"\nlabelers = ["judge=https://far.invalid/v1"]\n[score]\n'
        'backend = "torch"\n[label]\n'
    )
    assert main(["run", str(settings), "--plan"]) == 2
    assert "labels/judge: https://far.invalid/v1 stands on another machine" in capsys.readouterr().err
    settings.write_text(settings.read_text() + "allow-remote = true\n")
    assert main(["run", str(settings), "--plan"]) == 1  # the texts are not there either
    assert "labels/judge  run" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_beside_a_server_a_folder_does_not_get_what_is_for_servers():
    table = {"allow_remote": True, "timeout_s": 9.0, "backend": None, "device": "cpu", "api_key": "sk-1"}
    assert "--allow-remote" in of_far("labels/judge", table).words
    assert of_far("labels/judge", table).words[-2:] == ("--timeout=9.0", "--allow-remote")
    for name in ("labels/qwen", "rewritten/labels/qwen"):
        assert of_far(name, table).words[-1] == "--device=cpu"
        assert not of_far(name, table).variables


def test_the_settings_of_a_model_may_allow_its_server():
    own = {"judge": {"model": "https://far.invalid/v1", "allow-remote": True}, "qwen": "models/qwen"}
    made = call(next(s for s in stages(ALL | {"labelers": own}) if s.name == "labels/judge"))
    assert "--allow-remote" in made.words


def test_what_changes_no_result_is_not_remembered():
    scoring = next(s for s in stages(ALL) if s.name == "scores/pre")
    made = call(scoring, {"threads": 2, "max_tokens": 9})
    assert "--threads=2" in made.words
    assert "threads" not in made.options
    assert made.options["max-tokens"] == 9


def test_files_are_inputs_wherever_they_are_named():
    made = call(labeling("labels/judge"), {"taxonomy": "/project/mine.toml"})
    assert made.files == {"texts": Path("/project/out/texts"), "taxonomy": Path("/project/mine.toml")}


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"protocoll": "json"}, "did you mean 'protocol'?"),
        ({"protocol": "xml"}, "labels/judge ([label]): Invalid value for '--protocol'"),
    ],
)
def test_an_option_of_one_stage_that_is_wrong(own, said):
    with pytest.raises(UsageError) as error:
        call(labeling("labels/judge", own=own))
    assert said in str(error.value)


# Labels of people


def people(folder, *names, **columns):
    """A LABELS folder of one pair, labeled by each of these."""
    folder.mkdir()
    key = {"row_id": [0, 0], "preference": ["chosen", "rejected"], "variant": ["original"] * 2}
    frames = [
        pl.DataFrame(key | {"labeler": [name] * 2, "is_kind": [True, False]} | columns) for name in names
    ]
    pl.concat(frames).write_parquet(folder / "part-00000.parquet")
    return folder


def a_project(folder, **run):
    """Settings with a dataset and models that are there."""
    for name in ("pre", "post"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "config.json").write_text("{}")
    (folder / "pairs.jsonl").write_text('{"chosen": "a", "rejected": "b"}\n')
    table = {"sources": ["pairs.jsonl"], "pre": "pre", "post": "post", "labelers": ["computed"]} | run
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    (folder / "seal.toml").write_text("\n".join(["[run]", *lines, ""]))
    return folder / "seal.toml"


def test_whose_the_gold_labels_are_is_read_from_them(tmp_path):
    gold = people(tmp_path / "gold", "ann", inclusion_probability=[0.1, 0.1])
    plan = plan_run(a_project(tmp_path, gold="gold"))
    said = next(p.call.words for p in plan.stages if p.call.stage.name == "results")
    assert said[said.index("--gold") + 1] == "ann"
    assert str(gold) in said


@pytest.mark.parametrize(
    ("names", "columns", "named", "said"),
    [
        (["ann"], {}, None, "has no column inclusion_probability, how likely each pair was to be drawn"),
        (["ann", "bob"], {"inclusion_probability": [0.1, 0.1]}, None, "has 2 labelers (ann, bob); say which"),
        (["ann"], {"inclusion_probability": [0.1, 0.1]}, "anna", "no labeler 'anna'; did you mean 'ann'?"),
    ],
)
def test_gold_that_cannot_correct_is_refused_before_any_work(tmp_path, names, columns, named, said):
    people(tmp_path / "gold", *names, **columns)
    settings = a_project(tmp_path, gold="gold")
    if named:
        settings.write_text(settings.read_text() + f'[analyze]\ngold = "{named}"\n')
    with pytest.raises(SealError) as error:
        plan_run(settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_gold_that_is_not_there_is_told_with_what_writes_it(tmp_path):
    with pytest.raises(InputError, match="is not there: `seal gold read` writes it"):
        plan_run(a_project(tmp_path, gold="gold"))


def test_one_of_several_people_is_chosen_by_the_settings_or_a_variable(tmp_path, monkeypatch):
    people(tmp_path / "gold", "ann", "bob", inclusion_probability=[0.1, 0.1])
    settings = a_project(tmp_path, gold="gold")
    settings.write_text(settings.read_text() + '[analyze]\ngold = "bob"\n')

    def chosen():
        call = next(p.call for p in plan_run(settings).stages if p.call.stage.name == "results")
        return [call.words[i + 1] for i, word in enumerate(call.words) if word == "--gold"]

    assert chosen() == ["bob"]
    monkeypatch.setenv("SEAL_ANALYZE_GOLD", "ann")
    assert chosen() == ["ann"]


def test_other_gold_changes_the_analysis_and_nothing_else(tmp_path):
    people(tmp_path / "gold", "ann", inclusion_probability=[0.1, 0.1])
    settings = a_project(tmp_path, gold="gold")

    def made():
        book = HashBook(tmp_path / "hashes.json")
        return {p.call.stage.name: make_of(p.call, book) for p in plan_run(settings).stages}

    before = made()
    shutil.rmtree(tmp_path / "gold")
    people(tmp_path / "gold", "ann", inclusion_probability=[0.2, 0.2])
    after = made()
    assert [name for name in before if before[name] != after[name]] == ["results"]
    assert changes(before["results"], after["results"]) == ["labels 2 changed"]


# Done or not

MADE = {"seal": "1", "options": {"max-tokens": 512}, "inputs": {"texts": "a"}, "models": {"post": "m"}}


def changed(kind, key, value):
    return MADE | {kind: MADE[kind] | {key: value}}


@pytest.mark.parametrize(
    ("entry", "made", "output", "n_done", "state", "why"),
    [
        (None, MADE, None, None, "run", "not there"),
        (Entry("done", MADE, "o"), MADE, None, None, "run", "its output is gone"),
        (Entry("done", MADE, "o"), MADE, "o", 5, "done", "same inputs, same options"),
        (Entry("done", MADE, "o"), MADE, "p", 5, "replace", "its files changed since they were written"),
        (
            Entry("done", MADE, "o"),
            changed("options", "max-tokens", 256),
            "o",
            5,
            "again",
            "option max-tokens changed 512 -> 256",
        ),
        (Entry("done", MADE, "o"), changed("inputs", "texts", "b"), "o", 5, "again", "texts changed"),
        (Entry("done", MADE, "o"), changed("models", "post", "n"), "o", 5, "again", "model post changed"),
        (Entry("done", MADE, "o"), MADE | {"seal": "2"}, "o", 5, "again", "seal changed 1 -> 2"),
        (Entry("started", MADE), MADE, "o", 4096, "resume", "cut at row 4,096"),
        (Entry("started", MADE), MADE, "o", 0, "resume", "cut before its first part"),
        (Entry("started", MADE), MADE, "o", None, "resume", "cut"),
        (Entry("started", MADE), changed("inputs", "texts", "b"), "o", 3, "again", "texts changed"),
        (Entry("failures", MADE), MADE, "o", 5, "resume", "more of its rows failed than allowed"),
        (None, MADE, "o", 5, "resume", "there, but not of this run: kept if it is the same"),
    ],
)
def test_what_is_to_be_done(entry, made, output, n_done, state, why):
    decision = decide(entry, made, output, n_done)
    assert (decision.state, decision.why) == (state, why)


def test_only_what_is_known_to_be_of_something_else_may_be_replaced():
    assert not decide(None, MADE, "o").may_replace
    assert not decide(Entry("started", MADE), MADE, "o").may_replace
    assert decide(Entry("done", MADE, "o"), MADE, "p").may_replace
    assert decide(Entry("started", MADE), changed("inputs", "texts", "b"), "o").may_replace


def test_a_stage_waits_for_what_it_reads():
    done = decide(Entry("done", MADE, "o"), MADE, "o")
    assert waits(done, []) == done
    assert waits(done, ["texts"]).why == "run again if texts brings something else"
    assert waits(decide(None, MADE, None), ["texts"]).state == "run"


def test_every_difference_is_named():
    now = {"seal": "1", "options": {"max-tokens": None, "limit": 3}, "inputs": {}, "models": {"post": "m"}}
    assert changes(MADE, now) == [
        "texts changed", "option limit changed unset -> 3", "option max-tokens changed 512 -> unset"
    ]  # fmt: skip


def test_a_record_is_read_as_it_was_written(tmp_path):
    entries = {"texts": Entry("done", MADE, "o"), "labels/a": Entry("started", MADE, replaces=True)}
    save_record(tmp_path, entries)
    assert load_record(tmp_path) == entries
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="is not a record of this program"):
        load_record(tmp_path)


# Identities


def test_a_file_is_known_by_its_content_and_not_hashed_twice(tmp_path, monkeypatch):
    from seal.cli.pipeline import identity

    file = tmp_path / "a" / "weights"
    file.parent.mkdir()
    file.write_bytes(b"one")
    before_s = file.stat().st_mtime
    book = HashBook.open(tmp_path / "hashes.json")
    first = book.identity(file.parent)
    os.utime(file, (before_s, before_s))
    assert book.identity(file.parent) == first
    file.write_bytes(b"two")
    os.utime(file, (before_s, before_s))  # same size, same mtime
    assert book.identity(file.parent) != first
    assert book.identity(tmp_path / "nothing") is None
    monkeypatch.setattr(identity, "_GRAIN_NS", -(10**15))
    known = book.identity(file.parent)
    book.save()
    monkeypatch.setattr(identity, "file_sha256", lambda path: pytest.fail(f"{path} was read again"))
    assert HashBook.open(tmp_path / "hashes.json").identity(file.parent) == known
    (tmp_path / "hashes.json").write_text("torn")
    assert HashBook.open(tmp_path / "hashes.json").seen == {}


def test_a_copied_folder_is_the_same_and_hidden_files_are_not_looked_at(tmp_path):
    (tmp_path / "a" / "1_Pooling").mkdir(parents=True)
    (tmp_path / "a" / "1_Pooling" / "config.json").write_text("{}")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / ".cache").mkdir()
    (tmp_path / "b" / ".cache" / "x").write_text("x")
    (tmp_path / "b" / "checkpoint-500").mkdir()
    (tmp_path / "b" / "checkpoint-500" / "optimizer.pt").write_text("x")
    book = HashBook(tmp_path / "hashes.json")
    assert book.identity(tmp_path / "a") == book.identity(tmp_path / "b")
    (tmp_path / "b" / "1_Pooling" / "config.json").write_text("{ }")
    assert book.identity(tmp_path / "a") != book.identity(tmp_path / "b")


# Environments


def having(**has):
    def probe(python, named):
        return Interpreter(python, frozenset(has.get(named or "here", ())))

    return probe


def test_a_named_environment_goes_before_this_one():
    probe = having(here=("vllm", "torch", "transformers"), vllm=("vllm",), export=("torch", "transformers"))
    named = {"vllm": Path("v"), "export": Path("e")}
    assert choose((VLLM, TORCH), named, "x", probe).python == Path("v")
    assert choose((VLLM, TORCH), {"export": Path("e")}, "x", probe).python == Path(sys.executable)
    assert choose((TORCH,), named, "x", probe).python == Path("e")
    assert choose((), named, "x", probe).python == Path(sys.executable)


@pytest.mark.parametrize(
    ("needs", "named", "said"),
    [
        ((VLLM,), {}, "labels/q needs the extra 'vllm': pip install 'seal-engine[vllm]' here, or name"),
        ((VLLM, TORCH), {}, "needs the extra 'vllm' or 'export'"),
        (
            (VLLM,),
            {"vllm": Path("v")},
            "needs the package 'vllm', which v ([run.environments] vllm) does not have",
        ),
    ],
)
def test_what_is_nowhere_is_named_with_what_to_install(needs, named, said):
    with pytest.raises(SealError) as error:
        choose(needs, named, "labels/q", having(vllm=("torch",)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


# The example


def test_the_example_with_everything_in_it_is_understood(tmp_path, monkeypatch):
    import tomllib

    names = cli.list_commands(click.Context(cli))
    text = template(names)
    assert tomllib.loads(text)["run"]["labelers"] == ["computed"]
    filled = "\n".join(
        line[1:] if line.startswith("#") and line[1:2].strip() else line for line in text.splitlines()
    )
    assert filled.count("\n#") == text.count("\n# ")
    (tmp_path / "seal.toml").write_text(filled)
    commands = {name: cli.get_command(click.Context(cli), name) for name in names}
    tables = load_settings(tmp_path / "seal.toml", commands, {"run": check_keys})
    assert tables["label"]["taxonomy"] == str(tmp_path / "taxonomy.toml")
    run = load_run(tmp_path / "seal.toml")
    assert run.rewriter is not None
    assert [kind.name for kind in run.rewritings] == ["rewritten", "perturbed", "causal"]
    assert run.environments["vllm"] == tmp_path / ".venv-vllm/bin/python"

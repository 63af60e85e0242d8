"""`seal run` and `seal init` as a user types them, real stages on the toy world.

SEAL_TEST_KILLS sets the number of kills of the slow test.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from examples.toyworld.generate import Options, write
from seal.cli.main import main
from seal.cli.pipeline import runner
from tests.support.kills import ROOT, command, environment, kill_after
from tests.support.kills import seal as run_seal

N_PAIRS = 160
NOTES = (".hashes.json", ".lock")
STAGES = ["texts", "scores/pre", "scores/post", "labels/computed", "results", "report.html"]
TABLES = """
[import]
part-rows = 20

[score]
part-rows = 20

[label]
part-rows = 20

[analyze]
exclude = "assistant_is_anthropomorphic,assistant_is_coherent"
"""


def settings(folder, models, more="", tables=TABLES):
    """A settings file in a folder that has the toy world."""
    text = f"""
[run]
sources = "world/pairs.jsonl"
pre = "{models["pre"]}"
post = "{models["post"]}"
labelers = ["computed"]
labels = "world/truth.parquet"
{more}
{tables}"""
    (folder / "seal.toml").write_text(text)
    return folder / "seal.toml"


def edit(file, before, after):
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def parts(out):
    """Every part and every failure that a run wrote, by hash; what it moved aside is not its own."""
    files = [p for p in sorted(out.rglob("*.parquet")) if "set-aside" not in p.parts]
    return {str(p.relative_to(out)): sha256(p.read_bytes()).hexdigest() for p in files}


def assert_same(one, other):
    """The same bytes in every part, the same tables: their sums are added in the order threads come in."""
    assert parts(one) == parts(other)
    tables = sorted((one / "results").glob("*.csv"))
    assert [t.name for t in tables] == [t.name for t in sorted((other / "results").glob("*.csv"))]
    for table in tables:
        there = pl.read_csv(other / "results" / table.name)
        assert_frame_equal(pl.read_csv(table), there, rel_tol=1e-6, abs_tol=1e-9)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch, tmp_path):
    for name in [n for n in os.environ if n.startswith("SEAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def project(tmp_path_factory, exported):
    """A folder with the toy world, its models copied in, and settings; nothing has run."""
    folder = tmp_path_factory.mktemp("project")
    write(Options(N_PAIRS, 5), folder / "world")
    for name in ("pre", "post"):
        shutil.copytree(exported[name], folder / "models" / name)
    settings(folder, {"pre": "models/pre", "post": "models/post"})
    return folder


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory):
    """The same, run to its end once, with the seconds it took."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(project, folder)
    began = time.monotonic()
    done = run_seal("run", folder / "seal.toml")
    assert done.returncode == 0, done.stderr
    return folder, time.monotonic() - began


@pytest.fixture
def mine(finished, tmp_path):
    """A copy of the finished one: wherever the project lies, what is done is done."""
    shutil.copytree(finished[0], tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def seal(capfd):
    def call(*arguments):
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def plan(seal, folder):
    """Stage -> (state, why)."""
    code, out, err = seal("run", folder / "seal.toml", "--plan", "--json")
    assert code == 0, err
    return {row["stage"]: (row["state"], row["why"]) for row in json.loads(out)["stages"]}


def record(folder):
    return json.loads((folder / "out" / "run.json").read_text())["stages"]


# Once through


def test_it_ends_in_what_the_stages_would_have_written_one_by_one(finished, tmp_path, seal):
    folder, _ = finished
    for name in STAGES:
        made = folder / "out" / name
        assert made.is_file() or any(made.iterdir()), name
    scores = tmp_path / "scores"
    call = ["score", folder / "out/texts", "--model", f"post={folder / 'models/post'}", "--out", scores]
    assert seal(*call, "--part-rows", 20)[0] == 0
    theirs, ours = (sorted(f.glob("*.parquet")) for f in (scores, folder / "out/scores/post"))
    assert [p.read_bytes() for p in theirs] == [p.read_bytes() for p in ours]
    models = pl.read_csv(folder / "out/results/alignment.csv")["model"].to_list()
    assert {"pre", "post"} <= set(models)


def test_lines_say_what_happens_where_there_is_no_terminal(finished, mine, seal):
    shutil.rmtree(mine / "out/results")
    code, out, err = seal("run", mine / "seal.toml")
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert lines[0] == "texts: done before: same inputs, same options"
    assert "results: runs: its output is gone" in lines
    assert lines[-1] == f"6 stages -> {mine / 'out/report.html'}"


@pytest.mark.slow
def test_the_toy_world_with_its_own_models(tmp_path, seal):
    write(Options(200, 5), tmp_path / "world")
    models = ROOT / "examples/toyworld/models"
    settings(tmp_path, {"pre": models / "pre", "post": models / "post"})
    code, _, err = seal("run", tmp_path / "seal.toml")
    assert code == 0, err
    alignment = dict(pl.read_csv(tmp_path / "out/results/alignment.csv").select("model", "alignment").rows())
    assert alignment["post"] > alignment["pre"] > 0.5
    assert set(plan(seal, tmp_path).values()) == {("done", "same inputs, same options")}


# Done, and not done again


def test_a_second_run_starts_nothing(mine, finished, seal, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in (mine / "out").rglob("*.*") if p.name not in NOTES}
    kept = record(mine)
    monkeypatch.setattr(runner, "run_stage", lambda *_, **__: pytest.fail("a stage was started"))
    monkeypatch.setattr(runner, "choose", lambda *_: pytest.fail("an interpreter was looked for"))
    seal("run", mine / "seal.toml")  # hashes the copied files; the next finds them untouched
    began = time.monotonic()
    assert seal("run", mine / "seal.toml")[0] == 0
    assert time.monotonic() - began < max(2.0, finished[1] / 4)
    assert record(mine) == kept
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert set(plan(seal, mine).values()) == {("done", "same inputs, same options")}


def test_a_plan_before_anything_is_there(project, tmp_path, seal):
    shutil.copytree(project, tmp_path / "new")
    code, out, _ = seal("run", tmp_path / "new/seal.toml", "--plan")
    assert code == 0
    assert out.splitlines()[0].split(maxsplit=2) == ["texts", "run", "not there"]
    assert [line.split()[0] for line in out.splitlines()] == STAGES
    assert not (tmp_path / "new/out").exists()


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def other_weights(folder):
    """The model as another export would have left it: another file, and a seal.json that vouches for it."""
    spec = json.loads((folder / "seal.json").read_text())
    weights = folder / "tokenizer.json"
    weights.write_text(weights.read_text() + "\n")
    spec["files"]["tokenizer.json"] = sha256(weights.read_bytes()).hexdigest()
    (folder / "seal.json").write_text(json.dumps(spec))


CAUSES = {
    "data": (
        lambda f: (f / "world/pairs.jsonl").write_text(
            "\n".join((f / "world/pairs.jsonl").read_text().splitlines()[:-3]) + "\n"
        ),
        {"texts": ("again", "sources changed"), "scores/pre": ("waits", "run again if texts brings")},
    ),
    "weights": (
        lambda f: other_weights(f / "models/post"),
        {"scores/post": ("again", "model post changed"), "results": ("waits", "scores/post brings")},
    ),
    "an option": (
        lambda f: edit(f / "seal.toml", "[score]", "[score]\nmax-tokens = 40"),
        {
            "scores/pre": ("again", "option max-tokens changed unset -> 40"),
            "scores/post": ("again", "option max-tokens changed unset -> 40"),
            "results": ("waits", "run again if scores/pre, scores/post brings something else"),
        },
    ),
    "labels of others": (
        lambda f: pl.read_parquet(f / "world/truth.parquet")[:-4].write_parquet(f / "world/truth.parquet"),
        {"results": ("again", "labels 2 changed")},
    ),
    "a byte of an output": (
        lambda f: damage(f / "out/scores/pre/part-00003.parquet"),
        {"scores/pre": ("replace", "its files changed since they were written"), "results": ("waits", "")},
    ),
    "a part that is gone": (
        lambda f: (f / "out/labels/computed/part-00001.parquet").unlink(),
        {"labels/computed": ("replace", "its files changed"), "results": ("waits", "")},
    ),
    "an output that is gone": (
        lambda f: shutil.rmtree(f / "out/scores/post"),
        {"scores/post": ("run", "its output is gone"), "results": ("waits", "")},
    ),
    "a table that was touched up": (
        lambda f: (f / "out/results/imprint.csv").write_text("better,numbers\n"),
        {"results": ("replace", "its files changed")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_whatever_changed_is_seen_and_only_what_it_touches_is_done_again(mine, seal, cause):
    change, expected = CAUSES[cause]
    change(mine)
    found = plan(seal, mine)
    if expected.keys() & {"results"}:  # whatever touches the results may touch their report
        expected = {**expected, "report.html": ("waits", "results")}
    for stage, (state, why) in found.items():
        wanted, reason = expected.get(
            stage, ("done", "same inputs") if "data" not in cause else ("waits", "")
        )
        assert state == wanted, (stage, why)
        assert reason in why
    untouched = [s for s, (state, _) in found.items() if state == "done"]
    before = {
        s: (mine / "out" / s / "log.jsonl").stat().st_mtime_ns
        for s in untouched
        if (mine / "out" / s / "log.jsonl").exists()
    }
    code, _, err = seal("run", mine / "seal.toml")
    assert code == 0, err
    assert set(plan(seal, mine).values()) == {("done", "same inputs, same options")}
    assert {s: (mine / "out" / s / "log.jsonl").stat().st_mtime_ns for s in before} == before
    fresh = mine.parent / "fresh"
    shutil.copytree(mine, fresh, ignore=lambda folder, _: ["out"] if folder == str(mine) else [])
    assert seal("run", fresh / "seal.toml")[0] == 0
    assert_same(mine / "out", fresh / "out")


def test_gold_touches_the_analysis_and_nothing_before_it(mine, seal):
    """Labels of people added to a finished run, then more of them."""
    truth = pl.read_parquet(mine / "world/truth.parquet").with_columns(pl.lit("ann").alias("labeler"))

    def labeled(n_pairs):
        (mine / "gold").mkdir(exist_ok=True)
        rows = truth.head(2 * n_pairs).with_columns(inclusion_probability=pl.lit(n_pairs / N_PAIRS))
        rows.write_parquet(mine / "gold/part-00000.parquet")

    labeled(40)
    edit(mine / "seal.toml", "[run]", '[run]\ngold = "gold"')
    edit(mine / "seal.toml", "[analyze]", '[analyze]\nlabeler = "truth"')
    reasons = []
    for n_pairs in (40, 50):
        labeled(n_pairs)
        found = plan(seal, mine)
        assert {stage for stage, (state, _) in found.items() if state != "done"} == {"results", "report.html"}
        reasons.append(found["results"][1])
        assert seal("run", mine / "seal.toml")[0] == 0
        labelers = pl.read_csv(mine / "out/results/labelers.csv")
        held = labelers.filter(pl.concat_list("labeler_a", "labeler_b").list.contains("ann"))
        assert held["precision"].drop_nulls().to_list()  # of the other labeler, against ann
        assert set(plan(seal, mine).values()) == {("done", "same inputs, same options")}
    assert "gold changed unset -> ann" in reasons[0]
    assert reasons[1] == "labels 3 changed"


def test_an_option_that_changes_no_result_runs_nothing(mine, seal, monkeypatch):
    edit(mine / "seal.toml", "[score]", "[score]\nthreads = 1")
    assert set(plan(seal, mine).values()) == {("done", "same inputs, same options")}


def test_upstream_done_again_with_the_same_result_ends_there(mine, seal):
    shutil.rmtree(mine / "out/texts")
    code, _, err = seal("run", mine / "seal.toml")
    assert code == 0
    assert "texts: runs: its output is gone" in err
    assert "scores/pre: done before" in err


def test_what_a_user_made_there_before_is_kept_if_it_is_the_same(mine, seal):
    (mine / "out/run.json").unlink()
    before = (mine / "out/scores/pre/log.jsonl").stat().st_mtime_ns
    assert plan(seal, mine)["scores/pre"][0] == "waits"
    assert seal("run", mine / "seal.toml")[0] == 0
    assert (mine / "out/scores/pre/log.jsonl").stat().st_mtime_ns == before


def test_what_a_user_made_there_of_something_else_is_refused(mine, seal):
    (mine / "out/run.json").unlink()
    edit(mine / "seal.toml", "[score]", "[score]\nmax-tokens = 40")
    code, _, err = seal("run", mine / "seal.toml")
    assert code == 1
    assert "seal: scores/pre: " in err
    assert "was made by another run: models.pre.max_tokens" in err
    assert seal("run", mine / "seal.toml", "--overwrite")[0] == 0


# Mistakes, before any work


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        ("labels =", "label =", 2, "[run] has no setting 'label'; did you mean 'labels'?"),
        ("[score]", "[scores]", 2, "no command takes a table [scores]; did you mean 'score'?"),
        ("[score]", "[score]\nmax-token = 5", 2, "no setting 'max-token'; did you mean 'max-tokens'?"),
        ("[score]", "[score]\nmax-tokens = 0", 2, "scores/pre ([score]): Invalid value for '--max-tokens'"),
        ("models/post", "models/past", 2, "models/past"),
        ("world/pairs", "world/pears", 2, "texts ([import]): Invalid value for 'SRC...'"),
        ("world/truth", "world/truths", 1, "results: labels 2"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_starts(project, tmp_path, seal, before, after, code, said):
    shutil.copytree(project, tmp_path / "new")
    edit(tmp_path / "new/seal.toml", before, after)
    found, out, err = seal("run", tmp_path / "new/seal.toml")
    assert (found, out) == (code if "past" not in after else 1, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new/out").exists()


def test_no_settings_and_no_table(tmp_path, seal):
    code, _, err = seal("run")
    assert (code, err) == (
        2,
        "seal: no settings file seal.toml; seal init --out seal.toml writes one to fill in\n",
    )
    (tmp_path / "seal.toml").write_text("[score]\nlimit = 5\n")
    code, _, err = seal("run")
    assert code == 2
    assert "seal.toml has no table [run], which says what to run" in err


def test_an_interpreter_that_is_not_there(project, tmp_path, seal):
    shutil.copytree(project, tmp_path / "new")
    environments = '\n[run.environments]\ncpu = ".venv-cpu/bin/python"\n'
    edit(tmp_path / "new/seal.toml", "[import]", environments + "[import]")
    code, _, err = seal("run", tmp_path / "new/seal.toml")
    assert code == 1
    assert (
        f"{tmp_path / 'new/.venv-cpu/bin/python'} ([run.environments] cpu) is no interpreter: make that"
        in err
    )
    assert "install 'seal-engine[cpu]'" in err
    assert not (tmp_path / "new/out").exists()


def test_an_environment_without_what_is_needed(project, tmp_path, seal):
    shutil.copytree(project, tmp_path / "new")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    environments = f'\n[run.environments]\ncpu = "{tmp_path / "bare/bin/python"}"\n'
    edit(tmp_path / "new/seal.toml", "[import]", environments + "[import]")
    code, _, err = seal("run", tmp_path / "new/seal.toml")
    assert code == 1
    assert "cannot run seal (no click): " in err
    assert "-m pip install 'seal-engine[cpu]'" in err
    assert err.count("\n") == 1


def test_a_stage_runs_in_the_environment_that_is_named(mine, seal, tmp_path):
    """Of this one's packages, by a script that tells who was started."""
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    edit(mine / "seal.toml", "[import]", f'\n[run.environments]\ncpu = "{other}"\n[import]')
    shutil.rmtree(mine / "out/scores/post")
    shutil.rmtree(mine / "out/labels")
    assert seal("run", mine / "seal.toml")[0] == 0
    calls = (tmp_path / "calls").read_text()
    assert "-P -m seal.cli.main --config /dev/null score" in calls
    assert "label" not in calls


def test_stages_run_the_code_that_this_test_runs(mine, seal, tmp_path):
    from seal.cli.pipeline.environments import probe_once

    interpreter = probe_once(Path(sys.executable), None)
    script = "import seal.cli.main; print(seal.cli.main.__file__)"
    done = subprocess.run(
        [interpreter.python, "-P", "-c", script], env=os.environ | dict(interpreter.variables),
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == str(ROOT / "seal/cli/main.py")


# A stage that fails


def test_the_line_and_the_exit_code_of_a_stage_that_fails(mine, seal):
    truth = pl.read_parquet(mine / "world/truth.parquet")
    truth.drop("preference").write_parquet(mine / "world/truth.parquet")
    code, _, err = seal("run", mine / "seal.toml")
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("seal: results: ")
    assert "truth.parquet" in last
    assert plan(seal, mine)["results"][0] == "resume"


def test_a_stage_that_breaks_is_quoted(mine, seal, tmp_path):
    other = tmp_path / "python"
    other.write_text(
        '#!/bin/sh\ncase "$*" in *" score "*)\n'
        'echo Traceback; echo "RuntimeError: no kernel image"; exit 70;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    other.chmod(0o755)
    edit(mine / "seal.toml", "[import]", f'\n[run.environments]\ncpu = "{other}"\n[import]')
    shutil.rmtree(mine / "out/scores/post")
    code, _, err = seal("run", mine / "seal.toml")
    assert code == 70
    last = err.splitlines()[-1]
    assert "scores/post ended with exit code 70; it printed last: RuntimeError: no kernel image" in last
    assert Path(last.rpartition("(more in ")[2].rstrip(")")).is_file()


def test_too_many_failures_stop_the_run_until_they_are_allowed(project, tmp_path, seal):
    folder = tmp_path / "new"
    shutil.copytree(project, folder)
    pairs = (folder / "world/pairs.jsonl").read_text().splitlines()
    (folder / "world/pairs.jsonl").write_text("\n".join(pairs[:120] + ["{"] * 30) + "\n")
    code, _, err = seal("run", folder / "seal.toml")
    assert code == 3
    assert "seal: texts: 20.0% of the rows failed" in err
    assert "set max-failures under [import] and start seal run again: nothing is done twice" in err
    assert plan(seal, folder)["texts"] == ("resume", "more of its rows failed than allowed")
    edit(folder / "seal.toml", "[import]", "[import]\nmax-failures = 0.5")
    before = (folder / "out/texts/part-00000.parquet").stat().st_mtime_ns
    code, _, err = seal("run", folder / "seal.toml")
    assert (code, (folder / "out/texts/part-00000.parquet").stat().st_mtime_ns) == (0, before), err


# Killed


def start(folder):
    return subprocess.Popen(
        command("run", folder / "seal.toml"), cwd=ROOT, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def kill_and_go_on(project, finished, tmp_path, n_kills, seed):
    """Runs killed at random moments, each folder up to three times; how often that was."""
    (undisturbed, took_s), rng, n_killed = finished, random.Random(seed), 0
    while n_killed < n_kills:
        folder = tmp_path / "killed"
        shutil.copytree(project, folder)
        for _ in range(3):
            n_killed += kill_after(rng.uniform(0.3, 1.0) * took_s, "run", folder / "seal.toml")
        done = run_seal("run", folder / "seal.toml")
        assert done.returncode == 0, done.stderr
        assert_same(folder / "out", undisturbed / "out")
        shutil.rmtree(folder)
    return n_killed


def test_killed_and_started_again_it_ends_in_the_same_bytes(project, finished, tmp_path):
    assert kill_and_go_on(project, finished, tmp_path, 3, seed=2) >= 3


@pytest.mark.slow
def test_killed_many_times(project, finished, tmp_path):
    n = int(os.environ.get("SEAL_TEST_KILLS", "20"))
    assert kill_and_go_on(project, finished, tmp_path, n, seed=3) >= n


def test_a_stage_does_not_outlive_the_run(project, finished, tmp_path):
    folder = tmp_path / "killed"
    shutil.copytree(project, folder)
    process = start(folder)
    while not (folder / "out/scores/pre/log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = run_seal("run", folder / "seal.toml")
    assert done.returncode == 0, done.stderr
    assert "texts: done before" in done.stderr
    assert "scores/pre: goes on: cut" in done.stderr
    assert_same(folder / "out", finished[0] / "out")


def test_stopped_from_the_keyboard_the_stage_stops_too(project, tmp_path):
    folder = tmp_path / "stopped"
    shutil.copytree(project, folder)
    process = subprocess.Popen(
        command("run", folder / "seal.toml"), cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
    )
    while not (folder / "out/scores/pre/log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "seal: stopped; the same command goes on from here"


def test_a_second_run_of_one_folder_is_refused(mine, seal, monkeypatch):
    import fcntl

    monkeypatch.setattr(runner, "_LOCK_PATIENCE_S", 0.1)
    with (mine / "out/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = seal("run", mine / "seal.toml")
    assert code == 1
    assert "another seal run works in" in err


def test_without_any_network(project, finished, tmp_path):
    prefix = ("unshare", "-rn", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("network namespaces may not be made here; allow unshare -rn to try it")
    shutil.copytree(project, tmp_path / "closed")
    done = run_seal("run", tmp_path / "closed/seal.toml", prefix=prefix)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "closed/out", finished[0] / "out")


# On a terminal


def test_a_terminal_gets_one_list_of_all_stages(mine):
    from io import StringIO

    from rich.console import Console
    from rich.live import Live

    from seal.cli.pipeline.display import Board
    from seal.cli.pipeline.planning import Decision
    from seal.engine.progress import Progress

    screen = Console(file=StringIO(), force_terminal=True, width=100)
    with Live(console=screen, auto_refresh=False) as live:
        board = Board(["texts", "scores/pre", "results"], live)
        board.skip("texts", "same inputs")
        hear = board.begin("scores/pre", Decision("run", "not there"))
        hear(Progress("score", "texts", 50, 200, elapsed_s=2.0))
        shown = Console(file=StringIO(), width=100)
        shown.print(board.table())
        board.fail("scores/pre")
    lines = shown.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["✓", "▸", "·"]
    assert "50 of 200 texts · 25 texts/s · 0:00:06 left" in lines[1]


# seal init


def test_init_writes_settings_and_never_over_others(tmp_path, seal):
    code, out, err = seal("init")
    assert (code, out) == (0, "")
    assert "seal.toml: fill in sources, pre and post under [run]" in err
    text = (tmp_path / "seal.toml").read_text()
    code, _, err = seal("init")
    assert (code, err) == (
        2,
        "seal: seal.toml is there already; --overwrite replaces it, --out writes another\n",
    )
    (tmp_path / "seal.toml").write_text("[run\n")
    assert seal("init", "--overwrite")[0] == 0
    assert (tmp_path / "seal.toml").read_text() == text
    code, _, err = seal("run")
    assert code == 2
    assert "texts ([import]): Invalid value for 'SRC...'" in err

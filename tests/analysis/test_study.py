"""A study runs on processes, keeps what it found, can be killed at any moment, and goes on where it stopped."""

import json
import os
import re
import signal
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner

import bptt
from bptt.analysis.overflow import said
from bptt.analysis.statistics import interval
from bptt.analysis.studies import pool, store
from bptt.analysis.studies.measures import MEASURES
from bptt.analysis.studies.plan import Point, Task
from bptt.analysis.studies.pool import LocalWorkers
from bptt.analysis.studies.store import OVERFLOW
from bptt.analysis.studies.table import rows
from bptt.analysis.studies.task import Outcome, perform
from bptt.cli import main

GAINS = [0.1 * number for number in range(1, 12)] + [1e200]
SMALL = f"""
title = "Small"
cells = "rnn_relu"
hidden = [2, 3]
lengths = 6
batch = 2
seeds = 2
data = ["text", "noise"]
initialisation.gain = {GAINS}
measures = "flow"
"""
POINTS = 2 * 2 * len(GAINS)


def contents(store):
    """Every file of a store -> its bytes."""
    return {str(path.relative_to(store)): path.read_bytes() for path in Path(store).rglob("*") if path.is_file()}


def finished(store):
    """How many points are in a store."""
    return sum(path.suffix != ".partial" for path in Path(store).glob("*/*/*/done/c.*"))  # not what was being written


class Here:
    """Performs tasks in this process, last first: quicker than starting others, and another order."""

    def __init__(self, plan, count):
        self.plan, self.tasks = plan, []

    def submit(self, task):
        self.tasks.append(task)

    def take(self):
        return perform(self.plan, self.tasks.pop())

    def close(self):
        pass


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr("bptt.analysis.studies.study.LocalWorkers", Here)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A study that ran on two processes without a break."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "study.toml").write_text(SMALL)
    study = bptt.Study.load(folder / "study.toml")
    study.run(workers=2)
    return study


def test_what_is_in_the_store(undisturbed):
    plain = xr.open_zarr(undisturbed.store, group="rnn_relu/n=3,T=6/flow", chunks=None)
    assert plain.log_norm.dims == ("initialisation", "data", "seed", "lag")
    assert plain.gain.values.tolist() == GAINS
    assert plain.log_norm.attrs["units"] == "natural log" and "backward pass" in plain.attrs["method"]
    assert plain.done.values.all()
    tree = xr.open_datatree(undisturbed.store, engine="zarr", chunks=None)
    assert [node.path for node in tree.leaves] == ["/rnn_relu/n=2,T=6/flow", "/rnn_relu/n=3,T=6/flow"]
    assert tree.attrs["text"] == SMALL and tree.attrs["title"] == "Small"
    assert tree.attrs["study"]["seeds"] == [0, 1]
    assert set(tree.attrs["study"]["versions"]) == {"bptt", "numpy", "numba", "scipy"}


def test_a_chunk_holds_all_seeds_of_a_point(undisturbed):
    group = zarr.open_group(undisturbed.store, mode="r", path="rnn_relu/n=3,T=6/flow")
    assert {name: array.chunks for name, array in group.arrays() if array.ndim > 1} == {
        "log_norm": (1, 1, 2, 7), **dict.fromkeys([*OVERFLOW, "status", "message"], (1, 1, 2)), "done": (1, 1),
    }  # fmt: skip


def test_numbers_are_those_of_a_call(undisturbed):
    found = undisturbed.open()["rnn_relu/n=3,T=6/flow"].to_dataset().sel(data="text", seed=1)
    kernel = bptt.compile(bptt.load("rnn_relu"))
    chars = bptt.analysis.text()
    size = len(chars.vocabulary)
    x = bptt.analysis.one_hot(bptt.analysis.windows(chars, 6, 2, seed=1), size)
    flow = bptt.flow(kernel, kernel.init({"m": size, "n": 3}, seed=1, gain=GAINS[2]), {"x": x}, seed=1)
    assert np.array_equal(found.log_norm.isel(initialisation=2), flow.log_norm.mean("sample"))


def test_the_same_numbers_whatever_the_order_and_the_processes(undisturbed, tmp_path, here):
    study = bptt.Study.load(undisturbed.path, tmp_path / "other.zarr")
    study.run()
    assert contents(study.store) == contents(undisturbed.store)


def test_explosions_are_shown_as_such(undisturbed):
    found = undisturbed.open()["rnn_relu/n=3,T=6/flow"].to_dataset().isel(initialisation=-1, data=1)
    assert found.status.values.tolist() == [2, 2]
    lasts = map(int, found.overflow_last.values)  # another Python has another text, and noise of another size
    assert found.message.values.tolist() == [said(2, last, 2, 2) for last in lasts]
    assert found.overflowed.values.tolist() == [2, 2] and found.overflow_first.values.tolist() == [2, 2]
    assert np.isposinf(found.log_norm).any() and not np.isnan(found.log_norm).any() and bool(found.done)
    assert found.status.attrs["flag_meanings"] == "nothing_wrong failed exploded partly_exploded"
    table = rows(undisturbed.open())
    assert len(table) == POINTS
    wrong = [row for row in table if row.exploded]
    assert {row.initialisation for row in wrong} == {"gain=1e+200"} and all(row.seeds == 2 for row in wrong)
    for row in wrong:  # on the text of another Python one run may stay finite, and then there is a number
        runs = re.fullmatch(r"overflowed at steps? 2(?: to \d)? in ([34]) of 4 runs", row.trouble)
        assert runs and np.isnan(row.number) == (runs[1] == "4"), row
    assert not any(row.failed for row in table)


CHUNKS = SimpleNamespace(path=os.path, replace=os.replace)  # what the store writes its chunks with, and Zarr doesn't
MOMENTS = {  # at which a study is killed -> where in the code that is: when this function is called, or has returned
    "a process has started": (pool, "_started", True),
    "a process has its plan": (pool, "_send", True),
    "an array is to be made": (store, "_require", False),
    "a chunk is written but has not its name": (CHUNKS, "replace", False),
    "a chunk is there": (CHUNKS, "replace", True),
}
KILLS = [  # ten: the moment, and at which time that it comes; the first two are over before anything heavy is imported
    ("a process has started", 1),
    ("a process has its plan", 1),
    ("an array is to be made", 6),
    ("a process has started", 1),
    ("a chunk is there", 9),
    ("a process has its plan", 1),
    ("a chunk is written but has not its name", 4),
    ("a process has its plan", 1),
    ("a process has started", 1),
    ("a chunk is there", 6),
]


def killed(study, moment, times):
    """Go on with a study in a process of its own, kill it at a moment, and return the processes that it had."""
    reads, writes = os.pipe()
    if not (child := os.fork()):
        try:
            module, name, is_after = MOMENTS[moment]
            right, calls = getattr(module, name), count(1)

            def stopped(*args, **settings):
                found = right(*args, **settings) if is_after else None
                if next(calls) == times:
                    os.write(writes, json.dumps([one.pid for one in psutil.Process().children()]).encode())
                    signal.pause()
                return found if is_after else right(*args, **settings)

            vars(store)["os"] = CHUNKS
            setattr(module, name, stopped)
            study.run(resume=True, workers=1)
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        children = [psutil.Process(pid) for pid in json.loads(os.read(pipe.fileno(), 1000))]  # nothing: it has ended
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return children


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes can't be forked here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # the child uses no thread of its parent
def test_kill_at_any_moment_and_resume(undisturbed, tmp_path):
    study = bptt.Study.load(undisturbed.path, tmp_path / "killed.zarr")
    there = 0
    for moment, times in KILLS:
        children = killed(study, moment, times)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert children and not alive, "a process outlived its parent"
        assert there <= finished(study.store) <= there + times
        there = finished(study.store)
    performed = []
    assert there == 4 + 1 + 3  # of those kills at which chunks are written: two for each point
    study.run(resume=True, workers=1, progress=lambda done, total, news: performed.append(done))
    assert performed == list(range(2 * there, 2 * POINTS + 1))  # each seed of the points that were not there, once
    assert contents(study.store) == contents(undisturbed.store)


TINY = 'cells = "rnn"\nhidden = 2\nlengths = 3\nbatch = 1\nseeds = [4, 2]\ndata = "noise"\nmeasures = "flow"\n'


@pytest.fixture
def tiny(tmp_path, here):
    """A study of one point, loaded from a file with other lines before."""

    def load(more="", store=None):
        (tmp_path / "tiny.toml").write_text(more + TINY)
        return bptt.Study.load(tmp_path / "tiny.toml", store)

    return load


def test_a_store_that_is_there_is_refused_or_resumed(tiny):
    study = tiny()
    study.run()
    before = contents(study.store)
    with pytest.raises(bptt.Error, match=r"tiny.zarr: a study is there already. Go on with it by --resume .*or choose"):
        study.run()
    said = []
    study.run(resume=True, progress=lambda *news: said.append(news))
    assert not said and contents(study.store) == before


@pytest.mark.parametrize(
    "old, new, change",
    [
        ("seeds = [4, 2]", "seeds = [4, 3]", r"seeds\[1\]: 2 -> 3"),
        ("batch = 1", "batch = 2", "batch: 1 -> 2"),
        ("hidden = 2", "hidden = 5", r'groups: \["rnn/n=2,T=3/flow"\] -> \["rnn/n=5,T=3/flow"\]'),
        (
            "lengths = 3",
            "initialisation.gain = 2.0\nlengths = 3",
            r'initialisation: .*"gain": 1.0.* -> .*"gain": 2.0.*',
        ),
        ('"noise"', '"shuffled"', "data.noise: noise of .* -> nothing"),
        ('"rnn"', '"rnn_relu"', "cells.rnn: .* -> nothing"),
    ],
)
def test_a_changed_study_says_what_changed(tiny, old, new, change):
    study = tiny()
    study.run()
    before = contents(study.store)
    assert old in TINY
    study.path.write_text(TINY.replace(old, new))
    with pytest.raises(bptt.Error, match=change) as caught:
        bptt.Study.load(study.path).run(resume=True)
    assert "holds another study than" in str(caught.value)
    assert contents(study.store) == before


def test_a_changed_text_is_a_changed_study(tiny, tmp_path):
    (tmp_path / "poem.txt").write_text("the rain in spain")
    study = tiny('text = "poem.txt"\n')
    study.run()
    (tmp_path / "poem.txt").write_text("the rain in Spain")
    with pytest.raises(bptt.Error, match="data.noise: noise of poem.txt, [0-9a-f]+ -> noise of poem.txt, [0-9a-f]+"):
        bptt.Study.load(study.path).run(resume=True)


def test_words_about_a_study_may_change(tiny):
    tiny().run()
    tiny('title = "Another"\n# and a comment\n').run(resume=True)


def test_other_versions_are_refused(tiny, monkeypatch):
    study = tiny()
    study.run()
    monkeypatch.setattr("bptt.analysis.studies.study.versions", lambda: {"numpy": "0.9"})
    with pytest.raises(bptt.Error, match=r"versions.numpy: [\d.]+ -> 0.9"):
        study.run(resume=True)
    zarr.open_group(study.store, mode="a", use_consolidated=False).attrs["format"] = 99
    with pytest.raises(bptt.Error, match="a store of format 99, and this bptt reads format 2"):
        study.run(resume=True)


@pytest.mark.parametrize("place", ["zarr.json", "rnn/n=2,T=3/flow/zarr.json", "rnn/n=2,T=3/flow/done/zarr.json"])
@pytest.mark.parametrize("left", ["", "{"])
def test_a_damaged_store_is_said(tiny, place, left):
    """As a disk that fills up, or a machine that loses power, may leave it."""
    study = tiny()
    study.run()
    (Path(study.store) / place).write_text(left)
    with pytest.raises(bptt.Error, match="a zarr.json in it is damaged.*Choose another store, or remove this one"):
        study.run(resume=True)


@pytest.mark.parametrize("url", ["memory://studies/one.zarr", "file://{}/two.zarr"])
def test_a_store_has_an_address(tiny, tmp_path, url):
    plain, other = tiny(), tiny(store=url.format(tmp_path))
    assert plain.run().equals(other.run())
    assert other.open().equals(plain.open())
    assert other.run(resume=True).equals(plain.open())
    with pytest.raises(bptt.Error, match="a study is there already"):
        other.run()


@pytest.mark.parametrize(
    "store, message",
    [
        ("file/study.zarr", "file/study.zarr: can't be read or written: not a directory"),
        ("file", "file: a file is there already. Choose another store"),
        ("full", "full: something else is there already. Choose another store"),
        ("other.zarr", "other.zarr: a Zarr group that is no study's"),
        ("nix://where/study.zarr", "nix://where/study.zarr: nothing can be stored there: .*nix"),
    ],
)
def test_stores_that_cannot_be_written(tiny, tmp_path, store, message):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    before = contents(tmp_path)
    with pytest.raises(bptt.Error, match=message):
        tiny(store=store if "://" in store else tmp_path / store).run()
    assert contents(tmp_path).items() - before.items() == {("tiny.toml", TINY.encode())}


def test_there_is_no_store(tiny, tmp_path):
    with pytest.raises(bptt.Error, match="no.zarr: there is no study"):
        tiny(store=tmp_path / "no.zarr").open()


def test_what_a_killed_process_left_is_no_store(tiny, tmp_path):
    store = tmp_path / "tiny.zarr"
    store.mkdir()
    (store / "zarr.1.partial").write_text("{")
    tiny().run(resume=True)
    (store / "rnn" / "zarr.2.partial").write_text("{")
    tiny().run(resume=True)
    assert not list(store.rglob("*.partial"))


def test_a_process_that_ends_is_replaced(undisturbed):
    team = LocalWorkers(undisturbed.plan, 1)
    try:
        tasks = [Task(Point(0, start, 1), 0) for start in range(3)]
        team.submit(tasks[0])
        assert team.take().message == ""
        [process] = team._processes
        process.kill()
        for task in tasks[1:]:
            team.submit(task)
        lost, right = team.take(), team.take()
    finally:
        team.close()
    assert lost.lost and lost.task == tasks[1] and lost.message.startswith("its process ended: SIGKILL")
    assert right.task == tasks[2] and right.variables


def test_a_process_that_cannot_be_started(undisturbed, monkeypatch):
    monkeypatch.setattr("bptt.analysis.studies.pool.COMMAND", "raise SystemExit(3)")
    team = LocalWorkers(undisturbed.plan, 1)
    with pytest.raises(bptt.Error, match=r"a process of the study could not be started \(exit status 3\)"):
        team.submit(Task(Point(0, 0, 0), 0))
        team.take()
    team.close()


def test_a_lost_point_is_tried_again(tiny, monkeypatch):
    class Ends(Here):
        def take(self):
            task = super().take().task
            return Outcome(task, "its process ended: SIGKILL", lost=True)

    monkeypatch.setattr("bptt.analysis.studies.study.LocalWorkers", Ends)
    study = tiny()
    with pytest.raises(
        bptt.Error,
        match=r"1 point was not finished: at rnn/n=2,T=3/flow, rule=gaussian, .*, its process ended",
    ):
        study.run()
    assert finished(study.store) == 0
    monkeypatch.setattr("bptt.analysis.studies.study.LocalWorkers", Here)
    study.run(resume=True)
    assert finished(study.store) == 1


def test_wrong_use(tiny):
    with pytest.raises(bptt.Error, match="workers is 0: give a whole number from 1 on"):
        tiny().run(workers=0)
    with pytest.raises(bptt.Error, match="a scheduler has workers of its own"):
        tiny().run(workers=2, scheduler="tcp://localhost:1")


def command(*args):
    return CliRunner().invoke(main, ["study", *map(str, args)])


def test_the_command_prints_a_table(tmp_path, here):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    result = command(path)
    assert result.exit_code == 0, result.output
    assert re.search(
        r"rnn +n=2 T=3 +rule=gaussian, gain=1.0 +noise +flow +([\d.]+ +[-\d.]+ to [\d.]+|inf)", result.output
    )
    assert "2 of 2 runs" in result.output and "half-life of the gradient, in steps" in result.output
    refused = command(path)
    assert refused.exit_code == 2 and "by --resume" in refused.output and "Traceback" not in refused.output
    again = command(path, "--resume", "--json")
    assert again.exit_code == 0 and "Wrote" in again.stderr
    [point] = json.loads(again.stdout)["points"]
    assert (point["cell"], point["seeds"], point["failed"]) == ("rnn", 2, 0)
    assert command(tmp_path / "missing.toml").exit_code == 2


def test_the_exit_status_says_what_failed(tmp_path, here):
    path = tmp_path / "tiny.toml"
    path.write_text("initialisation.gain = [1.0, 1e200]\n" + TINY.replace('"rnn"', '"rnn_relu"'))
    some = command(path)
    assert some.exit_code == 1, some.output
    assert (
        "rnn_relu/n=2,T=3/flow, gain=1e+200, noise (2 of 2 seeds): overflowed at step 2 in 1 of 1 runs" in some.output
    )
    assert "1 of them is not whole: 2 exploded, 2 runs overflowed" in some.output
    path.write_text("initialisation.gain = 1e200\n" + TINY.replace('"rnn"', '"rnn_relu"'))
    assert command(path, "-o", tmp_path / "other.zarr").exit_code == 1  # all exploded: that is shown


def test_nothing_is_computed_where_the_report_cannot_be_written(tmp_path, here):
    (tmp_path / "tiny.html").mkdir()
    (tmp_path / "tiny.toml").write_text(TINY)
    refused = command(tmp_path / "tiny.toml")
    assert refused.exit_code == 2 and "tiny.html: this is a folder" in refused.output
    assert not (tmp_path / "tiny.zarr").exists()


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch):
    class Stopped(Here):
        def take(self):
            raise KeyboardInterrupt

    monkeypatch.setattr("bptt.analysis.studies.study.LocalWorkers", Stopped)
    monkeypatch.setattr(sys, "argv", ["bptt", "study", "tiny.toml"])
    (tmp_path / "tiny.toml").write_text(TINY)
    result = command(tmp_path / "tiny.toml")
    assert result.exit_code == 130
    assert "go on with: bptt study tiny.toml --resume" in result.output


def test_an_index_and_a_cell_without_inputs_are_fed(tmp_path, here):
    (tmp_path / "look.cell").write_text("w: index[k]\nh: state[n]\nh = tanh(E[w] + U @ h)")
    (tmp_path / "study.toml").write_text(TINY.replace('"rnn"', '["look.cell", "henon"]').replace("noise", "noise"))
    tree = bptt.Study.load(tmp_path / "study.toml").run()
    assert all(np.isfinite(leaf.log_norm).all() for leaf in tree.leaves)


def test_every_measure_runs_in_a_study(tmp_path, here):
    measures = ", ".join(f'"{name}"' for name in MEASURES)
    text = (
        TINY.replace('"flow"', f"[{measures}]").replace("lengths = 3", "lengths = 20").replace("batch = 1", "batch = 2")
    )
    (tmp_path / "all.toml").write_text(text.replace('"rnn"', '"lstm"'))
    tree = bptt.Study.load(tmp_path / "all.toml").run()
    found = rows(tree)
    assert [row.measure for row in found] == list(MEASURES)
    assert not any(row.message for row in found) and not any(np.isnan(row.number) for row in found)
    for leaf in tree.leaves:
        assert leaf.attrs["method"], leaf.path
        numbers = leaf.to_dataset().drop_vars(["done", "status", "message", *OVERFLOW])
        assert all({"units", "long_name"} <= one.attrs.keys() for one in numbers.data_vars.values()), leaf.path
        ranged = [one for one in numbers.data_vars.values() if "valid_min" in one.attrs]
        for one in ranged:
            least, most = one.attrs["valid_min"], one.attrs.get("valid_max", np.inf)
            for values in (one, interval(one, "seed")["low"], interval(one, "seed")["high"]):
                assert ((values > least - 1e-9) & (values < most + 1e-9) | ~np.isfinite(values)).all(), one.name
        assert ranged or leaf.attrs["measure"] in ("flow", "ablation"), leaf.path
    assert tree["lstm/n=2,T=20/spectrum"].entropy_rank.attrs["valid_max"] == 4


def test_an_exponent_of_minus_infinity_leaves_the_largest_as_it_is(tmp_path, here):
    (tmp_path / "half.cell").write_text("h: state\nh = a * relu(h)")
    text = 'cells = "half.cell"\nlengths = 9\nbatch = 1\nseeds = 9\ndata = "noise"\nmeasures = "lyapunov"'
    (tmp_path / "half.toml").write_text(text)
    [row] = rows(bptt.Study.load(tmp_path / "half.toml").run())
    assert row.low == -np.inf and np.isfinite(row.high) and row.has_interval


def test_measures_are_of_the_sequences_that_stay_finite(tmp_path, here):
    text = "u: input[n]\nh: state[n]\nh = exp(1e6 * max(u - 2.2, 0)) * tanh(W @ h + u)"  # inf from 2.2007 on
    (tmp_path / "at_times.cell").write_text(text)
    text = TINY.replace('"flow"', '["flow", "truncation"]').replace("lengths = 3", "lengths = 20")
    (tmp_path / "two.toml").write_text(text.replace('"rnn"', '"at_times.cell"').replace("batch = 1", "batch = 6"))
    for row in rows(bptt.Study.load(tmp_path / "two.toml").run()):
        assert 0 < row.overflowed < row.runs == 12 and not row.failed and row.kept == 2, row
        assert not np.isnan(row.number) and re.fullmatch(r"overflowed at steps? .* in \d+ of 12 runs", row.trouble)


def test_initialisations_are_those_of_their_rules(tmp_path, here):
    starts = '[[initialisation]]\nrule = "orthogonal"\n[[initialisation]]\nforget_bias = [0, 5]\n'
    (tmp_path / "tiny.toml").write_text(TINY.replace('"rnn"', '"lstm"') + starts)
    flow = next(iter(bptt.Study.load(tmp_path / "tiny.toml").run().leaves)).to_dataset()
    assert flow.rule.values.tolist() == ["orthogonal", "gaussian", "gaussian"]
    assert np.array_equal(flow.forget_bias, [np.nan, 0, 5], equal_nan=True)
    assert (flow.log_norm.isel(initialisation=2, lag=3) > flow.log_norm.isel(initialisation=1, lag=3)).all()

"""A study on a Dask cluster gives the numbers of local processes."""

import time

import numpy as np
import pytest

import bptt

distributed = pytest.importorskip("distributed", reason="Dask isn't installed: pip install 'bptt[dask]'")

STUDY = 'cells = "rnn"\nhidden = [2, 3]\nlengths = 5\nbatch = 2\nseeds = 3\nmeasures = "flow"\n'


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler on this machine with two workers."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


def test_the_numbers_are_those_of_local_processes(tmp_path, scheduler):
    (tmp_path / "study.toml").write_text(STUDY)
    here = bptt.Study.load(tmp_path / "study.toml", tmp_path / "here.zarr").run(workers=1)
    there = bptt.Study.load(tmp_path / "study.toml", tmp_path / "there.zarr").run(scheduler=scheduler)
    assert here.identical(there)
    assert all(np.isfinite(leaf.log_norm).all() for leaf in there.leaves)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://nowhere"])
def test_a_scheduler_that_does_not_answer(tmp_path, address):
    (tmp_path / "study.toml").write_text(STUDY)
    start = time.monotonic()
    with pytest.raises(bptt.Error, match=f"the scheduler {address} doesn't answer: .*Start one with `dask scheduler`"):
        bptt.Study.load(tmp_path / "study.toml").run(scheduler=address)
    assert time.monotonic() - start < 60  # seconds, on a machine that does other things; alone about 5


@pytest.mark.parametrize("address", ["nonsense", "nix://127.0.0.1:1"])
def test_no_address_of_a_scheduler(tmp_path, address):
    (tmp_path / "study.toml").write_text(STUDY)
    with pytest.raises(bptt.Error, match=f"{address} is no address of a scheduler: it looks like tcp://host:8786"):
        bptt.Study.load(tmp_path / "study.toml").run(scheduler=address)
    assert not (tmp_path / "study.zarr").exists()


def test_a_scheduler_without_workers(tmp_path, monkeypatch):
    (tmp_path / "study.toml").write_text(STUDY)
    monkeypatch.setattr("bptt.analysis.studies.cluster.PATIENCE", 1)
    with (
        distributed.LocalCluster(n_workers=0, protocol="tcp", dashboard_address=":0", silence_logs=50) as cluster,
        pytest.raises(bptt.Error, match="has no workers. Start some with `dask worker tcp://"),
    ):
        bptt.Study.load(tmp_path / "study.toml").run(scheduler=cluster.scheduler_address)

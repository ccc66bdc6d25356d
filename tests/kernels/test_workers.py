"""Threads that take calls: all done, errors passed on, sleeping and awake, from several callers at once."""

import os
import threading
import time
from functools import partial

import pytest

from bptt.kernels import workers
from bptt.kernels.workers import run_all


def late(number, done, pause):
    time.sleep(pause * number)
    done.append(number)


def nothing():
    pass


@pytest.mark.parametrize("cores", [1, 64])
@pytest.mark.parametrize("pause", [0, 0.01])
def test_every_call_is_done_before_it_returns(monkeypatch, cores, pause):
    monkeypatch.setattr(workers, "_cores", lambda: cores)
    done: list[int] = []
    for rounds in range(1, 21):
        run_all([partial(late, number, done, pause) for number in range(3)])
        assert sorted(done) == sorted([0, 1, 2] * rounds)
        time.sleep(pause)


def test_calls_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=20)
    run_all([partial(wait_at, meeting)] * 3)


def wait_at(meeting):
    meeting.wait()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_error_is_passed_on_once_all_are_done(place):
    done: list[int] = []

    def call(number):
        late(number, done, 0.01)
        if number == place:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_all([partial(call, number) for number in range(3)])
    assert sorted(done) == [0, 1, 2]
    run_all([nothing] * 3)


def test_callers_do_not_wait_for_each_other():
    """Each has all of its threads at once, however many callers there are."""
    meetings = [threading.Barrier(3, timeout=20) for _ in range(4)]
    callers = [threading.Thread(target=run_all, args=([partial(wait_at, meeting)] * 3,)) for meeting in meetings]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert not any(meeting.broken for meeting in meetings)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    run_all([nothing] * 2)
    child = os.fork()
    if child == 0:
        done: list[int] = []
        run_all([partial(late, number, done, 0) for number in range(2)])
        os._exit(0 if sorted(done) == [0, 1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

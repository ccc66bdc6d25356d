"""Threads that run shares of a pass: all done, status passed on, sleeping and awake, from several callers at once."""

import ctypes
import os
import threading
import time
from array import array

import pytest

from bptt.kernels import meeting, workers
from bptt.kernels.vector import WITHOUT_NUMBA
from bptt.kernels.workers import run_all

pytestmark = pytest.mark.skipif(WITHOUT_NUMBA, reason="code that isn't compiled runs in one thread")
KIND = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


def run(function, numbers):
    """Run a function of Python's on tables of one number each."""
    call = KIND(lambda place: function(ctypes.c_int64.from_address(place).value))
    return run_all(call, [array("q", [number]) for number in numbers])


@pytest.mark.parametrize("pause", [0, 0.01])
def test_every_call_is_done_before_it_returns(pause):
    done: list[int] = []

    def late(number):
        time.sleep(pause * number)
        done.append(number)
        return 0

    for rounds in range(1, 21):
        assert run(late, range(3)) == 0
        assert sorted(done) == sorted([0, 1, 2] * rounds)
        time.sleep(pause)  # longer than a thread stays awake


def test_calls_run_at_the_same_time():
    together = threading.Barrier(3, timeout=20)
    assert run(lambda number: together.wait() * 0, range(3)) == 0


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_status_is_passed_on(place):
    assert run(lambda number: 4 * (number == place), range(3)) == 4
    assert run(lambda number: 0, range(3)) == 0


def test_callers_do_not_wait_for_each_other():
    """Each has all of its threads at once, however many callers there are."""
    meetings = [threading.Barrier(3, timeout=20) for _ in range(4)]

    def call(one):
        run(lambda number: one.wait() * 0, range(3))

    callers = [threading.Thread(target=call, args=(one,)) for one in meetings]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert not any(one.broken for one in meetings)


def test_nobody_leaves_a_meeting_before_all_are_there():
    """A hundred meetings in a row at one place: who leaves one finds that the others came to it."""
    place, meet = meeting.meeting_place(), workers._function("meet")
    came, seen = [0, 0, 0], []

    def attend(number):
        for times in range(1, 101):
            came[number] = times
            meet(place.ctypes.data, 3)
            seen.append(min(came) >= times)
        return 0

    assert run(attend, range(3)) == 0
    assert len(seen) == 300 and all(seen)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    run(lambda number: 0, range(2))
    child = os.fork()
    if child == 0:
        done: list[int] = []

        def call(number):
            done.append(number)
            return 0

        run(call, range(2))
        os._exit(0 if sorted(done) == [0, 1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Threads that wait awake, and what they do: one that is needed again at once is there in less than a microsecond.

A mailbox is a row of words: what is asked for, by whom. `meeting.py` and `workers.py` say what each function is for.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bptt.kernels.values import FEATURES

LOOKS = 2000  # before a thread lets others have its core: some ten microseconds
SOON = 256  # the same of one that nobody waits for

STATE, ASKED, FUNCTION, TABLE, DONE, STATUS = 0, 1, 2, 3, 8, 9  # words of a mailbox; the last two on a cache line apart
WORDS = 16
ASLEEP, AWAKE, TAKEN = 0, 1, 2  # states of a worker

WORD, SHORT = ir.IntType(64), ir.IntType(32)


def _place(builder, address, index):
    return builder.gep(builder.inttoptr(address, WORD.as_pointer()), [index])


def _looked_up(typing, address, index):
    """Return the word at a place that another thread may be writing, after a pause of some nanoseconds."""

    def lower(context, builder, sig, args):
        if "sse2" in FEATURES:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return builder.load_atomic(_place(builder, *args), "acquire", 8)

    return types.int64(address, index), lower


def _told(typing, address, index, word):
    """Write a word that another thread may be looking at, after all that was written before."""

    def lower(context, builder, sig, args):
        builder.store_atomic(args[2], _place(builder, *args[:2]), "release", 8)
        return context.get_dummy_value()

    return types.void(address, index, types.int64), lower


def _counted(typing, address):
    """Add one to the word at an address, and return what it was."""

    def lower(context, builder, sig, args):
        place = builder.inttoptr(args[0], WORD.as_pointer())
        return builder.atomic_rmw("add", place, WORD(1), "acq_rel")

    return types.int64(address), lower


def _changed(typing, address, before, after):
    """Change a mailbox's state, unless it is another one than `before`; return whether it was changed."""

    def lower(context, builder, sig, args):
        place = _place(builder, args[0], WORD(STATE))
        found = builder.cmpxchg(place, args[1], args[2], "acq_rel", "acquire")
        return builder.zext(builder.extract_value(found, 1), WORD)

    return types.int64(address, types.int64, types.int64), lower


def _called(typing, function, table):
    """Call the function at an address with a table, and return its status."""

    def lower(context, builder, sig, args):
        kind = ir.FunctionType(SHORT, [WORD])
        return builder.zext(builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1]]), WORD)

    return types.int64(function, table), lower


def _rested(typing):
    """Let another thread have this core."""

    def lower(context, builder, sig, args):
        builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(SHORT, []), "bptt_rest"), [])
        return context.get_dummy_value()

    return types.void(), lower


compiled: Any = intrinsic
looked_up, told, counted, changed, called, rested = map(
    compiled, (_looked_up, _told, _counted, _changed, _called, _rested)
)


def meet(place, parts):
    goal = (counted(place) // parts + 1) * parts
    looks = 0
    while looked_up(place, 0) < goal:
        looks += 1
        if looks > LOOKS:
            rested()
    return 0


def serve(mail, looks):
    number = looked_up(mail, DONE) + 1
    changed(mail, ASLEEP, AWAKE)
    waited = 0
    while True:
        if looked_up(mail, ASKED) >= number:
            told(mail, STATUS, called(looked_up(mail, FUNCTION), looked_up(mail, TABLE)))
            changed(mail, TAKEN, AWAKE)
            told(mail, DONE, number)
            number += 1
            waited = 0
            continue
        waited += 1
        if waited % SOON == 0:
            rested()
        if waited >= looks and changed(mail, AWAKE, ASLEEP):
            return 0


def lead(mails, tables, parts, function, looks):
    for number in range(1, parts):
        mail, waited = looked_up(mails, number), 0
        while not changed(mail, AWAKE, TAKEN):
            waited += 1
            if waited >= looks:
                for other in range(1, number):
                    changed(looked_up(mails, other), TAKEN, AWAKE)
                return -number
            if waited % SOON == 0:
                rested()
    for number in range(1, parts):
        mail = looked_up(mails, number)
        told(mail, FUNCTION, function)
        told(mail, TABLE, looked_up(tables, number))
        told(mail, ASKED, looked_up(mail, DONE) + 1)
    status = called(function, looked_up(tables, 0))
    for number in range(1, parts):
        mail, waited = looked_up(mails, number), 0
        while looked_up(mail, DONE) < looked_up(mail, ASKED):
            waited += 1
            if waited > LOOKS:
                rested()
        status |= looked_up(mail, STATUS)
    return status

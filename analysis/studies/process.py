"""A process that performs tasks until its parent is gone."""

from __future__ import annotations

import os
import pickle
import queue
import struct
import sys
import threading

LENGTH = struct.Struct("<Q")


def framed(thing: object) -> bytes:
    """Return a message as it goes through a pipe: its length, then its pickle."""
    message = pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(message)) + message


def serve() -> None:
    """Read a plan and tasks from standard input and write outcomes to standard output, until the input ends.

    The pipes are the parent's, and nobody else holds their ends: when the parent ends, however it does, the input
    ends, and so does this process, in the midst of an import or a task. What a task prints goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=[messages], daemon=True).start()
    plan = pickle.loads(messages.get())
    from .task import perform

    answer: object = "ready"
    while True:
        try:
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:
            os._exit(0)
        answer = perform(plan, pickle.loads(messages.get()))


def _listen(messages: queue.SimpleQueue[bytes]) -> None:
    source = sys.stdin.buffer
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        messages.put(source.read(*LENGTH.unpack(head)))
    os._exit(0)

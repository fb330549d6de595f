"""Several arrays served by one launch: a table on the GPU says where each of them lies.

A kernel has so many arguments, and a network any number of parameters. So a parameter's arrays come
as a job, a row of a table:

    address of the gradient | of the values | of what the optimizer keeps … | size | first block

A block asks the table whose it is and owns a piece of that job: of T threads, thread t takes the
numbers t, t + T, t + 2 T … of the piece. So neighbours read neighbours, and each number has one
owner.

A table is sent to the GPU when it isn't what the launch before had, and in a step that is written
down (``_tape.py``) once, since addresses stay there.
"""

import threading

import numpy as np

from . import _cuda, _memory, _recording
from ._cuda import device, launch_blocks

EACH = 4  # numbers for every thread of a block, which share the search for their row
SIZE, FIRST = -2, -1  # columns of the table


@device
def job_of(table, block):
    """Return the row of a block: the last one whose first block doesn't come behind it."""
    row, end = 0, table.shape[0]
    while end - row > 1:
        middle = (row + end) // 2
        if table[middle, FIRST] <= block:
            row = middle
        else:
            end = middle
    return row


@device
def piece_of(table, row, block, threads):
    """Return where a block's piece of its job begins, and the end."""
    begin = (block - table[row, FIRST]) * threads * EACH
    end = begin + threads * EACH
    return begin, end if end < table[row, SIZE] else table[row, SIZE]


_one_at_a_time = threading.Lock()  # between two threads' tables and launches
_sent = {}


def launch_jobs(kernel, jobs, *args):
    """Run a kernel that is given a table of jobs, and ``args``, over all numbers of the jobs.

    jobs           tuples of arrays, all of one dtype and each of one size, not 0
    """
    threads = _cuda.THREADS_PER_BLOCK
    rows, blocks = [], 0
    for job in jobs:
        rows.append((*map(_cuda.address_of, job), job[0].size, blocks))
        blocks += -(-job[0].size // (threads * EACH))
    with _one_at_a_time:
        launch_blocks(kernel, blocks, threads, _on_gpu(kernel, rows, jobs), *args)


def _on_gpu(kernel, rows, jobs):
    """Return the table as an array on the GPU."""
    if (tape := _recording.tape()) is not None:
        table = _memory.empty((len(rows), len(rows[0])), np.int64)
        _memory.send(rows, table)
        tape.keep(table, *jobs)
        return table
    known, table = _sent.get((kernel, len(rows)), (None, None))
    if table is None:
        table = _cuda.empty((len(rows), len(rows[0])), np.int64)
    if known != rows:
        _memory.send(rows, table)
        _sent[kernel, len(rows)] = rows, table
    return table

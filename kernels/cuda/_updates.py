"""Steps of an optimizer over all its parameters: one launch instead of one for each.

The arithmetic is that of the operations themselves, whose files have it once: ``_move`` moves one
number, ``_update`` a parameter by it, and ``_update_all`` all parameters of a table (``_jobs.py``).
"""

from . import _cuda, adadelta, adagrad, adam, rmsprop, sgd
from ._jobs import launch_jobs
from ._recording import changing

FILES = {
    "sgd_update": sgd,
    "adam_update": adam,
    "rmsprop_update": rmsprop,
    "adagrad_update": adagrad,
    "adadelta_update": adadelta,
}


def update_together(name, numbers, jobs):
    """Move parameters by an operation, those of a dtype by one launch; return who is left.

    name           of the operation; if it is none of the files', all are left
    numbers        what it takes between gradient and arrays
    jobs           (gradient, arrays to move) of each parameter, all of one axis
    """
    if name not in FILES or not _cuda.IS_NVIDIAS:  # Numba's own CUDA has no array at an address
        return jobs
    file, alike, left, seen = FILES[name], {}, [], set()
    for job in jobs:
        grad, moved = job
        dtypes, values = {grad.dtype, *(a.dtype for a in moved)}, _cuda.address_of(moved[0])
        if len(dtypes) == 1 and grad.size and values not in seen:
            seen.add(values)
            alike.setdefault(grad.dtype, []).append(job)
        else:  # two types need a kernel of their own; who stands here twice moves twice, in turn
            left.append(job)
    for dtype, members in alike.items():
        if len(members) == 1:
            left[:0] = members
        else:
            rates = changing(file._rates, dtype, *numbers)
            jobs = [(grad, *moved) for grad, moved in members]
            launch_jobs(file._update_all, jobs, rates)
    return left

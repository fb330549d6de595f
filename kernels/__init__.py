"""The loops: one operation per file, on three floors with the same plan.

``reference``
    Plain Python, the definition. Slow, checked by finite differences, checks the others.
``cpu``
    The same loops compiled by Numba and shared out over the processor's cores.
``cuda``
    The same loops turned inside out: one GPU thread per number that is written.

A file of one floor has the same name, functions and arguments on the other two. Nothing in
here imports anything from the rest of numcnn.
"""

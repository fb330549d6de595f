"""Timings that can be trusted: checked before they are taken, side by side with a peer.

``numcnn bench train``, ``infer`` and ``conv2d`` print them; ``numcnn bench --help`` says how they
are taken. `compare.compare` and `ladder.climb` give the same figures to programs.
"""

"""The facts of a course on convolutional networks, computed anew by the real kernels.

``numcnn lectures`` replays them. Each file is a topic; a fact is a function of a few lines that
says how one would check the statement oneself.
"""

from . import arithmetic, functions, learning, networks, seeing, worked
from .check import FACTS, Check, Fact, Line, Result, replay
from .errata import ERRATA, Erratum

TOPICS = (arithmetic, worked, networks, functions, learning, seeing)
_ORDER = {module.TOPIC: place for place, module in enumerate(TOPICS)}
FACTS.sort(key=lambda fact: _ORDER.get(fact.topic, len(_ORDER)))

__all__ = [
    "ERRATA",
    "FACTS",
    "Check",
    "Erratum",
    "Fact",
    "Line",
    "Result",
    "arithmetic",
    "functions",
    "learning",
    "networks",
    "replay",
    "seeing",
    "worked",
]

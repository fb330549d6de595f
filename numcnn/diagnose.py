"""What the curves of a training run say about it: `diagnose` names what went wrong, and why.

Each rule below asks for one trace that one mistake leaves in the losses. They are asked in order,
the loudest mistake first: a loss that became NaN has no slope worth reading, and batches in a fixed
order make losses jump as a learning rate that is too high does. Limits are constants with a reason
beside them; ``docs/gallery.md`` says how often the rules were right on runs they had not seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .curves import SURE, Curves, last_quarter
from .history import History

__all__ = ["Diagnosis", "diagnose"]

LEARNED = 1 / 3
"""Share of the first loss below which a run has learned something. The untrained network spreads
its bets evenly and pays log C for C classes; a third of that means that the right class gets the
cube root of 1/C (of ten classes, 46%) as its typical probability."""
GROWN = 10.0  # times the first loss: no noise, and no detour, looks like that
OVERSHOT = 1.5  # times the first loss; before training, batches differ by 5 to 15%
UPHILL = 0.01  # mean rise per epoch of a loss that is high; only chance makes it rise otherwise
EVEN = 0.2
"""Fall of the loss from the middle to the last third of a run, as a share of its whole fall. That
of a straight line is 2/5 (1/3 out of 5/6), that of a curve which has levelled off is near 0."""
SAME_JUMPS = 0.5  # correlation of an epoch's jumps with the next one's: 0 if shuffled, 1 if not
WORSE = 1.1  # times: what would be small change even if it is no accident
DEAD = 0.5  # share of ReLUs: a network of half the size is another network
ENOUGH_EPOCHS = 5  # fewer have no shape that could be told from chance
ENOUGH_BATCHES = 8  # in an epoch


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes
    ----------
    name : str
        "healthy", one of the mistakes that `numcnn.gallery` shows, or "unclear".
    explanation : str
        What happens in such a run.
    remedy : str
        What to do about it.
    evidence : tuple of str
        The figures that led to the name, and what the history couldn't tell, in sentences.
    """

    name: str
    explanation: str
    remedy: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        lines = [self.name, *(f"  - {sentence}" for sentence in self.evidence)]
        return "\n".join([*lines, f"Why: {self.explanation}", f"Remedy: {self.remedy}"])


TEXTS = {
    "exploding": (
        "Each step lands further from the valley than the one before: the error is multiplied "
        "from step to step, in the end until it is no number any more.",
        "Divide the learning rate by 10; normalise the inputs and, in regression, the targets; "
        "look for NaN in the data. These weights are lost: train anew.",
    ),
    "unshuffled data": (
        "The batches come in the same order each epoch, as from a file sorted by class. The "
        "network turns to the class that it sees and forgets the others.",
        "Shuffle: DataLoader(..., shuffle=True), which is what fit(x, y) does by default.",
    ),
    "learning rate too high": (
        "The steps are longer than the valley is wide: they jump from slope to slope and never "
        "come down.",
        "Divide the learning rate by 3 to 10, or let it begin low (OneCycleLR).",
    ),
    "train/eval confusion": (
        "In the first epoch each batch is new when its loss is taken: an honest test. Validation "
        "that is clearly worse from there on tests another function than the one trained.",
        "Dropout must be on in training and off in evaluation: look for train() and eval() in the "
        "wrong places (fit and evaluate set them). Prepare validation data like training data; if "
        "they are of another kind, that would look the same.",
    ),
    "dead ReLU": (
        "A ReLU whose input is below 0 for every example gives 0 and passes no gradient back, so "
        "it never recovers; the network has only the others left.",
        "Lower the learning rate, above all in the first steps; keep biases near 0 at the start; "
        "normalise the inputs; or take LeakyReLU or ELU, whose slope is never 0.",
    ),
    "overfitting": (
        "The network goes on to learn its examples by heart, which doesn't help with others.",
        "More examples, or examples moved about (random_shift); Dropout or weight decay; a "
        "smaller network; or stop at the best epoch.",
    ),
    "learning rate too low": (
        "The loss falls as steadily at the end as in the middle: the valley is still far away. "
        "The rate times the number of steps is too small.",
        "Multiply the learning rate by 3 to 10, or train for far longer.",
    ),
    "underfitting": (
        "The loss has levelled off high, on the examples that the network was trained with too: "
        "it can't do better, whatever the time.",
        "A larger network, or less weight decay and dropout. If people can't tell the classes "
        "either, the data allow no more.",
    ),
    "healthy": (
        "The loss fell fast, then levelled off, and nothing speaks against it.",
        "Nothing to mend.",
    ),
    "unclear": (
        "The curves fit several mistakes, or are too short to fit any.",
        "Train for some more epochs, with validation_data.",
    ),
}


# ---- the rules: evidence for a mistake, or nothing ---------------------------------------------

Evidence = tuple[str, ...]


def _exploding(c: Curves) -> Evidence:
    """Look for a loss that is no finite number any more, or many times what it was at first."""
    if not np.isfinite(c.line).all():
        at = int(np.argmin(np.isfinite(c.line)))
        what = "batch" if len(c.batches) else "epoch"
        if at == 0:
            return (
                f"The loss of the first {what} is {c.line[0]} already; before any step, that is "
                f"the doing of the data or of the initial weights.",
            )
        return (
            f"The loss of {what} {at + 1:,} of {len(c.line):,} is {c.line[at]}.",
            f"It began at {c.start:.3g}; the highest before was {c.line[:at].max():.3g}.",
        )
    if c.thirds and 0 < GROWN * c.start < c.thirds[2]:
        return (f"The loss grew from {c.start:.3g} to {c.thirds[2]:.3g}.",)
    return ()


def _unshuffled(c: Curves) -> Evidence:
    """Look for large jumps at the same places in each epoch.

    Where the order is drawn anew, what happens at a place of one epoch says nothing about the
    next. Jumps (differences of neighbours) are compared, not losses, since a loss that still falls
    falls in each epoch. A fixed order of well mixed batches does little harm. So the loss, averaged
    by place, must also swing about a straight line by what lies between knowing and not knowing: in
    sorted data a new class finds a network that is about as ignorant as at the start.
    """
    if c.per_epoch < ENOUGH_BATCHES or c.epochs < ENOUGH_EPOCHS:
        return ()
    later = c.rows()[1:]
    jumps = np.diff(later, axis=1)
    same = np.mean([_correlation(a, b) for a, b in itertools.pairwise(jumps)])
    by_place = later.mean(axis=0)
    places = np.arange(c.per_epoch)
    line = np.polyval(np.polyfit(places, by_place, 1), places)
    if same <= SAME_JUMPS or np.ptp(by_place - line) <= LEARNED * c.start:
        return ()
    return (
        f"The batch losses jump at the same places in each epoch: the correlation from epoch to "
        f"epoch is {same:.2f}, and would be near 0 in a new order.",
        f"Within an epoch they swing between {by_place.min():.3g} and {by_place.max():.3g}.",
    )


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _too_high(c: Curves) -> Evidence:
    """Look for stretches worse than an untrained network, or a loss that often rises.

    A tenth of an epoch is averaged, so that an odd batch is not taken for a stretch. Rises count
    as long as the loss is high: near 0 every run is uneven. Validation asks the same examples each
    time, without dropout, so that the weights alone make it rise. Without it the training loss
    must do, and a rise counts beyond a standard error, from the scatter of the batches.
    """
    size = max(1, c.per_epoch // 10)
    whole = len(c.batches) // size * size
    blocks = c.batches[:whole].reshape(-1, size).mean(axis=1)
    worst = float(blocks.max(initial=0))
    if worst > OVERSHOT * c.start:
        return (
            f"After training had begun at a loss of {c.start:.3g}, it rose to {worst:.3g}, worse "
            f"than untrained.",
        )
    if c.epochs < ENOUGH_EPOCHS:
        return ()
    what, curve = ("validation", c.val) if c.validated else ("training", c.loss)
    rise = np.diff(curve)
    if not c.validated and c.per_epoch > 1:
        error = c.rows().std(axis=1, ddof=1) / math.sqrt(c.per_epoch)
        rise[rise < np.hypot(error[1:], error[:-1])] = 0
    high = np.minimum(c.loss[1:], curve[:-1]) > LEARNED * c.start
    uphill = np.where(high, np.maximum(rise, 0) / curve[:-1], 0)
    if uphill.mean() <= UPHILL:
        return ()
    return (
        f"The {what} loss rose in {np.count_nonzero(uphill)} of {len(rise)} epochs, by up to "
        f"{uphill.max():.0%}, while it was still high.",
    )


def _confusion(c: Curves) -> Evidence:
    """Look for a validation after the first epoch that is worse than the fresh batches before.

    Each batch of the first epoch is tested before it is learned from ("progressive validation",
    Blum, Kalai and Langford, 1999), so that nothing learned by heart can help with it. A validation
    that gets below that level later was only late, as with running averages.
    """
    if not c.validated or c.per_epoch < ENOUGH_BATCHES:
        return ()
    fresh = c.batches[c.per_epoch // 2 : c.per_epoch]
    mean, error = fresh.mean(), fresh.std(ddof=1) / math.sqrt(len(fresh))
    if c.val[0] < max(mean + SURE * error, WORSE * mean):
        return ()
    if last_quarter(c.val) < mean:
        return ()
    return (
        f"The validation loss after the first epoch is {c.val[0]:.3g}, that of the batches just "
        f"before {mean:.3g} ± {error:.2g}; those were new to the network too.",
    )


def _dead(c: Curves) -> Evidence:
    """Look for ReLUs that never fire, half of them or more, where little has been learned."""
    if not len(c.dead) or c.dead[-1] < DEAD or c.reached < LEARNED * c.start:
        return ()
    return (
        f"{c.dead[-1]:.0%} of the ReLUs are 0 for every example.",
        f"The loss went from {c.start:.3g} to {c.reached:.3g} only.",
    )


def _overfitting(c: Curves) -> Evidence:
    """Look for a training that went on, to half its loss, after the best epoch of validation.

    What was learned after that epoch is of no use beyond the training examples. A clear rise of
    the validation loss is enough, too. The training loss at the best epoch is taken from the epoch
    that follows the validation; the one before may have begun untrained.
    """
    if not c.validated or c.epochs < ENOUGH_EPOCHS:
        return ()
    best = int(c.val.argmin())
    end, trained, then = last_quarter(c.val), c.loss[-1], c.loss[min(best + 1, c.epochs - 1)]
    rose = end > WORSE * c.val[best] and trained < then
    if end <= trained or not (rose or trained < then / 2):
        return ()
    return (
        f"The validation loss was best in epoch {best + 1} of {c.epochs}: {c.val[best]:.3g}; at "
        f"the end it is {end:.3g}.",
        f"Meanwhile the training loss went from {then:.3g} to {trained:.3g}.",
    )


def _too_low(c: Curves) -> Evidence:
    """Look for a loss of which much is left, and which is still falling evenly."""
    if not _unlearned(c) or c.evenness < EVEN:
        return ()
    return (
        f"The loss went from {c.start:.3g} to {c.reached:.3g} only.",
        f"From the middle to the last third of the run it made {c.evenness:.0%} of its fall; a "
        f"straight line makes 40%, a curve that has levelled off next to nothing.",
        *_without_dead(c),
    )


def _underfitting(c: Curves) -> Evidence:
    """Look for a loss of which much is left, and which has levelled off."""
    if not _unlearned(c) or c.evenness >= EVEN:
        return ()
    lines = [f"The loss levelled off at {c.reached:.3g}; it began at {c.start:.3g}."]
    if c.validated:
        ends = f"{last_quarter(c.loss):.3g} in training, {last_quarter(c.val):.3g} in validation"
        lines.append(f"The last epochs have {ends}.")
    return (*lines, *_without_dead(c))


def _unlearned(c: Curves) -> bool:
    return c.epochs >= ENOUGH_EPOCHS and c.reached > LEARNED * c.start and c.moved


def _without_dead(c: Curves) -> Evidence:
    if len(c.dead):
        return (f"{c.dead[-1]:.0%} of the ReLUs are dead, which doesn't explain it.",)
    return ("Dead ReLUs can look like this; callbacks=[numcnn.record_dead(model, x)] would tell.",)


RULES: dict[str, Callable[[Curves], Evidence]] = {
    "unshuffled data": _unshuffled,
    "learning rate too high": _too_high,
    "train/eval confusion": _confusion,
    "dead ReLU": _dead,
    "overfitting": _overfitting,
    "learning rate too low": _too_low,
    "underfitting": _underfitting,
}


# ---- for users ----------------------------------------------------------------------------------


def diagnose(history: History) -> Diagnosis:
    """Say what the curves of a training run show.

    Uses what ``fit(..., validation_data=...)`` records, and the share of dead ReLUs if
    `numcnn.record_dead` was there. The run must have begun with an untrained network, and its
    loss must be a mean over examples, as it is by default.

    Parameters
    ----------
    history : History

    Returns
    -------
    Diagnosis
        Its ``evidence`` also says what can't be told from this history.

    Examples
    --------
    >>> from numcnn import History, diagnose
    >>> history = History()
    >>> history.batch_losses = [2.3, 9.1, 4e7, float("inf")]
    >>> diagnose(history).name
    'exploding'
    """
    curves = Curves(history)
    name, evidence = _judge(curves)
    return Diagnosis(name, *TEXTS[name], evidence)


def _judge(c: Curves) -> tuple[str, Evidence]:
    if evidence := _exploding(c):
        return "exploding", evidence
    if len(c.line) < 3:
        return "unclear", (f"The history has {len(c.line)} losses; three are the least.",)
    if c.start == 0 or c.line.min() < 0:
        return "unclear", ("Shares of the first loss mean nothing where losses are 0 or less.",)
    for name, rule in RULES.items():
        if evidence := rule(c):
            return name, evidence
    went = f"The loss went from {c.start:.3g} to {c.reached:.3g}."
    if c.reached <= LEARNED * c.start:
        return "healthy", (went, *_gaps(c))
    if not c.moved:
        went = (
            f"The loss stayed at {c.start:.3g}: the learning rate is far too low, every ReLU is "
            f"dead, or the targets have nothing to do with the examples."
        )
    return "unclear", (went, *_gaps(c))


def _gaps(c: Curves) -> Evidence:
    """Return what a history can't tell."""
    gaps = []
    if c.epochs < ENOUGH_EPOCHS:
        gaps.append(f"With {c.epochs} epochs, fewer than {ENOUGH_EPOCHS}, little can be told.")
    if len(c.val) and not c.validated:
        gaps.append("The validation loss is not always finite: look for NaN in those data.")
    elif not c.validated:
        gaps.append("Without validation_data overfitting can't be seen.")
    if not c.per_epoch:
        gaps.append(
            "Without the losses of whole epochs, batch by batch, their order can't be seen."
        )
    return tuple(gaps)

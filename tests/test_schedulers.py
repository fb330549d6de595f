"""Learning-rate schedules: their shape, and that fit follows them."""

import numpy as np
import pytest

from numcnn import SGD, Adagrad, Linear, OneCycleLR, Sequential


def make(total, **options):
    optimizer = SGD(Linear(2, 3).parameters(), lr=1.0)
    return optimizer, OneCycleLR(optimizer, 0.5, total, **{"cycle_momentum": False} | options)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_one_cycle_rises_to_the_peak_and_falls_to_almost_nothing(strategy):
    optimizer, schedule = make(40, pct_start=0.25, anneal_strategy=strategy)
    rates = []
    for _ in range(40):
        rates.append(optimizer.lr)
        schedule.step()
    assert rates[0] == pytest.approx(0.5 / 25)
    assert max(rates) == rates[9] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.5 / 25 / 1e4)
    assert (np.diff(rates[:10]) > 0).all()
    assert (np.diff(rates[9:]) < 0).all()


def test_one_cycle_ends():
    _, schedule = make(3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(ValueError, match="planned for 3 steps"):
        schedule.step()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pct_start": 1.5}, "between 0 and 1"),
        ({"anneal_strategy": "steps"}, "'cos' or 'linear'"),
        ({"div_factor": 0}, "above 0"),
    ],
)
def test_arguments_that_make_no_cycle_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        make(10, **options)


def test_fit_steps_the_schedule_after_each_batch():
    seen = []

    class Recorder:
        def __init__(self, optimizer, total):
            self.optimizer, self.total = optimizer, total

        def step(self):
            seen.append(self.optimizer.steps)

    made = []

    def scheduler(optimizer, total):
        made.append(Recorder(optimizer, total))
        return made[0]

    x = np.random.default_rng(0).normal(size=(10, 2))
    model = Sequential(Linear(2, 3), seed=0)
    model.fit(x, np.arange(10) % 3, 2, 4, optimizer="sgd", scheduler=scheduler, verbose=False)
    assert made[0].total == 6
    assert seen == [1, 2, 3, 4, 5, 6]


def test_one_cycle_asks_for_what_it_needs():
    optimizer = SGD(Linear(2, 3).parameters(), lr=1.0)
    with pytest.raises(ValueError, match="total_steps, or both epochs and steps_per_epoch"):
        OneCycleLR(optimizer, 0.5, epochs=3)
    assert OneCycleLR(optimizer, 0.5, epochs=3, steps_per_epoch=7).total_steps == 21
    with pytest.raises(ValueError, match=r"neither momentum nor betas .* cycle_momentum=False"):
        OneCycleLR(Adagrad(Linear(2, 3).parameters(), lr=1.0), 0.5, 10)

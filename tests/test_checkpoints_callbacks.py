"""Callbacks of a training that goes on from a checkpoint do what they would have done."""

import numpy as np
import pytest
from checks_checkpoints import cut, data, figures, fit, network, scrambled, stopping

from numcnn import (
    BestCheckpoint,
    Callback,
    CSVLogger,
    NaNGuard,
    load_weights,
    weights_hash,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# ---- callbacks --------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [3, 9, 14, 21])
def test_early_stopping_stops_at_the_same_epoch_with_the_same_weights(tmp_path, steps):
    options = {"epochs": 30, "validation_data": data(12, seed=2)}
    straight, resumed, early = network(), scrambled(), stopping()
    expected = fit(straight, callbacks=[early], **options)
    assert early.stopped_epoch is not None and early.best_epoch < len(expected) < 30
    assert len(expected.batch_losses) > 21
    cut(network(), tmp_path, steps, callbacks=[stopping()], **options)
    again = stopping()
    assert figures(fit(resumed, resume=tmp_path, callbacks=[again], **options)) == figures(expected)
    assert weights_hash(resumed) == weights_hash(straight)
    assert (again.best, again.best_epoch) == (early.best, early.best_epoch)
    assert again.stopped_epoch == early.stopped_epoch
    third = scrambled()  # what has stopped stays so
    assert len(fit(third, resume=tmp_path, callbacks=[stopping()], **options)) == len(expected)
    assert weights_hash(third) == weights_hash(straight)


def test_the_log_and_the_best_weights_are_those_of_one_training(tmp_path):
    def beside(folder):
        folder.mkdir(exist_ok=True)
        best = BestCheckpoint(folder / "best.safetensors", "loss")
        return [CSVLogger(folder / "log.csv"), best]

    def rows(folder):
        lines = (folder / "log.csv").read_text().splitlines()
        return [line.split(",")[:4] for line in lines]

    one, other = tmp_path / "one", tmp_path / "other"
    fit(network(), epochs=5, callbacks=beside(one))
    # epochs that were done and logged are done again, and some end before they have logged any
    for steps, every in ((6, 7), (6, 1), (1, 1), (5, 7), (3, 7)):
        options = {"every": every, "resume": True, "callbacks": beside(other)}
        cut(network(), tmp_path / "ck", steps, epochs=5, **options)
    fit(network(), epochs=5, resume=tmp_path / "ck", callbacks=beside(other))
    assert rows(other) == rows(one)
    assert len(rows(one)) == 6
    state, header = load_weights(one / "best.safetensors")
    again, same = load_weights(other / "best.safetensors")
    assert {k: v.tobytes() for k, v in state.items()} == {k: v.tobytes() for k, v in again.items()}
    assert header["loss"] == same["loss"] and header["epoch"] == same["epoch"]


def test_a_log_that_got_lost_is_named(tmp_path):
    log = tmp_path / "log.csv"
    cut(network(), tmp_path / "ck", 6, callbacks=[CSVLogger(log)])
    log.unlink()
    with pytest.raises(ValueError, match=r"log\.csv has 0 bytes and had \d+ when the checkpoint"):
        fit(network(), resume=tmp_path / "ck", callbacks=[CSVLogger(log)])


def test_the_nan_guard_still_knows_the_epoch(tmp_path):
    cut(network(), tmp_path, 6, callbacks=[NaNGuard()])

    class Spoil(Callback):
        def on_train_begin(self, model):
            self.model, self.left = model, 1

        def on_batch_end(self, batch, figures):
            self.left -= 1
            if self.left < 0:
                self.model[1].weight.data = np.full((8, 12), np.nan)

    with pytest.raises(FloatingPointError, match="epoch 2, batch 4"):
        fit(network(), resume=tmp_path, callbacks=[Spoil(), NaNGuard()])


def test_a_callback_whose_state_would_be_lost_is_missed(tmp_path):
    options = {"validation_data": data(12, seed=2)}
    cut(network(), tmp_path, 6, callbacks=[stopping()], **options)
    model = scrambled()
    before = weights_hash(model)
    with pytest.raises(
        ValueError, match="callbacks: a EarlyStopping went along, and there is none"
    ):
        fit(model, resume=tmp_path, **options)
    assert weights_hash(model) == before


def test_a_callback_of_ones_own_keeps_numbers_and_arrays(tmp_path):
    class Mean(Callback):
        def on_train_begin(self, model):
            self.count, self.losses = 0, np.zeros(3)

        def state_dict(self):
            return {"count": self.count, "losses": self.losses.copy()}

        def load_state_dict(self, state):
            self.count, self.losses = state["count"], state["losses"]

        def on_epoch_end(self, epoch, figures):
            self.count += 1
            self.losses[epoch] = figures["loss"]

    whole, part = Mean(), Mean()
    fit(network(), callbacks=[whole])
    cut(network(), tmp_path, 6, callbacks=[Mean()])
    fit(network(), resume=tmp_path, callbacks=[part])
    assert part.count == 3
    np.testing.assert_array_equal(part.losses, whole.losses)

"""Callbacks, each in a real training: hooks, early stopping, best weights, CSV, and NaN found."""

import copy
import csv
import pickle
import re
import warnings

import numpy as np
import pytest

from numcnn import (
    SGD,
    BatchNorm2d,
    BestCheckpoint,
    Callback,
    Conv2d,
    CrossEntropyLoss,
    CSVLogger,
    Dropout,
    EarlyStopping,
    Flatten,
    Layer,
    Linear,
    MSELoss,
    NaNGuard,
    ReduceLROnPlateau,
    ReLU,
    Sequential,
    load_weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def network(seed=1):
    return Sequential(Flatten(), Linear(12, 8), ReLU(), Linear(8, 3), seed=seed)


def data(count=24, seed=1, noise=0.5):
    """Return pictures of three kinds: each has its own bright column."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = (rng.standard_normal((count, 1, 3, 4)) * noise).astype(np.float32)
    x[np.arange(count), :, :, y] += 1
    return x, y


def train(model, x, y, **options):
    usual = {"epochs": 3, "batch_size": 8, "verbose": False, "optimizer": lambda p: SGD(p, 0.5)}
    return model.fit(x, y, **usual | options)


def weights(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


def overfit(callbacks, epochs=30, **options):
    """Train on few noisy examples, so that the validation gets better for a while, then worse."""
    x, y = data(9, seed=4, noise=1.3)
    held_out = data(40, seed=2, noise=1.3)
    model = network()
    options = {"optimizer": lambda p: SGD(p, 0.3)} | options
    history = train(
        model, x, y, epochs=epochs, validation_data=held_out, callbacks=callbacks, **options
    )
    return model, history, held_out


class Recorder(Callback):
    def __init__(self, name="", calls=None):
        self.name, self.calls = name, [] if calls is None else calls

    def on_train_begin(self, model):
        self.calls.append((self.name, "begin", model))

    def on_batch_end(self, batch, figures):
        self.calls.append((self.name, "batch", batch, dict(figures)))

    def on_epoch_end(self, epoch, figures):
        self.calls.append((self.name, "epoch", epoch, dict(figures)))

    def on_train_end(self):
        self.calls.append((self.name, "end"))


def interrupt(*_):
    raise KeyboardInterrupt


# ---- the hooks ----------------------------------------------------------------------------------


def test_every_hook_is_called_at_its_time():
    x, y = data()
    model, recorder = network(), Recorder()
    history = train(model, x, y, epochs=2, callbacks=[recorder], validation_data=(x, y))
    each_epoch = ["batch"] * 3 + ["epoch"]
    assert [call[1] for call in recorder.calls] == ["begin", *each_epoch, *each_epoch, "end"]
    assert recorder.calls[0][2] is model
    assert [call[2] for call in recorder.calls if call[1] == "batch"] == [0, 1, 2] * 2
    epochs = [call for call in recorder.calls if call[1] == "epoch"]
    assert [call[2] for call in epochs] == [0, 1]
    assert [call[3] for call in epochs] == history.epochs
    batches = [call[3] for call in recorder.calls if call[1] == "batch"]
    assert [figures["epoch"] for figures in batches] == [1, 1, 1, 2, 2, 2]
    assert batches[0]["loss"] == history.batch_losses[0]
    assert batches[2]["loss"] == history.epochs[0]["loss"]


def test_functions_and_callbacks_mix_and_either_may_stop():
    x, y = data()
    seen = []

    class StopAfterTwo(Callback):
        def on_epoch_end(self, epoch, figures):
            return epoch == 1

    history = train(
        network(), x, y, epochs=9, callbacks=[StopAfterTwo(), lambda *a: seen.append(a)]
    )
    assert len(history) == 2
    assert [epoch for epoch, _ in seen] == [0, 1]
    third = train(network(), x, y, epochs=9, callbacks=[Recorder(), lambda e, f: e == 2])
    assert len(third) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("hook", ["on_batch_end", "on_epoch_end"])
def test_the_end_is_told_in_reverse_order_whatever_happens(error, hook):
    x, y = data()
    calls = []
    first, second = Recorder("first", calls), Recorder("second", calls)

    def fail(*_):
        raise error

    setattr(second, hook, fail)
    with pytest.raises(error):
        train(network(), x, y, callbacks=[first, second])
    assert calls[-2:] == [("second", "end"), ("first", "end")]
    assert sum(call[1] == "end" for call in calls) == 2


def test_only_what_has_begun_is_ended_and_one_that_fails_keeps_none_from_ending():
    x, y = data()
    calls = []
    first, second, third = (Recorder(name, calls) for name in "abc")
    second.on_train_begin = interrupt
    with pytest.raises(KeyboardInterrupt):
        train(network(), x, y, callbacks=[first, second, third])
    assert [call[:2] for call in calls] == [("a", "begin"), ("a", "end")]
    calls.clear()
    first, second = Recorder("a", calls), Recorder("b", calls)
    second.on_train_end = interrupt
    with pytest.raises(KeyboardInterrupt):
        train(network(), x, y, callbacks=[first, second])
    assert calls[-1] == ("a", "end")


def test_callbacks_change_nothing(tmp_path):
    x, y = data()
    plain, watched = network(), network()
    train(plain, x, y)
    callbacks = [
        NaNGuard(),
        Recorder(),
        EarlyStopping("loss"),
        CSVLogger(tmp_path / "log.csv"),
        BestCheckpoint(tmp_path / "best", "loss"),
    ]
    train(watched, x, y, callbacks=callbacks)
    assert weights(plain) == weights(watched)


@pytest.mark.parametrize(
    ("callbacks", "sentence"),
    [
        (EarlyStopping(), "callbacks must be a list"),
        (print, r"callbacks must be a list, as in \[<built-in function print>\]"),
        ([EarlyStopping], r"the class EarlyStopping; make one: EarlyStopping\(\)"),
        ([print, 3], r"a callback is a Callback or a function \(epoch, figures\); got 3"),
    ],
)
def test_what_is_no_callback_is_refused_before_the_first_step(callbacks, sentence):
    x, y = data()
    model = network()
    before = weights(model)
    with pytest.raises(TypeError, match=sentence):
        train(model, x, y, callbacks=callbacks)
    assert weights(model) == before


def test_the_learning_rate_is_a_figure():
    x, y = data()

    class Halve:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        def step(self):
            self.optimizer.lr /= 2

    history = train(network(), x, y, epochs=2, scheduler=lambda o, n: Halve(o))
    assert history["lr"] == [0.5 / 2**2, 0.5 / 2**5]  # of the third and the sixth step


# ---- early stopping -----------------------------------------------------------------------------


def run_by_hand(stopper, values, name="val_loss"):
    """Return after how many of these values the training ends; None if it goes on."""
    stopper.on_train_begin(network())
    for epoch, value in enumerate(values):
        if stopper.on_epoch_end(epoch, {"epoch": epoch + 1, name: value}) is True:
            return epoch + 1
    return None


@pytest.mark.parametrize(
    ("options", "values", "stops", "best_epoch"),
    [
        ({"patience": 1}, [3, 2, 2], 3, 2),
        ({"patience": 2}, [3, 2, 4, 1, 5, 5], 6, 4),
        ({"patience": 3}, [3, 2, 4, 4], None, 2),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.5], 3, 1),
        ({"patience": 2, "min_delta": 0.4}, [3, 2.5, 2.4], None, 2),
        ({"patience": 2}, [np.nan, np.nan], 2, 0),
        ({"patience": 2}, [1, np.nan, 0.5], None, 3),
        ({"patience": 1, "mode": "max"}, [1, 2, 2], 3, 2),
    ],
)
def test_early_stopping_counts_epochs_without_improvement(options, values, stops, best_epoch):
    stopper = EarlyStopping(**options)
    for _ in range(2):  # used again, it begins anew
        assert run_by_hand(stopper, values) == stops
        assert stopper.best_epoch == best_epoch
        assert stopper.stopped_epoch == stops


def test_more_of_an_accuracy_is_better():
    rising = [0.1, 0.2, 0.3]
    assert run_by_hand(EarlyStopping("val_accuracy", 1), rising, "val_accuracy") is None
    assert run_by_hand(EarlyStopping("accuracy", 1), rising[::-1], "accuracy") == 2
    assert run_by_hand(EarlyStopping("loss", 1), rising, "loss") == 2


def test_early_stopping_ends_a_training_and_restores_the_best_weights():
    stopper = EarlyStopping(patience=3, restore_best_weights=True)
    model, history, held_out = overfit([stopper])
    losses = history["val_loss"]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1 < 29, "the case must get better, then worse"
    assert len(losses) == best + 1 + 3
    assert (stopper.best_epoch, stopper.stopped_epoch) == (best + 1, len(losses))
    assert stopper.best == losses[best] == model.evaluate(*held_out).loss
    other, again, _ = overfit([EarlyStopping(patience=3)])
    assert again["val_loss"] == losses
    assert other.evaluate(*held_out).loss == losses[-1] != losses[best]


def test_the_best_weights_come_back_after_an_interruption_too():
    seen = []

    def interrupt_late(epoch, figures):
        seen.append(figures["val_loss"])
        if epoch == 20:
            raise KeyboardInterrupt

    model = network()
    x, y = data(12, noise=1.5)
    held_out = data(40, seed=2, noise=1.5)
    stopper = EarlyStopping(patience=99, restore_best_weights=True)
    with pytest.raises(KeyboardInterrupt):
        train(model, x, y, epochs=30, validation_data=held_out, callbacks=[stopper, interrupt_late])
    assert model.evaluate(*held_out).loss == min(seen) < seen[-1]


def test_early_stopping_refuses():
    x, y = data()
    sentence = "EarlyStopping watches 'val_loss', and .* are epoch, loss, accuracy, lr, .*needs val"
    with pytest.raises(ValueError, match=sentence):
        train(network(), x, y, callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match=r"is more of 'val_top5' better, or less\?"):
        EarlyStopping("val_top5")
    with pytest.raises(ValueError, match="mode must be 'min' or 'max', got 'auto'"):
        EarlyStopping(mode="auto")
    with pytest.raises(ValueError, match="patience must be at least 1, got 0"):
        EarlyStopping(patience=0)
    for bad in (-1, np.nan):
        with pytest.raises(ValueError, match="min_delta must be 0 or more"):
            EarlyStopping(min_delta=bad)


# ---- ReduceLROnPlateau in fit -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("validated", [False, True])
def test_fit_asks_the_plateau_after_each_epoch(mode, validated):
    x, y = data(12, noise=1.5)
    options = {"mode": mode, "patience": 1, "factor": 0.5}
    history = train(
        network(),
        x,
        y,
        epochs=25,
        validation_data=data(9, seed=2, noise=1.5) if validated else None,
        scheduler=lambda optimizer, steps: ReduceLROnPlateau(optimizer, **options),
    )
    by_hand = ReduceLROnPlateau(SGD(network().parameters(), 0.5), **options)
    expected = []
    for value in history["val_" * validated + {"min": "loss", "max": "accuracy"}[mode]]:
        expected.append(by_hand.optimizer.lr)
        by_hand.step(value)
    assert history["lr"] == expected
    if validated or mode == "max":
        assert expected[-1] < 0.5, "or the test shows nothing"


def test_a_plateau_of_accuracy_needs_an_accuracy():
    x, y = data()
    with pytest.raises(ValueError, match=r"mode='max' follows the accuracy.*; use mode='min'"):
        train(
            network(),
            x,
            np.eye(3)[y],
            loss="mse",
            scheduler=lambda o, n: ReduceLROnPlateau(o, mode="max"),
        )


def test_early_stopping_and_a_plateau_go_together():
    def plateau(optimizer, steps):
        return ReduceLROnPlateau(optimizer, patience=1, factor=0.1)

    stopper = EarlyStopping(patience=6, restore_best_weights=True)
    model, history, held_out = overfit([stopper], epochs=80, scheduler=plateau)
    assert history["lr"][0] == 0.3
    assert history["lr"][-1] < 0.3
    assert len(history) < 80
    assert len(history) == stopper.stopped_epoch == stopper.best_epoch + 6
    assert model.evaluate(*held_out).loss == min(history["val_loss"])


# ---- BestCheckpoint -----------------------------------------------------------------------------


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_the_file_always_holds_the_best_epoch(tmp_path, monitor):
    path = tmp_path / "best.safetensors"
    keeper = BestCheckpoint(path, monitor, metadata={"who": "me"})
    states, found = [], []

    class Look(Callback):
        def on_train_begin(self, model):
            self.model = model

        def on_epoch_end(self, epoch, figures):
            states.append(self.model.state_dict())
            found.append(load_weights(path))

    _, history, _ = overfit([keeper, Look()])
    values = np.array(history[monitor]) * (1 if monitor == "val_loss" else -1)
    bests = [int(np.argmin(values[: n + 1])) for n in range(len(values))]
    assert len(set(bests)) > 1 and bests[-1] < len(values) - 1, "or the test shows nothing"
    for (state, header), best in zip(found, bests, strict=True):
        assert {k: v.tobytes() for k, v in state.items()} == {
            k: v.tobytes() for k, v in states[best].items()
        }
        assert header["epoch"] == str(best + 1)
        assert header[monitor] == str(history[monitor][best])
        assert header["monitor"] == monitor
        assert header["mode"] == {"val_loss": "min", "val_accuracy": "max"}[monitor]
        assert header["who"] == "me"
        assert float(header["lr"]) == 0.3
    assert (keeper.best, keeper.best_epoch) == (history[monitor][bests[-1]], bests[-1] + 1)
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]


def test_a_second_fit_overwrites_only_what_it_beats(tmp_path):
    x, y = data()
    keeper = BestCheckpoint(tmp_path / "best", "loss")
    model = network()
    history = train(model, x, y, epochs=5, callbacks=[keeper])
    assert keeper.best == min(history["loss"])
    kept = (tmp_path / "best").read_bytes()
    worse = train(network(seed=5), x, y, epochs=1, callbacks=[keeper])
    assert worse["loss"][0] > keeper.best
    assert (tmp_path / "best").read_bytes() == kept


def test_a_figure_that_is_no_number_is_never_the_best(tmp_path):
    x, y = data()
    x[0] = np.nan
    keeper = BestCheckpoint(tmp_path / "best", "loss")
    with pytest.warns(UserWarning, match="the loss of epoch 1"):
        train(network(), x, y, callbacks=[keeper])
    assert keeper.best_epoch == 0
    assert not (tmp_path / "best").exists()


def test_a_missing_folder_is_found_before_the_first_step(tmp_path):
    x, y = data()
    model = network()
    before = weights(model)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere for best"):
        train(model, x, y, callbacks=[BestCheckpoint(tmp_path / "nowhere" / "best", "loss")])
    with pytest.raises(FileNotFoundError):
        train(model, x, y, callbacks=[CSVLogger(tmp_path / "nowhere" / "log.csv")])
    assert weights(model) == before
    with pytest.raises(ValueError, match="BestCheckpoint watches 'val_loss'"):
        train(model, x, y, callbacks=[BestCheckpoint(tmp_path / "best")])


# ---- CSVLogger ----------------------------------------------------------------------------------


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_text(history):
    return [{name: str(value) for name, value in epoch.items()} for epoch in history.epochs]


def test_a_row_per_epoch_that_can_be_read_at_once(tmp_path):
    x, y = data()
    path = tmp_path / "log.csv"
    path.write_text("what was there before\n")
    lengths = []
    history = train(
        network(),
        x,
        y,
        validation_data=(x, y),
        callbacks=[CSVLogger(path), lambda *_: lengths.append(len(rows(path)))],
    )
    assert lengths == [1, 2, 3]
    assert rows(path) == as_text(history)
    assert path.read_bytes().count(b"\n") == 4


def test_it_appends_on_demand(tmp_path):
    x, y = data()
    path = tmp_path / "log.csv"
    logger = CSVLogger(path, append=True)
    model = network()
    first = train(model, x, y, callbacks=[logger], validation_data=(x, y))
    second = train(model, x, y, epochs=2, callbacks=[logger])
    without = [row | {"val_loss": "", "val_accuracy": ""} for row in as_text(second)]
    assert rows(path) == as_text(first) + without
    fresh = train(model, x, y, epochs=1, callbacks=[CSVLogger(path)])
    assert rows(path) == as_text(fresh)


def test_a_figure_without_a_column_is_refused(tmp_path):
    x, y = data()
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,accuracy,seconds,images_per_s\n")
    with pytest.raises(ValueError, match=r"log.csv has the columns epoch, .* and none for lr; "):
        train(network(), x, y, callbacks=[CSVLogger(path, append=True)])
    with pytest.raises(RuntimeError, match="was not told that a training began"):
        CSVLogger(path).on_epoch_end(0, {"epoch": 1})


def test_an_interrupted_log_is_closed_and_whole(tmp_path):
    x, y = data()
    path = tmp_path / "log.csv"
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(KeyboardInterrupt):
            train(network(), x, y, callbacks=[CSVLogger(path), interrupt])
    assert len(rows(path)) == 1


# ---- NaNGuard -----------------------------------------------------------------------------------


class Branch(Layer):
    """A layer with layers inside: x + branch(x)."""

    def __init__(self, *layers):
        super().__init__()
        self.branch = Sequential(*layers)

    def _forward(self, x):
        self.save_for_backward(x)
        return x + self.branch(x)

    def _backward(self, dy):
        return dy + self.branch.backward(dy)


class LossWithBadGradient(CrossEntropyLoss):
    """A loss whose value is sound and whose gradient is not, in the second batch."""

    def __init__(self, value):
        super().__init__()
        self.value, self.calls = value, 0

    def _backward(self, dlosses):
        gradient = super()._backward(dlosses)
        self.calls += 1
        if self.calls == 2:
            gradient[5, 1] = self.value
        return gradient


def guarded(model, x, y, **options):
    """Train with a guard that must find something; return what it says."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with pytest.raises(FloatingPointError) as error:
            train(model, x, y, shuffle=False, callbacks=[NaNGuard()], **options)
    assert_released(model)
    return str(error.value)


def assert_released(model):
    for layer in model.layers():
        assert not {"_forward", "_backward"} & set(layer.__dict__)


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_a_bad_number_in_the_data(value, kind):
    x, y = data()
    x[13, 0, 1, 2] = value
    said = guarded(network(), x, y)
    assert said == (
        f"{kind} in the forward pass of epoch 1, batch 2: the input of layer 0, Flatten(), at "
        f"[5, 0, 1, 2], the first of 1 among 96 numbers of shape (8, 1, 3, 4). No layer before "
        f"made it, so it came in with the data."
    )


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_bad_number_in_a_parameter(name):
    x, y = data()
    model = network()
    parameter = getattr(model[3], name)
    parameter.data[..., 2] = np.nan
    said = guarded(model, x, y)
    where = {"weight": r"\[0, 2\], the first of 3 among 24", "bias": r"\[2\], the first of 1 among"}
    assert re.match(
        rf"NaN in the forward pass of epoch 1, batch 1: {name} of layer 3, Linear\(8, 3\), at "
        + where[name],
        said,
    )
    assert said.endswith("it was there before, or was set by hand.")


def test_a_bad_gradient_from_the_loss():
    x, y = data()
    said = guarded(network(), x, y, loss=LossWithBadGradient(np.nan))
    assert said.startswith(
        "NaN in the backward pass of epoch 1, batch 2: the gradient of the output of layer 3, "
        "Linear(8, 3), at [5, 1], the first of 1 among 24"
    )
    assert said.endswith("so it came from the loss.")


@pytest.mark.parametrize("position", [1, 3])
def test_a_layer_whose_backward_pass_is_wrong(position):
    x, y = data()
    model = network()
    layer = model[position]
    plain = layer._backward

    def broken(dy):
        dx = plain(dy)
        layer.weight.grad[1, 2] = np.inf
        return dx

    layer._backward = broken
    with pytest.raises(FloatingPointError) as error:
        train(model, x, y, callbacks=[NaNGuard()])
    assert layer.__dict__["_backward"] is broken, "what was there is put back"
    assert str(error.value).startswith(
        f"infinity in the backward pass of epoch 1, batch 1: the gradient of weight of layer "
        f"{position}, {layer!r}, at [1, 2], the first of 1 among"
    )
    assert "magnitudes: the gradient of the output up to " in str(error.value)
    assert ", weight up to 0." in str(error.value)


def test_an_update_that_is_too_large():
    x, y = data()
    targets = 1e10 * np.eye(3)[y]  # gradients of 1e9 and a rate of 1e30: beyond float32
    said = guarded(network(), x, targets, loss="mse", optimizer=lambda p: SGD(p, 1e30))
    assert re.match(
        r"infinity in the update after epoch 1, batch 1: weight of layer 1, Linear\(12, 8\), at "
        r"\[\d, \d+\], the first of \d+ among 96 numbers of shape \(8, 12\)\. "
        r"The gradient was finite, so the step was too large: use a smaller learning rate\.",
        said,
    )


def test_weights_so_large_that_the_next_output_overflows():
    x, y = data()
    said = guarded(network(), x, y, optimizer=lambda p: SGD(p, 1e30))
    match = re.match(
        r"(NaN|infinity) in the forward pass of epoch 1, batch 2: the output of layer 3, "
        r"Linear\(8, 3\), at .* arithmetic overflowed; magnitudes: the input up to .*, "
        r"weight up to (\S+), bias up to (\S+)\.$",
        said,
    )
    assert match, said
    assert float(match[2]) > 1e26


def test_a_loss_that_overflows_by_itself():
    x, y = data()

    class Overflowing(MSELoss):
        def forward(self, pred, target):
            super().forward(pred, target)
            return float("inf")

    said = guarded(network(), x, np.eye(3)[y], loss=Overflowing())
    assert said.startswith("the loss of epoch 1, batch 1 is inf, while every output and gradient")


def test_the_innermost_of_nested_layers_is_named():
    x, y = data()

    def build():
        block = Branch(Conv2d(2, 2, 3, padding=1), ReLU())
        return Sequential(Conv2d(1, 2, 3, padding=1), block, Flatten(), Linear(24, 3), seed=1)

    model = build()
    model[1].branch[0].weight.data[1, 0, 2, 2] = np.nan
    said = guarded(model, x, y)
    assert "weight of layer 1.branch.0, Conv2d(2, 2, kernel_size=" in said
    assert "at [1, 0, 2, 2], the first of 1 among 36" in said

    model = build()
    forward = model[1]._forward

    def broken(x):
        y = forward(x)
        y[2, 1, 0, 3] = np.inf
        return y

    model[1]._forward = broken  # the sum itself, not what is summed
    with pytest.raises(FloatingPointError, match=r"the output of layer 1, .* at \[2, 1, 0, 3\]"):
        train(model, x, y, callbacks=[NaNGuard()])


def test_a_bad_number_in_the_validation():
    x, y = data()
    held_out = data(9, seed=2)
    held_out[0][4] = np.nan
    said = guarded(network(), x, y, validation_data=held_out)
    assert said.startswith("NaN in the evaluation after epoch 1: the input of layer 0, Flatten()")

    def evaluate_in_the_second(epoch, figures):
        if epoch == 1:
            model.evaluate(*held_out)

    model = network()
    with pytest.raises(FloatingPointError, match="in the evaluation after epoch 2: the input"):
        train(model, x, y, callbacks=[NaNGuard(), evaluate_in_the_second])


def test_epochs_and_batches_are_counted():
    x, y = data()
    model = network()

    def spoil(epoch, figures):
        if epoch == 1:
            model[1].bias.data[3] = np.nan

    with pytest.raises(FloatingPointError, match="pass of epoch 3, batch 1: bias of layer 1, "):
        train(model, x, y, epochs=5, callbacks=[NaNGuard(), spoil])


def test_a_sound_training_is_left_alone_and_so_are_its_layers():
    x, y = data()
    model = Sequential(*network(), seed=1)
    guard = NaNGuard()
    train(model, x, y, callbacks=[guard, NaNGuard()], validation_data=(x, y))
    assert_released(model)
    x[0] = np.nan
    model.predict(x)  # nobody looks any more
    with pytest.raises(KeyboardInterrupt):
        train(model, *data(), callbacks=[guard, interrupt])
    assert_released(model)


def test_two_guards_and_one_model_on_another_device():
    x, y = data(8)
    slow = Sequential(Flatten(), Dropout(0.5), Linear(12, 3), seed=1, device="reference")
    x[1, 0, 0, 0] = np.nan
    with pytest.raises(FloatingPointError, match=r"layer 0, Flatten\(\), at \[1, 0, 0, 0\]"):
        train(slow, x, y, epochs=1, shuffle=False, callbacks=[NaNGuard(), NaNGuard()])
    assert_released(slow)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_made_meanwhile_is_not_watched_and_stands_alone(duplicate):
    x, y = data()
    model = network()
    copies = []
    train(model, x, y, callbacks=[NaNGuard(), lambda *_: copies.append(duplicate(model))])
    assert weights(copies[-1]) == weights(model) != weights(copies[0])
    bad = np.full_like(x, np.nan)
    assert np.isnan(copies[0].predict(bad)).all()
    old = copies[0].predict(x)
    train(model, x, y)
    np.testing.assert_array_equal(copies[0].predict(x), old)
    train(copies[0], x, y, callbacks=[NaNGuard()])
    assert not np.array_equal(copies[0].predict(x), old)


def test_the_guard_lets_a_batch_of_ignored_labels_pass():
    x, y = data()
    y = y.copy()
    y[:4] = -100
    model = Sequential(Flatten(), Linear(x[0].size, 3), seed=1)
    with pytest.warns(UserWarning, match="no label of this batch counts"):
        model.fit(x, y, batch_size=4, shuffle=False, callbacks=[NaNGuard()], verbose=False)


def test_the_guard_blames_the_input_for_an_overflowing_statistic():
    x, y = np.full((8, 1, 4, 4), 1e25, np.float32), np.arange(8) % 3
    x[::2] *= -1
    model = Sequential(BatchNorm2d(1), Flatten(), Linear(16, 3), seed=1)
    said = guarded(model, x, y)
    assert "running_var" in said and "learning rate" not in said

"""`fit`: it learns, repeats itself by seed, reports, and is no more than its five lines."""

import io
import itertools
import json
import warnings

import numba
import numpy as np
import pytest
from numba.core import config
from rich.console import Console

from numcnn import (
    SGD,
    Adam,
    Conv2d,
    CrossEntropyLoss,
    DataLoader,
    Dropout,
    Flatten,
    History,
    Linear,
    LogSoftmax,
    MaxPool2d,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    recipe,
)
from numcnn.progress import TrainingProgress, describe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def plain_output(monkeypatch):
    """Keep rich from taking the captured output for a terminal."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def network(seed=1, **options):
    return Sequential(
        Conv2d(1, 4, 3),
        ReLU(),
        MaxPool2d(2),
        Dropout(0.2),
        Flatten(),
        Linear(16, 3),
        seed=seed,
        **options,
    )


def data(count=60, seed=1):
    """Return pictures of three kinds: bright on the left, on the right, in the middle."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.standard_normal((count, 1, 6, 6)).astype(np.float32) * 0.3
    for kind, columns in enumerate((slice(0, 2), slice(4, 6), slice(2, 4))):
        x[y == kind, :, :, columns] += 1
    return x, y


def weights(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


def train(model, x, y, **options):
    return model.fit(x, y, **{"epochs": 2, "batch_size": 16, "verbose": False} | options)


# ---- learning ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: Adam(p, lr=0.01),
        lambda p: SGD(p, lr=0.05, momentum=0.9),
        lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    ],
    ids=["adam", "momentum", "nesterov"],
)
def test_training_lowers_the_loss_and_learns_the_classes(optimizer):
    x, y = data(30)
    model = network()
    before = model.evaluate(x, y)
    history = train(model, x, y, epochs=25, batch_size=6, optimizer=optimizer)
    after = model.evaluate(x, y)
    assert after.loss < 0.5 * before.loss
    assert after.accuracy > 0.9
    assert history["loss"][-1] < 0.7 * history["loss"][0]


@pytest.mark.parametrize(
    ("loss", "last", "target"),
    [
        ("mse", None, lambda y: np.eye(3)[y]),
        ("nll", LogSoftmax, lambda y: y),
        (MSELoss("half_sum"), Softmax, lambda y: np.eye(3, dtype=np.float32)[y]),
    ],
    ids=["mse", "nll", "half_sum"],
)
def test_training_with_other_losses(loss, last, target):
    x, y = data()
    model = Sequential(*network(), *([last()] if last else []), seed=1)
    options = {"lr": 0.01}
    history = train(
        model, x, target(y), epochs=10, loss=loss, optimizer=lambda p: Adam(p, **options)
    )
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert ("accuracy" in history.epochs[0]) == (loss == "nll")


def test_training_on_the_reference_device():
    x, y = data(16)
    slow = Sequential(Flatten(), Linear(36, 3), seed=1, device="reference")
    fast = Sequential(Flatten(), Linear(36, 3), seed=1)
    histories = [train(model, x, y) for model in (slow, fast)]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-5)


# ---- the same again -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("adam", Adam), ("sgd", SGD)])
def test_optimizers_have_short_names(name, kind):
    x, y = data(16)
    found = []
    for optimizer in (name, kind):
        model = network()
        train(model, x, y, optimizer=optimizer)
        found.append(weights(model))
    assert found[0] == found[1]
    assert found[0] != weights(network())


def test_the_same_seed_gives_the_same_weights_bit_by_bit():
    x, y = data()
    runs = []
    for seed in (1, 1, 2):
        model = network(seed)
        history = train(model, x, y)
        runs.append((weights(model), history.batch_losses))
    assert runs[0] == runs[1]
    assert runs[0][1] != runs[2][1]
    assert all(runs[0][0][name] != runs[2][0][name] for name in runs[0][0])


def test_the_seed_of_fit_decides_the_order_alone():
    x, y = data()
    first = {}
    for seed in (5, 5, 6):
        model = network(1)
        start = weights(model)
        history = train(model, x, y, seed=seed)
        first.setdefault(seed, []).append((start, history.batch_losses, weights(model)))
    assert first[5][0] == first[5][1]
    assert first[5][0][0] == first[6][0][0]
    assert first[5][0][1] != first[6][0][1]
    ordered = [train(network(1), x, y, seed=s, shuffle=False).batch_losses for s in (5, 6)]
    assert ordered[0] == ordered[1]


@pytest.mark.skipif(
    config.NUMBA_NUM_THREADS < 2 or bool(config.DISABLE_JIT),
    reason="needs compiled kernels and two threads",
)
def test_the_number_of_threads_changes_no_bit():
    x, y = data()
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            model = network()
            train(model, x, y, batch_size=7)
            found.append(weights(model))
    finally:
        numba.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize("make", [lambda p: Adam(p, 0.01), lambda p: SGD(p, 0.1, 0.9)])
def test_fit_is_its_five_lines(make):
    x, y = data()
    fitted, by_hand = network(), network()
    history = train(fitted, x, y, epochs=3, optimizer=make)

    loss, optimizer = CrossEntropyLoss(), make(by_hand.parameters())
    losses = []
    loader = DataLoader(x, y, 16, shuffle=True, seed=1)
    for _ in range(3):
        for xb, yb in loader:
            losses.append(loss(by_hand(xb), yb))
            by_hand.backward(loss.backward())
            optimizer.step()
            optimizer.zero_grad()
    assert weights(by_hand) == weights(fitted)
    assert losses == history.batch_losses


def test_training_spares_the_input_gradient_and_nothing_else():
    x, y = data(16)
    inner = Sequential(Conv2d(1, 2, 3), ReLU())
    model = Sequential(inner, Flatten(), Linear(32, 3), seed=1)
    seen = []
    train(model, x, y, callbacks=[lambda *_: seen.append([m.input_gradient for m in inner])])
    assert seen == [[False, True]] * 2  # or the test shows nothing
    assert all(layer.input_gradient for layer in model.layers())
    model(x)
    assert model.backward(np.ones((16, 3))).shape == x.shape

    def fail(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(model, x, y, callbacks=[fail])
    assert all(layer.input_gradient for layer in model.layers())
    inner[0].input_gradient = False
    train(model, x, y)
    assert not inner[0].input_gradient, "what the user set is put back"


def test_what_comes_before_the_first_layer_that_learns_has_no_backward_pass():
    x, y = data(16)
    model = Sequential(
        Sequential(Flatten(), ReLU()), Linear(36, 5), Sigmoid(), Linear(5, 3), seed=1
    )
    kernels, called = model.device.kernels, []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("linear_backward_input", "relu_backward_input"):
            real = getattr(kernels, name)
            patch.setattr(
                kernels, name, lambda *a, real=real, name=name: (called.append(name), real(*a))
            )
        model(x)
        assert model.backward(np.ones((16, 3))).shape == x.shape
        every = called.copy()
        called.clear()
        expected = [p.grad for p in model.parameters()]
        model.zero_grad()
        model(x)
        assert model.backward(np.ones((16, 3)), input_gradient=False) is None
        spared = called.copy()
        called.clear()
        train(model, x, y, epochs=1, batch_size=16)
    assert every == ["linear_backward_input", "linear_backward_input", "relu_backward_input"]
    assert spared == called == ["linear_backward_input"]
    assert all(layer.input_gradient for layer in model.layers())
    assert len(expected) == 4
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert parameter.grad is None
        assert np.abs(gradient).max() > 0


def test_the_parameters_gradients_are_the_same_without_that_of_the_input():
    x, _ = data(16)
    model = Sequential(Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(32, 3), seed=1)
    found = []
    for wanted in (True, False):
        model.zero_grad()
        model(x)
        dx = model.backward(np.ones((16, 3)), input_gradient=wanted)
        assert (dx is None) is not wanted
        found.append([p.grad for p in model.parameters()])
    for with_it, without in zip(*found, strict=True):
        np.testing.assert_array_equal(with_it, without)


def test_a_loader_trains_like_the_arrays_it_holds():
    x, y = data()
    one, other = network(), network()
    train(one, x, y)
    loader = DataLoader(x, y, 16, shuffle=True, seed=1)
    other.fit(loader, epochs=2, verbose=False)
    assert weights(one) == weights(other)
    assert loader.epoch == 2


def test_training_can_go_on_with_its_optimizer():
    x, y = data()
    once, twice = network(), network()
    train(once, x, y, epochs=4)
    optimizer = Adam(twice.parameters())
    loader = DataLoader(x, y, 16, shuffle=True, seed=1)
    for _ in range(2):
        twice.fit(loader, epochs=2, optimizer=optimizer, verbose=False)
    assert weights(once) == weights(twice)


def test_labels_of_any_integer_kind_train_alike():
    x, y = data()
    found = []
    for dtype in (np.uint8, np.int8, np.int64):
        model = network()
        train(model, x, y.astype(dtype))
        found.append(weights(model))
    model = network()
    train(model, x.tolist(), y.tolist())
    assert found[0] == found[1] == found[2] == weights(model)


# ---- what fit reports ---------------------------------------------------------------------------


def test_the_history_holds_a_row_per_epoch():
    x, y = data()
    history = train(network(), x, y, epochs=3, validation_data=data(20, seed=2))
    assert len(history) == 3
    assert history["epoch"] == [1, 2, 3]
    keys = ["epoch", "loss", "accuracy", "lr", "seconds", "images_per_s"]
    keys += ["val_loss", "val_accuracy"]
    assert [sorted(row) for row in history.epochs] == [sorted(keys)] * 3
    assert len(history.batch_losses) == 3 * 4
    for epoch, row in enumerate(history.epochs):
        # 60 examples in batches of 16, 16, 16 and 12
        batch = history.batch_losses[4 * epoch : 4 * epoch + 4]
        assert row["loss"] == pytest.approx(np.average(batch, weights=[16, 16, 16, 12]), rel=1e-12)
        assert row["images_per_s"] == pytest.approx(60 / row["seconds"])
        assert row["accuracy"] * 60 == pytest.approx(round(row["accuracy"] * 60), abs=1e-9)
    with pytest.raises(
        KeyError, match="the history has no 'acc'; it has accuracy, epoch, images_per_s, loss, lr"
    ):
        history["acc"]
    assert repr(history).startswith("History(3 epochs; last: loss=")


def test_validation_is_an_evaluation_after_each_epoch():
    x, y = data()
    held_out = data(20, seed=2)
    model = network()
    seen = []
    history = train(
        model,
        x,
        y,
        validation_data=held_out,
        callbacks=[lambda *_: seen.append(model.evaluate(*held_out))],
    )
    assert history["val_loss"] == [result.loss for result in seen]
    assert history["val_accuracy"] == [result.accuracy for result in seen]
    plain = network()
    train(plain, x, y)
    assert weights(plain) == weights(model)  # looking changes nothing


def test_accuracy_is_that_of_the_training_batches():
    x, y = data()
    model = Sequential(Flatten(), Linear(36, 3), seed=1)
    history = train(model, x, y, epochs=1, optimizer=lambda p: SGD(p, lr=0.0))
    assert history["accuracy"] == [model.evaluate(x, y).accuracy]
    assert history["loss"][0] == pytest.approx(model.evaluate(x, y).loss, rel=1e-6)


def test_callbacks_see_every_epoch_and_may_stop():
    x, y = data()
    seen = []

    def stop_after_two(epoch, figures):
        seen.append((epoch, figures["epoch"]))
        return epoch == 1

    def never(epoch, figures):
        seen.append(sorted(figures))

    history = train(network(), x, y, epochs=9, callbacks=[stop_after_two, never])
    assert len(history) == 2
    assert [entry for entry in seen if isinstance(entry, tuple)] == [(0, 1), (1, 2)]
    assert len(seen) == 4  # a callback after the one that stops is called too
    # what is merely true doesn't stop: print() and append() return None, others a number
    assert len(train(network(), x, y, epochs=3, callbacks=[lambda *_: 1])) == 3


def test_modes_are_what_they_were_after_training_and_after_an_error():
    x, y = data()
    model = network().eval()
    modes = []
    train(model, x, y, callbacks=[lambda *_: modes.append({m.training for m in model.layers()})])
    assert modes == [{True}, {True}]
    assert not any(layer.training for layer in model.layers())

    def fail(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(model, x, y, callbacks=[fail])
    assert not any(layer.training for layer in model.layers())


def test_the_history_is_saved_as_json(tmp_path):
    x, y = data()
    history = train(network(), x, y)
    history.save(tmp_path / "history.json")
    found = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert found == {"epochs": history.epochs, "batch_losses": history.batch_losses}


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_history_is_drawn(tmp_path, validated, loss):
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    x, y = data()
    y = y if loss == "cross_entropy" else np.eye(3)[y]
    history = train(network(), x, y, loss=loss, validation_data=(x, y) if validated else None)
    path = tmp_path / "history.png"
    figure = history.plot(path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 5000
    titles = [axes.get_ylabel() for axes in figure.axes]
    assert titles == (["loss", "accuracy"] if loss == "cross_entropy" else ["loss"])
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == ["each batch", "training"] + ["validation"] * validated
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_ydata(), history["loss"])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), history.batch_losses)


def test_a_missing_matplotlib_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install numcnn\[plot\]"):
        History().plot()


# ---- what fit shows -----------------------------------------------------------------------------


def test_piped_output_has_a_line_per_epoch(capsys):
    x, y = data()
    network().fit(x, y, epochs=3, batch_size=16, validation_data=(x, y))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines, start=1):
        assert line.startswith(f"epoch {number}/3  done  loss ")
        for words in ("accuracy ", "val loss ", "val accuracy ", "images/s", " s"):
            assert words in line
        assert "\x1b" not in line


def test_verbose_false_shows_nothing(capsys):
    x, y = data()
    train(network(), x, y)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


FIGURES = {"loss": 0.5, "accuracy": 0.25, "images_per_s": 1234.5, "seconds": 3.0}


def run_progress(console, enabled=True):
    with TrainingProgress(2, 3, enabled, console) as progress:
        for epoch in range(2):
            progress.start_epoch(epoch)
            for batch in (1, 2, 3):
                progress.update(epoch, batch, FIGURES)
            progress.end_epoch(epoch, FIGURES | {"val_loss": 0.75, "val_accuracy": 0.125})
    return console.file.getvalue()


def test_a_terminal_has_a_bar_per_epoch():
    text = run_progress(Console(file=io.StringIO(), force_terminal=True, width=150))
    assert "\x1b" in text
    for words in (
        "epoch 1/2",
        "epoch 2/2",
        "3/3",
        "loss 0.5000",
        "accuracy 25.0%",
        "1,234 images/s",
    ):
        assert words in text
    assert "val loss 0.7500" in text
    assert "done" not in text


def test_a_file_has_lines_and_no_control_characters():
    text = run_progress(Console(file=io.StringIO(), force_terminal=False, width=40))
    figures = "loss 0.5000  accuracy 25.0%  val loss 0.7500  val accuracy 12.5%  1,234 images/s"
    assert text.splitlines() == [f"epoch {n}/2  done  {figures}  3.0 s" for n in (1, 2)]


def test_a_long_epoch_reports_every_ten_seconds(monkeypatch):
    clock = itertools.count(0, 6)
    monkeypatch.setattr("numcnn.progress.time.monotonic", lambda: float(next(clock)))
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    with TrainingProgress(1, 10, True, console) as progress:
        progress.start_epoch(0)
        for batch in range(1, 6):
            progress.update(0, batch, FIGURES)
    lines = console.file.getvalue().splitlines()
    assert lines
    assert len(lines) < 5
    assert all(line.startswith("epoch 1/1  ") and " s left" in line for line in lines)
    assert lines[0].startswith("epoch 1/1  2/10  ")


def test_disabled_progress_writes_nothing_even_to_a_terminal():
    for force in (True, False):
        console = Console(file=io.StringIO(), force_terminal=force)
        assert run_progress(console, enabled=False) == ""


def test_figures_are_described_as_far_as_they_go():
    assert describe({"loss": 2.0, "images_per_s": 10}) == "loss 2.0000  10 images/s"


# ---- warnings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [Softmax, LogSoftmax])
@pytest.mark.parametrize("nested", [False, True])
def test_a_softmax_before_cross_entropy_is_warned_of(last, nested):
    x, y = data(16)
    end = Sequential(Linear(36, 3), last()) if nested else None
    layers = [Flatten(), end] if nested else [Flatten(), Linear(36, 3), last()]
    with pytest.warns(UserWarning, match=rf"{last.__name__}\(\) and CrossEntropyLoss applies a"):
        train(Sequential(*layers, seed=1), x, y)


def test_nll_without_log_softmax_is_warned_of():
    x, y = data(16)
    with pytest.warns(UserWarning, match="NLLLoss expects log-probabilities"):
        train(Sequential(Flatten(), Linear(36, 3), seed=1), x, y, loss="nll")


def test_a_loss_that_is_no_number_is_warned_of():
    x, y = data(16)
    x[3, 0, 2, 2] = np.nan
    with pytest.warns(UserWarning, match="the loss of epoch 1, batch 1 is nan; a smaller learning"):
        train(Sequential(Flatten(), Linear(36, 3), seed=1), x, y, epochs=1)


def test_sound_training_warns_of_nothing():
    x, y = data(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(network(), x, y, validation_data=(x, y))
        train(Sequential(*network(), LogSoftmax(), seed=1), x, y, loss=NLLLoss())


@pytest.mark.parametrize("name", recipe.LEARNING_RATE)
def test_the_command_lines_optimizers_are_those_of_fit(name):
    make, words = recipe.optimizer_maker(name, lr=0.01)
    optimizer = make(Linear(2, 3).parameters())
    assert type(optimizer).__name__.lower() == name
    assert optimizer.lr == 0.01 and words.startswith(f"{name} (lr 0.01")

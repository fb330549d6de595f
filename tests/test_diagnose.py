"""`diagnose` on curves made for each of its rules, `record_dead`, and histories on disk."""

import dataclasses
import json
import os

import numpy as np
import pytest
from typer.testing import CliRunner

import numcnn
from numcnn import (
    Adam,
    Conv2d,
    Dropout,
    Flatten,
    History,
    Linear,
    ReLU,
    Sequential,
    diagnose,
    record_dead,
)
from numcnn.cli import app
from numcnn.diagnose import RULES, TEXTS

START = 2.3
STEPS = 40  # in an epoch


def history(curve, epochs=10, *, val=None, dead=None, noise=0.0, steps=STEPS, kept=True):
    """Return a history whose loss at share t of the run is ``curve(t)``.

    The validation losses are those of ``val(t)``; by default a little above the training's.
    """
    rng = np.random.default_rng(1)
    at = np.arange(epochs * steps) / (epochs * steps)
    losses = np.array([curve(t) for t in at]) * (1 + noise * rng.normal(size=len(at)))
    made = History()
    made.batch_losses = [float(loss) for loss in losses] if kept else []
    for epoch, rows in enumerate(losses.reshape(epochs, steps)):
        figures = {"epoch": epoch + 1, "loss": float(rows.mean())}
        end = (epoch + 1) / epochs
        if val is not False:
            figures["val_loss"] = float((val or (lambda t: 1.02 * curve(t)))(end))
        if dead is not None:
            figures["dead"] = dead
        made.epochs.append(figures)
    return made


def falling(low=0.1, speed=8.0):
    """Return a curve that falls fast from START and levels off at a share of it."""
    return lambda t: START * (low + (1 - low) * np.exp(-speed * t))


def test_every_rule_has_its_words():
    assert set(RULES) | {"exploding", "healthy", "unclear"} == set(TEXTS)


# ---- healthy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("val", [None, False])
def test_a_fast_fall_that_levels_off_is_healthy(noise, val):
    found = diagnose(history(falling(), noise=noise, val=val))
    assert found.name == "healthy", found
    assert found.evidence[0].startswith("The loss went from 2.")
    lacking = any("Without validation_data overfitting can't be seen" in s for s in found.evidence)
    assert lacking == (val is False)


def test_dropout_in_training_alone_is_healthy():
    found = diagnose(history(falling(0.4), val=falling(0.2)))
    assert found.name == "healthy", found


# ---- exploding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number(bad):
    made = history(falling())
    made.batch_losses[100:] = [bad] * 300
    found = diagnose(made)
    assert found.name == "exploding"
    assert found.evidence[0] == f"The loss of batch 101 of 400 is {bad}."


def test_nan_before_the_first_step_is_not_the_learning_rate():
    made = History()
    made.batch_losses = [float("nan")]
    found = diagnose(made)
    assert found.name == "exploding"
    assert "before any step" in found.evidence[0]


def test_nan_among_epochs_alone():
    made = history(falling(), kept=False)
    made.epochs[4]["loss"] = float("nan")
    assert diagnose(made).evidence[0] == "The loss of epoch 5 of 10 is nan."


def test_a_loss_that_grows_tenfold_explodes_too():
    assert diagnose(history(lambda t: START * np.exp(5 * t))).name == "exploding"
    assert diagnose(history(lambda t: START * np.exp(2 * t))).name == "learning rate too high"


# ---- unshuffled data ----------------------------------------------------------------------------


def comb(height, same=True, epochs=10):
    """Return a history with jumps in each epoch, at the same places or others."""
    made = history(lambda t: 0.2, epochs, val=lambda t: 2.0)
    rng = np.random.default_rng(2)
    teeth = height * (np.arange(STEPS) % 8 == 0)
    for epoch in range(epochs):
        rows = teeth if same else rng.permutation(teeth)
        for place in range(STEPS):
            made.batch_losses[epoch * STEPS + place] += float(rows[place])
    made.batch_losses[0] = START
    return made


def test_the_same_large_jumps_in_each_epoch():
    found = diagnose(comb(height=3.0))
    assert found.name == "unshuffled data"
    assert "correlation from epoch to epoch is 1.00" in found.evidence[0]
    assert found.evidence[1] == "Within an epoch they swing between 0.2 and 3.2."


@pytest.mark.parametrize(
    "made",
    [comb(height=5.0, same=False, epochs=5), comb(height=0.5), comb(height=3.0, epochs=4)],
    ids=["other-places", "small", "short"],
)
def test_other_jumps_are_no_sign_of_an_order(made):
    assert diagnose(made).name != "unshuffled data"


def test_a_fall_within_each_epoch_is_no_order():
    # with a loss that depends on the place alone, but falls evenly, neighbours don't jump
    made = history(falling(0.3, 4.0))
    for epoch in range(10):
        for place in range(STEPS):
            made.batch_losses[epoch * STEPS + place] += 2.0 * (1 - place / STEPS)
    assert diagnose(made).name != "unshuffled data"


# ---- learning rate too high ---------------------------------------------------------------------


def bouncing(size):
    return lambda t: 1.2 + size * np.sin(40 * t)


def test_a_stretch_worse_than_untrained():
    made = history(falling())
    made.batch_losses[200:204] = [4.0] * 4
    found = diagnose(made)
    assert found.name == "learning rate too high"
    assert "rose to 4, worse than untrained" in found.evidence[0]
    made.batch_losses[201:204] = [0.3] * 3  # a single odd batch is none
    assert diagnose(made).name == "healthy"


@pytest.mark.parametrize("val", [None, False])
def test_a_high_loss_that_goes_up_and_down(val):
    found = diagnose(history(bouncing(0.3), noise=0.1, val=val))
    assert found.name == "learning rate too high"
    assert f"The {'training' if val is False else 'validation'} loss rose in" in found.evidence[0]
    assert diagnose(history(bouncing(0.005), val=val)).name != "learning rate too high"


def test_noise_of_batches_is_not_taken_for_rises():
    for val, noise in ((None, 0.3), (False, 0.15)):
        found = diagnose(history(lambda t: START if t == 0 else 1.2, noise=noise, val=val))
        assert found.name == "underfitting", found


def test_ups_and_downs_near_0_are_no_matter():
    uneven = history(lambda t: START if t == 0 else 0.2 + 0.1 * np.sin(40 * t), val=False)
    assert diagnose(uneven).name == "healthy"
    made = history(falling(), val=lambda t: 0.1 + 0.05 * np.sin(40 * t))
    assert diagnose(made).name == "healthy"


# ---- train/eval confusion -----------------------------------------------------------------------


def test_validation_far_above_the_fresh_batches():
    found = diagnose(history(falling(speed=20), val=lambda t: 1.5, noise=0.1))
    assert found.name == "train/eval confusion"
    assert "after the first epoch is 1.5" in found.evidence[0]


def test_a_gap_that_opens_later_is_overfitting():
    found = diagnose(history(falling(0.01), val=lambda t: 0.5 + abs(t - 0.3)))
    assert found.name == "overfitting"
    assert found.evidence[0].startswith("The validation loss was best in epoch 3 of 10: 0.5;")


def test_a_validation_that_only_begins_badly_is_none():
    made = history(falling(speed=20), noise=0.1)
    made.epochs[0]["val_loss"] = 2.0
    assert diagnose(made).name == "healthy"


def test_a_gap_within_chance_is_none():
    # ± 30% of 20 batches: the mean is known to 7%
    made = history(falling(0.3, 20.0), noise=0.3)
    fresh = np.mean(made.batch_losses[STEPS // 2 : STEPS])
    made.epochs[0]["val_loss"] = 1.15 * fresh
    for figures in made.epochs[1:]:
        figures["val_loss"] = 1.0  # it stays above, as in such a run
    assert diagnose(made).name != "train/eval confusion"


# ---- dead ReLU ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "dead", "expected"),
    [
        (lambda t: START, 0.9, "dead ReLU"),
        (lambda t: START * (1 - 0.2 * t), 0.5, "dead ReLU"),
        (lambda t: START * (1 - 0.2 * t), 0.4, "learning rate too low"),
        (falling(), 0.9, "healthy"),
        (lambda t: START, None, "unclear"),
        (lambda t: START, 0.1, "unclear"),
    ],
    ids=["stuck", "slow", "too-few", "learns-anyway", "not-recorded", "alive"],
)
def test_dead_relus_count_where_little_was_learned(curve, dead, expected):
    found = diagnose(history(curve, dead=dead))
    assert found.name == expected
    if dead is None:
        assert "every ReLU is dead" in found.evidence[0]


# ---- overfitting --------------------------------------------------------------------------------


def test_training_halved_after_the_best_epoch():
    assert diagnose(history(falling(0.001), val=lambda t: 0.6 + 0.02 * t)).name == "overfitting"
    # a gap that doesn't open any further is the usual one
    assert diagnose(history(falling(0.1, 30.0), val=lambda t: 0.4)).name == "healthy"


def test_overfitting_needs_some_epochs():
    short = history(falling(0.001), epochs=4, val=lambda t: 0.9 + 0.4 * t)
    assert diagnose(short).name != "overfitting"


# ---- too low, underfitting, unclear -------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_straight_line_is_a_rate_too_low(noise):
    found = diagnose(history(lambda t: START * (1 - 0.3 * t), noise=noise, dead=0.0))
    assert found.name == "learning rate too low"
    assert "straight line makes 40%" in found.evidence[1]
    assert "0% of the ReLUs are dead" in found.evidence[2]


def test_a_fall_within_the_scatter_of_batches_is_seen():
    # it falls by 4%, and batches differ by 3%
    made = history(lambda t: START * (1 - 0.04 * t), noise=0.03)
    made.batch_losses[0] = 0.95 * START  # so that nothing seems to have been gained
    assert diagnose(made).name == "learning rate too low"


def test_a_plateau_is_underfitting():
    found = diagnose(history(falling(0.6), noise=0.1))
    assert found.name == "underfitting"
    assert "levelled off at 1.3" in found.evidence[0]
    assert "numcnn.record_dead(model, x)" in found.evidence[-1]


def test_short_runs_that_still_fall_are_unclear():
    found = diagnose(history(lambda t: START * (1 - 0.5 * t), epochs=2, val=False))
    assert found.name == "unclear"
    assert "fewer than 5" in found.evidence[1]


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([], "has 0 losses"),
        ([2.3, 2.0], "has 2 losses"),
        ([0.0, 0.0, 0.0], "0 or less"),
        ([1.0, 0.0, -1.0], "0 or less"),
    ],
)
def test_what_cannot_be_judged_is_said(losses, words):
    made = History()
    made.batch_losses = losses
    found = diagnose(made)
    assert found.name == "unclear"
    assert words in found.evidence[0]


def test_validation_with_nan_is_not_used_and_said():
    made = history(falling())
    made.epochs[3]["val_loss"] = float("nan")
    found = diagnose(made)
    assert found.name == "healthy"
    assert any("not always finite" in sentence for sentence in found.evidence)


def test_epochs_alone_will_do():
    found = diagnose(history(falling(), kept=False))
    assert found.name == "healthy"
    assert any("their order can't be seen" in sentence for sentence in found.evidence)


def test_an_epoch_cut_short_is_read_without_its_order():
    made = comb(height=3.0)
    del made.batch_losses[-7:]
    assert diagnose(made).name != "unshuffled data"


def test_a_diagnosis_is_fixed_and_readable():
    found = diagnose(history(falling()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "other"
    lines = str(found).splitlines()
    assert lines[0] == "healthy"
    assert lines[1].startswith("  - The loss went")
    assert lines[-2:] == [f"Why: {found.explanation}", f"Remedy: {found.remedy}"]


# ---- record_dead --------------------------------------------------------------------------------


def some_data(n=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 1, 6, 6)).astype(np.float32), np.arange(n) % 3


def set_bias(layer, values):
    bias = dict(layer.named_parameters())["bias"]
    bias.data = np.array(values, bias.dtype)


def test_dead_units_are_counted_by_channel_and_column():
    model = Sequential(
        Conv2d(1, 4, 3), ReLU(), Flatten(), Linear(64, 4), ReLU(), Linear(4, 3), seed=1
    )
    set_bias(model[0], [0, 0, 0, -100])  # one of four channels
    set_bias(model[3], [0, -100, 0, -100])  # two of four columns
    figures = {}
    x, _ = some_data(300)  # more than predict takes at a time
    assert record_dead(model, x)(0, figures) is None
    assert figures == {"dead": 3 / 8}


def test_a_unit_that_fires_once_is_alive():
    model = Sequential(Linear(1, 2), ReLU(), seed=1)
    weight = dict(model.named_parameters())["0.weight"]
    weight.data = np.array([[1], [-1]], np.float32)
    set_bias(model[0], [0, 0])
    x = np.ones((600, 1), np.float32)
    record = record_dead(model, x)
    record(0, first := {})
    x[0] = -1  # in the first of several batches
    record(1, second := {})
    assert (first["dead"], second["dead"]) == (0.5, 0.0)


class Residual(numcnn.Layer):
    """A layer with a ReLU inside that is no chain."""

    def __init__(self):
        super().__init__()
        self.inner = ReLU()

    def _forward(self, x):
        self.save_for_backward(x)
        return x + self.inner(x)


def test_relus_inside_other_layers_are_seen():
    model = Sequential(Sequential(Linear(2, 2)), Residual(), seed=1)
    set_bias(model[0][0], [100, -100])
    record_dead(model, np.ones((3, 2)))(0, figures := {})
    assert figures["dead"] == 0.5


def test_recording_changes_nothing_in_the_training():
    x, y = some_data()

    def train(watched):
        model = Sequential(Flatten(), Linear(36, 8), ReLU(), Dropout(0.5), Linear(8, 3), seed=3)
        callbacks = [record_dead(model, x)] if watched else []
        made = model.fit(
            x, y, epochs=3, batch_size=8, optimizer=Adam, callbacks=callbacks, verbose=False
        )
        assert "_forward" not in vars(model[2])
        return made

    plain, watched = train(False), train(True)
    assert plain.batch_losses == watched.batch_losses
    assert all(0 <= share <= 1 for share in watched["dead"])


def test_an_error_leaves_the_network_as_it_was():
    model = Sequential(Linear(2, 2), ReLU())
    with pytest.raises(numcnn.ShapeError):
        record_dead(model, np.ones((3, 5)))(0, {})
    assert "_forward" not in vars(model[1])


def test_a_network_without_relu_is_refused():
    with pytest.raises(ValueError, match="this network has none"):
        record_dead(Sequential(Linear(2, 2)), np.ones((3, 2)))


# ---- histories on disk --------------------------------------------------------------------------


def test_a_saved_history_is_loaded(tmp_path):
    made = history(falling(), dead=0.25)
    made.batch_losses[5] = float("nan")
    made.epochs[2]["val_loss"] = float("inf")
    made.save(tmp_path / "history.json")
    found = History.load(tmp_path / "history.json")
    assert repr(found.epochs) == repr(made.epochs)
    assert repr(found.batch_losses) == repr(made.batch_losses)  # nan != nan


FAULTS = {
    "cut": ('{"epochs": [', "damaged: Expecting value"),
    "binary": (b"\x89PNG\xff", "damaged: "),
    "list": ("[1, 2]", "should hold an object"),
    "other": ('{"weights": []}', "no list 'epochs'"),
    "no losses": ('{"epochs": []}', "no list 'batch_losses'"),
    "text": ('{"epochs": [], "batch_losses": [1, "2"]}', "batch_losses[1] is '2'"),
    "true": ('{"epochs": [], "batch_losses": [true]}', "batch_losses[0] is True"),
    "epoch": ('{"epochs": [[1]], "batch_losses": []}', "epochs[0] should be an object"),
    "nameless": ('{"epochs": [{"loss": 1}], "batch_losses": []}', "epochs[0] should be an object"),
    "null": ('{"epochs": [{"epoch": 1, "loss": null}], "batch_losses": []}', "'loss'] is None"),
}


@pytest.mark.parametrize(("content", "words"), FAULTS.values(), ids=FAULTS)
def test_a_damaged_history_is_named(tmp_path, content, words):
    path = tmp_path / "h.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        History.load(path)
    assert str(error.value).startswith(f"{path} is no history, or it is damaged: ")
    assert words in str(error.value)


def test_a_missing_history_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        History.load(tmp_path / "none.json")


# ---- numcnn diagnose ----------------------------------------------------------------------------


def call(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_the_command_takes_a_file_a_folder_or_the_newest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, (name, made) in enumerate(
        {"a": history(falling(0.6)), "b": history(falling())}.items()
    ):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        made.save(folder / "history.json")
        os.utime(folder / "history.json", (number, number))
    file = os.path.join("runs", "a", "history.json")
    for given in (file, os.path.dirname(file)):
        result = call("diagnose", given)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[:2] == [f"history: {file}", "diagnosis: underfitting"]
        assert lines[2].startswith("  - The loss levelled off at")
        assert max(map(len, lines)) <= 100
        assert any(line.startswith("why: ") for line in lines)
        assert any(line.startswith("remedy: A larger network") for line in lines)
    assert "diagnosis: healthy" in call("diagnose").stdout


def test_the_command_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text(json.dumps({"epochs": 1}))
    for args, words in (
        ((), "there is no history in runs/; run numcnn train first"),
        (("empty",), "there is no file"),
        (("bad.json",), "bad.json is no history, or it is damaged"),
    ):
        result = call("diagnose", *args)
        assert result.exit_code == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1

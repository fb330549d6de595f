"""Checkpoints: a training that goes on from one is the training that nothing interrupted."""

import json
import math
import warnings

import numpy as np
import pytest
from checks_checkpoints import (
    STEPS,
    Cut,
    CutAfter,
    cut,
    data,
    figures,
    fit,
    network,
    newest,
    scrambled,
    stopping,
)
from safetensors.numpy import load_file

from numcnn import (
    L2,
    SGD,
    Adadelta,
    Adam,
    CosineAnnealingLR,
    DataLoader,
    Flatten,
    History,
    Linear,
    OneCycleLR,
    ReduceLROnPlateau,
    RMSprop,
    Sequential,
    StepLR,
    weights_hash,
)
from numcnn.data import random_shift

pytestmark = pytest.mark.usefixtures("one_thread")


# ---- going on ---------------------------------------------------------------------------------

TRAININGS = {
    "sgd-one-cycle": {"scheduler": lambda o, n: OneCycleLR(o, 0.1, n)},
    "adam-cosine": {
        "optimizer": lambda p: Adam(p, 0.01, amsgrad=True),
        "scheduler": lambda o, n: CosineAnnealingLR(o, n),
        "clip_norm": 0.5,
    },
    "rmsprop-plateau": {
        "optimizer": lambda p: RMSprop(p, 0.05, momentum=0.5, centered=True),
        "scheduler": lambda o, n: ReduceLROnPlateau(o, factor=0.5, patience=0),
        "validation_data": data(9, seed=2),
    },
    "adadelta-penalty": {"optimizer": Adadelta, "penalty": L2(0.01)},
}


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("steps", [0, 3, 4, 11])
def test_a_resumed_training_ends_as_one_without_a_break(tmp_path, training, steps):
    straight = network()
    expected = fit(straight, **training)
    cut(network(), tmp_path, steps, **training)
    resumed = scrambled()
    history = fit(resumed, resume=tmp_path, **training | {"callbacks": []})
    assert weights_hash(resumed) == weights_hash(straight)
    assert figures(history) == figures(expected)
    assert len(history.batch_losses) == 3 * STEPS


def test_what_comes_after_the_newest_checkpoint_is_done_again(tmp_path):
    straight, resumed = network(), network()
    expected = fit(straight, epochs=4)
    cut(network(), tmp_path, 10, epochs=4, every=3)
    assert newest(tmp_path).name == "step-00000009.json"
    cut(network(), tmp_path, 2, epochs=4, resume=True, every=None)  # 3, as the checkpoint says
    assert newest(tmp_path).name == "step-00000009.json"
    assert figures(fit(resumed, epochs=4, resume=tmp_path)) == figures(expected)
    assert weights_hash(resumed) == weights_hash(straight)


def test_a_kill_between_the_last_step_of_an_epoch_and_its_end_is_survived(tmp_path):
    def end(epoch, figures):
        if epoch == 1:
            raise Cut

    straight, resumed = network(), network()
    expected = fit(straight)
    with pytest.raises(Cut):
        fit(network(), checkpoint=tmp_path, every=1, callbacks=[end])
    assert newest(tmp_path).name == "step-00000007.json"
    assert figures(fit(resumed, resume=tmp_path)) == figures(expected)
    assert weights_hash(resumed) == weights_hash(straight)


def test_without_every_a_checkpoint_is_written_after_each_epoch(tmp_path):
    cut(network(), tmp_path, 2 * STEPS + 1, every=None, keep=9)
    names = sorted(path.name for path in tmp_path.glob("*.json"))
    assert names == [f"step-{step:08d}.json" for step in (0, STEPS, 2 * STEPS)]


def test_checkpoints_change_nothing(tmp_path):
    plain, kept = network(), network()
    expected = fit(plain)
    assert figures(fit(kept, checkpoint=tmp_path, every=1)) == figures(expected)
    assert weights_hash(kept) == weights_hash(plain)


def test_seeds_that_nobody_chose_are_kept(tmp_path):
    class Watch(CutAfter):
        def on_batch_end(self, batch, figures):
            super().on_batch_end(batch, figures)
            self.seen.append(weights_hash(self.model))

        def on_train_begin(self, model):
            self.model, self.seen = model, []

    first = Watch(99)
    fit(network(seed=None), checkpoint=tmp_path, every=5, keep=9, callbacks=[first])
    for step in (10, 12):
        for path in tmp_path.glob(f"step-{step:08d}.*"):
            path.unlink()
    second = Watch(99)
    fit(network(seed=None), resume=tmp_path, callbacks=[second])
    assert second.seen == first.seen[5:]


def test_a_finished_training_is_only_read(tmp_path):
    model, again = network(), scrambled()
    expected = fit(model, checkpoint=tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert figures(fit(again, resume=tmp_path)) == figures(expected)
    assert weights_hash(again) == weights_hash(model)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_finished_training_may_be_given_more_epochs(tmp_path):
    straight, longer = network(), network()
    expected = fit(straight, epochs=5)
    fit(network(), epochs=2, checkpoint=tmp_path)
    assert figures(fit(longer, epochs=5, resume=tmp_path)) == figures(expected)
    assert weights_hash(longer) == weights_hash(straight)


def test_resuming_from_one_folder_into_another_leaves_the_first_alone(tmp_path):
    straight, resumed = network(), network()
    fit(straight)
    cut(network(), tmp_path / "a", 5)
    before = sorted(path.name for path in (tmp_path / "a").iterdir())
    fit(resumed, resume=tmp_path / "a", checkpoint=tmp_path / "b", keep=99, every=1)
    assert weights_hash(resumed) == weights_hash(straight)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == before
    assert min((tmp_path / "b").glob("*.json")).name == "step-00000005.json"


def test_resume_true_begins_where_there_is_nothing_and_goes_on_where_there_is(tmp_path):
    folder = tmp_path / "made" / "for it"
    straight, resumed = network(), network()
    expected = fit(straight)
    cut(network(), folder, 5, resume=True)
    assert figures(fit(resumed, checkpoint=folder, resume=True)) == figures(expected)
    assert weights_hash(resumed) == weights_hash(straight)


def test_where_it_goes_on_is_said(tmp_path, capsys):
    cut(network(), tmp_path, 6)
    fit(network(), resume=tmp_path, verbose=True)
    assert f"going on after step 6 in {tmp_path}: epoch 2, batch 2 of 4" in capsys.readouterr().out


def test_a_loader_that_makes_its_own_batches_goes_on_at_the_right_one(tmp_path):
    class Reversed(DataLoader):
        def __iter__(self):
            return reversed(list(super().__iter__()))

    def train(model, **options):
        loader = Reversed(*data(), 8, shuffle=True)
        return model.fit(loader, epochs=3, verbose=False, optimizer="sgd", **options)

    straight, resumed = network(), network()
    expected = train(straight)
    with pytest.raises(Cut):
        train(network(), checkpoint=tmp_path, every=1, callbacks=[CutAfter(6)])
    assert figures(train(resumed, resume=tmp_path)) == figures(expected)


# ---- what belongs together ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"penalty": L2(0.5)}, "penalty: none in the checkpoint"),
        ({"clip_norm": 1.0}, "clip_norm: none in the checkpoint, 1.0 now"),
        ({"loss": "multi_margin"}, "loss.class: CrossEntropyLoss in the checkpoint"),
        (
            {"optimizer": lambda p: SGD(p, 0.2, momentum=0.9)},
            "optimizer.lr: 0.1 in the checkpoint, 0.2",
        ),
        ({"optimizer": "adam"}, "optimizer.class: SGD in the checkpoint, Adam now"),
        ({"scheduler": lambda o, n: StepLR(o, 3)}, "scheduler: none in the checkpoint"),
        ({"validation_data": data(9)}, "validation_data: none in the checkpoint"),
        ({"seed": 5}, "batches.seed: 1 in the checkpoint, 5 now"),
    ],
)
def test_another_training_is_told_apart_and_nothing_is_loaded(tmp_path, change, words):
    cut(network(), tmp_path, 6)
    model = network(seed=1)
    before = weights_hash(model)
    with pytest.raises(ValueError, match="another training's, nothing was loaded") as error:
        fit(model, resume=tmp_path, **change)
    assert words in str(error.value)
    assert weights_hash(model) == before


def test_other_data_batches_and_networks_are_told_apart(tmp_path):
    x, y = data()
    shifted = DataLoader(x, y, 8, shuffle=True, transform=random_shift(1))
    options = {"epochs": 3, "optimizer": "sgd", "verbose": False}
    with pytest.raises(Cut):
        network().fit(shifted, checkpoint=tmp_path, every=1, callbacks=[CutAfter(6)], **options)
    other = x.copy()
    other[-1] = 0
    deeper = Sequential(Flatten(), Linear(12, 8), Linear(8, 3), seed=1)

    def complaint(model, *data, **changes):
        loader = DataLoader(*data, **{"batch_size": 8, "shuffle": True} | changes)
        with pytest.raises(ValueError) as error:
            model.fit(loader, resume=tmp_path, **options)
        return str(error.value)

    same = {"transform": random_shift(1)}
    assert "data.x.sha256_of_some" in complaint(network(), other, y, **same)
    assert "data.x.shape[0]: 30 in the checkpoint, 29 now" in complaint(
        network(), x[:-1], y[:-1], **same
    )
    assert "batches.batch_size: 8 in the checkpoint, 9 now" in complaint(
        network(), x, y, **same | {"batch_size": 9}
    )
    assert "batches.transform.pixels: 1 in the checkpoint, 2 now" in complaint(
        network(), x, y, transform=random_shift(2)
    )
    assert "Dropout(p=0.3)" in complaint(deeper, x, y, **same)
    assert "dtype: float32 in the checkpoint, float64 now" in complaint(
        network().to("float64"), x, y, **same
    )


def test_a_new_training_doesnt_begin_among_the_checkpoints_of_another(tmp_path):
    cut(network(), tmp_path, 6)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="has checkpoints up to step 6: resume= goes on"):
        fit(network(), checkpoint=tmp_path)
    with pytest.raises(FileExistsError, match="has checkpoints up to step 6"):
        fit(network(), checkpoint=tmp_path, resume=_copy(tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def _copy(folder):
    other = folder.parent / f"{folder.name}-copy"
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    return other


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"resume": "nowhere"}, FileNotFoundError, "there is no checkpoint in nowhere"),
        ({"resume": True}, ValueError, "resume=True needs checkpoint="),
        ({"every": 3}, ValueError, "every= says how often checkpoint= writes"),
        ({"checkpoint": "c", "every": 0}, ValueError, "every"),
        ({"checkpoint": "c", "every": 1.5}, TypeError, "every"),
        ({"checkpoint": "c", "keep": 0}, ValueError, "keep"),
    ],
)
def test_arguments_that_dont_go_together_are_refused(tmp_path, monkeypatch, options, error, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        fit(network(), **options)
    assert not list(tmp_path.iterdir())


def test_a_scheduler_that_couldnt_go_on_is_refused_before_the_first_step(tmp_path):
    class Halving:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        def step(self):
            self.optimizer.lr /= 2

    with pytest.raises(TypeError, match="Halving has no state_dict and no load_state_dict"):
        fit(network(), checkpoint=tmp_path, scheduler=lambda o, n: Halving(o))
    assert not list(tmp_path.iterdir())


def test_another_version_is_said(tmp_path, monkeypatch):
    cut(network(), tmp_path, 6)
    monkeypatch.setattr("numcnn.resume.version", lambda name: "99.0")
    with pytest.warns(UserWarning, match=r"was written with numcnn .*, and this is 99\.0"):
        fit(network(), resume=tmp_path)


# ---- what the files hold ------------------------------------------------------------------------


def test_files_hold_data_and_nothing_else(tmp_path):
    cut(network(), tmp_path, 6, callbacks=[stopping()], validation_data=data(9))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    content = json.loads(newest(tmp_path).read_text())["content"]
    arrays = load_file(newest(tmp_path, "safetensors"))
    assert content["position"] == {"epoch": 1, "batch": 2, "stopped": False}
    assert content["order"] == {"seed": 1, "epoch": 1}
    assert [state["calls"] for state in content["random"].values()] == [6, 6]
    assert content["settings"]["optimizer"]["momentum"] == 0.9
    assert content["optimizer"]["steps"] == 6
    assert arrays["model.1.weight"].shape == (8, 12)
    assert arrays["optimizer.0.velocity"].shape == (8, 12)
    assert arrays["callback.0.weights.1.weight"].shape == (8, 12)
    assert arrays["history.batch_losses"].shape == (6,)


def test_losses_that_are_no_numbers_survive(tmp_path):
    x, y = data()
    y[:8] = -100  # a batch in which no label counts
    options = {"batch_size": 8, "shuffle": False, "epochs": 2, "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        straight, resumed = network(), network()
        expected = straight.fit(x, y, **options)
        with pytest.raises(Cut):
            network().fit(x, y, checkpoint=tmp_path, every=1, callbacks=[CutAfter(2)], **options)
        history = resumed.fit(x, y, resume=tmp_path, **options)
    assert math.isnan(history.batch_losses[0])
    np.testing.assert_array_equal(history.batch_losses, expected.batch_losses)
    assert weights_hash(resumed) == weights_hash(straight)


def test_the_last_few_are_kept(tmp_path):
    fit(network(), checkpoint=tmp_path / "three", every=2)
    fit(network(), checkpoint=tmp_path / "one", every=2, keep=1)
    for name, steps in (("three", (8, 10, 12)), ("one", (12,))):
        expected = {f"step-{s:08d}.{kind}" for s in steps for kind in ("json", "safetensors")}
        assert {path.name for path in (tmp_path / name).iterdir()} == expected


def test_a_history_of_a_resumed_training_can_be_saved(tmp_path):
    cut(network(), tmp_path / "ck", 6)
    history = fit(network(), resume=tmp_path / "ck")
    history.save(tmp_path / "history.json")
    assert figures(History.load(tmp_path / "history.json")) == figures(history)

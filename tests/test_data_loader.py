"""DataLoader: complete, repeatable, resumable, and never a view of the user's arrays."""

import numpy as np
import pytest

from numcnn.data import DataLoader, normalize


def toy(count, seed=0):
    """Return examples whose target tells which they are."""
    x = np.random.default_rng(seed).standard_normal((count, 2, 3, 4)).astype(np.float32)
    return x, np.arange(count)


def epoch_order(loader):
    return np.concatenate([yb for _, yb in loader])


def add_noise(xb, rng):
    return xb + rng.standard_normal(xb.shape, np.float32)


# Without those that are refused, since no batch would be full.
GRID = [
    (count, batch_size, drop_last)
    for count in (1, 2, 7, 8, 9, 16)
    for batch_size in (1, 3, 8)
    for drop_last in (False, True)
    if not (drop_last and batch_size > count)
]


@pytest.mark.parametrize(("count", "batch_size", "drop_last"), GRID)
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_is_complete(count, batch_size, drop_last, shuffle):
    x, y = toy(count)
    loader = DataLoader(x, y, batch_size, shuffle=shuffle, seed=3, drop_last=drop_last)
    batches = list(loader)
    assert len(batches) == len(loader)
    sizes = [len(yb) for _, yb in batches]
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    assert sum(sizes) == (count // batch_size * batch_size if drop_last else count)
    seen = np.concatenate([yb for _, yb in batches])
    assert len(set(seen.tolist())) == len(seen)
    if not shuffle:
        np.testing.assert_array_equal(seen, y[: len(seen)])
    for xb, yb in batches:
        np.testing.assert_array_equal(xb, x[yb])
        assert xb.dtype == x.dtype and yb.dtype == y.dtype
        assert xb.shape[1:] == x.shape[1:]


def test_the_order_is_the_one_the_documentation_names():
    x, y = toy(50)
    loader = DataLoader(x, y, 7, shuffle=True, seed=11)
    for epoch in range(3):
        seeds = np.random.SeedSequence([11, epoch])
        expected = np.random.Generator(np.random.Philox(seeds)).permutation(50)
        np.testing.assert_array_equal(epoch_order(loader), expected)


def test_seeds_reproduce_and_epochs_and_seeds_differ():
    x, y = toy(40)
    runs = []
    for seed in (1, 1, 2):
        loader = DataLoader(x, y, 8, shuffle=True, seed=seed)
        runs.append([epoch_order(loader).tolist() for _ in range(4)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    orders = {tuple(order) for order in runs[0] + runs[2]}
    assert len(orders) == 8
    assert tuple(range(40)) not in orders


def test_resuming():
    x, y = toy(40)
    first = DataLoader(x, y, 8, shuffle=True, seed=1, transform=add_noise)
    epochs = [list(first) for _ in range(4)]
    assert first.epoch == 4
    resumed = DataLoader(x, y, 8, shuffle=True, seed=1, transform=add_noise)
    resumed.epoch = 2
    for epoch in (2, 3):
        for (xb, yb), (x_old, y_old) in zip(resumed, epochs[epoch], strict=True):
            np.testing.assert_array_equal(xb, x_old)
            np.testing.assert_array_equal(yb, y_old)
    assert resumed.epoch == 4


def test_the_order_does_not_depend_on_what_was_left_unread():
    x, y = toy(40)
    loader = DataLoader(x, y, 8, shuffle=True, seed=1)
    next(iter(loader))
    second = epoch_order(loader)
    fresh = DataLoader(x, y, 8, shuffle=True, seed=1)
    fresh.epoch = 1
    np.testing.assert_array_equal(second, epoch_order(fresh))
    # Two iterations at once are two epochs.
    one, two = iter(fresh), iter(fresh)
    assert next(one)[1].tolist() != next(two)[1].tolist()
    assert fresh.epoch == 4


def test_numpys_global_state_is_neither_used_nor_moved():
    x, y = toy(20)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = epoch_order(DataLoader(x, y, 4, shuffle=True, seed=1, transform=add_noise))
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(99)
    second = epoch_order(DataLoader(x, y, 4, shuffle=True, seed=1, transform=add_noise))
    np.testing.assert_array_equal(first, second)


def test_a_seed_is_drawn_once_and_kept():
    x, y = toy(40)
    loader = DataLoader(x, y, 8, shuffle=True)
    orders = [epoch_order(loader) for _ in range(2)]
    again = DataLoader(x, y, 8, shuffle=True, seed=loader.seed)
    np.testing.assert_array_equal(orders, [epoch_order(again) for _ in range(2)])
    assert len({DataLoader(x, y).seed for _ in range(5)}) > 1


def test_without_targets():
    x, _ = toy(5)
    batches = list(DataLoader(x, batch_size=2))
    assert [batch.shape[0] for batch in batches] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(batches), x)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 10])
@pytest.mark.parametrize("layout", ["C", "F", "channels last", "every second", "backwards"])
def test_batches_are_contiguous_copies(layout, batch_size, shuffle):
    x, y = toy(10)
    x = {
        "C": x,
        "F": np.asfortranarray(x),
        "channels last": np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "every second": np.repeat(x, 2, axis=3)[..., ::2],
        "backwards": np.ascontiguousarray(x[::-1])[::-1],
    }[layout]
    x_before, y_before = x.copy(), y.copy()
    for xb, yb in DataLoader(x, y, batch_size, shuffle=shuffle, seed=0):
        assert xb.flags.c_contiguous and yb.flags.c_contiguous
        assert not np.shares_memory(xb, x) and not np.shares_memory(yb, y)
        np.testing.assert_array_equal(xb, x[yb])
        xb[...] = np.nan
        yb[...] = -1
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)


def test_a_memory_mapped_file_is_not_loaded(tmp_path):
    x, y = toy(10)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    loader = DataLoader(mapped, y, 4)
    assert np.shares_memory(loader.x, mapped)
    for xb, yb in loader:
        np.testing.assert_array_equal(xb, x[yb])
        assert xb.flags.writeable


def test_transforms_depend_on_seed_epoch_and_batch_only():
    x = np.zeros((6, 3), np.float32)

    def noise(seed, epoch, batch_size=2):
        loader = DataLoader(x, None, batch_size, seed=seed, transform=add_noise)
        loader.epoch = epoch
        return [batch.tobytes() for batch in loader]

    assert noise(1, 0) == noise(1, 0)
    # Every batch of every epoch of every seed draws its own numbers.
    draws = [draw for seed in (1, 2) for epoch in (0, 1) for draw in noise(seed, epoch)]
    assert len(set(draws)) == len(draws) == 12
    # They do not depend on what other batches drew.
    loader = DataLoader(x, None, 2, seed=1, transform=lambda xb, rng: add_noise(xb, rng))
    skipped = DataLoader(
        x, None, 2, seed=1, transform=lambda xb, rng: (rng.random(5), add_noise(xb, rng))[1]
    )
    assert next(iter(loader)).tobytes() == noise(1, 0)[0] != next(iter(skipped)).tobytes()


def test_the_first_transform_does_not_draw_the_shuffles_numbers():
    drawn = []
    x, y = toy(8)
    loader = DataLoader(
        x,
        y,
        8,
        shuffle=True,
        seed=5,
        transform=lambda xb, rng: (drawn.append(rng.random(4)), xb)[1],
    )
    list(loader)
    shuffle = np.random.Generator(np.random.Philox(np.random.SeedSequence([5, 0])))
    assert not np.array_equal(drawn[0], shuffle.random(4))


def test_a_transform_may_change_its_batch_and_its_shape():
    x, y = toy(6)
    before = x.copy()

    def in_place_and_cropped(xb, rng):
        xb *= 0
        return xb[..., 1:]

    for xb, _ in DataLoader(x, y, 4, transform=in_place_and_cropped):
        assert xb.shape[1:] == (2, 3, 3) and not xb.any() and xb.flags.c_contiguous
    np.testing.assert_array_equal(x, before)


def test_a_transform_that_loses_examples():
    x, y = toy(6)
    loader = DataLoader(x, y, 4, transform=lambda xb, rng: xb[1:])
    with pytest.raises(ValueError, match=r"batch 0 of epoch 0 went in with 4 .*\(3, 2, 3, 4\)"):
        list(loader)


def test_normalize_as_a_transform():
    x, y = toy(6)
    for xb, yb in DataLoader(x, y, 4, transform=normalize([0.5, -1], [2, 4])):
        expected = (x[yb] - np.float32([0.5, -1])[:, None, None]) / np.float32([2, 4])[
            :, None, None
        ]
        np.testing.assert_array_equal(xb, expected)


@pytest.mark.parametrize("value", [True, False, 2.0, np.float32(2), "2", None, np.bool_(True)])
def test_a_batch_size_that_is_no_integer(value):
    with pytest.raises(TypeError, match="batch_size must be an int; got"):
        DataLoader(*toy(4), batch_size=value)


@pytest.mark.parametrize("name", ["seed", "epoch"])
@pytest.mark.parametrize("value", [True, 1.0, "1"])
def test_a_seed_or_epoch_that_is_no_integer(name, value):
    with pytest.raises(TypeError, match=f"{name} must be an int"):
        set_number(name, value)


@pytest.mark.parametrize("name", ["seed", "epoch"])
def test_a_negative_seed_or_epoch(name):
    with pytest.raises(ValueError, match=f"{name} must be 0 or more; got -1"):
        set_number(name, -1)


def set_number(name, value):
    if name == "seed":
        DataLoader(*toy(4), seed=value)
    else:
        DataLoader(*toy(4)).epoch = value


def test_numpy_integers_are_integers():
    loader = DataLoader(*toy(4), batch_size=np.int64(3), seed=np.uint8(7))
    assert (len(loader), loader.seed) == (2, 7)


@pytest.mark.parametrize("value", [0, -1])
def test_a_batch_size_below_one(value):
    with pytest.raises(ValueError, match=f"batch_size must be 1 or more; got {value}"):
        DataLoader(*toy(4), batch_size=value)


def test_lengths_that_differ():
    x, y = toy(5)
    with pytest.raises(ValueError, match=r"5 examples .*\(5, 2, 3, 4\).* 4 targets .*\(4,\)"):
        DataLoader(x, y[:4])


@pytest.mark.parametrize("x", [np.zeros((0, 3)), [], np.float32(1)], ids=["rows", "list", "scalar"])
def test_an_empty_data_set(x):
    with pytest.raises(ValueError, match="x must hold at least one example"):
        DataLoader(x)


def test_drop_last_that_leaves_nothing():
    with pytest.raises(ValueError, match="batch_size is 5, x has 4"):
        DataLoader(*toy(4), batch_size=5, drop_last=True)


def test_a_transform_that_is_no_function():
    with pytest.raises(TypeError, match="transform must be a function"):
        DataLoader(*toy(4), transform="normalize")


def test_repr_tells_what_decides_the_batches():
    text = repr(DataLoader(*toy(4), batch_size=3, seed=8))
    for part in ("4 examples", "batch_size=3", "seed=8", "epoch=0"):
        assert part in text

"""Layers whose output depends on the rest of the batch or on random numbers, on ranks that share a batch."""

import numpy as np
import pytest
from ranks import values

from gradcore import Tensor, nn
from gradcore.distributed.group import Group
from gradcore.distributed.shard import on_shard, split
from gradcore.errors import ShapeError

SHAPES = {nn.BatchNorm1d: [(7, 3), (5, 3, 4), (2, 3)], nn.BatchNorm2d: [(5, 3, 2, 4)]}


def made(kind):
    rng = np.random.default_rng(1)
    layer = kind(3, eps=0.01, momentum=0.3).astype(np.float64)
    layer.weight.data, layer.bias.data = rng.normal(size=3), rng.normal(size=3)
    return layer


def whole(kind, x, gy):
    layer, x = made(kind), Tensor(x, requires_grad=True)
    y = layer(x)
    y.backward(gy)
    return y.data, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var


@pytest.mark.parametrize(
    ("kind", "shape"), [(kind, shape) for kind, shapes in SHAPES.items() for shape in shapes]
)
@pytest.mark.parametrize("size", [2, 3])
def test_statistics_over_all_ranks_are_those_of_the_whole_batch(kind, shape, size):
    rng = np.random.default_rng(0)
    x, gy = rng.normal(2.0, size=shape), rng.normal(size=shape)
    y, gx, weight, bias, mean, variance = whole(kind, x, gy)

    def on_rank(communicator):
        group = Group(communicator)
        shard = split(shape[0], group.rank, size, 1, group)
        layer, part = made(kind), Tensor(shard.of(x), requires_grad=True)
        with on_shard(shard):
            out = layer(part)
        assert out.dtype == np.float64
        out.backward(shard.of(gy) * float(shard.counts))  # a row that another rank has counts nothing here
        np.testing.assert_allclose(out.data, shard.of(y), rtol=1e-10)
        np.testing.assert_allclose(part.grad, shard.of(gx) * float(shard.counts), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-10)
        np.testing.assert_allclose(layer.running_var, variance, rtol=1e-10)
        return layer.weight.grad, layer.bias.grad

    found = values(size, on_rank)
    np.testing.assert_allclose(sum(w for w, _ in found), weight, rtol=1e-9)
    np.testing.assert_allclose(sum(b for _, b in found), bias, rtol=1e-9)


def test_statistics_count_all_rows_that_a_layer_makes_of_each_example():
    rng = np.random.default_rng(0)
    x, gy = rng.normal(2.0, size=(5 * 3, 3)), rng.normal(size=(5 * 3, 3))
    y, gx, _, _, mean, variance = whole(nn.BatchNorm1d, x, gy)

    def on_rank(communicator):
        group = Group(communicator)
        shard = split(5, group.rank, 2, 1, group)
        rows = slice(shard.start * 3, (shard.start + shard.rows) * 3)
        layer, part = made(nn.BatchNorm1d), Tensor(x[rows], requires_grad=True)
        with on_shard(shard):
            out = layer(part)
        out.backward(gy[rows])
        np.testing.assert_allclose(out.data, y[rows], rtol=1e-10)
        np.testing.assert_allclose(part.grad, gx[rows], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-10)
        np.testing.assert_allclose(layer.running_var, variance, rtol=1e-10)

    values(2, on_rank)


def test_one_value_per_channel_in_the_whole_batch_is_refused():
    def on_rank(communicator):
        group = Group(communicator)
        with on_shard(split(1, group.rank, 2, 1, group)), pytest.raises(ShapeError, match="has no variance"):
            nn.BatchNorm1d(3)(np.ones((1, 3), np.float32))

    values(2, on_rank)


def test_single_precision_stays_single():
    def on_rank(communicator):
        group = Group(communicator)
        with on_shard(split(4, group.rank, 2, 1, group)):
            return nn.BatchNorm1d(3)(Tensor(np.eye(2, 3, dtype=np.float32), True)).dtype

    assert values(2, on_rank) == [np.float32, np.float32]


@pytest.mark.parametrize("each", [1, 3])
def test_dropout_drops_the_entries_of_one_process(each):
    x = np.ones((7 * each, 5))
    layer = nn.Dropout(0.4, rng=2)
    y = layer(x)
    after = layer.rng.bit_generator.state
    for rank in range(3):
        shard = split(7, rank, 3, 1, None)
        layer = nn.Dropout(0.4, rng=2)
        rows = slice(shard.start * each, (shard.start + shard.rows) * each)
        with on_shard(shard):
            np.testing.assert_array_equal(layer(x[rows]), y[rows])
        assert layer.rng.bit_generator.state == after


@pytest.mark.parametrize("least", [1, 2])
def test_shards_are_nearly_even_and_cover_each_row_once(least):
    for total in range(1, 12):
        for size in range(1, 6):
            shards = [split(total, rank, size, least, None) for rank in range(size)]
            rows = [row for s in shards if s.counts for row in range(s.start, s.start + s.rows)]
            assert rows == list(range(total))
            sizes = [s.rows for s in shards if s.counts]
            assert max(sizes) - min(sizes) <= 1
            assert min(sizes) >= min(least, total)
            assert all(s.rows == min(least, total) and s.weight == 0.0 for s in shards if not s.counts)
            assert sum(s.weight for s in shards) == pytest.approx(1.0)


def test_a_shard_without_a_group_is_normalised_by_its_own_rows():
    x = np.random.default_rng(3).normal(size=(4, 3))
    expected = made(nn.BatchNorm1d)(x).data
    with on_shard(split(8, 0, 2, 1, None)):
        np.testing.assert_array_equal(made(nn.BatchNorm1d)(x).data, expected)


@pytest.mark.parametrize("each", [2, 3])
def test_statistics_count_each_of_several_rows_of_an_example(each):
    x = np.random.default_rng(4).normal(size=(5 * each, 3))
    layer = made(nn.BatchNorm1d)
    layer(x)

    def on_rank(communicator):
        group = Group(communicator)
        shard, own = split(5, group.rank, 1, 1, group), made(nn.BatchNorm1d)
        with on_shard(shard):
            own(Tensor(x))
        np.testing.assert_allclose(own.running_mean, layer.running_mean, rtol=1e-10)
        np.testing.assert_allclose(own.running_var, layer.running_var, rtol=1e-10)

    values(1, on_rank)

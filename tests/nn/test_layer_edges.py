"""What layers refuse, naming themselves and what would fit; and what a shape alone does not show."""

import numpy as np
import pytest

from gradcore import Tensor, nn
from gradcore.errors import DomainError, DtypeError, ShapeError


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# --- sizes ------------------------------------------------------------------------------------------------------------

SIZES = {
    "Bilinear": {"in1_features": 2, "in2_features": 3, "out_features": 4},
    "Conv1d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3},
    "Conv2d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3},
    "ConvTranspose2d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3},
    "Embedding": {"num_embeddings": 3, "embedding_dim": 2},
    "GroupNorm": {"num_groups": 2, "num_channels": 4},
    "GRU": {"input_size": 2, "hidden_size": 3, "num_layers": 1},
    "GRUCell": {"input_size": 2, "hidden_size": 3},
    "InstanceNorm1d": {"num_features": 2},
    "InstanceNorm2d": {"num_features": 2},
    "LayerNorm": {"normalized_shape": 2},
    "Linear": {"in_features": 2, "out_features": 3},
    "LSTM": {"input_size": 2, "hidden_size": 3, "num_layers": 1},
    "LSTMCell": {"input_size": 2, "hidden_size": 3},
    "MultiheadAttention": {"embed_dim": 4, "num_heads": 2, "kdim": 3, "vdim": 3},
    "RMSNorm": {"normalized_shape": 2},
    "RNN": {"input_size": 2, "hidden_size": 3, "num_layers": 1},
    "RNNCell": {"input_size": 2, "hidden_size": 3},
    "TransformerEncoderLayer": {"d_model": 4, "nhead": 2, "dim_feedforward": 8},
}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, given) for name, sizes in SIZES.items() for given in sizes]
)
def test_a_size_that_is_none_is_refused_and_named(name, argument):
    inner = {"nhead": ("MultiheadAttention", "num_heads"), "dim_feedforward": ("Linear", "out_features")}
    owner, stated = inner.get(argument, (name, argument))
    who = (
        "" if (owner[-2:], stated) == ("2d", "kernel_size") else f"{owner} got "
    )  # what takes a pair leaves the layer out
    for wrong in (0, -1, 1.5):
        with pytest.raises(DomainError, match=rf"^{who}{stated}={wrong}: expected a whole number"):
            getattr(nn, name)(**{**SIZES[name], argument: wrong})


def test_several_sizes_are_refused_like_one():
    assert nn.LayerNorm([2, 3]).normalized_shape == (2, 3)
    with pytest.raises(DomainError, match=r"^LayerNorm got normalized_shape=0: "):
        nn.LayerNorm((2, 0))
    with pytest.raises(DomainError, match=r"^GroupNorm got 3 groups for 4 channels: they must divide them"):
        nn.GroupNorm(3, 4)


# --- inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [(3,), (2, 4), (4, 3)])
@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.RMSNorm])
def test_what_does_not_end_in_the_normalised_shape_is_refused(kind, wrong):
    with pytest.raises(
        ShapeError, match=rf"^{kind.__name__}\(\(2, 3\)\) takes x whose shape ends in \(2, 3\), and got"
    ):
        kind((2, 3))(normal(*wrong))
    assert kind((2, 3))(normal(2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (
            lambda: nn.GroupNorm(2, 4),
            (4,),
            r"GroupNorm\(2, 4\) takes x of shape \(n, c, ...\) with c = 4, and got \(4,\)",
        ),
        (
            lambda: nn.GroupNorm(2, 4),
            (4, 2),
            r"GroupNorm\(2, 4\) takes x of shape \(n, c, ...\) with c = 4, and got \(4, 2\)",
        ),
        (
            lambda: nn.InstanceNorm1d(3),
            (3, 2, 3),
            r"InstanceNorm1d\(3\) takes x of shape .* with c = 3, and got \(3, 2, 3\)",
        ),
        (
            lambda: nn.InstanceNorm1d(3),
            (2, 3, 4, 5),
            r"InstanceNorm1d\(3\) takes x of shape .* and got \(2, 3, 4, 5\)",
        ),
        (
            lambda: nn.InstanceNorm2d(3),
            (2, 3, 4),
            r"InstanceNorm2d\(3\) takes x of shape .* and got \(2, 3, 4\)",
        ),
        (
            lambda: nn.InstanceNorm2d(3),
            (3, 2, 4, 5),
            r"InstanceNorm2d\(3\) takes x of shape .* and got \(3, 2, 4, 5\)",
        ),
        (
            lambda: nn.RNNCell(2, 3),
            (2, 3),
            r"RNNCell\(2, 3\) takes x of shape \(n, 2\) or \(2,\), and got \(2, 3\)",
        ),
        (
            lambda: nn.RNN(2, 3),
            (4, 3),
            r"RNN\(2, 3\) takes x of shape \(t, n, 2\) or \(t, 2\), and got \(4, 3\)",
        ),
    ],
)
def test_an_input_that_does_not_fit_is_refused_with_what_would(make, wrong, message):
    with pytest.raises(ShapeError, match=f"^{message}"):
        make()(normal(*wrong))


@pytest.mark.parametrize("shapes", [((5, 2), (4, 3)), ((5, 3), (5, 2)), ((5, 2), (3,)), ((2,), (5, 3))])
def test_both_inputs_of_a_bilinear_layer_have_the_same_leading_axes(shapes):
    with pytest.raises(
        ShapeError,
        match=r"^Bilinear\(2, 3, 4\) got inputs of the shapes .* \(\.\.\., 2\) and \(\.\.\., 3\) would fit",
    ):
        nn.Bilinear(2, 3, 4)(*[normal(*shape) for shape in shapes])
    assert nn.Bilinear(2, 3, 4)(normal(5, 1, 2), normal(5, 1, 3)).shape == (5, 1, 4)


# --- embedding --------------------------------------------------------------------------------------------------------


def test_numbers_of_any_form_are_looked_up():
    layer = nn.Embedding(3, 2, rng=0)
    for numbers in ([2, 0], (2, 0), np.array([2, 0], np.uint8), Tensor(np.array([2, 0]))):
        np.testing.assert_array_equal(layer(numbers).data, layer.weight.data[[2, 0]])
    assert layer(np.zeros((0, 4), int)).shape == (0, 4, 2)


@pytest.mark.parametrize("wrong", [[3, 0], [0, -1], [-1, 3]])
def test_a_number_without_a_row_is_refused(wrong):
    words = rf"^Embedding\(3, 2\) got numbers from {min(wrong)} to {max(wrong)}: they go from 0 to 2$"
    with pytest.raises(DomainError, match=words):
        nn.Embedding(3, 2)(np.array(wrong))
    with pytest.raises(DtypeError, match=r"^Embedding takes whole numbers, and got float64: convert with"):
        nn.Embedding(3, 2)(np.array([0.0]))


# --- attention --------------------------------------------------------------------------------------------------------


def attention():
    return nn.MultiheadAttention(4, 2, kdim=3, vdim=2, rng=0)


def batch_first():
    return nn.MultiheadAttention(4, 2, kdim=3, vdim=2, batch_first=True, rng=0)


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (attention, ((3, 1, 4), (5, 1, 3), (5, 2))),
        (attention, ((3, 4), (5, 1, 3), (5, 1, 2))),
        (attention, ((4,), (3,), (2,))),
        (attention, ((1, 3, 1, 4), (1, 5, 1, 3), (1, 5, 1, 2))),
        (attention, ((3, 1, 3), (5, 1, 3), (5, 1, 2))),
        (attention, ((3, 1, 4), (5, 1, 2), (5, 1, 2))),
        (attention, ((3, 1, 4), (5, 1, 3), (5, 1, 3))),
        (attention, ((3, 1, 4), (5, 1, 3), (6, 1, 2))),
        (attention, ((3, 2, 4), (5, 1, 3), (5, 1, 2))),
        (attention, ((3, 1, 4), (5, 2, 3), (5, 2, 2))),
        (attention, ((3, 1, 4), (0, 1, 3), (0, 1, 2))),
        (attention, ((3, 4), (0, 3), (0, 2))),
        (batch_first, ((2, 3, 4), (1, 5, 3), (1, 5, 2))),
        (batch_first, ((1, 3, 4), (1, 0, 3), (1, 0, 2))),
        (batch_first, ((3, 4), (0, 3), (0, 2))),
    ],
)
def test_queries_keys_and_values_that_do_not_belong_together_are_refused(make, shapes):
    with pytest.raises(
        ShapeError, match=r"^MultiheadAttention\(4, 2\) got query, key and value of the shapes"
    ):
        make()(*[normal(*shape) for shape in shapes])


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (attention, ((0, 1, 4), (1, 1, 3), (1, 1, 2))),
        (attention, ((3, 0, 4), (5, 0, 3), (5, 0, 2))),
        (attention, ((3, 5, 4), (2, 5, 3), (2, 5, 2))),
        (attention, ((3, 4), (5, 3), (5, 2))),
        (batch_first, ((0, 3, 4), (0, 5, 3), (0, 5, 2))),
        (batch_first, ((2, 0, 4), (2, 1, 3), (2, 1, 2))),
        (batch_first, ((3, 4), (1, 3), (1, 2))),
    ],
)
def test_queries_keys_and_values_that_belong_together_are_taken(make, shapes):
    y, _ = make()(*[normal(*shape) for shape in shapes])
    assert y.shape == shapes[0]


def test_the_widths_of_key_and_value_are_given_each_by_itself():
    q, narrow, same = normal(3, 1, 4), normal(5, 1, 3), normal(5, 1, 4)
    assert nn.MultiheadAttention(4, 2, kdim=3, rng=0)(q, narrow, same)[0].shape == (3, 1, 4)
    assert nn.MultiheadAttention(4, 2, vdim=3, rng=0)(q, same, narrow)[0].shape == (3, 1, 4)


def test_a_sequence_by_itself_is_a_batch_of_one():
    q, k, v = normal(3, 4), normal(5, 3, seed=1), normal(5, 2, seed=2)
    y, weights = attention()(q, k, v)
    batch, by_batch = batch_first()(q[None], k[None], v[None])
    np.testing.assert_array_equal(y.data, batch.data[0])
    np.testing.assert_array_equal(weights.data, by_batch.data[0])


def test_masks_may_be_tensors_and_numbers_are_added_up():
    q, k, v = normal(1, 3, 4), normal(1, 5, 3, seed=1), normal(1, 5, 2, seed=2)
    shut, later = np.arange(5)[None] > 2, ~np.tri(3, 5, dtype=bool)
    y, _ = batch_first()(q, k, v, shut, attn_mask=later)
    np.testing.assert_array_equal(
        y.data, batch_first()(q, k, v, Tensor(shut), attn_mask=Tensor(later))[0].data
    )
    one, other = normal(1, 5, seed=3), normal(3, 5, seed=4)
    np.testing.assert_allclose(
        batch_first()(q, k, v, one, attn_mask=other)[0].data,
        batch_first()(q, k, v, attn_mask=one + other)[0].data,
    )


def test_as_many_masks_as_a_batch_are_masks_of_its_heads_only_where_there_are_so_many():
    layer = nn.MultiheadAttention(4, 2, batch_first=True, rng=0)
    x = normal(1, 3, 4)
    shut = ~np.tri(3, dtype=bool)
    np.testing.assert_array_equal(
        layer(x, x, x, attn_mask=shut[None])[0].data, layer(x, x, x, attn_mask=shut)[0].data
    )
    with pytest.raises(ShapeError, match=r"a mask of shape \(3, 3, 3\) for scores of shape \(1, 2, 3, 3\)"):
        layer(x, x, x, attn_mask=np.zeros((3, 3, 3), bool))


@pytest.mark.parametrize("numbers", [False, True])
def test_a_causal_query_is_shut_out_by_masks_as_well(numbers):
    x, later = normal(2, 3, 4), ~np.tri(3, dtype=bool)
    shut = np.array([[False, True, False], [False, False, False]])
    layer = nn.MultiheadAttention(4, 2, batch_first=True, rng=0)
    given = np.where(shut, -np.inf, 0.0) if numbers else shut
    y, weights = layer(x, x, x, given, is_causal=True)
    assert not weights.data[0, :, 1].any()
    assert not weights.data[:, later].any()
    np.testing.assert_allclose(weights.data.sum(-1), 1.0)
    np.testing.assert_array_equal(y.data, layer(x, x, x, shut, attn_mask=later)[0].data)


def test_a_dropped_weight_is_drawn_by_the_layers_own_generator():
    x = normal(4, 6, 4)
    one, other = (nn.MultiheadAttention(4, 2, dropout=0.5, rng=7)(x, x, x)[0].data for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_generator_draws_what_its_seed_does():
    for kind in (nn.MultiheadAttention, nn.Linear, nn.Embedding):
        seeded, drawn = kind(4, 2, rng=7), kind(4, 2, rng=np.random.default_rng(7))
        for name, p in seeded.named_parameters():
            np.testing.assert_array_equal(p.data, dict(drawn.named_parameters())[name].data)


# --- transformer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_masks_of_a_transformer_layer_shut_out_what_they_say(norm_first):
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=norm_first, rng=0).eval()
    x = normal(2, 3, 4)
    changed = x.copy()
    changed[:, 2] = normal(2, 4, seed=1)
    causal = ~np.tri(3, dtype=bool)
    shut = np.tile([False, False, True], (2, 1))
    assert not np.allclose(layer(x).data[:, :2], layer(changed).data[:, :2])
    for options in ({"src_mask": causal}, {"is_causal": True}, {"src_key_padding_mask": shut}):
        np.testing.assert_allclose(
            layer(x, **options).data[:, :2], layer(changed, **options).data[:, :2], rtol=1e-12
        )
    np.testing.assert_array_equal(layer(x, causal).data, layer(x, src_mask=causal).data)
    np.testing.assert_array_equal(layer(x, None, shut).data, layer(x, src_key_padding_mask=shut).data)
    assert (
        repr(layer)
        .splitlines()[0]
        .startswith(
            "TransformerEncoderLayer(4, norm_first=True)" if norm_first else "TransformerEncoderLayer(4)"
        )
    )


# --- recurrent layers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_the_other_direction_is_the_layer_on_the_reversed_sequence(kind):
    both, one = kind(2, 3, bidirectional=True, rng=0), kind(2, 3, rng=0)
    for name, p in one.named_parameters():
        p.data[...] = dict(both.named_parameters())[f"{name}_reverse"].data
    x = normal(4, 2)
    y, _ = both(x)
    z, _ = one(x[::-1])
    np.testing.assert_array_equal(y.data[:, 3:], z.data[::-1])


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_sequence_without_a_batch_is_one_whatever_the_layout(batch_first):
    layer = nn.GRU(2, 3, num_layers=2, batch_first=batch_first, bidirectional=True, rng=0)
    x = normal(4, 2)
    y, h = layer(x)
    z, k = layer(x[None] if batch_first else x[:, None])
    assert (y.shape, h.shape) == ((4, 6), (4, 3))
    np.testing.assert_allclose(y.data, z.data[0] if batch_first else z.data[:, 0], rtol=1e-12)
    np.testing.assert_allclose(h.data, k.data[:, 0], rtol=1e-12)


def test_the_states_of_an_lstm_may_be_a_list_and_one_of_a_gru_an_array_of_two_rows():
    x, h, c = normal(4, 2), normal(1, 3, seed=1), normal(1, 3, seed=2)
    lstm = nn.LSTM(2, 3, rng=0)
    np.testing.assert_array_equal(lstm(x, [h, c])[0].data, lstm(x, (h, c))[0].data)
    two = nn.GRU(2, 3, num_layers=2, rng=0)
    rows = normal(2, 3, seed=3)
    assert two(x, rows)[1].shape == (2, 3)
    for wrong in ((rows,), [rows]):
        with pytest.raises((AttributeError, ShapeError)):
            two(x, wrong)
    assert repr(nn.RNN(2, 3)).startswith("RNN(2 -> 3)  ")


# --- modules ----------------------------------------------------------------------------------------------------------


def test_all_floating_numbers_change_their_dtype_and_gradients_are_cleared():
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.BatchNorm1d(2))
    model.train()(normal(3, 2).astype(np.float32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.astype(np.float64) is model
    assert {array.dtype for array in model.state_dict().values() if array.dtype.kind == "f"} == {
        np.dtype(np.float64)
    }
    assert all(p.grad is None for p in model.parameters())


def test_parameters_that_are_not_there_can_not_be_put_in_place():
    with pytest.raises(
        KeyError, match=r"no parameters scale to put others in their place: there are .*weight"
    ):
        nn.functional_call(nn.Linear(2, 2), {"scale": Tensor(1.0)}, normal(1, 2))


def test_a_loaded_buffer_is_a_copy():
    model, state = nn.BatchNorm1d(2), nn.BatchNorm1d(2).state_dict()
    model.load_state_dict(state)
    model.train()(normal(3, 2).astype(np.float32))
    fresh = nn.BatchNorm1d(2).state_dict()
    for name, array in state.items():
        np.testing.assert_array_equal(array, fresh[name])


def test_options_are_no_parameters_of_an_empty_dict():
    assert len(nn.ModuleDict()) == 0
    assert len(nn.ModuleDict(None)) == 0

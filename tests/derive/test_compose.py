"""Models composed around every cell: each shape and option parses, derives, and a sample is proved."""

from functools import cache

import pytest

import bptt
from bptt.derive.compose import LOSSES, SHAPES, identifier
from bptt.derive.errors import Error, NotationError, ShapeError

from .conftest import NAMES, load

CHOICES = [
    {},
    {"layers": 2, "embedding": True},
    {"bidirectional": True, "loss": "squared_error"},
    {"attention": True, "loss": "logistic_loss"},
]
VECTORS = [
    name
    for name in NAMES
    if any(len(dimensions) == 1 for dimensions in load(name).states.values())
    and (given := (*load(name).inputs, *load(name).indices))
    and len(load(name).inputs.get(given[0], ("",))) == 1
]
PROVED = ["rnn", "min_gru", "cornn", "sru", "names_taken", "peephole"]


def suits(shape, choice):
    """Return whether the choices go together, whatever the cell."""
    return not (
        choice.get("bidirectional")
        and shape not in ("many-to-one", "many-to-many")
        or choice.get("attention")
        and shape != "sequence-to-sequence"
        or choice.get("embedding")
        and shape == "one-to-many fed back"
    )


@cache
def composed(name, shape, number):
    return bptt.compose(load(name), shape=shape, **CHOICES[number])


def excuse(name, shape, number, error):
    """Return whether a cell has a reason of its own for not fitting."""
    cell = load(name)
    further = [n for n in (*cell.inputs, *cell.indices)[1:] if len(cell.inputs.get(n, ())) < 2]
    first = (*cell.inputs, *cell.indices)[0]
    states = [size for dimensions in cell.states.values() for size in dimensions]
    tied = bool({*cell.inputs.get(first, ())} & {*states}) or first in cell.indices
    reasons = {
        "which a one-to-many": bool(further),
        "which a decoder": bool(further),
        "and attention widens": tied or cell.inputs[first][0].isdigit(),
        "leave the embedding out": first in cell.indices,
        "a division by 0": "/" in cell.text,
        "a power of 0": "**-" in cell.text,
        "shapes conflict": tied and CHOICES[number].get("layers", 1) > 1,
    }
    return any(words in str(error) and holds for words, holds in reasons.items())


@pytest.mark.parametrize("name", VECTORS)
def test_every_cell_composes_in_every_shape(name):
    cell = load(name)
    fitted = 0
    for place, shape in enumerate(SHAPES, VECTORS.index(name)):  # each cell meets each choice in some shape
        number = next(n % len(CHOICES) for n in range(place, place + 4) if suits(shape, CHOICES[n % len(CHOICES)]))
        try:
            model = composed(name, shape, number)
        except Error as error:
            assert excuse(name, shape, number, error), error
            continue
        fitted += 1
        again = bptt.parse_model(model.text, model.name, {identifier(cell.name): cell})
        assert again == model and again.shapes == model.shapes
        assert any(block.losses for block in model.blocks)
        assert model.params
    assert fitted >= 2


@pytest.mark.parametrize("name", VECTORS)
def test_every_cell_derives_in_two_layers_both_ways_or_alone(name):
    for shape, number in (("many-to-one", 2), ("one-to-one", 0)):
        try:
            derivation = bptt.derive(composed(name, shape, number))
        except Error as error:
            assert excuse(name, shape, number, error), error
            continue
        assert derivation.gradients.keys() == derivation.model.params.keys()
        assert len(derivation.adjoints) == len(derivation.model.blocks)
        assert str(derivation)


@pytest.mark.parametrize("name", [name for name in PROVED if name in VECTORS])
@pytest.mark.parametrize(("shape", "number"), [("many-to-one", 2), ("sequence-to-sequence", 0), ("one-to-many", 0)])
def test_a_sample_is_proved(name, shape, number):
    proof = bptt.derive(composed(name, shape, number)).prove()
    assert proof.holds, str(proof)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", ["one-to-many fed back", "many-to-many"])
def test_every_loss_is_proved(shape, loss):
    proof = bptt.derive(bptt.compose("rnn", shape=shape, loss=loss)).prove()
    assert proof.holds, str(proof)


def test_attention_is_proved():
    derivation = bptt.derive(bptt.compose("rnn", shape="sequence-to-sequence", attention=True))
    assert {"U_a", "W_a", "v_a"} <= derivation.model.params.keys()
    assert derivation.prove().holds


def test_the_output_is_what_the_cell_computes_last():
    for name, output in {"lstm": "h", "sru": "h", "qrnn": "h", "cornn": "y__cornn", "mlstm": "h", "janet": "c"}.items():
        text = bptt.compose(name).text
        assert f"@ {output}" in text or f"@ {output.split('__')[0]}__layer1" in text, text


def test_a_cell_with_a_grid_gets_it_once():
    model = bptt.compose("attention_decoder", embedding=True)
    assert model.inputs == {"V": ("L", "D")}
    assert model.indices == {"x": ("T", "V"), "y": ("T", "k")}


def test_names_that_clash_with_the_text_s_own_are_labelled():
    cell = bptt.parse("x: input[m]\nu: state[n]\nE = W @ x\nb_y = tanh(E + u)\nu = b_y * q", "loss")
    model = bptt.compose(cell, embedding=True)
    assert {"W__layer1", "q__layer1", "E", "b_y"} <= model.params.keys()
    assert bptt.derive(model).prove().holds


def test_a_name_that_can_t_be_called_is_changed():
    for name in ("my-rnn", "2 rnn", "for", "été"):
        cell = bptt.parse("x: input[m]\nh: state[n]\nh = tanh(W @ x + h)", name)
        assert bptt.derive(bptt.compose(cell)).model.params.keys() == {"W", "W_hy", "b_y"}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"shape": "star"}, "unknown shape 'star'. Known: one-to-one, "),
        ({"loss": "hinge"}, "unknown loss 'hinge'. Known: cross_entropy, "),
        ({"layers": 0}, "layers must be a whole number from 1 to 50, not 0"),
        ({"layers": 1.5}, "layers must be a whole number"),
        ({"layers": 10**9}, "layers must be a whole number"),
        ({"bidirectional": True, "shape": "one-to-one"}, "can't be bidirectional"),
        ({"attention": True}, "attention is that of a decoder"),
        ({"embedding": True, "shape": "one-to-many fed back"}, "leave the embedding out"),
    ],
)
def test_choices_that_don_t_go_together(choice, message):
    with pytest.raises(Error, match=message):
        bptt.compose("lstm", **choice)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("henon", "henon has no input that is a vector"),
        ("nothing", "no cell is called 'nothing'"),
    ],
)
def test_cells_that_can_t_be_composed(cell, message):
    with pytest.raises(Error, match=message):
        bptt.compose(cell)


def test_a_cell_of_matrices_alone_has_nothing_to_read():
    cell = bptt.parse("x: input[n]\nS: state[n, n]\nS = S + outer(x, x)", "mine")
    with pytest.raises(Error, match="mine has no state that is a vector"):
        bptt.compose(cell)


def test_a_text_that_was_changed_by_hand_is_checked():
    text = bptt.compose("rnn", layers=2).text
    with pytest.raises(NotationError, match="the layer 'layer2' is never called"):
        bptt.parse_model(text.replace("layer2(", "layer1("))
    with pytest.raises(ShapeError, match="layer2 takes x as a vector of m of layer2, this is n of layer1×m"):
        bptt.parse_model(text.replace("layer2(h__layer1)", "layer2(W_xh__layer1)"))

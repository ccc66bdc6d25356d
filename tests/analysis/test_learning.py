"""Training: what is learned, what a checkpoint gives back, and what is refused."""

import math
from functools import cache

import numpy as np
import pytest

import bptt
from bptt.analysis import characters
from bptt.analysis.learning import checkpoint, language, trainer
from bptt.analysis.learning.batches import Batch, Task, streams

TEXT = "the cat sat on the mat. a cat and a rat! " * 30


@cache
def compiled(name):
    return bptt.compile(bptt.load_model(name))


def task(window=8, batch=4, text=TEXT, **told):
    return language.next_token(
        bptt.load_model("character_language_model"),
        language.of_characters(characters(text)),
        window=window,
        batch=batch,
        **told,
    )


def begun(plan=None, **sizes):
    plan = plan or trainer.Plan(rate=0.02, clip=1.0)
    return trainer.begin(compiled("character_language_model"), task(), plan, {"n": 12, "m": 6, **sizes})


def test_streams_go_on_from_window_to_window():
    made = task()
    first, second = made.batch(0), made.batch(1)
    assert not first.continues and second.continues
    np.testing.assert_array_equal(first.inputs["y"][:-1], first.inputs["w"][1:])
    np.testing.assert_array_equal(second.inputs["w"][0], first.inputs["y"][-1])
    laid, windows = streams(np.arange(100), 3, 8)
    assert windows == 4 and laid.shape == (33, 3)


def test_noised_tokens_are_swapped_in_what_is_read_alone_and_each_time_anew():
    plain, noised = task(), task(noised=0.3)
    batches = range(20)
    read = [noised.batch(number).inputs["w"] for number in batches]
    same = [np.mean(read[number] == plain.batch(number).inputs["w"]) for number in batches]
    counts = np.bincount(language.of_characters(characters(TEXT)).indices) / len(TEXT)
    assert np.mean(same) == pytest.approx(1 - 0.3 * (1 - np.sum(counts**2)), abs=0.05)
    for number in batches:
        np.testing.assert_array_equal(noised.batch(number).inputs["y"], plain.batch(number).inputs["y"])
        np.testing.assert_array_equal(noised.batch(number).inputs["w"], read[number])
    again = next(number for number in range(1, 99) if not plain.batch(number).continues)  # the first window, once more
    assert (noised.batch(again).inputs["w"] != read[0]).any()
    for one, other in zip(noised.held_out(), plain.held_out(), strict=True):
        np.testing.assert_array_equal(one.inputs["w"], other.inputs["w"])


def test_weights_decay_apart_from_the_optimiser_and_biases_do_not():
    """With a rate of 0.02 and decay 0.5, weights lose 1 % of themselves beside the optimiser's step."""
    plain, decaying = begun(trainer.Plan(rate=0.02)), begun(trainer.Plan(rate=0.02, decay=0.5))
    initial = {name: array.copy() for name, array in plain.params.items()}
    trainer.advance(plain)
    trainer.advance(decaying)
    for name, array in decaying.params.items():
        lost = 0.01 * initial[name] if array.ndim > 1 else 0
        np.testing.assert_allclose(array, plain.params[name] - lost, rtol=1e-12, atol=1e-15)
    assert any(array.ndim > 1 for array in initial.values()) and any(array.ndim == 1 for array in initial.values())


def test_the_first_loss_is_that_of_knowing_nothing_and_then_it_falls():
    training = begun()
    vocabulary = training.task.sizes["V"]
    losses = [trainer.advance(training).loss for _ in range(150)]
    # small random weights leave the softmax near uniform
    assert losses[0] == pytest.approx(math.log(vocabulary), rel=0.1)
    assert trainer.held_out_loss(training) < 0.5 * losses[0]


def test_the_states_that_are_carried_matter():
    """With states set to zero at each window the held-out loss is another."""
    training = begun()
    for _ in range(60):
        trainer.advance(training)
    fresh = [Batch(b.inputs, b.counted) for b in training.task.held_out()]
    forgetful = Task("", {}, training.task.batch, lambda: fresh)
    carried = trainer.held_out_loss(training)
    training.task = forgetful
    assert abs(trainer.held_out_loss(training) - carried) > 1e-6


@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop", "adam"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, name):
    plan = trainer.Plan(name, 0.01, clip=0.5, noise=1e-4, halve_every=4, fall=20, decay=0.1, average=0.9)
    whole, first = begun(plan), begun(plan)
    for _ in range(9):
        trainer.advance(whole)
    for _ in range(5):
        trainer.advance(first)
    file = tmp_path / "run" / "last.safetensors"
    checkpoint.write(first, file, "title = 'x'")
    found = checkpoint.read(file)
    assert found.settings == "title = 'x'" and found.done == 5
    again = begun(plan)
    checkpoint.take_up(again, found)
    for _ in range(4):
        trainer.advance(again)
    for parameter in whole.params:
        assert whole.params[parameter].tobytes() == again.params[parameter].tobytes()
        assert whole.slots[parameter]["average"].tobytes() == again.slots[parameter]["average"].tobytes()
    assert [p.name for p in file.parent.iterdir()] == ["last.safetensors"]


def test_clipping_bounds_the_step():
    training = begun(trainer.Plan("sgd", 1.0, clip=0.01))
    before = {name: array.copy() for name, array in training.params.items()}
    taken = trainer.advance(training)
    moved = math.sqrt(sum(np.sum((training.params[n] - before[n]) ** 2) for n in before))
    assert taken.clipped and taken.norm > 0.01
    assert moved == pytest.approx(0.01)


def test_the_model_is_judged_with_the_average_of_its_parameters(tmp_path):
    training = begun(trainer.Plan(rate=0.02, average=0.5))
    expected = {name: array.copy() for name, array in training.params.items()}
    for number in range(12):
        trainer.advance(training)
        keep = min(0.5, (1 + number) / (10 + number))
        expected = {name: keep * array + (1 - keep) * training.params[name] for name, array in expected.items()}
    for name, array in trainer.judged_params(training.params, training.slots).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-12)
    judged = trainer.held_out_loss(training)
    checkpoint.write(training, tmp_path / "c.safetensors")
    training.params = checkpoint.read(tmp_path / "c.safetensors").judged
    training.slots = {name: {} for name in training.params}
    assert trainer.held_out_loss(training) == judged


def test_a_loss_that_isn_t_finite_stops_and_changes_nothing():
    training = begun(trainer.Plan("momentum", 1e308))
    trainer.advance(training)
    before = {name: array.copy() for name, array in training.params.items()}
    with np.errstate(all="ignore"), pytest.raises(bptt.Error, match=r"step \d+: .*(finite|nan|inf)"):
        for _ in range(50):
            before = {name: array.copy() for name, array in training.params.items()}
            trainer.advance(training)
    for name, array in before.items():
        np.testing.assert_array_equal(array, training.params[name])


def test_starts_and_sizes():
    training = begun(trainer.Plan(start={"b_f": 1.5}))
    assert np.all(training.params["b_f"] == 1.5) and not training.params["b_i"].any()
    with pytest.raises(bptt.Error, match="no parameter is called 'b_q'"):
        begun(trainer.Plan(start={"b_q": 1.0}))
    with pytest.raises(bptt.Error, match="size V is 3, and the data need"):
        begun(V=3)
    with pytest.raises(bptt.Error, match="no optimiser is called 'adamm'"):
        begun(trainer.Plan("adamm"))


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    file = tmp_path / "c.safetensors"
    checkpoint.write(begun(), file)
    found = checkpoint.read(file)
    with pytest.raises(bptt.Error, match="of another size"):
        checkpoint.take_up(begun(n=13), found)
    with pytest.raises(bptt.Error, match=r"trained otherwise: rate = 0.02 there, 0.5 here"):
        checkpoint.take_up(begun(trainer.Plan(rate=0.5, clip=1.0)), found)
    other = trainer.begin(compiled("hello"), Task("", {}, task().batch, list), trainer.Plan(), {"n": 3})
    with pytest.raises(bptt.Error, match="of another model than hello"):
        checkpoint.take_up(other, found)
    changed = begun()
    changed.task = Task("other", changed.task.sizes, changed.task.batch, list)
    with pytest.raises(bptt.Error, match="of another task or other data"):
        checkpoint.take_up(changed, found)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    file = tmp_path / "c.safetensors"
    with pytest.raises(bptt.Error, match="there is no such checkpoint"):
        checkpoint.read(file)
    checkpoint.write(begun(), file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(bptt.Error, match="not a whole checkpoint"):
        checkpoint.read(file)
    file.write_bytes(whole[:-8] + b"\0\0\0\0\0\0\xf0?")
    with pytest.raises(bptt.Error, match="what it holds isn't what was written"):
        checkpoint.read(file)
    assert b'"done":"0"' in whole
    file.write_bytes(whole.replace(b'"done":"0"', b'"done":"9"'))  # nothing but what is told of the numbers
    with pytest.raises(bptt.Error, match="what it holds isn't what was written"):
        checkpoint.read(file)
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(2)}, file)
    with pytest.raises(bptt.Error, match="no checkpoint of bptt"):
        checkpoint.read(file)


def test_a_folder_that_can_t_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(bptt.Error, match="can't be written"):
        checkpoint.write(begun(), tmp_path / "file" / "c.safetensors")


def test_a_model_that_learned_writes_what_it_read():
    training = begun(trainer.Plan(rate=0.02, clip=1.0), n=24)
    for _ in range(250):
        trainer.advance(training)
    written = language.generate(
        training.kernel, training.params, training.task.about, length=30, prime="the c", temperature=0
    )
    assert language.joined(written, "").startswith("at sat on the mat.")


def test_generation_is_seeded_and_follows_the_temperature():
    training = begun()
    for _ in range(30):
        trainer.advance(training)

    def written(**settings):
        found = language.generate(training.kernel, training.params, training.task.about, length=60, **settings)
        return "".join(found)

    assert written(prime="a", seed=1) == written(prime="a", seed=1) != written(prime="a", seed=2)
    assert len(set(written(prime="a", temperature=5.0))) > len(set(written(prime="a", temperature=0.05)))
    with pytest.raises(bptt.Error, match="temperature is -1"):
        written(temperature=-1)
    with pytest.raises(bptt.Error, match="'Q' wasn't in the text that the model learned from. It knows:  !"):
        written(prime="Q")


def test_draws_follow_the_softmax():
    random = np.random.default_rng(0)
    logits = np.array([0.0, 1.0, -1.0])
    draws = [language._draw(logits, 2.0, random) for _ in range(20_000)]
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    # three standard errors of a share over 20,000 draws
    np.testing.assert_allclose(np.bincount(draws) / 20_000, expected, atol=3 * np.sqrt(0.25 / 20_000))


def test_a_model_that_is_no_language_model_is_told_what_one_is():
    with pytest.raises(bptt.Error, match="reads x, y: a language model reads one index.* --embedding"):
        language.roles(bptt.compose("rnn"))


def test_a_model_around_any_cell_is_a_language_model():
    model = bptt.compose("gru", embedding=True, layers=2)
    made = language.next_token(model, language.of_characters(characters(TEXT)), window=8, batch=4)
    vocabulary = len(set(TEXT))
    assert made.sizes == {"V": vocabulary, "k": vocabulary}


def test_a_message_names_no_more_characters_than_fit():
    with pytest.raises(bptt.Error, match=r"'!' wasn't .* It knows: 가각갂.{97} … \(500 characters in all\)$"):
        language.numbered("!", [chr(0xAC00 + k) for k in range(500)], "")


def test_a_text_that_is_too_short_says_so():
    with pytest.raises(bptt.Error, match="Too few for 4 streams of 8 steps"):
        task(text="short text")
    with pytest.raises(bptt.Error, match="held_out is 2"):
        language.split(language.of_characters(characters("abc")), 2)


def test_words():
    tokens = language.of_words(characters(TEXT), at_least=2)
    assert tokens.vocabulary[:2] == ("<unk>", "the") or "the" in tokens.vocabulary
    assert language.joined([tokens.vocabulary[i] for i in tokens.indices[:9]], " ") == "the cat sat on the mat. a cat"
    assert language.numbered("the zebra", tokens.vocabulary, " ").tolist() == [tokens.vocabulary.index("the"), 0]
    with pytest.raises(bptt.Error, match="no word occurs 99 times"):
        language.of_words(characters("a b"), at_least=99)

# SPDX-License-Identifier: Apache-2.0
"""AGRUCell and its loops: published numbers, a NumPy twin, names, unknown lengths, empty batches."""

import numpy as np
import pytest

from monolith.core import keras_versions
from monolith.native_training.layers import agru

import tensorflow as tf  # isort: skip

_TYPES = ["AGRU", "AUGRU", None]


def _weights(wave):
  return [wave((4, 4), 3), wave((4,), 4), wave((4, 2), 5), wave((2,), 6)]


def _sigmoid(v):
  return 1 / (1 + np.exp(-v))


def _twin(x, state, score, gates_kernel, gates_bias, kernel, bias, att_type):
  r, u = np.split(_sigmoid(np.concatenate([x, state], 1) @ gates_kernel + gates_bias), 2, axis=1)
  c = np.tanh(np.concatenate([x, r * state], 1) @ kernel + bias)
  if att_type is None:
    return (1 - u) * state + u * c
  if att_type == "AGRU":
    return (1 - score) * state + score * c
  u = (1 - score) * u
  return u * state + (1 - u) * c


def _twin_rnn(x, scores, state, *weights, att_type):
  outputs = []
  for t in range(x.shape[1]):
    state = _twin(x[:, t], state, scores[:, t : t + 1], *weights, att_type)
    outputs.append(state)
  return np.stack(outputs, 1), state


class _Stepping(tf.keras.layers.Layer):
  """A cell as a layer of one argument, for the fixture that runs layers."""

  def __init__(self, att_type):
    super().__init__()
    self.plain, self.cell = att_type is None, agru.AGRUCell(2, att_type or "AGRU")

  def call(self, inputs):
    x, state, score = inputs
    output, new_state = self.cell(x, state, None if self.plain else score)
    assert output is new_state
    return output + 0.0 * tf.reduce_sum(score)


class _Looping(tf.keras.layers.Layer):
  def __init__(self, loop, att_type="AGRU"):
    super().__init__()
    self.loop, self.cell = loop, agru.AGRUCell(2, att_type)

  def call(self, inputs):
    x, scores, state = inputs
    outputs, last = self.loop(self.cell, x, scores, init_state=state)
    return tf.concat([outputs, last[:, tf.newaxis]], 1)


def _weighted(values):
  return (values.ravel() * np.arange(1, values.size + 1)).sum()


def _assert_all_close(found, wanted, atol):
  for f, w in zip(found, wanted, strict=True):
    np.testing.assert_allclose(f, w, atol=atol)


@pytest.mark.parametrize("att_type, expected", [("AGRU", [-0.077175, 0.319449]), ("AUGRU", [0.076847, 0.134999])])
def test_published_values(run_layer, wave, att_type, expected):
  inputs = [wave((1, 2), 1), wave((1, 2), 3), np.array([[0.3]], np.float32)]
  outputs, _, _ = run_layer(lambda: _Stepping(att_type), inputs, _weights(wave))
  np.testing.assert_allclose(outputs, [expected], atol=1e-5)


@pytest.mark.parametrize("att_type", _TYPES)
def test_one_step_against_its_twin(run_layer, wave, derive, att_type):
  inputs, weights = [wave((3, 2), 1), wave((3, 2), 3), np.abs(wave((3, 1), 6))], _weights(wave)
  outputs, input_gradients, weight_gradients = run_layer(lambda: _Stepping(att_type), inputs, weights)
  np.testing.assert_allclose(outputs, _twin(*inputs, *weights, att_type), atol=1e-6)
  wanted = derive(lambda *a: _weighted(_twin(*a, att_type)), [*inputs, *weights])
  _assert_all_close([*input_gradients, *weight_gradients], wanted, 1e-4)


_LOOPS = [agru.static_rnn_with_attention, agru.dynamic_rnn_with_attention]


@pytest.mark.parametrize("loop", _LOOPS)
@pytest.mark.parametrize("att_type", ["AGRU", "AUGRU"])
def test_loops_against_their_twin(run_layer, wave, derive, loop, att_type):
  inputs, weights = [wave((2, 4, 2), 1), np.abs(wave((2, 4), 5)), wave((2, 2), 3)], _weights(wave)

  def twin(*arrays):
    outputs, state = _twin_rnn(*arrays, att_type=att_type)
    return np.concatenate([outputs, state[:, None]], 1)

  outputs, input_gradients, weight_gradients = run_layer(lambda: _Looping(loop, att_type), inputs, weights)
  np.testing.assert_allclose(outputs, twin(*inputs, *weights), atol=1e-6)
  wanted = derive(lambda *a: _weighted(twin(*a)), [*inputs, *weights])
  _assert_all_close([*input_gradients, *weight_gradients], wanted, 1e-3)


@pytest.mark.parametrize("loop", _LOOPS)
def test_a_sequence_begins_with_zeros(wave, loop):
  cell, x, scores = agru.AGRUCell(2), wave((2, 4, 2), 1), np.abs(wave((2, 4), 5))
  without, with_zeros = (loop(cell, x, scores, init_state=s) for s in (None, np.zeros((2, 2), np.float32)))
  _assert_all_close(without, with_zeros, 0)


def test_unknown_batch_and_length(in_graph, wave):
  x, scores = tf.compat.v1.placeholder(tf.float32, [None, None, 2]), tf.compat.v1.placeholder(tf.float32, [None, None])
  cell = agru.AGRUCell(2)
  outputs, state = agru.dynamic_rnn_with_attention(cell, x, scores)
  gradient = tf.gradients([outputs, state], cell.trainable_weights)
  assert outputs.shape.as_list() == [None, None, 2] and state.shape.as_list() == [None, 2]
  in_graph.run([v.assign(w) for v, w in zip(cell.weights, _weights(wave), strict=True)])
  for batch, length in [(2, 4), (1, 1), (3, 0), (0, 4), (0, 0)]:
    feed = {x: wave((batch, length, 2), 1), scores: np.abs(wave((batch, length), 5))}
    found, last, *gradients = in_graph.run([outputs, state, *gradient], feed)
    assert found.shape == (batch, length, 2) and last.shape == (batch, 2)
    assert all(np.isfinite(g).all() for g in gradients)
    if length:
      _assert_all_close(
        [found, last], _twin_rnn(*feed.values(), np.zeros((batch, 2)), *_weights(wave), att_type="AGRU"), 1e-6
      )
    else:
      assert not last.any()


def test_cells_of_others_are_called_step_by_step(wave):
  class Decay:
    def zero_state(self, batch_size, dtype):
      return tf.zeros([batch_size, 2], dtype)

    def __call__(self, x, state, att_score):
      state = att_score * state + x
      return state, state

  x, scores = wave((2, 3, 2), 1), np.abs(wave((2, 3), 5))
  expected = x[:, 0]
  for t in (1, 2):
    expected = scores[:, t : t + 1] * expected + x[:, t]
  for loop in _LOOPS:
    outputs, state = loop(Decay(), x, scores)
    np.testing.assert_allclose(state, expected, atol=1e-6)
    np.testing.assert_array_equal(outputs[:, -1], state)


def test_keras_rnn_runs_it_as_a_gru(wave):
  cell, x = agru.AGRUCell(2), wave((2, 4, 2), 1)
  rnn = tf.keras.layers.RNN(cell, return_sequences=True)
  rnn(x)
  cell.set_weights(_weights(wave))
  expected, _ = _twin_rnn(x, np.zeros((2, 4)), np.zeros((2, 2)), *_weights(wave), att_type=None)
  np.testing.assert_allclose(rnn(x), expected, atol=1e-6)


def _named():
  cell = agru.AGRUCell(3, regularizer="l2", name="c")
  agru.dynamic_rnn_with_attention(cell, tf.ones([2, 4, 5]), tf.ones([2, 4]))
  return cell


def test_weights_and_their_names():
  cell = _named()
  with keras_versions.keep_eager_layers(), tf.Graph().as_default():
    in_graph = [w.name for w in _named().weights]
  assert [w.name for w in cell.weights] == in_graph
  assert {w.name: w.shape.as_list() for w in cell.trainable_weights} == {
    "c/gates/kernel:0": [8, 6], "c/gates/bias:0": [6], "c/candidate/kernel:0": [8, 3], "c/candidate/bias:0": [3],
  }  # fmt: skip
  assert (cell.gates_bias.numpy() == 1).all() and (cell.candidate_bias.numpy() == 1).all()
  assert len(cell.losses) == 4
  assert (cell.state_size, cell.output_size, cell.zero_state(2, tf.float32).shape) == (3, 3, (2, 3))


def test_kernels_are_drawn_apart():
  cell = agru.AGRUCell(2, initializer=tf.keras.initializers.RandomNormal())
  cell.build([None, 2])
  assert np.abs(cell.gates_kernel.numpy()[:, :2] - cell.candidate_kernel.numpy()).max() > 1e-3


def test_mixed_precision_keeps_the_state_small(wave):
  cell = agru.AGRUCell(2, dtype="mixed_float16")
  half = wave((2, 4, 2), 1).astype(np.float16), np.abs(wave((2, 4), 5)).astype(np.float16)
  outputs, state = agru.dynamic_rnn_with_attention(cell, *half)
  assert outputs.dtype == state.dtype == tf.float16 and cell.gates_kernel.dtype == tf.float32


def test_create_ta(in_graph):
  array = agru.create_ta("kept", tf.constant(2), tf.float32).write(0, 1.0).write(1, 2.0)
  assert in_graph.run(array.stack()).tolist() == [1, 2]


def test_config_round_trip_and_params(wave):
  cell = agru.AGRUCell(2, "augru", "relu", "he_uniform", "l2", name="c", dtype="float64", trainable=False)
  again = agru.AGRUCell.from_config(cell.get_config())
  assert again.get_config() == cell.get_config()
  assert (again.att_type, again.name, again.dtype, again.trainable) == ("AUGRU", "c", "float64", False)
  p = agru.AGRUCell.params()
  p.units = 2
  assert p.instantiate().activation is tf.keras.activations.tanh


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: agru.AGRUCell(0), "units is 0; it must be > 0"),
    (lambda: agru.AGRUCell(2, "GRU"), "att_type is 'GRU'; it must be 'AGRU' or 'AUGRU'"),
    (lambda: agru.AGRUCell(2).build([None, None]), "last dimension must be known"),
    (
      lambda: agru.dynamic_rnn_with_attention(agru.AGRUCell(2), tf.ones([2, 3]), tf.ones([2, 3])),
      r"inputs are \(2, 3\) and att_scores \(2, 3\); pass \[B, T, in\] and \[B, T\]",
    ),
    (
      lambda: agru.dynamic_rnn_with_attention(agru.AGRUCell(2), tf.ones([2, 3, 2]), tf.ones([2, 4])),
      r"att_scores \(2, 4\); give one score for each step",
    ),
    (
      lambda: agru.static_rnn_with_attention(agru.AGRUCell(2), tf.ones([2, 0, 2]), tf.ones([2, 0])),
      "must be known and > 0. Use dynamic_rnn_with_attention",
    ),
  ],
)
def test_wrong_arguments(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_examples(run_examples):
  run_examples(agru)

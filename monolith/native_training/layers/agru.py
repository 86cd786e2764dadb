# SPDX-License-Identifier: Apache-2.0
"""A GRU whose steps are weighed by attention, and the loops that run it over sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras
from monolith.native_training.layers._recurrence import create_ta, project_all, scan
from monolith.native_training.layers.utils import dim_size

__all__ = ["AGRUCell", "create_ta", "dynamic_rnn_with_attention", "static_rnn_with_attention"]

_ATT_TYPES = ("AGRU", "AUGRU")

# inputs -> their parts of the gates and the candidate.
Projection = Callable[[tf.Tensor], list[tf.Tensor]]
# (parts, state, att_score) -> new state.
Step = Callable[[list[tf.Tensor], tf.Tensor, tf.Tensor | None], tf.Tensor]


def attention_update(
  state: tf.Tensor, update: tf.Tensor | None, candidate: tf.Tensor, att_score: tf.Tensor | None, att_type: str
) -> tf.Tensor:
  """Returns the new state of an attention GRU.

  With s the state, u the update gate, c the candidate and a the attention score:

      no score   (1 - u) s + u c
      AGRU       (1 - a) s + a c
      AUGRU      u' s + (1 - u') c, where u' = (1 - a) u

  The paper's AUGRU has `(1 - a u) s + a u c` instead. Its u is this one's 1 - u, and a scales how far the state moves,
  where here 1 - a scales how much of it stays. Existing models were trained with the form here.

  `update` may be None for AGRU with a score, which has no use for it.
  """
  if att_score is None:
    return state + update * (candidate - state)
  if att_type == "AGRU":
    return state + att_score * (candidate - state)
  return candidate + (1.0 - att_score) * update * (state - candidate)


@with_params
class AGRUCell(tf.keras.layers.Layer):
  """One step of a GRU with attention, from Deep Interest Evolution Networks (https://arxiv.org/abs/1809.03672).

  With x the input, s the state and a the attention score:

      r, u = sigmoid([x, s] W_g + b_g)
      c = activation([x, r * s] W_c + b_c)

  and the new state is made of s, u, c and a as `attention_update` says: AGRU lets the score replace the update gate,
  one number for all units; AUGRU scales the gate by it, so every unit keeps its own pace. Without a score it is a plain
  GRU.

  Inputs are `cell(x, state, att_score)`: float `[B, in]`, `[B, units]` and `[B, 1]` (or None). The output is a pair of
  one tensor, (new state, new state), `[B, units]` each. The paper has the GRU in its equations 2 to 5, AGRU in 10 and
  AUGRU in 11 and 12.

  Weights: gates/kernel `[in + units, 2 * units]`, gates/bias `[2 * units]`, candidate/kernel `[in + units, units]`,
  candidate/bias `[units]`. Biases start as ones.

  >>> cell = AGRUCell(4, att_type="AUGRU")
  >>> output, state = cell(tf.ones([2, 3]), cell.zero_state(2, tf.float32), tf.fill([2, 1], 0.3))
  >>> output.shape.as_list()
  [2, 4]

  Args:
    units: width of the state; > 0. Time and memory of a step grow with its square.
    att_type: 'AGRU' or 'AUGRU', in any case.
    activation: a Keras activation of the candidate; None is tanh.
    initializer: a Keras initializer of the kernels; None is he_normal.
    regularizer: a Keras regularizer of kernels and biases.

  Raises:
    ValueError: `units` or `att_type` is none of these, or the input's last dimension is unknown.
  """

  def __init__(
    self,
    units: int,
    att_type: str = "AGRU",
    activation: Any = None,
    initializer: Any = None,
    regularizer: Any = None,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.units = int(units)
    if self.units <= 0:
      raise ValueError(f"{self.name}: units is {units}; it must be > 0.")
    self.att_type = str(att_type).upper()
    if self.att_type not in _ATT_TYPES:
      raise ValueError(f"{self.name}: att_type is {att_type!r}; it must be 'AGRU' or 'AUGRU'.")
    self.activation = tf.keras.activations.get("tanh" if activation is None else activation)
    self.initializer = _keras.get_initializer(initializer, "he_normal")
    self.regularizer = tf.keras.regularizers.get(regularizer)

  @property
  def state_size(self) -> int:
    """Width of the state."""
    return self.units

  @property
  def output_size(self) -> int:
    """Width of the output."""
    return self.units

  def zero_state(self, batch_size: int | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns the state of a sequence that has not begun: zeros `[batch_size, units]`."""
    return tf.zeros([batch_size, self.units], dtype)

  def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> tf.Tensor:
    """Returns `zero_state` for a batch of inputs, or for a size and dtype; Keras' `RNN` asks for it."""
    if inputs is not None:
      batch_size, dtype = tf.shape(inputs)[0], inputs.dtype
    return self.zero_state(batch_size, dtype)

  def build(self, input_shape: Any) -> None:
    width = tf.TensorShape(input_shape)[-1]
    if width is None:
      raise ValueError(f"{self.name}: the input is {tf.TensorShape(input_shape)}; its last dimension must be known.")
    self._input_width = width
    self.gates_kernel, self.gates_bias = self._add_dense("gates", 2 * self.units)
    self.candidate_kernel, self.candidate_bias = self._add_dense("candidate", self.units)
    super().build(input_shape)

  def _add_dense(self, name: str, width: int) -> tuple[tf.Variable, tf.Variable]:
    shape, initializer = [self._input_width + self.units, width], _keras.get_initializer(self.initializer, None)
    kernel = self.add_weight(name=f"{name}/kernel", shape=shape, initializer=initializer, regularizer=self.regularizer)
    bias = self.add_weight(name=f"{name}/bias", shape=[width], initializer="ones", regularizer=self.regularizer)
    return kernel, bias

  def gates(self, scored: bool) -> tuple[Projection, Step]:
    """Returns the two halves of a step: `project(inputs) -> parts` and `step(parts, state, att_score) -> new state`.

    The first is what the inputs add to each gate and to the candidate, float `[..., in]` to a list of `[..., units]`.
    It does not depend on the state, so a loop projects the inputs of all times at once. Every part is a tensor of its
    own, for to split one costs as much as the product that made it. AGRU takes the score for the update gate, so that
    gate is left out.

    Args:
      scored: whether `step` will be given a score.
    """
    reset, update = (slice(0, self.units), slice(self.units, None))
    kernels, biases = (
      [self.gates_kernel[:, reset], self.candidate_kernel],
      [self.gates_bias[reset], self.candidate_bias],
    )
    if not scored or self.att_type == "AUGRU":
      kernels.append(self.gates_kernel[:, update])
      biases.append(self.gates_bias[update])
    of_inputs, of_state = zip(*(tf.split(k, [self._input_width, self.units]) for k in kernels), strict=True)

    def project(inputs: tf.Tensor) -> list[tf.Tensor]:
      return [project_all(inputs, kernel, bias) for kernel, bias in zip(of_inputs, biases, strict=True)]

    def step(parts: list[tf.Tensor], state: tf.Tensor, att_score: tf.Tensor | None) -> tf.Tensor:
      recurrent = [tf.cast(kernel, state.dtype) for kernel in of_state]
      reset = tf.sigmoid(parts[0] + tf.matmul(state, recurrent[0]))
      candidate = self.activation(parts[1] + tf.matmul(reset * state, recurrent[1]))
      update = tf.sigmoid(parts[2] + tf.matmul(state, recurrent[2])) if len(parts) > 2 else None
      return attention_update(state, update, candidate, att_score, self.att_type)

    return project, step

  def call(
    self, inputs: tf.Tensor, state: tf.Tensor | list[tf.Tensor], att_score: tf.Tensor | None = None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    # Keras' RNN keeps the states of a cell in a list.
    state = state[0] if isinstance(state, (list, tuple)) else state
    project, step = self.gates(scored=att_score is not None)
    state = step(project(inputs), state, att_score)
    return state, state

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      units=self.units,
      att_type=self.att_type,
      activation=tf.keras.activations.serialize(self.activation),
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
    )
    return config


def _check_sequences(caller: str, inputs: tf.Tensor, att_scores: tf.Tensor) -> None:
  if inputs.shape.rank not in (3, None) or att_scores.shape.rank not in (2, None):
    raise ValueError(
      f"{caller}: inputs are {inputs.shape} and att_scores {att_scores.shape}; pass [B, T, in] and [B, T]."
    )
  if not inputs.shape[:2].is_compatible_with(att_scores.shape):
    raise ValueError(
      f"{caller}: inputs are {inputs.shape}, but att_scores {att_scores.shape}; give one score for each step."
    )


def _first_state(cell: Any, inputs: tf.Tensor, init_state: tf.Tensor | None) -> tf.Tensor:
  if init_state is not None:
    return tf.convert_to_tensor(init_state)
  batch_size = dim_size(inputs, 0)
  if hasattr(cell, "get_initial_state"):
    return cell.get_initial_state(batch_size=batch_size, dtype=inputs.dtype)
  return cell.zero_state(batch_size, inputs.dtype)


def _steps_of(cell: Any, inputs: tf.Tensor) -> tuple[list[tf.Tensor], Step]:
  """Returns what a loop over `cell` reads, each `[T, B, ...]`, and `step(read, state, att_score) -> new state`.

  Args:
    cell: see `static_rnn_with_attention`.
    inputs: `[T, B, in]`.
  """
  if not isinstance(cell, AGRUCell):
    return [inputs], lambda read, state, att_score: cell(read[0], state, att_score)[1]
  if not cell.built:
    with tf.name_scope(cell.name):
      cell.build(inputs.shape)
  project, step = cell.gates(scored=True)
  return project(inputs), step


def static_rnn_with_attention(
  cell: Any, inputs: tf.Tensor, att_scores: tf.Tensor, init_state: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
  """Runs a cell over sequences of one known length, without a loop in the graph.

  The graph grows with T; for long sequences take `dynamic_rnn_with_attention`.

  >>> outputs, state = static_rnn_with_attention(AGRUCell(4), tf.ones([2, 5, 3]), tf.fill([2, 5], 0.2))
  >>> outputs.shape.as_list(), state.shape.as_list()
  ([2, 5, 4], [2, 4])

  Args:
    cell: an `AGRUCell`, or what is called as `cell(x, state, att_score) -> (output, new state)` and has `zero_state` or
      `get_initial_state`. Its output is its state.
    inputs: float `[B, T, in]`, T known.
    att_scores: float `[B, T]`.
    init_state: `[B, units]`; None is the cell's zero state.

  Returns:
    The states after every step `[B, T, units]`, and the last one `[B, units]`.

  Raises:
    ValueError: T is unknown or 0, or the shapes do not fit.
  """
  inputs, att_scores = tf.convert_to_tensor(inputs), tf.convert_to_tensor(att_scores)
  _check_sequences("static_rnn_with_attention", inputs, att_scores)
  if not inputs.shape[1]:
    raise ValueError(
      f"static_rnn_with_attention: inputs are {inputs.shape}; the number of steps must be known and > 0. "
      "Use dynamic_rnn_with_attention."
    )
  state = _first_state(cell, inputs, init_state)
  sequences, step = _steps_of(cell, tf.transpose(inputs, [1, 0, 2]))
  outputs = []
  for *read, att_score in zip(
    *map(tf.unstack, sequences), tf.unstack(att_scores, inputs.shape[1], axis=1), strict=True
  ):
    state = step(read, state, att_score[:, tf.newaxis])
    outputs.append(state)
  return tf.stack(outputs, axis=1), state


def dynamic_rnn_with_attention(
  cell: Any,
  inputs: tf.Tensor,
  att_scores: tf.Tensor,
  parallel_iterations: int = 1,
  swap_memory: bool = True,
  init_state: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Runs a cell over sequences in a loop; T may be unknown, and 0.

  >>> outputs, state = dynamic_rnn_with_attention(AGRUCell(4), tf.ones([2, 5, 3]), tf.fill([2, 5], 0.2))
  >>> outputs.shape.as_list(), state.shape.as_list()
  ([2, 5, 4], [2, 4])

  Args:
    cell: as for `static_rnn_with_attention`. A Keras layer of one's own must be built before it comes here.
    inputs: float `[B, T, in]`.
    att_scores: float `[B, T]`.
    parallel_iterations: steps of the loop that may run at once; they wait for the state anyway.
    swap_memory: let what the gradient needs move from GPU to host memory.
    init_state: `[B, units]`; None is the cell's zero state.

  Returns:
    The states after every step `[B, T, units]`, and the last one `[B, units]`; zeros if there was no step.

  Raises:
    ValueError: the shapes do not fit.
  """
  inputs, att_scores = tf.convert_to_tensor(inputs), tf.convert_to_tensor(att_scores)
  _check_sequences("dynamic_rnn_with_attention", inputs, att_scores)
  state = _first_state(cell, inputs, init_state)
  # The inputs are narrower than what they are projected to, hence the ones to transpose.
  sequences, step = _steps_of(cell, tf.transpose(inputs, [1, 0, 2]))
  outputs, state = scan(
    lambda at, old: step(at[:-1], old, at[-1]),
    [*sequences, tf.transpose(att_scores)[:, :, tf.newaxis]],
    state,
    parallel_iterations=parallel_iterations,
    swap_memory=swap_memory,
  )
  return tf.transpose(outputs, [1, 0, 2]), state

# SPDX-License-Identifier: Apache-2.0
"""DIEN: how a user's interest evolved towards the item at hand."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras
from monolith.native_training.layers._recurrence import project_all, scan
from monolith.native_training.layers._input_shapes import query_and_keys
from monolith.native_training.layers.agru import AGRUCell


def gru_update(parts: list[tf.Tensor], state: tf.Tensor, recurrent: Any, biases: Any, activation: Any) -> tf.Tensor:
  """Returns the new state of Keras' GRU with `reset_after`.

  Args:
    parts: the input's parts of update gate, reset gate and candidate, with their biases; float `[B, units]` each.
    state: float `[B, units]`.
    recurrent: kernels `[units, units]` of the state's three parts.
    biases: theirs, `[units]` each.
    activation: function of the candidate.
  """
  of_state = [tf.nn.bias_add(tf.matmul(state, kernel), bias) for kernel, bias in zip(recurrent, biases, strict=True)]
  update, reset = tf.sigmoid(parts[0] + of_state[0]), tf.sigmoid(parts[1] + of_state[1])
  candidate = activation(parts[2] + reset * of_state[2])
  return candidate + update * (state - candidate)


@with_params
class DIEN(tf.keras.layers.Layer):
  """Follows a user's interests through time, and the one that leads to the item (https://arxiv.org/abs/1809.03672).

  A GRU over the sequence extracts the interests h_t (equations 2 to 5). A softmax over time of `h_t · (W q)` says how
  much each has to do with the query q (equation 8). A second GRU runs over the h_t, its steps weighed by these scores
  (equation 10, or 11 and 12; see `AGRUCell`), and its last state is the output.

  Inputs are float tensors: a query `[B, num_units]`, and a sequence `[B, T, in]`, the oldest first; T may be unknown,
  and 0. Give them as a pair, or the sequence as `keys=`. A third input, a mask, is taken for the sake of callers that
  share inputs with `DIN`, and **not** looked at: padded steps count, so put them first or cut them off. The output is
  `[B, num_units]`.

  Weights: attention_weight `[num_units, num_units]`; gru_cell/kernel `[in, 3 * num_units]`, gru_cell/recurrent_kernel
  `[num_units, 3 * num_units]`, gru_cell/bias `[2, 3 * num_units]` as in Keras' GRUCell; augru_cell/... as in
  `AGRUCell`.

  >>> DIEN(8, att_type="AUGRU", activation="tanh")([tf.ones([2, 8]), tf.ones([2, 5, 3])]).shape.as_list()
  [2, 8]

  Args:
    num_units: width of both GRUs, and of the query. Time grows with its square, and with T, since steps wait for each
      other: for long sequences `DIN` is much faster.
    att_type: 'AGRU', where a score replaces the update gate, or 'AUGRU', where it scales it, as the paper recommends.
    activation: a Keras activation of the candidates; None is linear. relu can grow without bound over long sequences;
      the paper has tanh.
    initializer: Keras initializer of all kernels but the recurrent one, which is orthogonal; None is he_uniform.
    regularizer: Keras regularizer of gru_cell/kernel, attention_weight and the weights of the second GRU.

  Raises:
    ValueError: an argument is none of these, or the inputs have other shapes.
  """

  def __init__(
    self,
    num_units: int,
    att_type: str = "AGRU",
    activation: Any = "relu",
    initializer: Any = None,
    regularizer: Any = None,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.num_units = int(num_units)
    if self.num_units <= 0:
      raise ValueError(f"{self.name}: num_units is {num_units}; it must be > 0.")
    self.activation = tf.keras.activations.get(activation)
    self.initializer = _keras.get_initializer(initializer, "he_uniform")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.gru_cell = tf.keras.layers.GRUCell(
      self.num_units,
      activation=self.activation,
      kernel_initializer=_keras.get_initializer(self.initializer, None),
      kernel_regularizer=self.regularizer,
      name="gru_cell",
      dtype=self._dtype_policy,
    )
    self.augru_cell = AGRUCell(
      self.num_units, att_type, self.activation, self.initializer, self.regularizer, name="augru_cell",
      dtype=self._dtype_policy,
    )  # fmt: skip
    self.att_type = self.augru_cell.att_type

  def __call__(self, inputs: Any, *args: Any, keys: Any = None, **kwargs: Any) -> tf.Tensor:
    # The weights depend on the width of the keys, and Keras tells `build` the shapes of the first argument alone.
    return super().__call__(inputs if keys is None else [inputs, keys], *args, **kwargs)

  def build(self, input_shape: Any) -> None:
    query, keys = query_and_keys(self.name, input_shape)
    if query[-1] != self.num_units:
      raise ValueError(f"{self.name}: the query is {query}, but num_units is {self.num_units}; make them equal.")
    self.weight = self.add_weight(
      name="attention_weight",
      shape=[self.num_units, self.num_units],
      initializer=_keras.get_initializer(self.initializer, None),
      regularizer=self.regularizer,
    )
    for cell, width in ((self.gru_cell, keys[-1]), (self.augru_cell, self.num_units)):
      if not cell.built:
        with tf.name_scope(cell.name):
          cell.build(tf.TensorShape([None, width]))
    super().build(input_shape)

  def call(self, inputs: Any) -> tf.Tensor:
    queries, keys = inputs[0], inputs[1]
    start = self.augru_cell.get_initial_state(keys)
    interests = self._interests(tf.transpose(keys, [1, 0, 2]), start)
    scores = self._scores(queries, interests)
    project, step = self.augru_cell.gates(scored=True)
    _, state = scan(
      lambda at, old: step(at[:-1], old, at[-1]),
      [*project(interests), scores[:, :, tf.newaxis]],
      start,
      keep_outputs=False,
    )
    return tf.ensure_shape(state, [queries.shape[0], self.num_units])

  def _interests(self, keys: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Returns the states of the first GRU `[T, B, num_units]` for keys `[T, B, in]`."""
    cell, dtype = self.gru_cell, keys.dtype
    weights = [cell.kernel, cell.bias[0], cell.recurrent_kernel, cell.bias[1]]
    # Gate by gate: to split the states' products at every step would cost as much as they do.
    kernels, biases, recurrent, of_state = (tf.split(tf.cast(w, dtype), 3, axis=-1) for w in weights)
    interests, _ = scan(
      lambda at, old: gru_update(at, old, recurrent, of_state, self.activation),
      [project_all(keys, kernel, bias) for kernel, bias in zip(kernels, biases, strict=True)],
      start,
    )
    return interests

  def _scores(self, queries: tf.Tensor, interests: tf.Tensor) -> tf.Tensor:
    """Returns the share of each step in the attention, `[T, B]`."""
    wanted = tf.matmul(queries, tf.cast(self.weight, queries.dtype), transpose_b=True)
    return tf.nn.softmax(tf.reduce_sum(interests * wanted, axis=-1), axis=0)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return query_and_keys(self.name, input_shape)[0]

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      num_units=self.num_units,
      att_type=self.att_type,
      activation=tf.keras.activations.serialize(self.activation),
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
    )
    return config

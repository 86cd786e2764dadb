# SPDX-License-Identifier: Apache-2.0
"""SNR: learned routes from one layer's sub-networks to the next layer's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras
from monolith.native_training.layers._input_shapes import shapes_of
from monolith.native_training.layers._modes import TRAIN, check_mode
from monolith.native_training.layers.utils import EPSILON

_TYPES = ("trans", "aver")


@tf.custom_gradient
def hard_concrete_ste(x: tf.Tensor) -> Any:
  """Clips to [0, 1], but lets the gradient through as it is: a straight-through estimator.

  >>> hard_concrete_ste(tf.constant([-0.5, 0.25, 1.5])).numpy().tolist()
  [0.0, 0.25, 1.0]

  Args:
    x: float, any shape.

  Returns:
    A tensor like `x`.
  """
  return tf.clip_by_value(x, 0.0, 1.0), lambda gradient: gradient


def hard_concrete_gate(
  log_alpha: tf.Tensor, u: tf.Tensor | None, beta: float, gamma: float, zeta: float, use_ste: bool
) -> tf.Tensor:
  """Returns gates in [0, 1], 0 and 1 included.

  With s = sigmoid((ln u - ln(1 - u) + log_alpha) / beta) a gate is s (zeta - gamma) + gamma, clipped (equations 10 and
  11 of https://arxiv.org/abs/1712.01312).

  Args:
    log_alpha: float, any shape; the larger, the more open.
    u: samples of (0, 1), like `log_alpha`; None stands for no sampling, where s = sigmoid(log_alpha) (equation 13).
    beta: temperature of sampled gates; towards 0 they become 0 or 1.
    gamma: what 0 is stretched to; < 0.
    zeta: what 1 is stretched to; > 1.
    use_ste: let gradients pass clipped gates.
  """
  if u is None:
    s = tf.sigmoid(log_alpha)
  else:
    s = tf.sigmoid((tf.math.log(u) - tf.math.log1p(-u) + log_alpha) / beta)
  stretched = s * (zeta - gamma) + gamma
  return hard_concrete_ste(stretched) if use_ste else tf.clip_by_value(stretched, 0.0, 1.0)


@with_params
class SNR(tf.keras.layers.Layer):
  """Sub-network routing (https://doi.org/10.1609/aaai.v33i01.3301216).

  Every output is a sum over all inputs, each through a gate of its route: `output_j = sum over i of z_ij (x_i W_ij)` in
  type 'trans' and `sum of z_ij x_i` in type 'aver'. Gates are hard concrete variables (Louizos et al., 2018,
  https://arxiv.org/abs/1712.01312, section 2.2), which training can close (0) or open (1) for good. A route has one
  gate for the whole batch.

  Routes, and with them the products and weights of 'trans', are as many as inputs times outputs; what a closed gate
  leaves out is computed all the same.

  Input is a list of float tensors `[B, d_in]`, or one; the output is a list of num_out_subnet tensors
  `[B, out_subnet_dim]`.

  In mode 'train' the gates are sampled in every call, otherwise they are what log_alpha says. The expected number of
  open routes, `sum of sigmoid(log_alpha - beta ln(-gamma / zeta))`, is in `losses` in every mode; times a factor of
  one's own it asks for fewer routes, and the model's author adds it.

  Weights, with route r = i * num_out_subnet + j: log_alpha `[routes, 1]` (zeros), and for 'trans' weight
  `[routes, d_in * out_subnet_dim]`, whose row r is W_ij row by row.

  >>> snr = SNR(3, 4, mode="infer")
  >>> [output.shape.as_list() for output in snr([tf.ones([2, 5]), tf.ones([2, 5])])]
  [[2, 4], [2, 4], [2, 4]]

  Args:
    num_out_subnet: number of outputs; > 0.
    out_subnet_dim: their width; > 0.
    snr_type: 'trans', or 'aver', which has no weights but the gates, and where d_in must be out_subnet_dim.
    zeta: upper end of the stretched gates; > 1. The farther out the ends, the more gates are quite open or closed.
    gamma: lower end of the stretched gates; < 0.
    beta: temperature of the sampled gates; > 0.
    use_ste: let gradients pass quite open and quite closed gates, which get none otherwise.
    mode: 'train', 'eval' or 'infer'.
    initializer: Keras initializer of weight; None is glorot_uniform.
    regularizer: Keras regularizer of weight.

  Raises:
    ValueError: an argument is none of these, or the inputs are not of one known width.
  """

  def __init__(
    self,
    num_out_subnet: int,
    out_subnet_dim: int,
    snr_type: str = "trans",
    zeta: float = 1.1,
    gamma: float = -0.1,
    beta: float = 0.5,
    use_ste: bool = False,
    mode: str = TRAIN,
    initializer: Any = "glorot_uniform",
    regularizer: Any = None,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    if snr_type not in _TYPES:
      raise ValueError(f"{self.name}: snr_type is {snr_type!r}; it must be 'trans' or 'aver'.")
    if min(num_out_subnet, out_subnet_dim) <= 0:
      raise ValueError(f"{self.name}: {num_out_subnet} outputs of width {out_subnet_dim}; both must be > 0.")
    if not (gamma < 0 and zeta > 1 and beta > 0):
      raise ValueError(
        f"{self.name}: gamma is {gamma}, zeta {zeta} and beta {beta}; they must be < 0, > 1 and > 0, so that gates can "
        "close and open."
      )
    self.num_out_subnet, self.out_subnet_dim, self.snr_type = int(num_out_subnet), int(out_subnet_dim), snr_type
    self.zeta, self.gamma, self.beta, self.use_ste = zeta, gamma, beta, use_ste
    self.mode = check_mode(self.name, mode)
    self.initializer = _keras.get_initializer(initializer, "glorot_uniform")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.weight: Any = None

  def _in_dim(self, input_shape: Any) -> int:
    """Returns the common width of the inputs."""
    shapes = shapes_of(input_shape)
    width = shapes[0][-1] if shapes and shapes[0].rank == 2 else None
    if width is None or any(s.rank != 2 or s[-1] != width for s in shapes):
      raise ValueError(f"{self.name}: the input is {input_shape}; pass a list of [B, d_in], all of one known width.")
    if self.snr_type == "aver" and width != self.out_subnet_dim:
      raise ValueError(
        f"{self.name}: the inputs are {width} wide, but out_subnet_dim is {self.out_subnet_dim}; make them equal for "
        "snr_type 'aver', or take 'trans'."
      )
    return width

  def build(self, input_shape: Any) -> None:
    self.in_subnet_dim, self.num_in_subnet = self._in_dim(input_shape), len(shapes_of(input_shape))
    routes = self.num_in_subnet * self.num_out_subnet
    self.log_alpha = self.add_weight(name="log_alpha", shape=[routes, 1], initializer="zeros")
    if self.snr_type == "trans":
      self.weight = self.add_weight(
        name="weight",
        shape=[routes, self.in_subnet_dim * self.out_subnet_dim],
        initializer=_keras.get_initializer(self.initializer, None),
        regularizer=self.regularizer,
      )
    # A function, which Keras asks at every step, as it does for regularizers; a tensor made here would be frozen.
    self.add_loss(self.l0_loss)
    super().build(input_shape)

  def l0_loss(self) -> tf.Tensor:
    """Returns the expected number of open routes, a scalar (equation 12 of https://arxiv.org/abs/1712.01312)."""
    return tf.reduce_sum(tf.sigmoid(self.log_alpha - self.beta * math.log(-self.gamma / self.zeta)))

  def sample(self) -> tf.Tensor:
    """Returns the gates of all routes, `[routes, 1]`: random ones in mode 'train'."""
    log_alpha = tf.convert_to_tensor(self.log_alpha)
    u = None
    if self.mode == TRAIN:
      u = tf.random.uniform(log_alpha.shape, minval=EPSILON, maxval=1.0, dtype=log_alpha.dtype)
    return hard_concrete_gate(log_alpha, u, self.beta, self.gamma, self.zeta, self.use_ste)

  def call(self, inputs: tf.Tensor | Sequence[tf.Tensor]) -> list[tf.Tensor]:
    inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if len(inputs) != self.num_in_subnet:
      raise ValueError(f"{self.name}: got {len(inputs)} inputs, but was built for {self.num_in_subnet}.")
    num_in, num_out = self.num_in_subnet, self.num_out_subnet
    z = tf.cast(self.sample(), inputs[0].dtype)
    if self.snr_type == "aver":
      gates = tf.reshape(z, [num_in, num_out])
      return tf.unstack(tf.tensordot(gates, tf.stack(inputs), [[0], [0]]), num=num_out)
    blocks = tf.reshape(tf.cast(self.weight, z.dtype) * z, [num_in, num_out, self.in_subnet_dim, self.out_subnet_dim])
    matrix = tf.reshape(
      tf.transpose(blocks, [0, 2, 1, 3]), [num_in * self.in_subnet_dim, num_out * self.out_subnet_dim]
    )
    return tf.split(tf.matmul(tf.concat(inputs, axis=1), matrix), num_out, axis=1)

  def compute_output_shape(self, input_shape: Any) -> list[tf.TensorShape]:
    self._in_dim(input_shape)
    return [shapes_of(input_shape)[0][:1].concatenate(self.out_subnet_dim)] * self.num_out_subnet

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    names = ("num_out_subnet", "out_subnet_dim", "snr_type", "zeta", "gamma", "beta", "use_ste", "mode")
    config.update({name: getattr(self, name) for name in names})
    config.update(
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
    )
    return config

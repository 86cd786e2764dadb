# SPDX-License-Identifier: Apache-2.0
"""DCN: crosses of the input with functions of itself, in residual layers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _kernel_norm, _keras
from monolith.native_training.layers.utils import DCNType

_TYPES = (DCNType.VECTOR, DCNType.MATRIX, DCNType.MIXED)
_MODES = ("train", "eval", "infer")


def cross_vector(x0: tf.Tensor, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """`x0 · (x · kernel) + bias + x` for rows `[N, d]` and kernel `[d, 1]` (DCN, equation 3)."""
  return x0 * tf.matmul(x, kernel) + bias + x


def cross_matrix(x0: tf.Tensor, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """`x0 ⊙ (x · kernel + bias) + x` for rows `[N, d]` and kernel `[d, d]` (DCN V2, equation 1)."""
  return x0 * (tf.matmul(x, kernel) + bias) + x


def cross_experts(
  x0: tf.Tensor, x: tf.Tensor, u: list[tf.Tensor], v: list[tf.Tensor], c: list[tf.Tensor], g: list[tf.Tensor],
  bias: tf.Tensor,
) -> tf.Tensor:  # fmt: skip
  """`Σ_e gate_e · x0 ⊙ (tanh(tanh(x · V_e) · C_e) · U_eᵀ + bias) + x`, gates a softmax over e of `x · G_e`.

  DCN V2, equations 3 and 4. The gates add up to 1, so the bias leaves the sum, and the experts' last products are one.

  Args:
    x0, x: `[N, d]`.
    u, v: for each expert `[d, r]`.
    c: for each expert `[r, r]`.
    g: for each expert `[d, 1]`.
    bias: `[1, d]`.
  """
  hidden = tf.split(tf.tanh(tf.matmul(x, tf.concat(v, 1))), len(v), axis=1)
  gates = tf.split(tf.nn.softmax(tf.matmul(x, tf.concat(g, 1)), axis=1), len(g), axis=1)
  hidden = [tf.tanh(tf.matmul(h, c_e)) * gate for h, c_e, gate in zip(hidden, c, gates, strict=True)]
  mixed = tf.matmul(tf.concat(hidden, 1), tf.concat(u, 1), transpose_b=True)
  return x0 * (mixed + bias) + x


@with_params
class DCN(tf.keras.layers.Layer):
  """Deep and cross network: each layer multiplies the input into a function of the layer before.

  Sources: Wang et al., 2017, https://arxiv.org/abs/1708.05123 ('vector'), and Wang et al., 2020,
  https://arxiv.org/abs/2008.13535 ('matrix', 'mixed'); the formulas are in `cross_vector`, `cross_matrix` and
  `cross_experts`.

  Input and output shape: float `[B, d]` or `[B, n, d]`; crosses are within d.

  A layer has d weights as 'vector', d² as 'matrix', and `num_experts * (2 * d * r + r² + d)` as 'mixed' with r the
  `low_rank`, which is less than 'matrix' for small r. Crosses of degree k need k - 1 layers.

  Weights of layer i, and of its expert e: kernel_i `[d, 1]` or `[d, d]`, or U_i_e and V_i_e `[d, r]`, C_i_e `[r, r]`,
  G_i_e `[d, 1]`; bias_i `[1, d]`, zeros. With `allow_kernel_norm` each of them but the bias has a
  `<weight>/trainable_norm` with its columns' lengths; see `Dense`.

  >>> DCN(dcn_type="vector", initializer="ones")(tf.constant([[1., 2.]])).numpy().tolist()
  [[4.0, 8.0]]

  Args:
    layer_num: cross layers; > 0.
    dcn_type: 'vector', 'matrix' or 'mixed'.
    initializer: of all weights but the biases; None is glorot_normal. Each weight draws its own values.
    regularizer: of the same weights.
    num_experts: experts of 'mixed'; > 0.
    low_rank: r of 'mixed'; > 0.
    allow_kernel_norm: give the columns of the weights lengths that are learned.
    use_dropout: drop units of each layer's output in mode 'train'.
    keep_prob: the share that is kept.
    mode: 'train', 'eval' or 'infer'.

  Raises:
    ValueError: an argument is not as above, or the input is not `[B, d]` or `[B, n, d]` with a known d.
  """

  def __init__(
    self,
    layer_num: int = 1,
    dcn_type: str = DCNType.MATRIX,
    initializer: Any = None,
    regularizer: Any = None,
    num_experts: int = 1,
    low_rank: int = 0,
    allow_kernel_norm: bool = False,
    use_dropout: bool = False,
    keep_prob: float = 0.95,
    mode: str = "train",
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.layer_num = int(layer_num)
    self.dcn_type = dcn_type
    self.initializer = _keras.get_initializer(initializer, "glorot_normal")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.num_experts = int(num_experts)
    self.low_rank = int(low_rank)
    self.allow_kernel_norm = allow_kernel_norm
    self.use_dropout = use_dropout
    self.keep_prob = keep_prob
    self.mode = mode
    self._check_arguments()
    self._by_name: dict[str, tf.Variable] = {}

  def _check_arguments(self) -> None:
    if self.layer_num <= 0:
      raise ValueError(f"{self.name}: layer_num is {self.layer_num}; it must be > 0.")
    if self.dcn_type not in _TYPES:
      raise ValueError(f"{self.name}: dcn_type is {self.dcn_type!r}; it must be one of {', '.join(_TYPES)}.")
    if self.dcn_type == DCNType.MIXED and (self.num_experts <= 0 or self.low_rank <= 0):
      raise ValueError(
        f"{self.name}: num_experts is {self.num_experts} and low_rank {self.low_rank}; 'mixed' needs both > 0."
      )
    if not 0 < self.keep_prob <= 1:
      raise ValueError(f"{self.name}: keep_prob is {self.keep_prob}; it must be in (0, 1].")
    if self.mode not in _MODES:
      raise ValueError(f"{self.name}: mode is {self.mode!r}; it must be one of {', '.join(_MODES)}.")

  def build(self, input_shape: Any) -> None:
    shape = tf.TensorShape(input_shape)
    if shape.rank not in (2, 3) or shape[-1] is None:
      raise ValueError(f"{self.name}: the input is {shape}; it must be [B, d] or [B, n, d] with a known d.")
    for i in range(self.layer_num):
      for name, kernel_shape in self._kernel_shapes(i, shape[-1]).items():
        self._add_kernel(name, kernel_shape)
      self._by_name[f"bias_{i}"] = self.add_weight(name=f"bias_{i}", shape=[1, shape[-1]], initializer="zeros")
    super().build(input_shape)

  def _kernel_shapes(self, i: int, dim: int) -> dict[str, list[int]]:
    if self.dcn_type != DCNType.MIXED:
      return {f"kernel_{i}": [dim, 1 if self.dcn_type == DCNType.VECTOR else dim]}
    shapes = {"U": [dim, self.low_rank], "V": [dim, self.low_rank], "C": [self.low_rank] * 2, "G": [dim, 1]}
    return {f"{letter}_{i}_{e}": shape for letter, shape in shapes.items() for e in range(self.num_experts)}

  def _add_kernel(self, name: str, shape: list[int]) -> None:
    initializer = _keras.get_initializer(self.initializer, None)
    if self.allow_kernel_norm:
      dtype = tf.as_dtype(self.dtype or tf.keras.backend.floatx())
      initializer, norms = _kernel_norm.draw_with_norms(initializer, shape, dtype)
    self._by_name[name] = self.add_weight(name=name, shape=shape, initializer=initializer, regularizer=self.regularizer)
    if self.allow_kernel_norm:
      name = f"{name}/trainable_norm"
      self._by_name[name] = self.add_weight(name=name, shape=shape[1:], initializer=norms)

  def _kernel(self, name: str) -> tf.Tensor:
    """The kernel in effect, normalized if it is to be."""
    kernel = tf.convert_to_tensor(self._by_name[name])
    if not self.allow_kernel_norm:
      return kernel
    return _kernel_norm.normalize(kernel, tf.convert_to_tensor(self._by_name[f"{name}/trainable_norm"]))

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    x0 = x = tf.reshape(inputs, [-1, inputs.shape[-1]])
    for i in range(self.layer_num):
      x = self._cross(i, x0, x)
      if self.use_dropout and self.mode == "train":
        x = tf.nn.dropout(x, rate=1 - self.keep_prob)
    return tf.ensure_shape(tf.reshape(x, tf.shape(inputs)), inputs.shape)

  def _cross(self, i: int, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    bias = tf.convert_to_tensor(self._by_name[f"bias_{i}"])
    if self.dcn_type == DCNType.VECTOR:
      return cross_vector(x0, x, self._kernel(f"kernel_{i}"), bias)
    if self.dcn_type == DCNType.MATRIX:
      return cross_matrix(x0, x, self._kernel(f"kernel_{i}"), bias)
    u, v, c, g = ([self._kernel(f"{letter}_{i}_{e}") for e in range(self.num_experts)] for letter in "UVCG")
    return cross_experts(x0, x, u, v, c, g, bias)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return tf.TensorShape(input_shape)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      layer_num=self.layer_num,
      dcn_type=self.dcn_type,
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
      num_experts=self.num_experts,
      low_rank=self.low_rank,
      allow_kernel_norm=self.allow_kernel_norm,
      use_dropout=self.use_dropout,
      keep_prob=self.keep_prob,
      mode=self.mode,
    )
    return config

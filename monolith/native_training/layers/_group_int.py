# SPDX-License-Identifier: Apache-2.0
"""GroupInt: the features of one group crossed with those of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras, _shapes, layer_ops
from monolith.native_training.layers.mlp import MLP
from monolith.native_training.layers.utils import MergeType, merge_tensor_list

_TYPES = ("multiply", "dot")


@with_params
class GroupInt(tf.keras.layers.Layer):
  """Crosses every feature of a left group with every feature of a right group.

  Source: Juan et al., 2016, https://doi.org/10.1145/2959100.2959134, equation 4 (field-aware factorization machines),
  restricted to pairs across the groups;
  the attention is that of Xiao et al., 2017, https://arxiv.org/abs/1708.04617, equation 5, without its softmax.

  Input shape: a pair (left, right) of lists of L and R float tensors `[B, D]`.
  Output shape: 'multiply' has L * R features of width D, left first: `[B, L * R * D]` ('concat'), `[B, L * R, D]`
  ('stack') or a list of `[B, D]` (None). 'dot' has the same with a width of 1.

  The output of 'multiply' is D times as wide as that of 'dot', and so is the kernel of a dense layer behind it.

  >>> left, right = [tf.constant([[1., 2.]])], [tf.constant([[3., 4.]]), tf.constant([[5., 6.]])]
  >>> GroupInt()((left, right)).numpy().tolist()
  [[3.0, 8.0, 5.0, 12.0]]
  >>> GroupInt(interaction_type="dot")((left, right)).numpy().tolist()
  [[11.0, 17.0]]

  Args:
    interaction_type: 'multiply' for products element by element, 'dot' for inner products.
    use_attention: weigh each pair by what an MLP makes of its product; only with 'multiply'.
    attention_units: widths of that MLP's layers; the last is 1.
    activation: its activation, but of the last layer; see `MLP`.
    initializer: of its kernels; None is glorot_normal.
    regularizer: of its kernels.
    out_type: 'concat', 'stack' or None.
    keep_list: return a list also of one tensor.

  Raises:
    ValueError: the type is unknown; attention is asked of 'dot', or its last width is not 1; a group is empty, or the
      features' widths differ or are not known.
  """

  def __init__(
    self,
    interaction_type: str = "multiply",
    use_attention: bool = False,
    attention_units: Sequence[int] | None = None,
    activation: Any = "relu",
    initializer: Any = None,
    regularizer: Any = None,
    out_type: str | None = "concat",
    keep_list: bool = False,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.interaction_type = interaction_type
    self.use_attention = use_attention
    self.attention_units = None if attention_units is None else [int(units) for units in attention_units]
    self.activation = tf.keras.activations.get(activation)
    self.initializer = _keras.get_initializer(initializer, "glorot_normal")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.out_type = out_type
    self.keep_list = keep_list
    self._check_arguments()
    self.attention_mlp = self._make_attention() if use_attention else None

  def _check_arguments(self) -> None:
    if self.interaction_type not in _TYPES:
      raise ValueError(f"{self.name}: interaction_type is {self.interaction_type!r}; it must be 'multiply' or 'dot'.")
    _shapes.check_out_type(self.name, self.out_type)
    if not self.use_attention:
      return
    if self.interaction_type != "multiply":
      raise ValueError(f"{self.name}: use_attention weighs products, but interaction_type is 'dot'; use 'multiply'.")
    if not self.attention_units or self.attention_units[-1] != 1:
      raise ValueError(
        f"{self.name}: attention_units is {self.attention_units}; the last must be 1, one weight a pair."
      )

  def _make_attention(self) -> MLP:
    return MLP(
      self.attention_units or [],
      activations=self.activation,
      initializers=self.initializer,
      kernel_regularizer=self.regularizer,
      name="groupint_attention_mlp",
      dtype=self._dtype_policy,
    )

  def _sizes(self, input_shape: Any) -> tuple[int | None, int, int]:
    """Returns batch, L * R and D."""
    if not isinstance(input_shape, (list, tuple)) or len(input_shape) != 2:
      raise ValueError(f"{self.name}: the inputs have shapes {input_shape}; pass a pair (left, right) of lists.")
    groups = [[tf.TensorShape(shape) for shape in group] for group in input_shape]
    if not all(groups):
      raise ValueError(
        f"{self.name}: {len(groups[0])} features on the left and {len(groups[1])} on the right; 0 cross."
      )
    dims = {_shapes.known_dims(self.name, shape, 2, "[B, dim]")[0] for group in groups for shape in group}
    if len(dims) > 1:
      raise ValueError(f"{self.name}: features of widths {sorted(dims)}; all must have the same.")
    return groups[0][0][0], len(groups[0]) * len(groups[1]), dims.pop()

  def build(self, input_shape: Any) -> None:
    _, num_pairs, dim = self._sizes(input_shape)
    if self.attention_mlp is not None:
      with tf.name_scope(self.attention_mlp.name):
        self.attention_mlp.build(tf.TensorShape([None, num_pairs, dim]))
    super().build(input_shape)

  def call(self, inputs: tuple[list[tf.Tensor], list[tf.Tensor]]) -> tf.Tensor | list[tf.Tensor]:
    left, right = inputs
    dim = left[0].shape[-1]
    crossed = layer_ops.ffm_of_features(left, right, self.interaction_type)
    if self.out_type == MergeType.CONCAT and self.attention_mlp is None and not self.keep_list:
      return crossed
    width = dim if self.interaction_type == "multiply" else 1
    pairs = tf.reshape(crossed, [tf.shape(crossed)[0], len(left) * len(right), width])
    if self.attention_mlp is not None:
      pairs *= self.attention_mlp(pairs)
    return merge_tensor_list(pairs, self.out_type, keep_list=self.keep_list)

  def compute_output_shape(self, input_shape: Any) -> Any:
    batch, num_pairs, dim = self._sizes(input_shape)
    width = dim if self.interaction_type == "multiply" else 1
    return _shapes.merged_shape(batch, [width] * num_pairs, self.out_type, self.keep_list)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      interaction_type=self.interaction_type,
      use_attention=self.use_attention,
      attention_units=self.attention_units,
      activation=tf.keras.activations.serialize(self.activation),
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
      out_type=self.out_type,
      keep_list=self.keep_list,
    )
    return config

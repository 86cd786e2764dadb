# SPDX-License-Identifier: Apache-2.0
"""SeNet: features weighed by what all of them are on average."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras, _shapes
from monolith.native_training.layers.mlp import MLP
from monolith.native_training.layers.utils import MergeType, merge_tensor_list


@with_params
class SeNet(tf.keras.layers.Layer):
  """Squeeze and excitation: each feature's mean, an MLP over the means, and its outputs as the features' weights.

  Source: Huang et al., 2019 (FiBiNET), https://arxiv.org/abs/1905.09433, equations 1 to 3; the last activation is a
  sigmoid, as in Hu et al., 2018, https://arxiv.org/abs/1709.01507.

  Input shape: float `[B, n, D]`, or a list of n tensors `[B, D_i]`, whose widths may differ.
  Output shape: n features of the input's widths: `[B, ΣD_i]` ('concat'), `[B, n, D]` ('stack', for equal widths) or a
  list of `[B, D_i]` (None).

  Weights: those of the MLP `cmp_tower` with layers `cmp_dim` and n, whose kernels have normalized columns; none without
  `cmp_dim`. A small `cmp_dim` makes the weights depend on few mixtures of the features.

  >>> SeNet(2, None)([tf.constant([[1., 3.]]), tf.constant([[5.]])]).numpy().tolist()
  [[2.0, 6.0, 25.0]]

  Args:
    num_feature: n.
    cmp_dim: width of the tower's hidden layer; None takes the means themselves as weights.
    initializer: of the tower's kernels; None is glorot_uniform.
    regularizer: of the tower's kernels.
    on_gpu: take the means of a list by one operation over all features, instead of one a feature.
    out_type: 'concat', 'stack' or None.
    keep_list: return a list also of one tensor.

  Raises:
    ValueError: `num_feature` or `cmp_dim` is not positive, `out_type` is unknown or 'stack' for widths that differ, or
      the input has another number of features or an unknown width.
  """

  def __init__(
    self,
    num_feature: int,
    cmp_dim: int | None,
    initializer: Any = None,
    regularizer: Any = None,
    on_gpu: bool = False,
    out_type: str | None = "concat",
    keep_list: bool = False,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.num_feature = int(num_feature)
    self.cmp_dim = None if cmp_dim is None else int(cmp_dim)
    if self.num_feature <= 0 or (self.cmp_dim is not None and self.cmp_dim <= 0):
      raise ValueError(f"{self.name}: num_feature is {num_feature} and cmp_dim {cmp_dim}; both must be > 0.")
    _shapes.check_out_type(self.name, out_type)
    self.initializer = _keras.get_initializer(initializer, "glorot_uniform")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.on_gpu = on_gpu
    self.out_type = out_type
    self.keep_list = keep_list
    self.cmp_tower = None if self.cmp_dim is None else self._make_tower(self.cmp_dim)

  def _make_tower(self, cmp_dim: int) -> MLP:
    return MLP(
      [cmp_dim, self.num_feature],
      activations=["relu", "sigmoid"],
      initializers=self.initializer,
      kernel_regularizer=self.regularizer,
      name="cmp_tower",
      dtype=self._dtype_policy,
    )

  def _sizes(self, input_shape: Any) -> tuple[int | None, list[int]]:
    """Returns the batch and the features' widths."""
    if isinstance(input_shape, list) and all(isinstance(shape, (tuple, list, tf.TensorShape)) for shape in input_shape):
      batch = tf.TensorShape(input_shape[0])[0] if input_shape else None
      dims = [_shapes.known_dims(self.name, shape, 2, "a list of [B, dim]")[0] for shape in input_shape]
    else:
      batch = tf.TensorShape(input_shape)[:1].as_list()[0]
      count, dim = _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim] or a list of [B, dim]")
      dims = [dim] * count
    if len(dims) != self.num_feature:
      raise ValueError(f"{self.name}: {len(dims)} features come in, but num_feature is {self.num_feature}.")
    if self.out_type == MergeType.STACK and len(set(dims)) > 1:
      raise ValueError(f"{self.name}: features of widths {sorted(set(dims))} cannot be stacked; use another out_type.")
    return batch, dims

  def build(self, input_shape: Any) -> None:
    self._sizes(input_shape)
    if self.cmp_tower is not None:
      with tf.name_scope(self.cmp_tower.name):
        self.cmp_tower.build(tf.TensorShape([None, self.num_feature]))
    super().build(input_shape)

  def _means(self, features: list[tf.Tensor]) -> tf.Tensor:
    """The mean of each feature, `[B, n]`."""
    if not self.on_gpu:
      return tf.stack([tf.reduce_mean(feature, axis=1) for feature in features], axis=1)
    owners = [i for i, feature in enumerate(features) for _ in range(feature.shape[1])]
    return tf.transpose(tf.math.segment_mean(tf.transpose(tf.concat(features, 1)), tf.constant(owners)))

  def call(self, inputs: tf.Tensor | list[tf.Tensor]) -> tf.Tensor | list[tf.Tensor]:
    is_list = isinstance(inputs, (list, tuple))
    weights = self._means(list(inputs)) if is_list else tf.reduce_mean(inputs, axis=2)
    if self.cmp_tower is not None:
      weights = self.cmp_tower(weights)
    if is_list:
      columns = tf.split(weights, self.num_feature, axis=1)
      outputs = [feature * weight for feature, weight in zip(inputs, columns, strict=True)]
    else:
      outputs = inputs * weights[:, :, tf.newaxis]
    return merge_tensor_list(outputs, self.out_type, self.num_feature, keep_list=self.keep_list)

  def compute_output_shape(self, input_shape: Any) -> Any:
    batch, dims = self._sizes(input_shape)
    return _shapes.merged_shape(batch, dims, self.out_type, self.keep_list)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      num_feature=self.num_feature,
      cmp_dim=self.cmp_dim,
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
      on_gpu=self.on_gpu,
      out_type=self.out_type,
      keep_list=self.keep_list,
    )
    return config

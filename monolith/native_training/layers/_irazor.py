# SPDX-License-Identifier: Apache-2.0
"""iRazor: features that choose how much of their embeddings they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from monolith.core import base_layer
from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras, _shapes, _summaries, layer_ops
from monolith.native_training.layers.utils import merge_tensor_list


def group_masks(nas_space: Sequence[int]) -> np.ndarray:
  """Returns float `[choices, dim]`: row i > 0 is 1 on columns `[nas_space[i - 1], nas_space[i])`, row 0 is 0.

  >>> group_masks([0, 1, 3]).tolist()
  [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
  """
  masks = np.zeros((len(nas_space), nas_space[-1]))
  for i in range(1, len(nas_space)):
    masks[i, nas_space[i - 1] : nas_space[i]] = 1
  return masks


@with_params
class iRazor(tf.keras.layers.Layer):
  """Weighs groups of embedding columns, a feature at a time, so that it shows which a feature needs.

  Source: Yao et al., 2022 (i-Razor), https://arxiv.org/abs/2204.00281, section 3.2. Each feature has a softmax over the
  choices of `nas_space`; choice i > 0 stands for the columns from `nas_space[i - 1]` to `nas_space[i]`, choice 0 for
  none. A column is multiplied by the probability of its group: the embedding becomes
  `e ∘ (softmax(nas_weight / t) · masks)`, where row i of `masks` is 1 on the columns of choice i.

  Input shape: float `[B, n, D]`, D the last number of `nas_space`.
  Output shape: n features of width D: `[B, n * D]` ('concat'), `[B, n, D]` ('stack') or a list of `[B, D]` (None).

  With `feature_weight` the expected memory, `Σ_f feature_weight[f] · Σ mask[f]`, is a loss: it is in `losses`, and in
  `base_layer.get_layer_loss()` under the name of the layer (eagerly, `base_layer.clear_layer_losses()` empties that).
  Large weights push features towards few columns.

  Weights: nas_weight `[n, len(nas_space)]`.

  >>> iRazor([0, 1, 2], initializer="zeros")(tf.ones([1, 1, 2]) * 3).numpy().tolist()
  [[1.0, 1.0]]

  Args:
    nas_space: widths to choose from; from 0 to D, rising.
    t: temperature of the softmax, > 0; the smaller, the closer to choosing one group.
    initializer: of the weight; None is glorot_uniform.
    regularizer: of the weight.
    feature_weight: what a column of each feature costs, such as its share of all fids; n numbers, or None for no loss.
    out_type: 'concat', 'stack' or None.
    keep_list: return a list also of one tensor.

  Raises:
    ValueError: `nas_space` does not rise from 0 to D, `t` is not positive, `feature_weight` does not have n numbers,
      `out_type` is unknown, or the input is not `[B, n, D]` with known n and D.
  """

  def __init__(
    self,
    nas_space: Sequence[int],
    t: float = 0.05,
    initializer: Any = None,
    regularizer: Any = None,
    feature_weight: Any = None,
    out_type: str | None = "concat",
    keep_list: bool = False,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.nas_space = [int(size) for size in nas_space or ()]
    if len(self.nas_space) < 2 or self.nas_space[0] != 0 or min(np.diff(self.nas_space)) <= 0:
      raise ValueError(
        f"{self.name}: nas_space is {nas_space!r}; it must start with 0 and rise, such as [0, 2, 5, 10]."
      )
    self.t = float(t)
    if self.t <= 0:
      raise ValueError(f"{self.name}: t is {t}; a temperature must be > 0.")
    _shapes.check_out_type(self.name, out_type)
    self.initializer = _keras.get_initializer(initializer, "glorot_uniform")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.feature_weight = None if feature_weight is None else [float(w) for w in np.asarray(feature_weight).ravel()]
    self.out_type = out_type
    self.keep_list = keep_list

  def _dims(self, input_shape: Any) -> list[int]:
    num_feature, dim = _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    if dim != self.nas_space[-1]:
      raise ValueError(
        f"{self.name}: the input has dim {dim}, but nas_space ends with {self.nas_space[-1]}; it must end with {dim}."
      )
    if self.feature_weight is not None and len(self.feature_weight) != num_feature:
      raise ValueError(
        f"{self.name}: {len(self.feature_weight)} numbers in feature_weight for {num_feature} features; give one each."
      )
    return [num_feature, dim]

  def build(self, input_shape: Any) -> None:
    num_feature, _ = self._dims(input_shape)
    self.nas_weight = self.add_weight(
      name="nas_weight",
      shape=[num_feature, len(self.nas_space)],
      initializer=self.initializer,
      regularizer=self.regularizer,
    )
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor | list[tf.Tensor]:
    choices = tf.nn.softmax(tf.convert_to_tensor(self.nas_weight) / self.t)
    _summaries.histogram("nas_weight", choices)
    masks = tf.matmul(choices, tf.constant(group_masks(self.nas_space), choices.dtype))
    if self.feature_weight is not None:
      loss = tf.tensordot(tf.constant(self.feature_weight, masks.dtype), tf.reduce_sum(masks, axis=1), 1)
      self.add_loss(loss)
      base_layer.add_layer_loss(self.name, loss)
    outputs = layer_ops.scale_columns(inputs, tf.cast(masks, inputs.dtype))
    return merge_tensor_list(outputs, self.out_type, keep_list=self.keep_list)

  def compute_output_shape(self, input_shape: Any) -> Any:
    num_feature, dim = self._dims(input_shape)
    return _shapes.merged_shape(tf.TensorShape(input_shape)[0], [dim] * num_feature, self.out_type, self.keep_list)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      nas_space=list(self.nas_space),
      t=self.t,
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
      feature_weight=self.feature_weight,
      out_type=self.out_type,
      keep_list=self.keep_list,
    )
    return config

# SPDX-License-Identifier: Apache-2.0
"""Keras' batch normalization as the towers use it, with the settings that they all take."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.native_training.layers import _keras

# The towers' arguments, which they keep as attributes and write to their configs.
SETTINGS = (
  "enable_batch_normalization", "batch_normalization_momentum", "batch_normalization_renorm",
  "batch_normalization_renorm_clipping", "batch_normalization_renorm_momentum",
)  # fmt: skip


def settings_of(tower: Any) -> dict[str, Any]:
  """Returns SETTINGS with the values that a tower has as attributes."""
  return {name: getattr(tower, name) for name in SETTINGS}


def make(tower: Any, name: str) -> tf.keras.layers.Layer:
  """Returns a layer with a tower's settings and dtype."""
  renorm = {}
  if tower.batch_normalization_renorm:
    renorm = {
      "renorm": True,
      "renorm_clipping": tower.batch_normalization_renorm_clipping,
      "renorm_momentum": tower.batch_normalization_renorm_momentum,
    }
  return _keras.BatchNormalization(
    momentum=tower.batch_normalization_momentum, name=name, dtype=tower.dtype_policy, **renorm
  )


def apply(layer: tf.keras.layers.Layer, inputs: tf.Tensor, training: Any) -> tf.Tensor:
  """Calls a layer, with `training` if it is a batch normalization.

  In a TF1 graph the updates of moving statistics are put where a training loop looks for them.
  """
  if not isinstance(layer, tf.keras.layers.BatchNormalization):
    return layer(inputs)
  outputs = layer(inputs, training=training)
  if not tf.compat.v1.executing_eagerly_outside_functions():
    key = tf.compat.v1.GraphKeys.UPDATE_OPS
    known = {id(op) for op in tf.compat.v1.get_collection(key)}
    for update in layer.updates:
      if id(update) not in known:
        tf.compat.v1.add_to_collection(key, update)
  return outputs

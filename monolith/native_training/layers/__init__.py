# SPDX-License-Identifier: Apache-2.0
"""Layers: all of `tf.keras.layers`, with `Dense` replaced by ours, and our own beside them.

Every layer class has `params()`, which returns its settings as `InstantiableParams`.
"""

from __future__ import annotations

import tensorflow as tf

from monolith.native_training.layers import advanced_activations as _activations
from monolith.native_training.layers._keras import keras_layers
from monolith.native_training.layers.advanced_activations import *  # noqa: F403
from monolith.native_training.layers.dense import Dense
from monolith.native_training.layers.logit_correction import LogitCorrection
from monolith.native_training.layers.mlp import MLP
from monolith.native_training.layers.utils import DCNType, MergeType, merge_tensor_list

_OWN = {
  *_activations.__all__, "DCNType", "Dense", "LogitCorrection", "MLP", "MergeType", "keras_layers", "merge_tensor_list"
}  # fmt: skip
for _name in dir(tf.keras.layers):
  if _name not in _OWN and not _name.startswith("_"):
    globals()[_name] = getattr(tf.keras.layers, _name)

__all__ = [name for name in globals() if not name.startswith("_") and name not in ("annotations", "tf")]
__all__ += ["DCNType", "Dense", "LogitCorrection", "MLP", "MergeType", "keras_layers", "merge_tensor_list"]
__all__ = sorted(set(__all__))

# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's dense optimizers by name."""

from __future__ import annotations

import tensorflow as tf

optimizers = {
  "adagrad": tf.compat.v1.train.AdagradOptimizer,
  "momentum": tf.compat.v1.train.MomentumOptimizer,
  "rmsprop": tf.compat.v1.train.RMSPropOptimizer,
  "adam": tf.compat.v1.train.AdamOptimizer,
}

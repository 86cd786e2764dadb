# SPDX-License-Identifier: Apache-2.0
"""Clients that send trained parameters to online servers; so far the one that sends nothing."""

from __future__ import annotations

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.runtime.ops import gen_monolith_ops


def create_dummy_sync_client() -> tf.Tensor:
  """Returns the handle of a client that sends nothing."""
  return gen_monolith_ops.monolith_dummy_sync_client(shared_name="MonolithDummySyncClient")

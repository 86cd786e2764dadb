# SPDX-License-Identifier: Apache-2.0
"""Seeds of ops that decide by chance."""

from __future__ import annotations

from typing import Dict, Optional

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

__all__ = ["seeds"]


def seeds(seed: Optional[int]) -> Dict[str, int]:
  """The two seeds of an op, as TensorFlow's random ops take them from `tf.random.set_seed` and their own seed.

  Args:
    seed: the op's own; None leaves it to `tf.random.set_seed`, and without that to chance.
  """
  first, second = tf.compat.v1.random.get_seed(seed)
  return {"seed": first or 0, "seed2": second or 0}

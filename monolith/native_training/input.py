# SPDX-License-Identifier: Apache-2.0
"""Made-up examples for demonstrations and tests."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import tensorflow as tf

__all__ = ["generate_ffm_example", "slot_to_key"]


def slot_to_key(slot: int) -> str:
  """The name of a slot's feature."""
  return f"feature_{slot}"


def generate_ffm_example(vocab_sizes: Sequence[int], length: int = 5) -> bytes:
  """A random example with a label, 0 or 1, and a list of ids of every slot.

  Draws from NumPy's global generator, so that `np.random.seed` repeats it.

  Args:
    vocab_sizes: how many ids each slot has; those of slot i are `i << 48` and up.
    length: the most ids of a slot; there is at least one.

  Returns:
    A serialized `tf.train.Example` with float `label` and int64 `feature_0`, `feature_1`, ...

  Raises:
    ValueError: a size or the length is not positive.
  """
  if length < 1 or any(size < 1 for size in vocab_sizes):
    raise ValueError(f"generate_ffm_example: vocab_sizes are {list(vocab_sizes)}, length {length}; all must be >= 1.")
  example = tf.train.Example()
  feature = example.features.feature
  feature["label"].float_list.value.append(float(np.random.randint(2)))
  for slot, size in enumerate(vocab_sizes):
    ids = (slot << 48) + np.random.randint(size, size=1 + np.random.randint(length))
    feature[slot_to_key(slot)].int64_list.value.extend(ids.tolist())
  return example.SerializeToString()

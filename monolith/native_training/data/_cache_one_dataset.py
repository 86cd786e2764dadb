# SPDX-License-Identifier: Apache-2.0
"""A dataset that knows its last element."""

from __future__ import annotations

from typing import Any

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from tensorflow.python.data.ops import dataset_ops

from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["CacheOneDataset"]


class CacheOneDataset(dataset_ops.UnaryDataset):
  """Elements (x, is_last), the second a bool scalar.

  Workers that train in step have to agree on the last step before they take it; so the dataset reads one element
  ahead. An error of the input comes after the elements before it. Its iterator cannot be saved.

  Args:
    input_dataset: the elements x.

  >>> [(int(x), bool(last)) for x, last in CacheOneDataset(tf.data.Dataset.from_tensor_slices([1, 2]))]
  [(1, False), (2, True)]
  """

  def __init__(self, input_dataset: tf.data.Dataset):
    self._spec = (input_dataset.element_spec, tf.TensorSpec([], tf.bool))
    variant = gen_monolith_ops.monolith_cache_one_dataset(input_dataset._variant_tensor, **self._flat_structure)
    super().__init__(input_dataset, variant)

  @property
  def element_spec(self) -> Any:
    return self._spec

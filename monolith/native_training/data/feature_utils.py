# SPDX-License-Identifier: Apache-2.0
"""Operations on columns of fids."""

from __future__ import annotations

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["switch_slot"]


def switch_slot(ragged: tf.RaggedTensor, slot: int) -> tf.RaggedTensor:
  """Moves the fids of a column into another slot; their signatures stay.

  Two columns with the same meaning (the user's and the author's city) then share their embeddings, or one column gets
  embeddings of its own for another use.

  Args:
    ragged: fids of version 2, int64, of any ragged rank.
    slot: the new slot, in [0, 32768).

  Returns:
    The same shape.

  Raises:
    tf.errors.InvalidArgumentError: there is no such slot.

  >>> switch_slot(tf.ragged.constant([[(305 << 48) | 77]], dtype=tf.int64), 306).to_list() == [[(306 << 48) | 77]]
  True
  """
  fids = gen_monolith_ops.monolith_switch_slot(ragged.flat_values, slot=slot, fid_version=2)
  return ragged.with_flat_values(fids)


_NOT_BUILT = frozenset(
  [
    "add_action", "add_label", "feature_combine", "fill_multi_rank_output", "filter_by_feature_value", "filter_by_fids",
    "filter_by_label", "filter_by_value", "gen_fid_mask", "has_variant", "label_normalization", "label_upper_bound",
    "map_id", "multi_label_gen", "negative_sample", "scatter_label", "special_strategy", "string_to_variant",
    "string_to_variant_with_transform", "switch_slot_batch", "tf_example_to_example", "use_f100_multi_head",
    "use_field_as_label", "variant_to_zeros",
  ]
)  # fmt: skip


def __getattr__(name: str):
  if name in _NOT_BUILT:
    raise AttributeError(
      f"feature_utils.{name} is not built. Parse first and do it in TensorFlow: filters by Dataset.filter on parsed "
      "columns, labels from the extra `actions`."
    )
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

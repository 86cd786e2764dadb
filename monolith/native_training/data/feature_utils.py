# SPDX-License-Identifier: Apache-2.0
"""Operations on records (filters, labels, columns) before they are parsed, and on columns of fids after it.

Records are the elements of `FilePBDataset` and its kin, scalar variants, or batches of them. Filters go into
`Dataset.filter`, what gives records into `Dataset.map`. Decisions by chance repeat under `tf.random.set_seed`.
"""

from __future__ import annotations

from monolith.native_training import _refused_names
from monolith.native_training.data._fid_ops import extract_fid, feature_combine, gen_fid_mask, map_id, switch_slot
from monolith.native_training.data._item_pool import (
  create_item_pool,
  item_pool_check,
  item_pool_random_fill,
  restore_item_pool,
  save_item_pool,
)
from monolith.native_training.data._record_filters import (
  filter_by_feature_value,
  filter_by_fids,
  filter_by_label,
  filter_by_value,
  has_variant,
  negative_sample,
  special_strategy,
  special_strategy_label,
)
from monolith.native_training.data._record_labels import (
  add_action,
  add_label,
  fill_multi_rank_output,
  label_normalization,
  label_upper_bound,
  multi_label_gen,
  scatter_label,
  use_field_as_label,
)
from monolith.native_training.data._record_strings import (
  string_to_variant,
  string_to_variant_with_transform,
  switch_slot_batch,
  tf_example_to_example,
  variant_to_zeros,
)

__all__ = [
  "add_action",
  "add_label",
  "create_item_pool",
  "extract_fid",
  "feature_combine",
  "fill_multi_rank_output",
  "filter_by_feature_value",
  "filter_by_fids",
  "filter_by_label",
  "filter_by_value",
  "gen_fid_mask",
  "has_variant",
  "item_pool_check",
  "item_pool_random_fill",
  "label_normalization",
  "label_upper_bound",
  "map_id",
  "multi_label_gen",
  "negative_sample",
  "restore_item_pool",
  "save_item_pool",
  "scatter_label",
  "special_strategy",
  "special_strategy_label",
  "string_to_variant",
  "string_to_variant_with_transform",
  "switch_slot",
  "switch_slot_batch",
  "tf_example_to_example",
  "use_field_as_label",
  "variant_to_zeros",
]

__getattr__ = _refused_names.refusing(
  __name__,
  {
    "use_f100_multi_head": "is not built: its mathematics was never published. scatter_label and multi_label_gen make "
    "labels of several heads.",
  },
)

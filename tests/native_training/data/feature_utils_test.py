# SPDX-License-Identifier: Apache-2.0
"""Operations on columns of fids."""

import inspect

import pytest

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training import data
from monolith.native_training.data import feature_utils
from monolith.native_training.runtime.ops import gen_monolith_ops


def test_signatures_stay():
  fids = [[(305 << 48) | 77], [], [(32767 << 48) | (2**48 - 1), 1]]
  switched = feature_utils.switch_slot(tf.ragged.constant(fids, dtype=tf.int64), 306)
  assert switched.to_list() == [[(306 << 48) | 77], [], [(306 << 48) | (2**48 - 1), (306 << 48) | 1]]


def test_odd_slots_leak_no_bit():
  # The lowest bit of the old slot lies just above the signature.
  for old, new in ((305, 306), (1, 0), (32767, 32766)):
    assert gen_monolith_ops.monolith_switch_slot([(old << 48) | 5], slot=new).numpy().tolist() == [(new << 48) | 5]
  v1 = gen_monolith_ops.monolith_switch_slot([(305 << 54) | 5], slot=306, fid_version=1)
  assert v1.numpy().tolist() == [(306 << 54) | 5]


def test_refusals():
  ids = tf.ragged.constant([[1]], dtype=tf.int64)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"slot 32768 is not in \[0, 32768\)"):
    feature_utils.switch_slot(ids, 32768)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"slot 1024 is not in \[0, 1024\)"):
    gen_monolith_ops.monolith_switch_slot([1], slot=1024, fid_version=1)
  with pytest.raises(tf.errors.InvalidArgumentError, match="fid_version 3; use 1 or 2"):
    gen_monolith_ops.monolith_switch_slot([1], slot=1, fid_version=3)
  with pytest.raises(AttributeError, match="use_f100_multi_head is not built: its math"):
    feature_utils.use_f100_multi_head  # noqa: B018
  with pytest.raises(AttributeError, match="no attribute 'nothing'"):
    feature_utils.nothing  # noqa: B018


# Existing model code calls these by name and by place; what stands behind `*` is ours.
SIGNATURES = {
  "add_action": "variant, field_name, op, operand, action, variant_type='example'",
  "add_label": "variant, config, negative_value, new_sample_rate, variant_type='example', *, seed=None",
  "create_item_pool": "start_num, max_item_num_per_channel, container='', shared_name=''",
  "extract_fid": "tensor, slot",
  "feature_combine": "src1, src2, slot",
  "fill_multi_rank_output": "variant, enable_draw_as_rank=False, enable_chnid_as_rank=False, "
  "enable_lineid_rank_as_rank=False, rank_num=18, variant_type='instance'",
  "filter_by_feature_value": "variant, field_name, op, operand, field_type, keep_empty=False, operand_filepath=None",
  "filter_by_fids": "variant, filter_fids=None, has_fids=None, select_fids=None, has_actions=None, req_time_min=0, "
  "select_slots=None, variant_type='instance'",
  "filter_by_label": "variant, label_threshold, filter_equal=False, variant_type='example'",
  "filter_by_value": "variant, field_name, op, operand, variant_type='instance', keep_empty=False, "
  "operand_filepath=None",
  "gen_fid_mask": "ragged, fid",
  "has_variant": "input, variant_type='example'",
  "item_pool_check": "pool, model_path, global_step, nshards=1, buffer_size=10485760",
  "item_pool_random_fill": "pool",
  "label_normalization": "variant, norm_methods, norm_values, variant_type='instance'",
  "label_upper_bound": "variant, label_upper_bounds, variant_type='instance'",
  "map_id": "tensor, map_dict, default=-1",
  "multi_label_gen": "variant, head_to_index, head_field='chnid', pos_actions=None, neg_actions=None, "
  "use_origin_label=False, pos_label=1.0, neg_label=0.0, action_priority=None, task_num=None, variant_type='example'",
  "negative_sample": "variant, drop_rate, label_index=0, threshold=0.0, variant_type='instance', action_priority=None, "
  "per_action_drop_rate=None, *, seed=None",
  "restore_item_pool": "pool, global_step, model_path, nshards=1, buffer_size=10485760",
  "save_item_pool": "pool, global_step, model_path, nshards=1",
  "scatter_label": "variant, config, variant_type='example'",
  "special_strategy": "variant, strategy_list, strategy_conf=None, variant_type='instance', keep_empty_strategy=True, "
  "*, seed=None",
  "special_strategy_label": "variant, strategy_list, strategy_conf, variant_type='instance'",
  "string_to_variant": "tensor, variant_type='example', has_header=False, has_sort_id=False, lagrangex_header=False, "
  "kafka_dump_prefix=False, kafka_dump=False, chnids=None, datasources=None, default_datasource=''",
  "string_to_variant_with_transform": "tensor, input_type='example', output_type='example', has_header=False, "
  "has_sort_id=False, lagrangex_header=False, kafka_dump_prefix=False, kafka_dump=False",
  "switch_slot": "ragged, slot",
  "switch_slot_batch": "variant, features, variant_type='example_batch', suffix='share'",
  "tf_example_to_example": "serialized, sparse_features, dense_features, label, instance_weight=None",
  "use_field_as_label": "variant, field_name, overwrite_invalid_value=False, label_threshold=7200, "
  "variant_type='instance'",
  "variant_to_zeros": "tensor",
}


def test_signatures():
  found = {}
  for name in feature_utils.__all__:
    signature = inspect.signature(getattr(feature_utils, name))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    found[name] = str(inspect.Signature(bare))[1:-1]
  assert found == SIGNATURES


def test_the_package_exports():
  for name in ("feature_combine", "filter_by_fids", "filter_by_value", "negative_sample", "special_strategy"):
    assert getattr(data, name) is getattr(feature_utils, name)
  for name in ("InstanceReweightDataset", "NegativeGenDataset"):
    assert getattr(data, name) is getattr(data.datasets, name)

# SPDX-License-Identifier: Apache-2.0
"""The ranks that ops over tables, filters and key sets declare: every input of every op, each with a rank too many."""

from monolith.native_training import fused_embedding, hash_filter_ops, hash_table_ops  # noqa: F401  (their gradients)
from monolith.native_training.runtime.ops import gen_monolith_ops

import pathlib
import re

import pytest
import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry as registry

OPS = pathlib.Path(__file__).parents[2] / "cc" / "ops"
FILES = (
  "hash_table_ops.cc",
  "multi_hash_table_ops.cc",
  "fused_table_ops.cc",
  "table_slots_ops.cc",
  "combined_lookup_ops.cc",
  "dealt_fids_ops.cc",
  "multi_table_export_ops.cc",
  "hash_filter_ops.cc",
  "touched_key_set_ops.cc",
  "parameter_sync_ops.cc",
  "file_ops.cc",
  "deep_insight_ops.cc",
)
ANY = None

# Op -> {input: (dtype, rank)}.
_RESOURCE, _STRING, _INT64, _FLOAT = tf.resource, tf.string, tf.int64, tf.float32
_TABLE = ("mtable", _RESOURCE, 0)
_IDS = (("id", _INT64, ANY), ("id_split", _INT64, 1))
_UPDATE = (_TABLE, *_IDS, ("value", _FLOAT, ANY), ("update_time", _INT64, 0))
_SINGLE = ("table_handle", _RESOURCE, 0)
_SINGLE_UPDATE = (_SINGLE, ("id_values", _INT64, ANY), ("id_updates", _FLOAT, ANY))
_STEP = (("learning_rate", _FLOAT, 1), ("update_time", _INT64, 0), ("global_step", _INT64, 0))
_SINGLE_STEP = (("learning_rate_tensor", _FLOAT, 1), ("req_time", _INT64, 0), ("global_step", _INT64, 0))
_FUSED_LOOKUP = (("ids", _INT64, ANY), ("fused_slot_size", tf.int32, 1), ("req_time", _INT64, 0))
_FUSED_OPTIMIZE = (
  ("ids", _INT64, ANY), ("indices", _INT64, ANY), ("fused_slot_size", tf.int32, 1), ("id_grads", _FLOAT, ANY),
  ("id_offsets", tf.int32, 1), ("grad_offsets", tf.int32, 1), ("learning_rate_tensors", _FLOAT, 1),
  ("req_time", _INT64, 0), ("global_step", _INT64, 0)
)  # fmt: skip
_FEATURES = (("ids", _INT64, ANY), ("row_splits", _INT64, 1))
_DEALT = (("fids", _INT64, 1), ("places", _INT64, 1))
_OUTPUT_GRADIENTS = ("output_gradients", _FLOAT, 2)
REGISTER = {
  "MonolithHashTable": [("filter_handle", _RESOURCE, 0), ("sync_client_handle", _RESOURCE, 0)],
  "MonolithHashTableLookup": [_SINGLE, ("ids", _INT64, ANY)],
  "MonolithHashTableLookupEntry": [_SINGLE, ("ids", _INT64, ANY)],
  "MonolithHashTableLookupGradient": [("id_indices", _INT64, 2), ("id_values", _INT64, 1), ("input_grads", _FLOAT, 2)],
  "MonolithHashTableAssign": [*_SINGLE_UPDATE, ("req_time", _INT64, 0)],
  "MonolithHashTableAssignAdd": [*_SINGLE_UPDATE, ("req_time", _INT64, 0)],
  "MonolithHashTableOptimize": [*_SINGLE_UPDATE, *_SINGLE_STEP],
  "MonolithHashTableOptimizeDelayed": [*_SINGLE_UPDATE, *_SINGLE_STEP, ("looked_up", _FLOAT, ANY)],
  "MonolithHashTableSize": [_SINGLE],
  "MonolithHashTableSaveAsTensor": [
    _SINGLE, ("shard_idx", tf.int32, 0), ("num_shards", tf.int32, 0), ("limit", _INT64, 0), ("offset", _INT64, 0)
  ],
  "MonolithExtractSlotFromEntry": [("entry", _STRING, 1)],
  "MonolithHashTableSave": [("handle", _RESOURCE, 0), ("basename", _STRING, 0)],
  "MonolithHashTableRestore": [("handle", _RESOURCE, 0), ("basename", _STRING, ANY)],
  "MonolithHashTableFusedLookup": [("table_handles", _RESOURCE, 0), *_FUSED_LOOKUP],
  "MonolithHashTableFusedOptimize": [("table_handles", _RESOURCE, 0), *_FUSED_OPTIMIZE],
  "MonolithMultiHashTableFusedLookup": [_TABLE, *_FUSED_LOOKUP],
  "MonolithMultiHashTableFusedOptimize": [_TABLE, *_FUSED_OPTIMIZE],
  "MonolithMultiHashTableLookupSlots": [_TABLE, ("ids", _INT64, 1)],
  "MonolithMultiHashTableOptimizeSlots": [
    _TABLE, ("ids", _INT64, 1), ("gradients", _FLOAT, ANY), *_STEP, ("looked_up", _FLOAT, ANY)
  ],
  "MonolithMultiHashTableCombinedLookup": [_TABLE, *_FEATURES],
  "MonolithMultiHashTableCombinedTrainingLookup": [_TABLE, ("anchor", _FLOAT, 0), *_FEATURES, *_STEP],
  "MonolithMultiHashTableCombinedOptimize": [_TABLE, *_FEATURES, _OUTPUT_GRADIENTS, *_STEP],
  "MonolithCombinedGradientNorm": [*_FEATURES, _OUTPUT_GRADIENTS],
  "MonolithDealFids": [("ids", _INT64, ANY)],
  "MonolithCombineDealt": [("embeddings", _FLOAT, 1), *_DEALT, *_FEATURES],
  "MonolithCombineDealtGradient": [*_DEALT, *_FEATURES, _OUTPUT_GRADIENTS],
  "MonolithMultiHashTableExport": [_TABLE],
  "MonolithMultiHashTableImport": [_TABLE, ("table_names", _STRING, 1), ("counts", _INT64, 1), ("entries", _STRING, 1)],
  "CreateMonolithMultiHashTable": [
    ("config", _STRING, 0), ("filter_handle", _RESOURCE, 0), ("sync_client_handle", _RESOURCE, 0)
  ],
  "ReadMonolithMultiHashTable": [],
  "IsHashTableInitialized": [("handle", _RESOURCE, 0)],
  "MonolithMultiHashTableLookup": [_TABLE, *_IDS],
  "MonolithMultiHashTableLookupEntry": [_TABLE, ("id", _INT64, 1), ("id_split", _INT64, 1)],
  "MonolithMultiHashTableOptimize": [
    _TABLE, *_IDS, ("value", _FLOAT, ANY), ("learning_rate", _FLOAT, 1), ("update_time", _INT64, 0),
    ("global_step", _INT64, 0)
  ],
  "MonolithMultiHashTableOptimizeDelayed": [
    _TABLE, *_IDS, ("value", _FLOAT, ANY), ("learning_rate", _FLOAT, 1), ("update_time", _INT64, 0),
    ("global_step", _INT64, 0), ("looked_up", _FLOAT, ANY)
  ],
  "MonolithMultiHashTableAssign": [*_UPDATE],
  "MonolithMultiHashTableAssignAdd": [*_UPDATE],
  "MonolithMultiHashTableReinitialize": [_TABLE, ("table_name", _STRING, 0), ("id", _INT64, 1)],
  "MonolithMultiHashTableSave": [_TABLE, ("basename", _STRING, 0)],
  "MonolithMultiHashTableRestore": [_TABLE, ("basename", _STRING, ANY)],
  "MonolithMultiHashTableFeatureStat": [("basename", _STRING, 0)],
  "MonolithHashFilter": [],
  "MonolithProbabilisticFilter": [],
  "MonolithDummyHashFilter": [],
  "MonolithHashFilterSave": [("handle", _RESOURCE, 0), ("basename", _STRING, 0)],
  "MonolithHashFilterRestore": [("handle", _RESOURCE, 0), ("basename", _STRING, 0)],
  "MonolithHashFilterInterceptGradient": [
    ("filter_handle", _RESOURCE, 0), ("ids", _INT64, 1), ("embeddings", _FLOAT, ANY)
  ],
  "MonolithHashFilterInterceptGradientGradient": [
    ("filter_handle", _RESOURCE, 0), ("ids", _INT64, 1), ("grad", _FLOAT, ANY)
  ],
  "MonolithTouchedKeySet": [],
  "MonolithTouchedKeySetInsert": [("handle", _RESOURCE, 0), ("ids", _INT64, 1)],
  "MonolithTouchedKeySetSteal": [("handle", _RESOURCE, 0)],
  "MonolithDummySyncClient": [],
  "MonolithWritableFile": [],
  "MonolithWritableFileAppend": [("handle", _RESOURCE, 0), ("content", _STRING, 0)],
  "MonolithWritableFileClose": [("handle", _RESOURCE, 0)],
  "MonolithEntryDumpFileAppend": [
    ("handle", _RESOURCE, 0), ("item_id", _INT64, 1), ("bias", _FLOAT, 1), ("embedding", _FLOAT, ANY)
  ],
  "MonolithCreateDeepInsightClient": [],
  "MonolithWriteDeepInsight": [
    ("deep_insight_client_handle", _RESOURCE, 0), ("uids", _INT64, 1), ("req_times", _INT64, 1), ("labels", _FLOAT, 1),
    ("preds", _FLOAT, 1), ("sample_rates", _FLOAT, 1)
  ],
  "MonolithWriteDeepInsightV2": [
    ("deep_insight_client_handle", _RESOURCE, 0), ("req_times", _INT64, 1), ("labels", _FLOAT, 2), ("preds", _FLOAT, 2),
    ("sample_rates", _FLOAT, 2), ("extra_fields_values", _INT64, 1)
  ],
}  # fmt: skip


def _declared():
  """{op: {input: whether it is a list}} of the declarations."""
  declared = {}
  for file in FILES:
    for part in re.split(r"^REGISTER_OP\(", (OPS / file).read_text(), flags=re.MULTILINE)[1:]:
      inputs = re.findall(r'\.Input\("(\w+): ([^"]+)"', part)
      declared[part.split('"')[1]] = {name: "*" in kind or name in LISTS for name, kind in inputs}
  return declared


# Attributes that have no default.
_SHARDS = {"num_of_shards": 1}
_COMBINED = {
  "tables": [0], "combiners": ["sum"], "max_seq_lengths": [0], "slice_features": [0], "slice_begins": [0],
  "slice_dims": [3], "slice_outputs": [0], "slice_columns": [0], "output_widths": [3], "output_lengths": [0],
}  # fmt: skip
ATTRS = {
  "MonolithHashTable": {"config": b""},
  "MonolithHashTableLookup": {"dim_size": 3},
  "MonolithExtractSlotFromEntry": {"fid_v2": True},
  "MonolithHashTableFusedLookup": _SHARDS,
  "MonolithHashTableFusedOptimize": _SHARDS,
  "MonolithMultiHashTableFusedLookup": _SHARDS,
  "MonolithMultiHashTableFusedOptimize": _SHARDS,
  "MonolithMultiHashTableLookupSlots": {"tables": [0], "dims": [3]},
  "MonolithMultiHashTableOptimizeSlots": {"tables": [0]},
  "MonolithMultiHashTableCombinedLookup": {"M": 1, **_COMBINED},
  "MonolithMultiHashTableCombinedTrainingLookup": {"M": 1, **_COMBINED},
  "MonolithMultiHashTableCombinedOptimize": _COMBINED,
  "MonolithCombinedGradientNorm": _COMBINED,
  "MonolithDealFids": {"tables": [0], "num_tables": 1, "num_shards": 2},
  "MonolithCombineDealt": {"M": 1, "dims": [3], **_COMBINED},
  "MonolithCombineDealtGradient": {"dims": [3], **_COMBINED},
  "MonolithWritableFile": {"filename": "unused"},
  "MonolithWriteDeepInsight": {"model_name": "unused"},
  "MonolithWriteDeepInsightV2": {"model_name": "unused", "extra_fields_keys": ["uid"], "targets": ["unused"]},
}
LISTS = ("extra_fields_values",)  # of any types


DECLARED = _declared()


def _call(op, ranks):
  name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", op).lower()
  inputs = {
    name: tf.compat.v1.placeholder(dtype, [None] * rank)
    for (name, dtype, _), rank in zip(REGISTER[op], ranks, strict=True)
  }
  inputs = {name: [value] if DECLARED[op][name] else value for name, value in inputs.items()}
  return getattr(gen_monolith_ops, name)(**inputs, **ATTRS.get(op, {}))


def test_the_register_is_complete():
  expected = {op: list(inputs) for op, inputs in DECLARED.items()}
  assert {op: [name for name, _, _ in inputs] for op, inputs in REGISTER.items()} == expected


@pytest.mark.parametrize("op", REGISTER)
def test_ranks(op):
  ranks = [1 if rank is ANY else rank for _, _, rank in REGISTER[op]]
  with tf.Graph().as_default():
    _call(op, ranks)
    for i, (name, _, rank) in enumerate(REGISTER[op]):
      others = ranks[:i] + [ranks[i] + 1] + ranks[i + 1 :]
      if rank is ANY:
        _call(op, others)
        continue
      ranks_differ = rf"equal rank, but are ({rank} and {rank + 1}|{rank + 1} and {rank})"
      with pytest.raises(ValueError, match=f"must be rank {rank} but is rank {rank + 1}|{ranks_differ}"):
        _call(op, others)
        pytest.fail(f"{op} takes {name} with rank {rank + 1}")


@pytest.mark.parametrize("op", [op for op in REGISTER if "HashTable" in op or "HashFilter" in op])
def test_gradients_are_registered(op):
  registry.lookup(op)  # a LookupError for what has neither a gradient nor the mark that it has none


@pytest.mark.parametrize("op", REGISTER)
def test_outputs_have_ranks(op):
  with tf.Graph().as_default():
    outputs = _call(op, [1 if rank is ANY else rank for _, _, rank in REGISTER[op]])
    if isinstance(outputs, tf.Operation):
      return
    for output in tf.nest.flatten(outputs):
      assert output.shape.rank is not None, output

# SPDX-License-Identifier: Apache-2.0
"""The ranks that ops over tables, filters and key sets declare: every input of every op, each with a rank too many."""

from monolith.native_training.runtime.ops import gen_monolith_ops

import pathlib
import re

import pytest
import tensorflow as tf

OPS = pathlib.Path(__file__).parents[2] / "cc" / "ops"
FILES = (
  "multi_hash_table_ops.cc",
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
REGISTER = {
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
  """{op: [its inputs]} of the declarations."""
  declared = {}
  for file in FILES:
    for part in re.split(r"^REGISTER_OP\(", (OPS / file).read_text(), flags=re.MULTILINE)[1:]:
      declared[part.split('"')[1]] = re.findall(r'\.Input\("(\w+):', part)
  return declared


# Attributes that have no default.
ATTRS = {
  "MonolithWritableFile": {"filename": "unused"},
  "MonolithWriteDeepInsight": {"model_name": "unused"},
  "MonolithWriteDeepInsightV2": {"model_name": "unused", "extra_fields_keys": ["uid"], "targets": ["unused"]},
}
LISTS = ("extra_fields_values",)


def _call(op, ranks):
  name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", op).lower()
  inputs = {
    name: tf.compat.v1.placeholder(dtype, [None] * rank)
    for (name, dtype, _), rank in zip(REGISTER[op], ranks, strict=True)
  }
  inputs = {name: [value] if name in LISTS else value for name, value in inputs.items()}
  return getattr(gen_monolith_ops, name)(**inputs, **ATTRS.get(op, {}))


def test_the_register_is_complete():
  assert {op: [name for name, _, _ in inputs] for op, inputs in REGISTER.items()} == _declared()


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
      with pytest.raises(ValueError, match=f"Shape must be rank {rank} but is rank {rank + 1}"):
        _call(op, others)
        pytest.fail(f"{op} takes {name} with rank {rank + 1}")


@pytest.mark.parametrize("op", REGISTER)
def test_outputs_have_ranks(op):
  with tf.Graph().as_default():
    outputs = _call(op, [1 if rank is ANY else rank for _, _, rank in REGISTER[op]])
    if isinstance(outputs, tf.Operation):
      return
    for output in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
      assert output.shape.rank is not None, output

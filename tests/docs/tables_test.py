# SPDX-License-Identifier: Apache-2.0
"""The sizes that docs/tables.md gives, against the state that entries have."""

from monolith.native_training import entry
from monolith.native_training import hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import pathlib
import re

import pytest
import tensorflow as tf

_PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tables.md"
_SGD = entry.SgdOptimizer()
OPTIMIZERS = {
  "adadelta": entry.AdadeltaOptimizer(),
  "adagrad": entry.AdagradOptimizer(),
  "adam": entry.AdamOptimizer(),
  "amsgrad": entry.AmsgradOptimizer(),
  "batch_softmax": entry.BatchSoftmaxOptimizer(),
  "dc": entry.DcOptimizer(entry.AdamOptimizer()),
  "dynamic_wd_adagrad": entry.DynamicWdAdagradOptimizer(enable_dynamic_wd=False),
  "ftrl": entry.FtrlOptimizer(),
  "group_adagrad": entry.AdaGradWithGroupLassoOptimizer(),
  "group_ftrl": entry.FTRLWithGroupSparsityOptimizer(),
  "momentum": entry.MomentumOptimizer(),
  "moving_average": entry.MovingAverageOptimizer(),
  "rmsprop": entry.RmspropOptimizer(),
  "rmspropv2": entry.RmspropV2Optimizer(),
  "sgd": _SGD,
  "stochastic_rounding_float16": entry.StochasticRoundingFloat16OptimizerWrapper(entry.AdamOptimizer()),
}


def _documented():
  """{optimizer: bytes as the page writes them}."""
  rows = re.findall(r"^\| ([a-z0-9_, ]+) \| ([^|]+) \|$", _PAGE.read_text(), re.MULTILINE)
  return {name: size for names, size in rows for name in names.split(", ") if name in OPTIMIZERS}


def _bytes(written, dim):
  if written == "that of the optimizer inside":
    return _bytes(_documented()["adam"], dim)
  return sum(int(a) * (dim if b else 1) for a, b in re.findall(r"(\d+)( · dim)?", written))


def _state_bytes(optimizer, dim):
  """Bytes of the numbers that an entry saves beside its embedding."""
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  config.entry_config.segments.append(
    entry.CombineAsSegment(dim, entry.ZerosInitializer(), optimizer, entry.Fp32Compressor())
  )
  table = hash_table_ops.hash_table_from_config(entry.HashTableConfigInstance(config, [1.0]))
  (saved,) = table.assign([7], tf.zeros([1, dim])).lookup_entry([7]).numpy()
  total = 0
  for dump in embedding_hash_table_pb2.EntryDump.FromString(saved).opt.dump:
    for field, value in getattr(dump, dump.WhichOneof("type")).ListFields():
      size = {field.CPPTYPE_FLOAT: 4, field.CPPTYPE_INT64: 8}[field.cpp_type]
      total += size * (len(value) if hasattr(value, "__len__") else 1)
  return total


def test_the_page_has_every_optimizer():
  options = embedding_hash_table_pb2.OptimizerConfig.DESCRIPTOR.fields_by_name
  assert sorted(_documented()) == sorted(OPTIMIZERS) == sorted(options)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_is_as_large_as_the_page_says(name):
  for dim in (1,) if name == "batch_softmax" else (1, 5):
    assert _state_bytes(OPTIMIZERS[name], dim) == _bytes(_documented()[name], dim)

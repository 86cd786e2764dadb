# SPDX-License-Identifier: Apache-2.0
"""What holds for every initializer of table slices in the register."""

from conformance import cases
from conformance import register  # noqa: F401  fills the lists of `cases`
import numpy as np
import pytest

from monolith.native_training import entry
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf  # isort: skip

pytestmark = pytest.mark.parametrize("case", cases.INITIALIZERS, ids=lambda c: c.id)

_DIM = 8
_FIDS = np.concatenate([np.arange(500), -np.arange(1, 500), [1 << 62, -(1 << 63)]]).astype(np.int64)


def _first_values(case, fids):
  """What a table starts the fids with: a step without gradient inserts them."""
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig(initial_capacity=1024).mutate_table(config)
  config.entry_config.segments.append(
    entry.CombineAsSegment(_DIM, case.build(), entry.SgdOptimizer(), entry.Fp32Compressor())
  )
  table = multi_hash_table_ops.MultiHashTable.from_configs({"t": entry.HashTableConfigInstance(config, [0.0])})
  table = table.apply_gradients(
    {"t": (tf.constant(fids), tf.zeros([len(fids), _DIM]))}, global_step=tf.constant(0, tf.int64)
  )
  return table.lookup({"t": tf.constant(fids)})["t"].numpy()


def test_values_lie_in_the_range(case):
  values = _first_values(case, _FIDS)
  assert np.isfinite(values).all() and values.min() >= case.low and values.max() <= case.high


def test_values_are_of_the_fid_alone(case):
  """Whatever the order and the company of fids, and in every table."""
  values = _first_values(case, _FIDS)
  np.testing.assert_array_equal(_first_values(case, _FIDS[::-1].copy())[::-1], values)
  np.testing.assert_array_equal(_first_values(case, _FIDS[7:9]), values[7:9])


def test_random_values_fill_the_range_and_differ(case):
  values = _first_values(case, _FIDS)
  width = case.high - case.low
  if not width:
    assert np.all(values == case.low)
    return
  assert len(np.unique(values)) > 0.99 * values.size
  np.testing.assert_allclose(values.mean(), case.low + width / 2, atol=0.02 * width)
  np.testing.assert_allclose(values.std(), width / np.sqrt(12), rtol=0.02)

# SPDX-License-Identifier: Apache-2.0
"""A step that one table of a call cannot take is taken by none."""

from monolith.native_training import entry, fused_embedding, multi_hash_table_ops
from monolith.native_training.fused_embedding import Feature, Layout, Slice
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import numpy as np
import pytest
import tensorflow as tf

FIDS = tf.range(20000, dtype=tf.int64)  # enough for several threads
STEP = tf.constant(-1, tf.int64)  # batch softmax, in the last table, divides by steps


def _config(optimizer):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  config.cuckoo.SetInParent()
  segment = entry.CombineAsSegment(1, entry.ConstantsInitializer(4.0), optimizer, entry.Fp32Compressor())
  config.entry_config.segments.append(segment)
  return entry.HashTableConfigInstance(config, [0.1])


def _by_slot(tables):
  grads = tf.ones([FIDS.shape[0], 1])
  tables.apply_gradients({"plain": (FIDS, grads), "steps": (FIDS, grads)}, STEP)


def _stacked(tables):
  ragged = tables.get_ragged_id({"plain": FIDS, "steps": FIDS})
  tables.raw_apply_gradients(ragged, tf.ones([2 * FIDS.shape[0]]), STEP)


def _in_the_fused_layout(tables):
  ids, sizes = tf.concat([FIDS, FIDS], 0), tf.fill([2], FIDS.shape[0])
  fused = tables.fused_lookup(ids, sizes, 1)
  tables.fused_apply_gradient(
    ids, fused.indices, sizes, tf.ones_like(fused.embeddings), fused.id_offsets[:-1], fused.embedding_offsets[:-1],
    STEP, None, 1,
  )  # fmt: skip


def _combined(tables):
  layout = Layout([Feature("p", "plain", [Slice("out", 1)]), Feature("s", "steps", [Slice("out", 1)])])
  gradients = {"out": tf.ones([FIDS.shape[0], 2])}
  fused_embedding.combined_apply_gradients(tables, layout, {"p": FIDS, "s": FIDS}, gradients, STEP)


@pytest.mark.parametrize("take_step", [_by_slot, _stacked, _in_the_fused_layout, _combined])
def test_no_table_takes_a_step_that_one_refuses(take_step):
  configs = {"plain": _config(entry.SgdOptimizer()), "steps": _config(entry.BatchSoftmaxOptimizer())}
  tables = multi_hash_table_ops.MultiHashTable.from_configs(configs, name_suffix="refused")
  tables.assign({name: (FIDS, tf.fill([FIDS.shape[0], 1], 2.0)) for name in configs})
  with pytest.raises(tf.errors.InvalidArgumentError, match="table 'steps': global_step is -1; .* must be >= 0"):
    take_step(tables)
  for rows in tables.lookup({name: FIDS for name in configs}).values():
    np.testing.assert_array_equal(rows, 2.0)

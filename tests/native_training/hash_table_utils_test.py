# SPDX-License-Identifier: Apache-2.0
"""Walking over a table, and its width."""

from monolith.native_training import hash_table_utils

import pytest
import tensorflow as tf


class _Table:
  """100 entries in 10 shards, handed out from an opaque offset."""

  def save_as_tensor(self, shard_idx, num_shards, limit, offset):
    own = tf.boolean_mask(tf.range(100), tf.equal(tf.range(100) % num_shards, shard_idx))
    part = own[offset : offset + limit]
    return offset + limit, tf.strings.as_string(part)


@pytest.mark.parametrize("graph", [True, False])
def test_every_entry_is_passed_once(graph):
  def build():
    seen = tf.Variable(tf.zeros([100], tf.int32))

    def apply_fn(entries):
      index = tf.strings.to_number(entries, tf.int32)
      seen.scatter_nd_add(index[:, None], tf.ones_like(index))

    return seen, hash_table_utils.iterate_table_and_apply(_Table(), apply_fn, limit=2, nshards=10)

  if graph:
    with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
      seen, count = build()
      sess.run(tf.compat.v1.global_variables_initializer())
      count, seen = sess.run(count), sess.run(seen)
  else:
    seen, count = build()
  assert int(count) == 100
  assert (seen if graph else seen.numpy()).tolist() == [1] * 100

# SPDX-License-Identifier: Apache-2.0
"""Where tables live that are spread over parameter servers, and which fid belongs to which."""

from __future__ import annotations

import contextlib
from typing import Iterator

from monolith.native_training import utils
from monolith.native_training.model_export import export_context

import tensorflow as tf

__all__ = ["fid_to_shard", "ps_device"]


@contextlib.contextmanager
def ps_device(i: int) -> Iterator[None]:
  """Places ops on parameter server `i`; in a standalone export, which has none, nowhere special."""
  with contextlib.ExitStack() as stack:
    if not export_context.is_exporting_standalone():
      if not tf.executing_eagerly():
        graph = tf.compat.v1.get_default_graph()
        stack.enter_context(graph.colocate_with(None, ignore_existing=True))
      stack.enter_context(tf.device(utils.ps_device(i)))
    yield


def fid_to_shard(fid: tf.Tensor, num_shards: int) -> tf.Tensor:
  """unsigned(fid) mod num_shards, int64 of fid's shape; `fid` is int64, negative ones included."""
  if num_shards == 1:
    return tf.zeros_like(fid)
  # int64 has no unsigned remainder: take the upper 63 bits first, then bring the lowest one in.
  upper = tf.bitwise.bitwise_and(tf.bitwise.right_shift(fid, tf.ones_like(fid)), tf.constant(2**63 - 1, tf.int64))
  lowest = tf.bitwise.bitwise_and(fid, tf.constant(1, tf.int64))
  return (upper % num_shards * 2 + lowest) % num_shards

# SPDX-License-Identifier: Apache-2.0
"""Pools of items that samples have shown, to draw negatives from."""

from __future__ import annotations

import itertools
import json
import os
from typing import Tuple

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["POOL_KEY", "create_item_pool", "item_pool_check", "item_pool_random_fill", "restore_item_pool",
           "save_item_pool"]  # fmt: skip

POOL_KEY = "TF_ITEMPOOL"
_BUFFER_SIZE = 10 << 20
_NUMBERS = itertools.count()


def _worker() -> Tuple[int, int]:
  """Number of this process and number of processes, of TF_CONFIG: the chief is 0, worker i is i + 1; none: 0 of 1."""
  config = json.loads(os.environ.get("TF_CONFIG") or "{}")
  cluster, task = config.get("cluster", {}), config.get("task", {})
  workers = len(cluster.get("worker", ()))
  index = int(task.get("index", 0)) + 1 if task.get("type") == "worker" else 0
  return index, max(1 + workers, index + 1)


def create_item_pool(
  start_num: int, max_item_num_per_channel: int, container: str = "", shared_name: str = ""
) -> tf.Tensor:
  """Makes a pool. In graphs it is the one that `ItemPoolSaveRestoreHook` saves, if it is the first.

  Args:
    start_num: items that a channel must exceed before any are drawn.
    max_item_num_per_channel: items that a channel keeps, those that came last.
    container: of the resource.
    shared_name: pools of one name are one; default a pool of its own.

  Returns:
    A resource scalar.

  Raises:
    tf.errors.InvalidArgumentError: start_num is negative or max_item_num_per_channel less than 1.

  >>> create_item_pool(start_num=0, max_item_num_per_channel=100).dtype
  tf.resource
  """
  if tf.executing_eagerly() and not shared_name:
    # Equal calls of eager execution would share one kernel, and so one pool.
    shared_name = f"monolith_item_pool_{next(_NUMBERS)}"
  pool = gen_monolith_ops.item_pool_create(
    start_num=start_num,
    max_item_num_per_channel=max_item_num_per_channel,
    container=container,
    shared_name=shared_name,
  )
  if not tf.executing_eagerly():
    tf.compat.v1.add_to_collection(POOL_KEY, pool)
  return pool


def save_item_pool(pool: tf.Tensor, global_step: tf.Tensor, model_path: str, nshards: int = 1) -> tf.Tensor:
  """Writes a pool into `model.ckpt-<step>_item_pool_<worker>_<shard>_<workers>`, which have these names when complete.

  Args:
    pool: of `create_item_pool`.
    global_step: int64 scalar.
    model_path: the directory; it is made if it is missing.
    nshards: number of files.

  Returns:
    The pool.

  Raises:
    tf.errors.InvalidArgumentError: model_path is empty or nshards not in [1, 1024].
  """
  worker, workers = _worker()
  return gen_monolith_ops.item_pool_save(
    pool, tf.cast(global_step, tf.int64), model_path=model_path, nshards=nshards, worker=worker, workers=workers
  )


def restore_item_pool(
  pool: tf.Tensor, global_step: tf.Tensor, model_path: str, nshards: int = 1, buffer_size: int = _BUFFER_SIZE
) -> tf.Tensor:
  """Reads a pool that was saved at a step, or at the highest step before it. Without files it stays as it is.

  Args:
    pool: of `create_item_pool`; its content is replaced once all files have been read.
    global_step: int64 scalar.
    model_path: the directory.
    nshards: ignored; all files of the worker are read. This worker takes those of its number modulo the number of
      workers that saved.
    buffer_size: bytes that are read at a time.

  Returns:
    The pool.

  Raises:
    tf.errors.DataLossError: a file is damaged; the pool is as it was.
    tf.errors.InvalidArgumentError: model_path is empty or buffer_size less than 1.
  """
  del nshards
  worker, workers = _worker()
  return gen_monolith_ops.item_pool_restore(
    pool, tf.cast(global_step, tf.int64), model_path=model_path, worker=worker, workers=workers, buffer_size=buffer_size
  )


def item_pool_random_fill(pool: tf.Tensor) -> tf.Tensor:
  """Fills a pool with items by chance, for tests; returns the pool."""
  return gen_monolith_ops.item_pool_random_fill(pool)


def item_pool_check(
  pool: tf.Tensor, model_path: str, global_step: tf.Tensor, nshards: int = 1, buffer_size: int = _BUFFER_SIZE
) -> tf.Tensor:
  """Whether the files of a step hold this pool, for tests; returns the pool.

  Raises:
    tf.errors.FailedPreconditionError: they hold another, or there are none.
  """
  worker, workers = _worker()
  return gen_monolith_ops.item_pool_check(
    pool, tf.cast(global_step, tf.int64), model_path=model_path, nshards=nshards, worker=worker, workers=workers,
    buffer_size=buffer_size,
  )  # fmt: skip

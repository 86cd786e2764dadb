# SPDX-License-Identifier: Apache-2.0
"""What single and multi tables do alike with their arguments."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Optional

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training import entry

_eager_number = itertools.count()


def unique_eager_name(name: str) -> str:
  """Eager resources of a name live as long as the process; no two tables may meet in one."""
  return f"{name}/eager_{next(_eager_number)}"


def request_time(req_time: Optional[tf.Tensor]) -> tf.Tensor:
  """Int64 seconds; 0 where none are given."""
  return tf.constant(0, tf.int64) if req_time is None else tf.cast(req_time, tf.int64)


def graph_seed() -> int:
  """The seed set by `tf.random.set_seed` or on the graph; 0 without one."""
  seed = tf.compat.v1.random.get_seed(None)[0]
  return int(seed or 0)


def check_learning_rates(name: str, config: entry.HashTableConfigInstance) -> None:
  """Refuses a config that has not one learning rate for each slice.

  Raises:
    ValueError: it has another number.
  """
  rates, slices = len(config.learning_rate_fns), len(config.table_config.entry_config.segments)
  if rates != slices:
    raise ValueError(f"table {name!r} has {slices} slices but {rates} learning rates; give one for each slice.")


def current_learning_rates(config: entry.HashTableConfigInstance) -> tf.Tensor:
  """Float32 `[slices]`: the tensor set on the config where the current graph has it, else what its functions say."""
  tensor = config.learning_rate_tensor
  graph = tf.compat.v1.get_default_graph()
  if tensor is not None and (tf.executing_eagerly() or getattr(tensor, "graph", None) is graph):
    return tf.reshape(tensor, [-1])
  return config.call_learning_rate_fns()


def all_learning_rates(configs: Sequence[entry.HashTableConfigInstance]) -> tf.Tensor:
  """Float32, the current rates of some configs one after the other; a single constant where all are numbers."""
  rates = [rate for config in configs for rate in config.learning_rate_fns]
  by_config = any(config.learning_rate_tensor is not None or not config.learning_rate_fns for config in configs)
  if not by_config and all(isinstance(rate, (int, float)) for rate in rates):
    return tf.constant(rates, tf.float32)
  return tf.concat([current_learning_rates(config) for config in configs], axis=0)

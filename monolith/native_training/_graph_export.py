# SPDX-License-Identifier: Apache-2.0
"""What of a graph can go into a meta graph."""

from __future__ import annotations

from typing import Any, List

import tensorflow as tf
from tensorflow.python.framework import ops as framework_ops

__all__ = ["serializable_collections"]


def serializable_collections(graph: tf.Graph) -> List[str]:
  """Names of the collections that a MetaGraphDef can hold; TensorFlow warns at length about each of the others."""
  keys = [key for key in graph.get_all_collection_keys() if isinstance(key, str)]
  return [
    key
    for key in keys
    if framework_ops.get_to_proto_function(key) is not None or _all_serializable(graph.get_collection_ref(key))
  ]


def _all_serializable(items: List[Any]) -> bool:
  for kinds in ((str, bytes), (int,), (float,)):
    if all(isinstance(item, kinds) and not isinstance(item, bool) for item in items):
      return True
  return all(isinstance(item, (tf.Tensor, tf.Operation)) for item in items)

# SPDX-License-Identifier: Apache-2.0
"""Things of which a graph has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from google.protobuf import struct_pb2
from tensorflow.python.framework import ops as framework_ops

T = TypeVar("T")

_COLLECTION = "monolith_graph_meta"


def get_meta(key: str, factory: Callable[[], T]) -> T:
  """Returns the default graph's object of that key, which `factory` makes the first time."""
  collection = tf.compat.v1.get_collection_ref(_COLLECTION)
  if not collection:
    collection.append({})
  metas = collection[0]
  if key not in metas:
    metas[key] = factory()
  return metas[key]


# Objects of a graph under construction: a saved meta graph leaves them out.
framework_ops.register_proto_function(
  _COLLECTION, proto_type=struct_pb2.Struct, to_proto=lambda meta, export_scope=None: None
)

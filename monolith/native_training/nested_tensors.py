# SPDX-License-Identifier: Apache-2.0
"""Flattening nested structures into plain tensors and back, for queues that carry only those."""

from __future__ import annotations

from typing import Any, List, Sequence

import tensorflow as tf

__all__ = ["NestedTensors"]


class NestedTensors:
  """The tensors of a nested structure of lists, tuples and dicts.

  Leaves are dense tensors, ragged tensors with one ragged axis, IndexedSlices, or things that stay as they are: None,
  bool, int, float, str and variables.

  Args:
    nested: the structure; it is not changed.

  Raises:
    ValueError: a leaf is of another kind.
  """

  def __init__(self, nested: Any):
    self._nested = nested
    self._dense: List[tf.Tensor] = []
    self._composite: List[Any] = []
    self._collect(nested)

  def get_tensors(self) -> List[tf.Tensor]:
    """The dense tensors in order, then (values, row_splits) of each ragged one and the parts of IndexedSlices."""
    return self._dense + tf.nest.flatten(self._composite, expand_composites=True)

  def get_nested_result(self, tensors: Sequence[tf.Tensor]) -> Any:
    """The structure with its tensors replaced by `tensors`, which are ordered as in `get_tensors`.

    Raises:
      ValueError: the number of tensors differs.
    """
    expected = len(self.get_tensors())
    if len(tensors) != expected:
      raise ValueError(f"get_nested_result: {len(tensors)} tensors given, {expected} needed.")
    parts = list(tensors[len(self._dense) :])
    composite = tf.nest.pack_sequence_as(self._composite, parts, expand_composites=True)
    return self._rebuild(self._nested, iter(tensors[: len(self._dense)]), iter(composite))

  def _collect(self, nested: Any) -> None:
    if isinstance(nested, (list, tuple)):
      for item in nested:
        self._collect(item)
    elif isinstance(nested, dict):
      for item in nested.values():
        self._collect(item)
    elif isinstance(nested, tf.RaggedTensor):
      if nested.ragged_rank != 1:
        raise ValueError(f"NestedTensors: {nested} has ragged_rank {nested.ragged_rank}; only 1 is possible.")
      self._composite.append(nested)
    elif isinstance(nested, tf.IndexedSlices):
      self._composite.append(nested)
    elif isinstance(nested, tf.Tensor):
      self._dense.append(nested)
    elif not _is_kept(nested):
      raise ValueError(
        f"NestedTensors: {nested!r} is {type(nested).__name__}; leaves are tensors, ragged tensors, "
        "IndexedSlices, None, bool, int, float, str or variables."
      )

  def _rebuild(self, nested: Any, dense: Any, composite: Any) -> Any:
    if isinstance(nested, tuple) and hasattr(nested, "_fields"):
      return type(nested)(*(self._rebuild(item, dense, composite) for item in nested))
    if isinstance(nested, (list, tuple)):
      return type(nested)(self._rebuild(item, dense, composite) for item in nested)
    if isinstance(nested, dict):
      return {key: self._rebuild(item, dense, composite) for key, item in nested.items()}
    if isinstance(nested, (tf.RaggedTensor, tf.IndexedSlices)):
      return next(composite)
    if isinstance(nested, tf.Tensor):
      return next(dense)
    return nested


def _is_kept(leaf: Any) -> bool:
  return leaf is None or isinstance(leaf, (bool, int, float, str, tf.Variable))

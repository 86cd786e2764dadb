# SPDX-License-Identifier: Apache-2.0
"""A dict of features that notes which ragged ones a model reads."""

from __future__ import annotations

from typing import Any, Container, Dict, Iterator, List, Optional, Tuple

import tensorflow as tf

__all__ = ["WatchedFeatures"]


class WatchedFeatures(dict):
  """Features of which every way to a value, copies included, is noted.

  Args:
    features: the features, or pairs.
    ragged_reads: where names of ragged features are appended when they are read.
    watched: names of further features that count like ragged ones.
  """

  def __init__(self, features: Any = (), ragged_reads: Optional[List[str]] = None, watched: Container[Any] = ()):
    super().__init__(features)
    self._watched = watched
    # tf.nest and copies make one from pairs alone; they have read everything by then.
    self._ragged_reads: List[str] = [] if ragged_reads is None else ragged_reads

  def _noted(self, key: Any, value: Any) -> Any:
    if isinstance(value, tf.RaggedTensor) or key in self._watched:
      self._ragged_reads.append(key)
    return value

  def __getitem__(self, key: Any) -> Any:
    return self._noted(key, super().__getitem__(key))

  def get(self, key: Any, default: Any = None) -> Any:
    return self._noted(key, super().get(key, default))

  def pop(self, key: Any, *default: Any) -> Any:
    return self._noted(key, super().pop(key, *default))

  def setdefault(self, key: Any, default: Any = None) -> Any:
    return self._noted(key, super().setdefault(key, default))

  def popitem(self) -> Tuple[Any, Any]:
    key, value = super().popitem()
    return key, self._noted(key, value)

  def values(self) -> Any:
    return [self[key] for key in self]

  def items(self) -> Any:
    return [(key, self[key]) for key in self]

  def copy(self) -> Dict[Any, Any]:
    return {key: self[key] for key in self}

  def __or__(self, other: Any) -> Dict[Any, Any]:
    return self.copy() | other

  def __ror__(self, other: Any) -> Dict[Any, Any]:
    return other | self.copy()

  # Where embeddings are combined, the features of a model lack the ragged ones: a model that asks which there are
  # counts as one that reads them. That __iter__ is overridden makes dict(features) and {**features} come here too.

  def __contains__(self, key: Any) -> bool:
    self._noted(key, super().get(key))
    return super().__contains__(key)

  def __iter__(self) -> Iterator[Any]:
    for key in super().keys():
      self._noted(key, super().__getitem__(key))
    return super().__iter__()

  def keys(self) -> Any:
    return list(self)

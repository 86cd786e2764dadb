# SPDX-License-Identifier: Apache-2.0
"""Calling user functions and turning what `input_fn` returns into tensors of the loop's graph."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, List, Optional, Tuple

import tensorflow as tf

__all__ = [
  "MAKE_ITERATOR",
  "DatasetInitializerHook",
  "call_with_accepted",
  "features_and_labels",
  "parse_input",
  "samples_in",
]

MAKE_ITERATOR = "mkiter"
"""Collection of operations that initialize iterators, for an `input_fn` that gives tensors of iterators."""


def call_with_accepted(fn: Callable[..., Any], **kwargs: Any) -> Any:
  """Calls `fn` with those of `kwargs` that its signature takes; a `**` parameter takes all."""
  parameters = inspect.signature(fn).parameters.values()
  if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
    return fn(**kwargs)
  names = {
    parameter.name
    for parameter in parameters
    if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
  }
  return fn(**{name: value for name, value in kwargs.items() if name in names})


class DatasetInitializerHook(tf.compat.v1.train.SessionRunHook):
  """Runs a dataset iterator's initializer in every created session."""

  def __init__(self, initializer: tf.Operation):
    self._initializer = initializer

  def after_create_session(self, session, coord) -> None:
    del coord
    session.run(self._initializer)


def features_and_labels(result: Any) -> Tuple[Any, Any]:
  """A pair is (features, labels); anything else is features alone, with labels None."""
  if isinstance(result, (tuple, list)) and len(result) == 2:
    return result[0], result[1]
  return result, None


def parse_input(
  result: Any,
) -> Tuple[Any, Any, List[tf.compat.v1.train.SessionRunHook]]:
  """Splits what an `input_fn` returned into (features, labels, hooks).

  A Dataset gives the tensors of an initializable iterator and the hook that initializes it. What initializes iterators
  of other inputs is found in the collection `mkiter`. A pair is (features, labels); anything else is features alone,
  with labels None.
  """
  hooks: List[tf.compat.v1.train.SessionRunHook] = []
  if isinstance(result, tf.data.Dataset):
    iterator = tf.compat.v1.data.make_initializable_iterator(result)
    hooks.append(DatasetInitializerHook(iterator.initializer))
    result = iterator.get_next()
  else:
    hooks.extend(DatasetInitializerHook(make) for make in tf.compat.v1.get_collection(MAKE_ITERATOR))
  if isinstance(result, (tuple, list)) and len(result) != 2:
    raise ValueError(f"input_fn returned {len(result)} elements; return features, or (features, labels).")
  features, labels = features_and_labels(result)
  return features, labels, hooks


def samples_in(features: Any) -> Optional[tf.Tensor]:
  """The number of rows of the first feature that has a batch axis, as an integer scalar; None if none has."""
  leaves: Dict[str, Any] = features if isinstance(features, dict) else {"features": features}
  for leaf in leaves.values():
    if isinstance(leaf, tf.RaggedTensor):
      return leaf.nrows()
    if isinstance(leaf, tf.Tensor) and leaf.shape.rank:
      return tf.shape(leaf)[0]
  return None

# SPDX-License-Identifier: Apache-2.0
"""Tensors as text: fields of a dump that hold a plain Python literal, and the tensors read back by them.

A ragged tensor is its flat values and its row splits, a name, or a list of names where several axes are ragged.
"""

from __future__ import annotations

import ast
from typing import Any, Callable, Dict, List, NamedTuple

import tensorflow as tf

__all__ = [
  "FeatureRecord",
  "input_literal",
  "label_literal",
  "map_label",
  "parse_feature",
  "parse_label",
  "receiver_literal",
]


class FeatureRecord(NamedTuple):
  """A feature of a dump.

  Attributes:
    values: the tensor's name; of a ragged one that of its flat values.
    row_splits: of a ragged one the names of the row splits, outermost first; else empty.
    fields: all that the literal says.
  """

  values: str
  row_splits: List[str]
  fields: Dict[str, Any]

  @property
  def is_ragged(self) -> bool:
    """Whether it is a ragged tensor."""
    return bool(self.row_splits)

  @property
  def names(self) -> List[str]:
    """The names of all its tensors."""
    return [self.values, *self.row_splits]

  def build(self, tensor_of: Callable[[str], tf.Tensor]) -> Any:
    """The feature of the tensors that `tensor_of` finds by name."""
    if not self.is_ragged:
      return tensor_of(self.values)
    splits = [tensor_of(name) for name in self.row_splits]
    return tf.RaggedTensor.from_nested_row_splits(tensor_of(self.values), splits, validate=False)

  def stand_in(self, feature_name: str, value: Any) -> Dict[str, tf.Tensor]:
    """{name of a tensor of this feature: that of `value`}.

    Raises:
      ValueError: the numbers of ragged axes differ.
    """
    splits = list(value.nested_row_splits) if isinstance(value, tf.RaggedTensor) else []
    if len(splits) != len(self.row_splits):
      raise ValueError(
        f"feature {feature_name!r} has {len(splits)} ragged axes, but {len(self.row_splits)} in the dump; give those."
      )
    values = value.flat_values if splits else value
    return dict(zip(self.names, [values, *splits], strict=True))


def _checked(feature_name: str, value: Any) -> Any:
  if isinstance(value, (tf.Tensor, tf.RaggedTensor)):
    return value
  raise ValueError(
    f"feature {feature_name!r} is {type(value).__name__}; a dump holds tensors and ragged tensors, so convert it."
  )


def _splits(value: tf.RaggedTensor) -> Any:
  names = [splits.name for splits in value.nested_row_splits]
  return names[0] if len(names) == 1 else names


def input_literal(feature_name: str, value: Any) -> str:
  """`{name, is_ragged}` of a feature of an input function; a ragged one has `row_splits` too.

  Raises:
    ValueError: it is no tensor.
  """
  if isinstance(_checked(feature_name, value), tf.RaggedTensor):
    return repr({"name": value.flat_values.name, "is_ragged": True, "row_splits": _splits(value)})
  return repr({"name": value.name, "is_ragged": False})


def receiver_literal(feature_name: str, value: Any) -> str:
  """`{values, row_splits, is_ragged}`, or `{name, is_ragged, dtype, last_dim}`, of a feature of a receiver.

  Raises:
    ValueError: it is no tensor.
  """
  if isinstance(_checked(feature_name, value), tf.RaggedTensor):
    return repr({"values": value.flat_values.name, "row_splits": _splits(value), "is_ragged": True})
  last_dim = value.shape[-1] if value.shape.rank else None
  return repr({"name": value.name, "is_ragged": False, "dtype": value.dtype.name, "last_dim": last_dim})


def parse_feature(feature_name: str, text: str) -> FeatureRecord:
  """Reads what `input_literal` or `receiver_literal` wrote.

  Raises:
    ValueError: it is no such literal.
  """
  try:
    fields = ast.literal_eval(text)
    ragged = fields["is_ragged"]
    splits = fields["row_splits"] if ragged else []
    values = fields.get("values") or fields["name"]
  except (ValueError, SyntaxError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(
      f"the dump says {text!r} of feature {feature_name!r}; it must be a literal with name (or values), is_ragged and, "
      "where that is True, row_splits."
    ) from error
  return FeatureRecord(values, [splits] if isinstance(splits, str) else list(splits), fields)


def label_literal(label: Any) -> str:
  """The name of a label, or a list or dict of names; None gives "".

  Raises:
    ValueError: it holds something that is no tensor.
  """
  return "" if label is None else repr(map_label(label, lambda tensor: _dense_label(tensor).name))


def _dense_label(label: Any) -> tf.Tensor:
  if not isinstance(label, tf.Tensor):
    raise ValueError(f"the label is {type(label).__name__}; a dump holds tensors, and lists and dicts of them.")
  return label


def parse_label(text: str) -> Any:
  """Reads what `label_literal` wrote, as names; None of an empty text.

  Raises:
    ValueError: it is no literal.
  """
  if not text:
    return None
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError) as error:
    raise ValueError(f"the dump says {text!r} of the label; it must be a literal of tensor names.") from error


def map_label(label: Any, fn: Callable[[Any], Any]) -> Any:
  """The same lists and dicts with `fn` of what they hold."""
  if isinstance(label, dict):
    return {str(key): map_label(value, fn) for key, value in label.items()}
  if isinstance(label, (list, tuple)):
    return [map_label(value, fn) for value in label]
  return fn(label)

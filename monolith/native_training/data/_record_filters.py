# SPDX-License-Identifier: Apache-2.0
"""Filters of records, for `Dataset.filter`."""

from __future__ import annotations

from typing import Dict, Iterable, Optional, Sequence, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data._record_seeds import seeds
from monolith.native_training.data._record_settings import (
  Operand,
  RecordType,
  actions_of,
  fid_bits,
  line_id_operands,
  operands_of,
  rates_text,
  type_name,
)
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["filter_by_feature_value", "filter_by_fids", "filter_by_label", "filter_by_value", "has_variant",
           "negative_sample", "special_strategy", "special_strategy_label"]  # fmt: skip

_COLUMN_KINDS = {"int64": "int", "float": "float", "double": "float", "bytes": "string"}


def filter_by_fids(
  variant: tf.Tensor,
  filter_fids: Optional[Iterable[int]] = None,
  has_fids: Optional[Iterable[int]] = None,
  select_fids: Optional[Iterable[int]] = None,
  has_actions: Optional[Iterable[int]] = None,
  req_time_min: int = 0,
  select_slots: Optional[Iterable[int]] = None,
  variant_type: RecordType = "instance",
) -> tf.Tensor:
  """Whether records have what is wanted, and nothing of what is not. What is empty or None tests nothing.

  Args:
    variant: records, any shape.
    filter_fids: none of these fids may be in the record. Fids are those of an Instance's field `fid`, or of all columns
      of an Example, each of the version that it has there.
    has_fids: one of these must be.
    select_fids: all of these must be.
    has_actions: one of these actions must be.
    req_time_min: earliest time of the request, in seconds since 1970.
    select_slots: of each of these slots there must be a fid (of an Instance also in a named feature).
    variant_type: `instance` or `example`.

  Returns:
    bool, the same shape.

  Raises:
    ValueError: a fid has more than 64 bits.
    tf.errors.InvalidArgumentError: a slot is not in [0, 32768), or the records are of another type.

  >>> from idl.matrix.proto import proto_parser_pb2
  >>> record = string_to_variant(proto_parser_pb2.Instance(fid=[5]).SerializeToString(), "instance")
  >>> bool(filter_by_fids(record, has_fids=[5, 6])), bool(filter_by_fids(record, filter_fids=[5]))
  (True, False)
  """
  return gen_monolith_ops.set_filter(
    variant,
    filter_fids=fid_bits(filter_fids, "filter_fids"),
    has_fids=fid_bits(has_fids, "has_fids"),
    select_fids=fid_bits(select_fids, "select_fids"),
    has_actions=actions_of(has_actions, "has_actions"),
    req_time_min=int(req_time_min),
    select_slots=[int(slot) for slot in (select_slots or ())],
    variant_type=type_name(variant_type),
  )


def filter_by_value(
  variant: tf.Tensor,
  field_name: str,
  op: str,
  operand: Optional[Operand],
  variant_type: RecordType = "instance",
  keep_empty: bool = False,
  operand_filepath: Optional[str] = None,
) -> tf.Tensor:
  """Whether a comparison holds for a field of the record's LineId.

  Args:
    variant: records, any shape.
    field_name: the field. One that is not set has its default.
    op: `gt`, `ge`, `eq`, `lt`, `le`, `neq`, `between` (a <= value < b), `in`, `not-in`; for strings also `startswith`
      and `endswith` (any of the operands); for repeated fields `any` (some operand is among the values), `all` (all
      are) or `diff` (none is).
    operand: a value or several, of the field's kind. Ids (uid, item_id) are unsigned.
    variant_type: `instance` or `example`.
    keep_empty: the outcome for a repeated field without values.
    operand_filepath: a file with a serialized `FilterValues` instead of the operand (None), for `in` and `not-in`. It
      is read when the op is made: once a graph or iterator, and once for all equal calls of eager execution.

  Returns:
    bool, the same shape.

  Raises:
    ValueError: there is no such field, not exactly one of operand and operand_filepath, or an operand of another kind.
    tf.errors.InvalidArgumentError: op does not fit the field or the number of operands, the file is no FilterValues of
      its kind, or the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example()
  >>> example.line_id.uid = 2
  >>> record = string_to_variant(example.SerializeToString())
  >>> bool(filter_by_value(record, "uid", "between", [1, 3], variant_type="example"))
  True
  """
  return gen_monolith_ops.value_filter(
    variant,
    field_name=field_name,
    op=op,
    keep_empty=keep_empty,
    variant_type=type_name(variant_type),
    **line_id_operands(field_name, operand, operand_filepath),
  )


def filter_by_feature_value(
  variant: tf.Tensor,
  field_name: str,
  op: str,
  operand: Optional[Operand],
  field_type: str,
  keep_empty: bool = False,
  operand_filepath: Optional[str] = None,
) -> tf.Tensor:
  """Whether a comparison holds for the only value of an Example's column.

  Args:
    variant: Examples, any shape.
    field_name: the column.
    op: as of `filter_by_value`; `any`, `all` and `diff` compare a whole column of int64.
    operand: a value or several.
    field_type: `int64`, `float`, `double` or `bytes`. Doubles are rounded to float32, which operands are.
    keep_empty: the outcome where there is no such column, it is of another type, or has not one value (for `any`, `all`
      and `diff`: none).
    operand_filepath: as of `filter_by_value`.

  Returns:
    bool, the same shape.

  Raises:
    ValueError: field_type is none of the four, not exactly one of operand and operand_filepath is given, or an operand
      is of another kind.
    tf.errors.InvalidArgumentError: as of `filter_by_value`.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example()
  >>> example.named_feature.add(name="age").feature.int64_list.value.append(30)
  >>> record = string_to_variant(example.SerializeToString())
  >>> bool(filter_by_feature_value(record, "age", "ge", 18, "int64"))
  True
  """
  if field_type not in _COLUMN_KINDS:
    raise ValueError(f"field_type is {field_type!r}; use one of {', '.join(_COLUMN_KINDS)}.")
  return gen_monolith_ops.feature_value_filter(
    variant,
    field_name=field_name,
    op=op,
    field_type=field_type,
    keep_empty=keep_empty,
    **operands_of(_COLUMN_KINDS[field_type], operand, operand_filepath),
  )


def filter_by_label(
  variant: tf.Tensor, label_threshold: Sequence[float], filter_equal: bool = False, variant_type: RecordType = "example"
) -> tf.Tensor:
  """Whether some label reaches the threshold of its place. Records with fewer labels than thresholds are dropped.

  Args:
    variant: records, any shape.
    label_threshold: one a label, at least one.
    filter_equal: whether equality is not enough.
    variant_type: `instance` or `example`.

  Returns:
    bool, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: no thresholds, or the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> record = string_to_variant(example_pb2.Example(label=[0, 1]).SerializeToString())
  >>> [bool(filter_by_label(record, [0.0, 1.0], filter_equal)) for filter_equal in (False, True)]
  [True, False]
  """
  return gen_monolith_ops.filter_by_label(
    variant,
    label_threshold=[float(threshold) for threshold in label_threshold],
    filter_equal=filter_equal,
    variant_type=type_name(variant_type),
  )


def has_variant(input: tf.Tensor, variant_type: RecordType = "example") -> tf.Tensor:
  """Whether records have any bytes; an empty record is a valid one without fields.

  Args:
    input: records, any shape.
    variant_type: `instance`, `example` or `example_batch`.

  Returns:
    bool, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: the records are of another type.

  >>> has_variant(string_to_variant(["", ""])).numpy().tolist()
  [False, False]
  """
  return gen_monolith_ops.has_variant(input, variant_type=type_name(variant_type))


def special_strategy(
  variant: tf.Tensor,
  strategy_list: Union[str, Iterable[int]],
  strategy_conf: Optional[str] = None,
  variant_type: RecordType = "instance",
  keep_empty_strategy: bool = True,
  *,
  seed: Optional[int] = None,
) -> tf.Tensor:
  """Keeps records by the first strategy of the list that is in their LineId's special_strategies.

  Records that have other strategies only are dropped.

  Args:
    variant: records, any shape.
    strategy_list: strategies; the first of them that a record has decides.
    strategy_conf: `strategy:rate,...`: the share of its records that is kept. A strategy without a rate keeps all.
      A filter changes no records: for `strategy:rate:label` map what is kept with `special_strategy_label`.
    variant_type: `instance` or `example`.
    keep_empty_strategy: whether records without any strategy are kept.
    seed: of the random numbers, together with `tf.random.set_seed`.

  Returns:
    bool, the same shape.

  Raises:
    ValueError: strategy_conf gives a label.
    tf.errors.InvalidArgumentError: strategy_conf cannot be read, has a rate outside [0, 1] or a strategy that is not in
      the list, or the records are of another type.

  >>> from idl.matrix.proto import proto_parser_pb2
  >>> instance = proto_parser_pb2.Instance()
  >>> instance.line_id.special_strategies.append(7)
  >>> record = string_to_variant(instance.SerializeToString(), "instance")
  >>> bool(special_strategy(record, [7, 8], "8:0.5")), bool(special_strategy(record, [7], "7:0.0"))
  (True, False)
  """
  conf = strategy_conf or ""
  if any(part.count(":") > 1 for part in conf.split(",")):
    raise ValueError(
      f"strategy_conf is {conf!r}, which gives a label, but a filter changes no records; leave the label out here and "
      "map the records that are kept with special_strategy_label."
    )
  return gen_monolith_ops.special_strategy(
    variant,
    strategy_list=actions_of(strategy_list, "strategy_list"),
    strategy_conf=conf,
    keep_empty_strategy=keep_empty_strategy,
    variant_type=type_name(variant_type),
    **seeds(seed),
  )


def special_strategy_label(
  variant: tf.Tensor,
  strategy_list: Union[str, Iterable[int]],
  strategy_conf: str,
  variant_type: RecordType = "instance",
) -> tf.Tensor:
  """Sets the first label by the first strategy of the list that a record has. Goes behind `special_strategy`.

  Args:
    variant: records, any shape.
    strategy_list: strategies; the first of them that a record has decides.
    strategy_conf: `strategy:rate[:label],...`; without a label the record stays. Rates are for `special_strategy`.
    variant_type: `instance` or `example`.

  Returns:
    Records, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: as of `special_strategy`.

  >>> from idl.matrix.proto import proto_parser_pb2
  >>> instance = proto_parser_pb2.Instance(label=[1.0])
  >>> instance.line_id.special_strategies.append(7)
  >>> record = string_to_variant(instance.SerializeToString(), "instance")
  >>> bool(filter_by_label(special_strategy_label(record, [7], "7:0.5:-1"), [0.0], variant_type="instance"))
  False
  """
  return gen_monolith_ops.monolith_special_strategy_label(
    variant,
    strategy_list=actions_of(strategy_list, "strategy_list"),
    strategy_conf=strategy_conf,
    variant_type=type_name(variant_type),
  )


def negative_sample(
  variant: tf.Tensor,
  drop_rate: float,
  label_index: int = 0,
  threshold: float = 0.0,
  variant_type: RecordType = "instance",
  action_priority: Union[str, Iterable[int], None] = None,
  per_action_drop_rate: Union[str, Dict[int, float], None] = None,
  *,
  seed: Optional[int] = None,
) -> tf.Tensor:
  """Keeps positives and drops a share of the negatives.

  Args:
    variant: records, any shape.
    drop_rate: share of the negatives that is dropped, in [0, 1].
    label_index: the label that decides.
    threshold: labels from it on are positive.
    variant_type: `instance` or `example`.
    action_priority: actions, the most important first, as numbers or `a,b,..`. The first that a record has counts.
    per_action_drop_rate: `action:rate,..` or a dict; drop_rate stands for actions that are not in it.
    seed: of the random numbers, together with `tf.random.set_seed`.

  Returns:
    bool, the same shape.

  Raises:
    ValueError: action_priority cannot be read.
    tf.errors.InvalidArgumentError: a rate is not in [0, 1], an action is there twice, a record has no label at
      label_index, or the records are of another type.

  >>> from idl.matrix.proto import proto_parser_pb2
  >>> serialized = [proto_parser_pb2.Instance(label=[label]).SerializeToString() for label in (0.0, 1.0)]
  >>> negative_sample(string_to_variant(serialized, "instance"), 1.0, threshold=0.5).numpy().tolist()
  [False, True]
  """
  return gen_monolith_ops.negative_sample(
    variant,
    drop_rate=drop_rate,
    label_index=label_index,
    threshold=threshold,
    action_priority=actions_of(action_priority, "action_priority"),
    per_action_drop_rate=rates_text(per_action_drop_rate),
    variant_type=type_name(variant_type),
    **seeds(seed),
  )

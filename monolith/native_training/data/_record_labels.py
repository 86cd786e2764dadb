# SPDX-License-Identifier: Apache-2.0
"""Changes of labels and actions of records, for `Dataset.map`. Each gives new records; what it gets stays as it is."""

from __future__ import annotations

from typing import Iterable, Mapping, Optional, Sequence, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data._record_seeds import seeds
from monolith.native_training.data._record_settings import (
  Operand,
  RecordType,
  actions_of,
  line_id_operands,
  type_name,
)
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["add_action", "add_label", "fill_multi_rank_output", "label_normalization", "label_upper_bound",
           "multi_label_gen", "scatter_label", "use_field_as_label"]  # fmt: skip


def add_action(
  variant: tf.Tensor, field_name: str, op: str, operand: Operand, action: int, variant_type: RecordType = "example"
) -> tf.Tensor:
  """Appends an action to records for whose LineId a comparison holds.

  Args:
    variant: records, any shape.
    field_name: field of LineId; a repeated one without values fails the comparison.
    op: as of `filter_by_value`.
    operand: a value or several, of the field's kind.
    action: the action, of 32 bits.
    variant_type: `instance` or `example`.

  Returns:
    Records, the same shape.

  Raises:
    ValueError: there is no such field, or an operand is of another kind.
    tf.errors.InvalidArgumentError: op does not fit the field or the number of operands, or the records are of another
      type.

  >>> record = add_action(string_to_variant(""), "sample_rate", "ge", 0.5, 2)
  >>> bool(filter_by_value(record, "actions", "any", [2], "example"))
  True
  """
  return gen_monolith_ops.add_action(
    variant,
    field_name=field_name,
    op=op,
    action=action,
    variant_type=type_name(variant_type),
    **line_id_operands(field_name, operand),
  )


def add_label(
  variant: tf.Tensor,
  config: str,
  negative_value: float,
  new_sample_rate: float,
  variant_type: RecordType = "example",
  *,
  seed: Optional[int] = None,
) -> tf.Tensor:
  """Appends a label a task, made from the record's actions.

  A record with a positive action of the task has label 1. One without, and without a negative action if the task lists
  any, has INVALID_LABEL. The others have negative_value with the task's rate as probability, else INVALID_LABEL. A
  first label that is there already and at most 0 becomes INVALID_LABEL.

  Args:
    variant: records, any shape.
    config: `pos,..:neg,..:rate` for each task, with `;` between them: `1,2:3:1.0;4::0.5`.
    negative_value: label of negatives.
    new_sample_rate: becomes the LineId's sample_rate, in (0, 1].
    variant_type: `instance` or `example`.
    seed: of the random numbers, together with `tf.random.set_seed`.

  Returns:
    Records, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: config cannot be read, a rate is out of range, or the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example()
  >>> example.line_id.actions.append(3)
  >>> record = add_label(string_to_variant(example.SerializeToString()), "1,2:3:1.0", -1.0, 0.5)
  >>> parse_examples(tf.stack([record]), [], ["label"])["label"].numpy().tolist()
  [[-1.0]]
  """
  return gen_monolith_ops.add_label(
    variant,
    config=config,
    negative_value=negative_value,
    new_sample_rate=new_sample_rate,
    variant_type=type_name(variant_type),
    **seeds(seed),
  )


def scatter_label(variant: tf.Tensor, config: str, variant_type: RecordType = "example") -> tf.Tensor:
  """Moves the first label to the place of the record's channel (LineId's chnid); all other labels are INVALID_LABEL.

  Args:
    variant: records, any shape.
    config: `chnid:index,..`. There are as many labels as the highest index asks for.
    variant_type: `instance` or `example`.

  Returns:
    Records, the same shape. A channel that is not listed, or no label, leaves nothing but INVALID_LABEL.

  Raises:
    tf.errors.InvalidArgumentError: config cannot be read or has a channel twice, or the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example(label=[5.0])
  >>> example.line_id.chnid = 200
  >>> record = scatter_label(string_to_variant(example.SerializeToString()), "100:0,200:1")
  >>> float(parse_examples(tf.stack([record]), [], ["label"], [2])["label"][0, 1])
  5.0
  """
  return gen_monolith_ops.scatter_label(variant, config=config, variant_type=type_name(variant_type))


def multi_label_gen(
  variant: tf.Tensor,
  head_to_index: Mapping[Union[str, int], int],
  head_field: str = "chnid",
  pos_actions: Optional[Iterable[int]] = None,
  neg_actions: Optional[Iterable[int]] = None,
  use_origin_label: bool = False,
  pos_label: float = 1.0,
  neg_label: float = 0.0,
  action_priority: Union[str, Iterable[int], None] = None,
  task_num: Optional[int] = None,
  variant_type: RecordType = "example",
) -> tf.Tensor:
  """Puts one label at the place of the record's head; all other labels are INVALID_LABEL.

  Args:
    variant: records, any shape.
    head_to_index: the place for each value of head_field; numbers count as their text.
    head_field: the field of LineId that says the head, with one integer or one string.
    pos_actions: actions of positives.
    neg_actions: actions of negatives. An action of neither list makes the label INVALID_LABEL.
    use_origin_label: whether the label is the first that the record has; then actions do not matter.
    pos_label: label of positives.
    neg_label: label of negatives.
    action_priority: actions, the most important first, as numbers or `a,b,..`. The first of them that a record has
      decides, or else its first action.
    task_num: number of labels; default as many as the highest place asks for.
    variant_type: `instance` or `example`.

  Returns:
    Records, the same shape.

  Raises:
    ValueError: action_priority cannot be read.
    tf.errors.InvalidArgumentError: no heads, a place below 0 or beyond task_num, a field that says no head, an action
      that is positive and negative, neither actions nor use_origin_label, or the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example()
  >>> example.line_id.device_type = "phone"
  >>> example.line_id.actions.append(3)
  >>> record = string_to_variant(example.SerializeToString())
  >>> record = multi_label_gen(record, {"phone": 1, "tablet": 0}, "device_type", pos_actions=[3])
  >>> float(parse_examples(tf.stack([record]), [], ["label"], [2])["label"][0, 1])
  1.0
  """
  return gen_monolith_ops.multi_label_gen(
    variant,
    heads=[str(head) for head in head_to_index],
    indices=[int(index) for index in head_to_index.values()],
    head_field=head_field,
    pos_actions=actions_of(pos_actions, "pos_actions"),
    neg_actions=actions_of(neg_actions, "neg_actions"),
    use_origin_label=use_origin_label,
    pos_label=pos_label,
    neg_label=neg_label,
    action_priority=actions_of(action_priority, "action_priority"),
    task_num=task_num or 0,
    variant_type=type_name(variant_type),
  )


def label_upper_bound(
  variant: tf.Tensor, label_upper_bounds: Sequence[float], variant_type: RecordType = "instance"
) -> tf.Tensor:
  """Cuts the first labels down to their bounds. Records with fewer labels than bounds stay.

  Args:
    variant: records, any shape.
    label_upper_bounds: one a label, at least one.
    variant_type: `instance` or `example`.

  Returns:
    Records, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: no bounds, or the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> record = string_to_variant(example_pb2.Example(label=[0, 1]).SerializeToString())
  >>> record = label_upper_bound(record, [0.5, 0.5], "example")
  >>> parse_examples(tf.stack([record]), [], ["label"], [2])["label"].numpy().tolist()
  [[0.0, 0.5]]
  """
  return gen_monolith_ops.label_upper_bound(
    variant,
    label_upper_bounds=[float(bound) for bound in label_upper_bounds],
    variant_type=type_name(variant_type),
  )


def label_normalization(
  variant: tf.Tensor,
  norm_methods: Sequence[str],
  norm_values: Sequence[float],
  variant_type: RecordType = "instance",
) -> tf.Tensor:
  """Sends every label through all methods, one after another. INVALID_LABEL stays.

  Args:
    variant: records, any shape.
    norm_methods: of a label x with a value v: `log` ln(max(x + v, 0)), `scale` x / v, `scale2int` x / v without its
      fraction, `pow` (x + 1)^v, `repow` x^v or 0 for x <= 0, `scalelog` ln(max(x / v + 1, 0)).
    norm_values: one a method; not 0 for those that divide by it.
    variant_type: `instance` or `example`.

  Returns:
    Records, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: a method is not known, has no value or would divide by 0, or the records are of
      another type.

  >>> from idl.matrix.proto import example_pb2
  >>> record = string_to_variant(example_pb2.Example(label=[0, 1]).SerializeToString())
  >>> record = label_normalization(record, ["scale", "repow"], [0.5, 3], "example")
  >>> parse_examples(tf.stack([record]), [], ["label"], [2])["label"].numpy().tolist()
  [[0.0, 8.0]]
  """
  return gen_monolith_ops.label_normalization(
    variant,
    norm_methods=list(norm_methods),
    norm_values=[float(value) for value in norm_values],
    variant_type=type_name(variant_type),
  )


def fill_multi_rank_output(
  variant: tf.Tensor,
  enable_draw_as_rank: bool = False,
  enable_chnid_as_rank: bool = False,
  enable_lineid_rank_as_rank: bool = False,
  rank_num: int = 18,
  variant_type: RecordType = "instance",
) -> tf.Tensor:
  """Appends a rank, taken from LineId, as a label. Exactly one of the three sources is set.

  Args:
    variant: records, any shape.
    enable_draw_as_rank: is_draw, 0 or 1.
    enable_chnid_as_rank: chnid if it is 0 or 1, else 2.
    enable_lineid_rank_as_rank: rank, at most rank_num - 1.
    rank_num: number of ranks, at least 1.
    variant_type: `instance` or `example`.

  Returns:
    Records, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: not one source, rank_num below 1, or the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example()
  >>> example.line_id.rank = 40
  >>> record = string_to_variant(example.SerializeToString())
  >>> record = fill_multi_rank_output(record, enable_lineid_rank_as_rank=True, variant_type="example")
  >>> parse_examples(tf.stack([record]), [], ["label"])["label"].numpy().tolist()
  [[17.0]]
  """
  return gen_monolith_ops.fill_multi_rank_output(
    variant,
    enable_draw_as_rank=enable_draw_as_rank,
    enable_chnid_as_rank=enable_chnid_as_rank,
    enable_lineid_rank_as_rank=enable_lineid_rank_as_rank,
    rank_num=rank_num,
    variant_type=type_name(variant_type),
  )


def use_field_as_label(
  variant: tf.Tensor,
  field_name: str,
  overwrite_invalid_value: bool = False,
  label_threshold: float = 7200,
  variant_type: RecordType = "instance",
) -> tf.Tensor:
  """Raises every label to the value of a field of LineId, where that is larger.

  Args:
    variant: records, any shape.
    field_name: a field of LineId with one number.
    overwrite_invalid_value: whether values from label_threshold on count as 0.
    label_threshold: the first value that is not believed; the default, for times of play in seconds, is two hours.
    variant_type: `instance` or `example`.

  Returns:
    Records, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: there is no such field, it has no single number, or the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example(label=[0, 0.5])
  >>> example.line_id.rank = 1
  >>> record = string_to_variant(example.SerializeToString())
  >>> record = use_field_as_label(record, "rank", variant_type="example")
  >>> parse_examples(tf.stack([record]), [], ["label"], [2])["label"].numpy().tolist()
  [[1.0, 1.0]]
  """
  return gen_monolith_ops.use_field_as_label(
    variant,
    field_name=field_name,
    overwrite_invalid_value=overwrite_invalid_value,
    label_threshold=label_threshold,
    variant_type=type_name(variant_type),
  )

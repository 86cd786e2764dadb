# SPDX-License-Identifier: Apache-2.0
"""From batches of records to the tensors that a model reads.

All parsers return `{name: tensor}`: sparse columns as `tf.RaggedTensor` of int64 fids `[B, None]`, dense columns and
fields of LineId ("extras") as `[B, shape]`. They work on variants of a `PBDataset` and on serialized strings, eagerly,
in graphs and inside `Dataset.map`. Serialized Examples are read as a dataset reads them: special columns become fields.
"""

from __future__ import annotations

import contextvars
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import line_id_pb2

from monolith.core.errors import CallerError
from monolith.native_training import utils as training_utils
from monolith.native_training.data import feature_list as feature_lists
from monolith.native_training.data import utils
from monolith.native_training.data._sharding import ShardedFids, sharding_sparse_fids
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = [
  "SPARSE_FEATURES_KEY",
  "ParserCtx",
  "ShardedFids",
  "get_default_parser_ctx",
  "parse_example_batch",
  "parse_examples",
  "parse_instances",
  "sharding_sparse_fids",
]

SPARSE_FEATURES_KEY = "__sharding_sparse_fids__sparse_features"
"""Where parsers put the records whose fids are to be dealt out."""

_RAGGED = -1


class ParserCtx:
  """Options of parsers, as a context manager. Contexts nest, in each thread by itself: a thread that is started
  inside a block begins outside of all, and enters what it needs.

  Args:
    enable_fused_layout: leave fids in the records: parsers return dense columns and, as SPARSE_FEATURES_KEY, the
      records themselves, of which `sharding_sparse_fids` deals the fids out.

  Attributes:
    enable_resource_constrained_roughsort: True makes `parse_instances` return the extra `item_id` too; of the process.
    parser_type: which records the last parser inside the block took.
    v1_columns: of Instances {name of the result: slot}, as `parse_instances` was asked.
    keeps_v1: whether its fids of those slots stay version 1.
  """

  enable_resource_constrained_roughsort = False

  def __init__(self, enable_fused_layout: bool = False):
    self.enable_fused_layout = enable_fused_layout
    self.parser_type: Optional[str] = None
    self.v1_columns: Dict[str, int] = {}
    self.keeps_v1 = False
    self.sharding_sparse_fids_op_params: Any = None
    self._values: Dict[str, Any] = {}

  def set(self, key: str, value: Any) -> None:
    self._values[key] = value

  def get(self, key: str, default: Any = None) -> Any:
    return self._values.get(key, default)

  def __enter__(self) -> ParserCtx:
    _STACK.set((*_STACK.get(), self))
    return self

  def __exit__(self, *unused: Any) -> None:
    stack = _STACK.get()
    innermost = len(stack) - 1 - stack[::-1].index(self)
    _STACK.set(stack[:innermost] + stack[innermost + 1 :])


_STACK: contextvars.ContextVar[Tuple[ParserCtx, ...]] = contextvars.ContextVar("monolith_parser_ctx_stack", default=())
_OUTERMOST: contextvars.ContextVar[Optional[ParserCtx]] = contextvars.ContextVar("monolith_parser_ctx", default=None)


def get_default_parser_ctx() -> ParserCtx:
  """The innermost context of this thread, or one that it has outside of all blocks."""
  stack = _STACK.get()
  if stack:
    return stack[-1]
  outermost = _OUTERMOST.get()
  if outermost is None:
    outermost = ParserCtx()
    _OUTERMOST.set(outermost)
  return outermost


class _Columns:
  """What a parse op is asked for."""

  def __init__(self) -> None:
    self.names: List[str] = []
    self.shapes: List[int] = []
    self.dtypes: List[tf.DType] = []
    self.extras: List[str] = []

  def add(self, name: str, shape: int, dtype: tf.DType) -> None:
    if name in self.names:
      raise CallerError(f"feature {name!r} is asked for twice; names must differ.")
    self.names.append(name)
    self.shapes.append(shape)
    self.dtypes.append(tf.as_dtype(dtype))

  def add_sparse(self, names: Sequence[str]) -> None:
    for name in names:
      self.add(name, _RAGGED, tf.int64)

  def add_dense(self, names: Any, shapes: Any, dtypes: Any) -> None:
    names = list(names or [])
    shapes = _per_name("dense_feature_shapes", names, shapes, 1)
    dtypes = _per_name("dense_feature_types", names, dtypes, tf.float32)
    for name, shape, dtype in zip(names, shapes, dtypes, strict=True):
      self.add(name, _checked_shape(name, shape), dtype)

  def add_extras(self, names: Any, shapes: Any) -> None:
    names = list(names or [])
    shapes = _per_name("extra_feature_shapes", names, shapes, 1)
    for name, shape in zip(names, shapes, strict=True):
      self.add(name, _checked_shape(name, shape), _extra_type(name))
      self.extras.append(name)

  def parse(self, op: Any, records: Optional[tf.Tensor]) -> Dict[str, Any]:
    """What `op(**attributes)` gives, and `records` where their fids stay in them."""
    result = self.result(op(**self.attributes())) if self.names or records is None else {}
    return result if records is None else {**result, SPARSE_FEATURES_KEY: records}

  def attributes(self) -> Dict[str, Any]:
    num_ragged = self.shapes.count(_RAGGED)
    return {
      "names": self.names,
      "shapes": self.shapes,
      "dtypes": self.dtypes + [tf.int64] * num_ragged,
      "extra_names": self.extras,
    }

  def result(self, tensors: Sequence[tf.Tensor]) -> Dict[str, Union[tf.Tensor, tf.RaggedTensor]]:
    values = iter(tensors[len(self.names) :])
    return {
      name: tf.RaggedTensor.from_row_splits(next(values), tensor, validate=False) if shape == _RAGGED else tensor
      for name, shape, tensor in zip(self.names, self.shapes, tensors, strict=False)
    }


def _per_name(argument: str, names: Sequence[str], given: Any, default: Any) -> Sequence[Any]:
  if given is None:
    return [default] * len(names)
  if len(given) != len(names):
    raise CallerError(f"{argument} has {len(given)} entries for {len(names)} features; give one for each.")
  return given


def _checked_shape(name: str, shape: Any) -> int:
  if isinstance(shape, (list, tuple)):
    if len(shape) != 1:
      raise CallerError(f"feature {name!r} has shape {list(shape)}; give the number of its values.")
    shape = shape[0]
  if int(shape) <= 0:
    raise CallerError(f"feature {name!r} has shape {shape}; it must be greater than 0.")
  return int(shape)


def _extra_type(name: str) -> tf.DType:
  field = line_id_pb2.LineId.DESCRIPTOR.fields_by_name.get(name)
  if field is None:
    known = ", ".join(line_id_pb2.LineId.DESCRIPTOR.fields_by_name)
    raise ValueError(f"extra feature {name!r} is not in line id, which has {known}.")
  if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
    return tf.float32
  return tf.string if field.cpp_type == field.CPPTYPE_STRING else tf.int64


def _record(variant_type: str, **arguments: Any) -> None:
  """Leaves what was asked for in the collections of the graph."""
  get_default_parser_ctx().parser_type = variant_type
  if tf.executing_eagerly():
    return
  for name, value in {**arguments, "variant_type": variant_type}.items():
    training_utils.add_to_collections(name, value)


def _v1_columns(fidv1_features: Optional[Sequence[Union[int, str]]]) -> Dict[str, int]:
  """{name of the result: slot} of slots, or of names that the feature list knows."""
  features = list(fidv1_features or [])
  if not all(isinstance(f, int) for f in features) and not all(isinstance(f, str) for f in features):
    raise RuntimeError(f"fidv1_features error: {features} mixes slots and names; give only slots or only names.")
  columns: Dict[str, int] = {}
  for feature in features:
    name, slot = utils.get_feature_name_and_slot(feature)
    if slot is None:
      raise ValueError(f"fidv1_features: {feature!r} has no slot; give slots, or a feature list that knows the name.")
    if name in columns:
      raise CallerError(f"feature {name!r} is asked for twice; names must differ.")
    columns[name] = slot
  return columns


def parse_instances(
  tensor: tf.Tensor,
  fidv1_features: Optional[Sequence[Union[int, str]]] = None,
  fidv2_features: Optional[Sequence[str]] = None,
  dense_features: Optional[Sequence[str]] = None,
  dense_feature_shapes: Optional[Sequence[int]] = None,
  dense_feature_types: Optional[Sequence[tf.DType]] = None,
  extra_features: Optional[Sequence[str]] = None,
  extra_feature_shapes: Optional[Sequence[int]] = None,
) -> Dict[str, Union[tf.Tensor, tf.RaggedTensor]]:
  """Parses a batch of Instances.

  Missing data: a sparse column is an empty row; a dense column that is missing or has another length is zeros (""), a
  short label is filled with zeros, a missing instance_weight is 1, a missing extra its default. A float column may come
  quantized ("UE_QTZ" in a bytes value).

  Args:
    tensor: variants or serialized Instances, `[B]`.
    fidv1_features: slots of the flat list of v1 fids, all ints, or names of the feature list, all strings. **Their
      fids stay version 1 unless there are fidv2_features**, which turn all into version 2.
    fidv2_features: names of sparse columns.
    dense_features: names of dense columns; `label` and `instance_weight` are the fields.
    dense_feature_shapes: values a row of each, > 0; default 1.
    dense_feature_types: tf.float32, tf.int64 or tf.string; default tf.float32.
    extra_features: fields of LineId; integers are int64, floats float32, text string.
    extra_feature_shapes: values a row of each; default 1. Repeated fields are cut or filled with zeros.

  Returns:
    {name: tensor}; v1 slots under the feature list's name, or `slot_<n>`.

  Raises:
    ValueError: names repeat, a shape is not positive, or an extra is not in line id.
    RuntimeError: fidv1_features mixes slots and names.
    tf.errors.FailedPreconditionError: a string is no Instance.
    tf.errors.InvalidArgumentError: a variant holds another message.

  >>> from idl.matrix.proto import proto_parser_pb2
  >>> instance = proto_parser_pb2.Instance(fid=[(3 << 54) | 5], label=[1.0])
  >>> batch = parse_instances(tf.constant([instance.SerializeToString()]), fidv1_features=[3], dense_features=["label"])
  >>> batch["slot_3"].to_list() == [[(3 << 54) | 5]], batch["label"].numpy().tolist()
  (True, [[1.0]])
  """
  if ParserCtx.enable_resource_constrained_roughsort and "item_id" not in (extra_features or []):
    shapes = extra_feature_shapes if extra_feature_shapes is None else [*extra_feature_shapes, 1]
    extra_features, extra_feature_shapes = [*(extra_features or []), "item_id"], shapes
  v1_columns = _v1_columns(fidv1_features)
  columns = _Columns()
  fused = get_default_parser_ctx().enable_fused_layout
  if not fused:
    columns.add_sparse(list(v1_columns))
    columns.add_sparse(list(fidv2_features or []))
  columns.add_dense(dense_features, dense_feature_shapes, dense_feature_types)
  columns.add_extras(extra_features, extra_feature_shapes)
  _record(
    "instance", fidv1_features=fidv1_features, fidv2_features=fidv2_features, dense_features=dense_features,
    dense_feature_shapes=dense_feature_shapes, dense_feature_types=dense_feature_types, extra_features=extra_features,
    extra_feature_shapes=extra_feature_shapes,
  )  # fmt: skip
  ctx = get_default_parser_ctx()
  ctx.v1_columns, ctx.keeps_v1 = v1_columns, not fidv2_features
  slots = [] if fused else list(v1_columns.values())
  return columns.parse(
    lambda **attributes: gen_monolith_ops.parse_instances(tensor, fidv1_features=slots, **attributes),
    tensor if fused else None,
  )


def parse_examples(
  tensor: tf.Tensor,
  sparse_features: Sequence[str],
  dense_features: Optional[Sequence[str]] = None,
  dense_feature_shapes: Optional[Sequence[int]] = None,
  dense_feature_types: Optional[Sequence[tf.DType]] = None,
  extra_features: Optional[Sequence[str]] = None,
  extra_feature_shapes: Optional[Sequence[int]] = None,
) -> Dict[str, Union[tf.Tensor, tf.RaggedTensor]]:
  """Parses a batch of Examples. Fids come out as version 2.

  Missing data: a sparse column is an empty row; a dense column is cut, or filled with zeros; a float column of shape 1
  with an empty list is 1.17549435e-38, a missing one 0; a short label is filled with -3.4028235e38 (no label), an
  instance_weight <= 0 is 1. A column named `label` or `instance_weight` stands before the field.

  Args:
    tensor: variants or serialized Examples, `[B]`.
    sparse_features: names of sparse columns.
    dense_features: names of dense columns; `label` and `instance_weight` are the fields.
    dense_feature_shapes: values a row of each, > 0; default 1. Strings have one.
    dense_feature_types: tf.float32, tf.int64 or tf.string; default tf.float32.
    extra_features: fields of LineId; integers are int64, floats float32, text string.
    extra_feature_shapes: values a row of each; default 1. Repeated fields are cut or filled with zeros.

  Raises:
    ValueError: names repeat, a shape is not positive, or an extra is not in line id.
    tf.errors.FailedPreconditionError: a string is no Example.
    tf.errors.InvalidArgumentError: a variant holds another message, or a column another kind of values.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example(label=[1.0])
  >>> column = example.named_feature.add(name="user")
  >>> column.feature.fid_v2_list.value.append((7 << 48) | 5)
  >>> batch = parse_examples(tf.constant([example.SerializeToString()]), ["user"], ["label"])
  >>> batch["user"].to_list() == [[(7 << 48) | 5]], batch["label"].numpy().tolist()
  (True, [[1.0]])
  """
  return _parse_columns("example", gen_monolith_ops.parse_examples, tensor, sparse_features, dense_features,
                        dense_feature_shapes, dense_feature_types, extra_features, extra_feature_shapes)  # fmt: skip


def parse_example_batch(
  tensor: tf.Tensor,
  sparse_features: Sequence[str],
  dense_features: Optional[Sequence[str]] = None,
  dense_feature_shapes: Optional[Sequence[int]] = None,
  dense_feature_types: Optional[Sequence[tf.DType]] = None,
  extra_features: Optional[Sequence[str]] = None,
  extra_feature_shapes: Optional[Sequence[int]] = None,
) -> Dict[str, Union[tf.Tensor, tf.RaggedTensor]]:
  """Parses one ExampleBatch, whose rows are the batch. Fids come out as version 2.

  Missing data is as in `parse_examples`, but for instance_weight, which is 0 without such a column. Extras come from
  the column `__LINE_ID__`, labels from `__LABEL__`. A SHARED column counts for every row.

  Args:
    tensor: a variant or a serialized ExampleBatch, a scalar or `[1]`.
    sparse_features: names of sparse columns.
    dense_features: names of dense columns; `label` and `instance_weight` are the special columns.
    dense_feature_shapes: values a row of each, > 0; default 1. Strings have one.
    dense_feature_types: tf.float32, tf.int64 or tf.string; default tf.float32.
    extra_features: fields of LineId; integers are int64, floats float32, text string.
    extra_feature_shapes: values a row of each; default 1. Repeated fields are cut or filled with zeros.

  Raises:
    ValueError: names repeat, a shape is not positive, or an extra is not in line id.
    tf.errors.FailedPreconditionError: a string is no ExampleBatch.
    tf.errors.InvalidArgumentError: a column has neither batch_size features nor, if SHARED, one; or see parse_examples.

  >>> from idl.matrix.proto import example_pb2
  >>> batch = example_pb2.ExampleBatch(batch_size=2)
  >>> column = batch.named_feature_list.add(name="user", type=example_pb2.SHARED)
  >>> column.feature.add().fid_v2_list.value.append(5)
  >>> parse_example_batch(tf.constant(batch.SerializeToString()), ["user"])["user"].to_list()
  [[5], [5]]
  """
  return _parse_columns("example_batch", gen_monolith_ops.parse_example_batch, tensor, sparse_features, dense_features,
                        dense_feature_shapes, dense_feature_types, extra_features, extra_feature_shapes)  # fmt: skip


def _parse_columns(
  variant_type: str, op: Any, tensor: tf.Tensor, sparse_features: Optional[Sequence[str]], dense_features: Any,
  dense_feature_shapes: Any, dense_feature_types: Any, extra_features: Any, extra_feature_shapes: Any,
) -> Dict[str, Union[tf.Tensor, tf.RaggedTensor]]:  # fmt: skip
  columns = _Columns()
  fused = get_default_parser_ctx().enable_fused_layout
  if not fused:
    columns.add_sparse(list(sparse_features or []))
  columns.add_dense(dense_features, dense_feature_shapes, dense_feature_types)
  columns.add_extras(extra_features, extra_feature_shapes)
  _record(
    variant_type, sparse_features=sparse_features, dense_features=dense_features,
    dense_feature_shapes=dense_feature_shapes, dense_feature_types=dense_feature_types, extra_features=extra_features,
    extra_feature_shapes=extra_feature_shapes,
  )  # fmt: skip
  feature_lists.add_feature([*(sparse_features or []), *(dense_features or [])])
  return columns.parse(lambda **attributes: op(tensor, **attributes), tensor if fused else None)

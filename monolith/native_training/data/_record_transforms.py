# SPDX-License-Identifier: Apache-2.0
"""Datasets of records made of datasets of records, and the methods of `tf.data.Dataset` for them.

Importing this module gives `tf.data.Dataset` the methods `transform` and `instance_reweight`. TensorFlow has none of
these names, and nothing that it has is replaced.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Optional, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from tensorflow.python.data.ops import dataset_ops

from monolith.native_training.data._pb_type import PbType
from monolith.native_training.data._record_dataset import OUTPUT_TYPE_COLLECTION
from monolith.native_training.data._record_seeds import seeds
from monolith.native_training.data._record_settings import RecordType, actions_of, reweights, type_name
from monolith.native_training.data.transform.transforms import Transform
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["InstanceReweightDataset", "RecordsOfRecords", "TransformDataset", "add_dataset_method", "record_type_of"]


def _types(dataset: tf.data.Dataset) -> Iterator[PbType]:
  """The types of a dataset and of what it is made of, the nearest first."""
  own = getattr(dataset, "output_pb_type", None)
  if own is not None:
    yield own
    return
  for source in dataset._inputs():
    yield from _types(source)


def record_type_of(dataset: tf.data.Dataset, variant_type: Optional[RecordType] = None) -> str:
  """The name of the type of a dataset's records.

  Args:
    dataset: scalar records.
    variant_type: the type, if the caller gave one. It wins. Else it is that of the source which the dataset comes from,
      and where there is none (a dataset of a function's) that of the only source of the graph.

  Raises:
    ValueError: the elements are no scalar records, the type cannot be told, or it is not instance or example.
  """
  if dataset.element_spec != tf.TensorSpec([], tf.variant):
    raise ValueError(
      f"the dataset's elements are {dataset.element_spec}, not scalar records; use it before they are batched or "
      "parsed."
    )
  if variant_type is None:
    found = {known.to_name() for known in _types(dataset)}
    if not found and not tf.executing_eagerly():
      found = set(tf.compat.v1.get_default_graph().get_collection(OUTPUT_TYPE_COLLECTION))
    if len(found) != 1:
      what = f"are {' and '.join(sorted(found))}" if found else "have no type that is known"
      raise ValueError(f"the dataset's records {what}; give variant_type, 'instance' or 'example'.")
    variant_type = found.pop()
  name = type_name(variant_type)
  if name not in ("instance", "example"):
    raise ValueError(f"variant_type is {name!r}; use 'instance' or 'example'.")
  return name


class RecordsOfRecords(dataset_ops.UnaryDataset):
  """Scalar records of the input's type."""

  def __init__(self, input_dataset: tf.data.Dataset, variant: tf.Tensor, type_of_records: str):
    self._output_pb_type = PbType.from_name(type_of_records)
    super().__init__(input_dataset, variant)

  @property
  def element_spec(self) -> tf.TensorSpec:
    return tf.TensorSpec([], tf.variant)

  @property
  def output_pb_type(self) -> PbType:
    """What the elements are."""
    return self._output_pb_type


class TransformDataset(RecordsOfRecords):
  """The records that a chain of filters keeps, with the changes that it makes.

  Decisions by chance follow `tf.random.set_seed`: every iterator of the dataset makes the same ones. An iterator that
  is restored goes on with the next.

  Args:
    input_dataset: scalar records.
    transform: a transform of `monolith.native_training.data.transform.transforms`.
    variant_type: `instance` or `example`; default that of the source.
    seed: together with `tf.random.set_seed`.

  Raises:
    ValueError: transform is none, the elements are no scalar records, or their type is not known.
    tf.errors.InvalidArgumentError: a step cannot be, or, while iterating, the records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> from monolith.native_training.data.transform.transforms import FilterByLabel
  >>> serialized = [example_pb2.Example(label=[x]).SerializeToString() for x in (0, 1, 2)]
  >>> dataset = tf.data.Dataset.from_tensor_slices(serialized).map(string_to_variant)
  >>> len(list(TransformDataset(dataset, FilterByLabel([1.0]), "example")))
  2
  """

  def __init__(
    self,
    input_dataset: tf.data.Dataset,
    transform: Transform,
    variant_type: Optional[RecordType] = None,
    *,
    seed: Optional[int] = None,
  ):
    if not isinstance(transform, Transform):
      raise ValueError(f"transform is {transform!r}; use those of monolith.native_training.data.transform.transforms.")
    name = record_type_of(input_dataset, variant_type)
    variant = gen_monolith_ops.transform_dataset(
      input_dataset._variant_tensor,
      config=transform.as_proto().SerializeToString(),
      variant_type=name,
      output_types=[tf.variant],
      output_shapes=[[]],
      **seeds(seed),
    )
    super().__init__(input_dataset, variant, name)


class InstanceReweightDataset(RecordsOfRecords):
  """As many copies of every record as its actions weigh, in streams where a record comes again when its actions change.

  Of a record's actions A, rank(A) is the place (from 1) of the best one in action_priority, 1000 where none is listed,
  2000 without actions; count(A) is the product of the weights (1 if not given) of the best one and of all that are not
  listed, 0 without actions. With P the LineId's pre_actions and C its actions:

  * neither has any: one copy, as it is;
  * rank(P) <= rank(C): none;
  * else the first label becomes that of C's best action, if it has one. If P's best action has a label too: where that
    is another one, count(P) + count(C) copies; where it is the same, |count(P) - count(C)|, with the first label
    negated if count(P) is larger. If it has none: count(C) copies.

  A record without labels after that is dropped.

  Args:
    input_dataset: scalar records.
    action_priority: actions, the most important first, as numbers or `a,b,..`.
    reweight: `action:weight:label,..`, all integers, weights of at least 0.
    variant_type: `instance` or `example`; None: that of the source.

  Raises:
    ValueError: action_priority or reweight cannot be read, elements are no scalar records, or their type is unknown.
    tf.errors.InvalidArgumentError: an action is there twice, a weight is negative, or, while iterating, the records are
      of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example(label=[0])
  >>> example.line_id.actions.append(2)
  >>> dataset = tf.data.Dataset.from_tensors(example.SerializeToString()).map(string_to_variant)
  >>> len(list(InstanceReweightDataset(dataset, "2", "2:3:-1")))
  3
  """

  def __init__(
    self,
    input_dataset: tf.data.Dataset,
    action_priority: Union[str, Iterable[int], None] = None,
    reweight: Optional[str] = None,
    variant_type: Optional[RecordType] = "example",
  ):
    actions, weights, labels = reweights(reweight)
    name = record_type_of(input_dataset, variant_type)
    variant = gen_monolith_ops.instance_reweight_dataset(
      input_dataset._variant_tensor,
      actions=actions,
      weights=weights,
      labels=labels,
      priorities=actions_of(action_priority, "action_priority"),
      variant_type=name,
      output_types=[tf.variant],
      output_shapes=[[]],
    )
    super().__init__(input_dataset, variant, name)


def _transform(
  self: tf.data.Dataset, transform: Transform, variant_type: Optional[RecordType] = None, **kwargs: Any
) -> TransformDataset:
  """`TransformDataset` of these records."""
  return TransformDataset(self, transform, variant_type, **kwargs)


def _instance_reweight(
  self: tf.data.Dataset,
  action_priority: Union[str, Iterable[int], None] = None,
  reweight: Optional[str] = None,
  variant_type: Optional[RecordType] = None,
  **kwargs: Any,
) -> InstanceReweightDataset:
  """`InstanceReweightDataset` of these records."""
  return InstanceReweightDataset(self, action_priority, reweight, variant_type, **kwargs)


def add_dataset_method(name: str, method: Callable[..., tf.data.Dataset]) -> None:
  """Gives `tf.data.Dataset` a method.

  Raises:
    RuntimeError: it has one of that name, and it is not ours.
  """
  known = getattr(dataset_ops.DatasetV2, name, None)
  if known is not None and known.__module__ != method.__module__:
    raise RuntimeError(f"tf.data.Dataset has a method {name} of its own; call the class in datasets instead.")
  setattr(dataset_ops.DatasetV2, name, method)


add_dataset_method("transform", _transform)
add_dataset_method("instance_reweight", _instance_reweight)

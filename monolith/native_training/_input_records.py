# SPDX-License-Identifier: Apache-2.0
"""Whether the serialized records that an input parses could stand for the ragged fids that it gives.

They can if each feature leaves the input as the parse op made it: no op of the input reads or changes its fids. That is
seen in the input's graph: the functions of its datasets are followed backwards, from what it gives to the parse op.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple

import tensorflow as tf

from monolith.native_training._estimator_inputs import features_and_labels

__all__ = ["InputColumns", "input_columns"]

# Ops that hand fids on as they are.
_IDLE = ("Identity", "RaggedTensorToVariant", "RaggedTensorFromVariant")
_PARSE_OPS = ("ParseExampleBatch", "ParseExamples", "ParseInstances")
_MAPS = ("MapDataset", "ParallelMapDataset", "ParallelMapDatasetV2")
_PREDICATES = ("FilterDataset", "ParallelFilterDataset", "TakeWhileDataset")
# Datasets that hand elements on as they are. A cache is none of them: a file of it may hold parsed fids.
_HAND_ON = (
  "AssertCardinalityDataset",
  "IgnoreErrorsDataset",
  "MaxIntraOpParallelismDataset",
  "ModelDataset",
  "OptionsDataset",
  "PrefetchDataset",
  "PrivateThreadPoolDataset",
  "RepeatDataset",
  "ShardDataset",
  "ShuffleAndRepeatDataset",
  "ShuffleAndRepeatDatasetV2",
  "ShuffleDataset",
  "ShuffleDatasetV2",
  "ShuffleDatasetV3",
  "SkipDataset",
  "TakeDataset",
)


class _Changed(Exception):
  """A feature is not what the parse op gave; the text is a clause about the input."""


class InputColumns(NamedTuple):
  """Where an input's ragged features come from.

  Attributes:
    sources: {feature: the parse op that makes it, under its own name}.
    reasons: {feature: why it is not what a parse op gave}.
    others: names of the other features.
  """

  sources: Dict[str, str]
  reasons: Dict[str, str]
  others: List[str]

  def why_no_records(self, features: Iterable[str]) -> Optional[str]:
    """Why records cannot stand for these features, or None where they can."""
    names = sorted(features)
    for name in names:
      if name not in self.sources:
        return self.reasons.get(name, f"the input gives no ragged feature {name!r}")
    if len({self.sources[name] for name in names}) > 1:
      return "the input parses its features by several ops"
    return None


def input_columns(result: Any) -> InputColumns:
  """Looks an input over.

  Args:
    result: what an input function returned in the default graph, parsed into fids: a dataset, features, or
      (features, labels).
  """
  columns = InputColumns({}, {}, [])
  is_dataset = isinstance(result, tf.data.Dataset)
  structure = result.element_spec if is_dataset else result
  if is_dataset:
    # A leaf of an element is one tensor: a ragged one is a variant.
    structure = tf.nest.pack_sequence_as(structure, list(enumerate(tf.nest.flatten(structure))))
  features, _ = features_and_labels(structure)
  if not isinstance(features, Mapping):
    return columns
  walk = _DatasetWalk(result) if is_dataset else None
  for name, value in features.items():
    number, value = value if is_dataset else (0, value)
    if not isinstance(value, (tf.RaggedTensor, tf.RaggedTensorSpec)):
      columns.others.append(name)
      continue
    try:
      columns.sources[name] = walk.source(name, number) if walk else _source_in_graph(name, value)
    except _Changed as changed:
      columns.reasons[name] = str(changed)
    except LookupError as error:  # a graph of another form than expected
      columns.reasons[name] = f"where the input takes feature {name!r} from cannot be seen ({error!r})"
  return columns


def _changed(name: str) -> _Changed:
  return _Changed(f"the input changes the fids of feature {name!r} after they are parsed")


def _source_in_graph(name: str, value: tf.RaggedTensor) -> str:
  splits, values = value.row_splits, value.values
  if not isinstance(values, tf.Tensor) or values.op is not splits.op or values.op.type not in _PARSE_OPS:
    raise _changed(name)
  op = values.op
  _check_column(name, op.get_attr("names"), op.get_attr("shapes"), splits.value_index, values.value_index)
  return str(op.name)


def _check_column(name: str, names: List[bytes], shapes: List[int], splits: int, values: int) -> None:
  """Raises unless these outputs of a parse op are the column of that name."""
  column = next((number for number, each in enumerate(names) if tf.compat.as_str(each) == name), None)
  # Values come after all columns, in the order of the ragged ones, whose shape is -1.
  if column is None or shapes[column] != -1 or splits != column or values != len(names) + shapes[:column].count(-1):
    raise _changed(name)


class _DatasetWalk:
  """Follows components of a dataset's elements to the parse op that they come from."""

  def __init__(self, dataset: tf.data.Dataset):
    self._op = tf.data.experimental.to_variant(dataset).op
    library = tf.compat.v1.get_default_graph().as_graph_def().library
    self._protos = {function.signature.name: function for function in library.function}
    self._functions: Dict[str, _Function] = {}  # those that were met

  def source(self, name: str, component: int) -> str:
    """The parse op of a feature, which is that component of the elements."""
    op = self._op
    while True:
      if op.type in _MAPS:
        found = self._function(op.get_attr("f").name).source(name, component)
        if isinstance(found, str):
          return found
        component = found
      elif op.type in _PREDICATES:
        if self._function(op.get_attr("predicate").name).reads(component):
          raise _Changed(f"the input filters by the fids of feature {name!r}")
      elif op.type not in _HAND_ON:
        raise _Changed(f"the input takes feature {name!r} out of a {op.type}, not of a parse op")
      op = op.inputs[0].op

  def _function(self, name: str) -> _Function:
    if name not in self._functions:
      self._functions[name] = _Function(self._protos[name])
    return self._functions[name]


class _Function:
  """The function of a dataset."""

  def __init__(self, proto: Any):
    self._proto = proto
    self._nodes = {node.name: node for node in proto.node_def}
    self._arguments = [argument.name for argument in proto.signature.input_arg]
    # Tensors that nodes do more with than to hand them on, and of each argument the splits and values taken out of it.
    self._read: Set[str] = set()
    self._taken_out: Dict[str, List[str]] = {}
    for node in proto.node_def:
      inputs = [self._behind(each) for each in node.input if not each.startswith("^")]
      if node.op not in _IDLE:
        self._read.update(inputs)
      elif node.op == "RaggedTensorFromVariant":
        pieces = [f"{node.name}:output_nested_splits:0", f"{node.name}:output_dense_values:0"]
        self._taken_out.setdefault(inputs[0], []).extend(pieces)

  def source(self, name: str, component: int) -> Any:
    """The parse op of what the function returns there, or the number of its argument that it hands on."""
    returned = self._behind(self._proto.ret[self._proto.signature.output_arg[component].name])
    if returned in self._arguments:
      self._check_unread(name, self._pieces(returned))
      return self._arguments.index(returned)
    node = self._nodes[returned.split(":")[0]]
    if node.op != "RaggedTensorToVariant" or node.attr["RAGGED_RANK"].i != 1:
      raise _changed(name)
    splits, values = (self._behind(each) for each in node.input[:2])
    self._check_unread(name, [splits, values])
    return self._maker(name, splits, values)

  def reads(self, component: int) -> bool:
    """Whether the function does anything with the fids of its argument."""
    return not self._read.isdisjoint(self._pieces(self._arguments[component]))

  def _maker(self, name: str, splits: str, values: str) -> Any:
    node, made_splits, splits_at = self._output(splits)
    other, made_values, values_at = self._output(values)
    if node is None or node is not other:  # None: they are arguments themselves, ragged no more
      raise _changed(name)
    if node.op in _PARSE_OPS:
      names, shapes = list(node.attr["names"].list.s), list(node.attr["shapes"].list.i)
      _check_column(name, names, shapes, splits_at, values_at)
      return f"{self._proto.signature.name}/{node.name}"
    argument = self._behind(node.input[0]) if node.op == "RaggedTensorFromVariant" else None
    if argument not in self._arguments or (made_splits, made_values) != ("output_nested_splits", "output_dense_values"):
      raise _changed(name)
    return self._arguments.index(argument)

  def _output(self, tensor: str) -> Tuple[Any, str, int]:
    """The node of a tensor, the name of its output and its place there."""
    parts = tensor.split(":")
    return (self._nodes[parts[0]], parts[1], int(parts[2])) if len(parts) == 3 else (None, "", 0)

  def _behind(self, tensor: str) -> str:
    """The tensor that this one is a copy of."""
    while ":" in tensor and self._nodes[tensor.split(":")[0]].op == "Identity":
      tensor = self._nodes[tensor.split(":")[0]].input[0]
    return tensor

  def _pieces(self, argument: str) -> List[str]:
    """An argument, and the splits and values taken out of it."""
    return [argument, *self._taken_out.get(argument, [])]

  def _check_unread(self, name: str, tensors: List[str]) -> None:
    if not self._read.isdisjoint(tensors):
      raise _Changed(f"the input computes with the fids of feature {name!r}")

# SPDX-License-Identifier: Apache-2.0
"""The input of a dumped graph: features that come out of an iterator, and the file that they come from."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import tensorflow as tf
from tensorflow.python.data.ops import iterator_ops

from monolith.native_training import _flags
from monolith.native_training._estimator_inputs import MAKE_ITERATOR
from monolith.native_training.data._pb_type import PbType
from monolith.native_training.model_dump import monolith_model_pb2
from monolith.native_training.model_dump._literals import map_label, parse_feature, parse_label
from monolith.native_training.model_dump._node_names import node_name, tensor_name

__all__ = ["DRY_RUN", "ITERATOR", "file_name_constants", "import_input_fn", "import_with_iterators"]

DRY_RUN = "dry_run"
"""Attribute of graphs that are built but do not run."""

ITERATOR = "iterator"
"""Collection of the imported iterators."""

_ITERATOR_OPS = ("Iterator", "IteratorV2")
# Places of the arguments of PBDataset.
_FILE_NAME = 0
_INPUT_PB_TYPE = 7


def import_input_fn(
  helper: Any, input_conf: monolith_model_pb2.InputFn, file_name: Optional[str] = None
) -> Dict[str, Any]:
  """Imports what an input function gave.

  Iterators and the operations that initialize them are added to the collections `iterator` and `mkiter`; whoever runs
  the graph runs the latter first (`DatasetInitHook`; the library's own loop does). In a dry run, a graph with the
  attribute `dry_run`, there are neither.

  Args:
    helper: a `GraphDefHelper`.
    input_conf: what the dump says of the input.
    file_name: the file that the PBDataset is to read; None or "" leaves that of the dump. The flag `data_type`, where
      it is given, says what its records are.

  Returns:
    {feature: tensor or ragged tensor}; the label, if it came beside the features, under `label`.

  Raises:
    ValueError: a file name is given and the input reads no file through a constant name, a feature's literal is none,
      or a feature is called `label` besides the label.
  """
  records = {name: parse_feature(name, text) for name, text in sorted(input_conf.output_features.items())}
  label = parse_label(input_conf.label)
  if label is not None and "label" in records:
    raise ValueError("the input has a feature 'label' and a label beside the features; rename the feature.")
  wanted = [name for record in records.values() for name in record.names]
  map_label(label, lambda name: wanted.append(name) if name else None)

  def edit(graph_def: tf.compat.v1.GraphDef) -> None:
    _set_file(helper, graph_def, file_name)

  if input_conf.item_pool:
    wanted.append(input_conf.item_pool)
  found = import_with_iterators(helper, wanted, edit=edit)
  if input_conf.item_pool:
    _add_item_pool(found[input_conf.item_pool])
  features = {name: record.build(found.__getitem__) for name, record in records.items()}
  if label is not None:
    features["label"] = map_label(label, found.__getitem__)
  return features


def _add_item_pool(pool: tf.Tensor) -> None:
  from monolith.native_training.data._item_pool import POOL_KEY  # datasets, which most inputs have no pool of

  if not any(known is pool for known in tf.compat.v1.get_collection(POOL_KEY)):
    tf.compat.v1.add_to_collection(POOL_KEY, pool)


def import_with_iterators(
  helper: Any,
  wanted: Sequence[str],
  input_map: Optional[Mapping[str, tf.Tensor]] = None,
  edit: Optional[Callable[[tf.compat.v1.GraphDef], None]] = None,
) -> Dict[str, tf.Tensor]:
  """Imports tensors, and the iterators that they come out of with what initializes these, unless in a dry run.

  Args:
    helper: a `GraphDefHelper`.
    wanted: names of tensors.
    input_map: {name of a tensor: what takes its place}.
    edit: changes the nodes before they are imported.

  Returns:
    {name: tensor}.
  """
  dry_run = hasattr(tf.compat.v1.get_default_graph(), DRY_RUN)
  makers = [] if dry_run else _make_iterators(helper, wanted, input_map or {})
  tensors = helper.import_tensors([*wanted, *makers], input_map, edit)
  for make in tensors[len(wanted) :]:
    tf.compat.v1.add_to_collection(MAKE_ITERATOR, make)
    iterator = make.inputs[1]
    tf.compat.v1.add_to_collection(ITERATOR, iterator)
    # Where the position of the input is saved from.
    tf.compat.v1.add_to_collection(iterator_ops.GLOBAL_ITERATORS, iterator)
  return dict(zip(wanted, tensors, strict=False))


def _make_iterators(helper: Any, wanted: Sequence[str], input_map: Mapping[str, tf.Tensor]) -> List[str]:
  """The operations that initialize the iterators behind `wanted`."""
  given = {tensor_name(name) for name in input_map}
  nodes = helper.sub_graph([name for name in wanted if name not in given], given).graph_def.node
  iterators = {node.name for node in nodes if node.op in _ITERATOR_OPS}
  return [node.name for node in helper.nodes("MakeIterator") if node_name(node.input[1]) in iterators]


def file_name_constants(helper: Any, graph_def: tf.compat.v1.GraphDef) -> List[str]:
  """Names of the constants in `graph_def` from which its PBDatasets have their file names."""
  return _constants(helper, graph_def, _FILE_NAME)


def _constants(helper: Any, graph_def: tf.compat.v1.GraphDef, argument: int) -> List[str]:
  names = []
  for node in graph_def.node:
    if node.op != "PBDataset":
      continue
    source = helper.node(node.input[argument])
    while source is not None and source.op == "Identity":
      source = helper.node(source.input[0])
    if source is not None and source.op == "Const":
      names.append(source.name)
  return list(dict.fromkeys(names))


def _set_file(helper: Any, graph_def: tf.compat.v1.GraphDef, file_name: Optional[str]) -> None:
  if hasattr(tf.compat.v1.get_default_graph(), DRY_RUN):
    return
  names = file_name_constants(helper, graph_def)
  if file_name and len(names) != 1:
    raise ValueError(
      f"file_name is {file_name!r}, but the dumped input has {len(names)} PBDatasets that read a file of a constant "
      "name; leave file_name empty to read what the dump read."
    )
  if file_name:
    _set_string(graph_def, names[0], file_name)
  data_type = _flags.flag_value("data_type", None)
  if data_type:
    for name in _constants(helper, graph_def, _INPUT_PB_TYPE):
      _set_string(graph_def, name, PbType.from_name(data_type).to_name())


def _set_string(graph_def: tf.compat.v1.GraphDef, name: str, text: str) -> None:
  for node in graph_def.node:
    if tensor_name(node.name) == tensor_name(name):
      node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text, dtype=tf.string, shape=[]))

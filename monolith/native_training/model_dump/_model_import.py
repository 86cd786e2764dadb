# SPDX-License-Identifier: Apache-2.0
"""The model of a dumped graph: predictions, losses, summaries, signatures."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional

import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training.model_dump import monolith_model_pb2
from monolith.native_training.model_dump._input_import import import_with_iterators
from monolith.native_training.utils import add_to_collections

__all__ = ["LOSSES", "ImportedModel", "import_model_fn"]

LOSSES = "__losses"
"""Attribute of graphs: their auxiliary losses."""


class ImportedModel(NamedTuple):
  """What a model function gave, one entry a head in `label`, `predict`, `head_name` and `is_classification`.

  Attributes:
    label: targets; None for a head without one.
    loss: of the heads, without auxiliary losses; None where the mode has none.
    predict: predictions.
    head_name: names.
    extra_output: {signature: {output: tensor}}.
    is_classification: whether each is a classification.
  """

  label: List[Optional[tf.Tensor]]
  loss: Optional[tf.Tensor]
  predict: List[tf.Tensor]
  head_name: List[str]
  extra_output: Dict[str, Dict[str, tf.Tensor]]
  is_classification: List[bool]


def import_model_fn(
  helper: Any, input_map: Optional[Mapping[str, tf.Tensor]], proto_model: monolith_model_pb2.ProtoModel
) -> ImportedModel:
  """Imports what a model function gave.

  Its auxiliary losses join those of the graph, its summaries the collection of summaries. Where fids are dealt out of
  records, the names of the features are added to the collection `sparse_features`.

  Args:
    helper: a `GraphDefHelper` of the model's graph.
    input_map: {name of a tensor of the dump: the tensor that takes its place}, such as features and embeddings; what
      the model does not use is left out with a warning. Everything behind other tensors is imported too, iterators
      with what initializes them, as by `import_input_fn`.
    proto_model: what the dump says of the model.

  Raises:
    CallerError: the dump names a tensor that its graph does not have.
    ValueError: a variable has no initializer, or what takes a tensor's place does not fit.
  """
  model_fn = proto_model.model_fn
  _check_signatures(helper, proto_model)
  outputs = [{name: tensor for name, tensor in extra.fetch_dict.items()} for extra in proto_model.extra_output]
  signatures = [name for s in proto_model.signature for names in (s.inputs, s.outputs) for name in names.values()]
  wanted = [
    *model_fn.predict,
    *filter(None, model_fn.label),
    *([model_fn.loss] if model_fn.loss else []),
    *model_fn.extra_losses,
    *model_fn.summary,
    *(name for fetch in outputs for name in fetch.values()),
    *signatures,
  ]
  known = set(tf.compat.v1.get_default_graph().get_operations())
  found = import_with_iterators(helper, wanted, input_map)
  _add_sparse_features(known)
  for name in model_fn.summary:
    tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.SUMMARIES, found[name])
  _add_losses([found[name] for name in model_fn.extra_losses])
  return ImportedModel(
    [found[name] if name else None for name in model_fn.label],
    found[model_fn.loss] if model_fn.loss else None,
    [found[name] for name in model_fn.predict],
    list(model_fn.head_name),
    {
      extra.signature_name: {key: found[name] for key, name in fetch.items()}
      for extra, fetch in zip(proto_model.extra_output, outputs, strict=True)
    },
    list(model_fn.classification),
  )


def _check_signatures(helper: Any, proto_model: monolith_model_pb2.ProtoModel) -> None:
  for signature in proto_model.signature:
    for key, name in signature.inputs.items():
      if helper.node(name) is None:
        raise ValueError(
          f"input {key!r} of signature {signature.name!r} is {name!r}, which the dumped graph does not have."
        )


def _add_losses(losses: List[tf.Tensor]) -> None:
  graph = tf.compat.v1.get_default_graph()
  if losses and not hasattr(graph, LOSSES):
    setattr(graph, LOSSES, [])
  if losses:
    getattr(graph, LOSSES).extend(losses)


def _add_sparse_features(known: set) -> None:
  """Adds the names of the features of those ops to the graph that deal fids out of records."""
  for op in tf.compat.v1.get_default_graph().get_operations():
    if op not in known and op.type.startswith("ShardingSparseFids"):
      configs = example_pb2.FeatureConfigs.FromString(op.get_attr("feature_cfgs"))
      add_to_collections("sparse_features", sorted(configs.feature_configs))

# SPDX-License-Identifier: Apache-2.0
"""What a model function gave, as messages of a dump, and the graph that it is in."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import tensorflow as tf

from monolith.core import base_layer
from monolith.native_training.data.item_pool_hook import ItemPoolSaveRestoreHook
from monolith.native_training.model_dump import monolith_model_pb2
from monolith.native_training.model_dump._model_import import LOSSES
from monolith.native_training.model_dump._variable_defs import COLLECTIONS_ATTR
from monolith.native_training.model_export import export_context

__all__ = [
  "add_extra_outputs",
  "add_graph_parts",
  "add_heads",
  "add_signatures",
  "check_hooks",
  "noted_graph_def",
  "save_slice_infos",
]

# The collections of variables that a GraphDef does not say.
_KEYS = tf.compat.v1.GraphKeys
_COLLECTIONS = (
  _KEYS.GLOBAL_VARIABLES,
  _KEYS.LOCAL_VARIABLES,
  _KEYS.TRAINABLE_VARIABLES,
  _KEYS.MODEL_VARIABLES,
  _KEYS.MOVING_AVERAGE_VARIABLES,
  _KEYS.METRIC_VARIABLES,
  _KEYS.GLOBAL_STEP,
)


def check_hooks(graph: tf.Graph) -> None:
  """Raises ValueError if the graph has training hooks that a rebuilt one would be without."""
  hooks = list(getattr(graph, "__training_hooks", ()))
  others = [hook for hook in hooks if not isinstance(hook, ItemPoolSaveRestoreHook)]
  if others or len(hooks) > 1:
    names = [type(hook).__name__ for hook in hooks]
    raise ValueError(
      f"the model adds the training hooks {names}; a dump knows no hook but one ItemPoolSaveRestoreHook, so leave them "
      "out or switch enable_model_dump off."
    )


def _listed(value: Any, names: List[str], count: int) -> List[Any]:
  """One value a head: of a dict by the heads' names, of a list, or of one value for all."""
  if value is None:
    return [None] * count
  if isinstance(value, Mapping):
    return [value.get(name) for name in names]
  if isinstance(value, (list, tuple)):
    return list(value)
  return [value] * count if isinstance(value, bool) else [value]


def add_heads(
  message: monolith_model_pb2.ModelFn, label: Any, loss: Optional[tf.Tensor], pred: Any, head_name: Any, kinds: Any
) -> None:
  """Notes labels, loss, predictions, names and kinds of heads.

  Raises:
    ValueError: their numbers differ.
  """
  if isinstance(pred, Mapping):
    names, preds = list(pred), list(pred.values())
  else:
    preds = [] if pred is None else list(pred) if isinstance(pred, (list, tuple)) else [pred]
    names = [head_name] if isinstance(head_name, str) else list(head_name or [])
  labels = _listed(label, names, len(preds))
  classification = _listed(kinds, names, len(preds))
  counts = {len(preds), len(names) or len(preds), len(labels), len(classification)} if preds else {0}
  if len(counts) > 1:
    raise ValueError(
      f"the model has {len(preds)} predictions, {len(labels)} labels, {len(names)} head names and "
      f"{len(classification)} kinds; give one of each a head."
    )
  message.label.extend("" if tensor is None else tensor.name for tensor in labels)
  message.loss = "" if loss is None else loss.name
  message.predict.extend(tensor.name for tensor in preds)
  message.head_name.extend(names)
  message.classification.extend(bool(kind) for kind in classification)


def add_graph_parts(message: monolith_model_pb2.ModelFn, graph: tf.Graph, features: Any) -> None:
  """Notes summaries of a graph, its auxiliary losses, which are the author's and those that layers registered, and
  those features of a model that are plain tensors."""
  message.summary.extend(s.name for s in graph.get_collection(_KEYS.SUMMARIES))
  losses = [*getattr(graph, LOSSES, ()), *base_layer.get_layer_loss_tensors()]
  message.extra_losses.extend(dict.fromkeys(loss.name for loss in losses))
  if isinstance(features, Mapping):
    for name, value in features.items():
      if isinstance(value, tf.Tensor) and name not in message.non_ragged_features:
        message.non_ragged_features[name] = value.name


def add_extra_outputs(proto: monolith_model_pb2.ProtoModel, graph: tf.Graph) -> None:
  """Notes the additional outputs of a graph that is exported."""
  for name, output in getattr(graph, "__export_outputs", {}).items():
    outputs = output.outputs
    named = outputs if isinstance(outputs, Mapping) else {"output": outputs}
    fetches = {key: tensor.name for key, tensor in named.items()}
    proto.extra_output.add(signature_name=name).fetch_dict.update(fetches)


def add_signatures(proto: monolith_model_pb2.ProtoModel, graph: tf.Graph) -> None:
  """Notes the signatures that the export in progress has of a graph, in the place of those noted before."""
  context = export_context.get_current_export_ctx()
  if context is None:
    return
  del proto.signature[:]
  for signature in context.signatures(graph):
    message = proto.signature.add(name=signature.name)
    message.inputs.update({key: tensor.name for key, tensor in signature.inputs.items()})
    message.outputs.update({key: tensor.name for key, tensor in signature.outputs.items()})


def _variables(graph: tf.Graph) -> List[tf.Variable]:
  found = [v for key in (_KEYS.GLOBAL_VARIABLES, _KEYS.LOCAL_VARIABLES) for v in graph.get_collection(key)]
  return [v for v in found if isinstance(v, tf.Variable)]


def save_slice_infos(graph: tf.Graph) -> Dict[str, bytes]:
  """{name: serialized SaveSliceInfoDef} of the variables that are parts of others."""
  infos = {v.op.name: v._get_save_slice_info() for v in _variables(graph)}
  return {name: info.to_proto().SerializeToString() for name, info in infos.items() if info is not None}


def noted_graph_def(graph: tf.Graph) -> tf.compat.v1.GraphDef:
  """The GraphDef of a graph, in which handles of variables say which collections the variables are in."""
  names: Dict[str, List[bytes]] = {v.op.name: [] for v in _variables(graph)}
  for key in _COLLECTIONS:
    for variable in graph.get_collection(key):
      names.setdefault(variable.op.name, []).append(key.encode())
  graph_def = graph.as_graph_def()
  for node in graph_def.node:
    if node.op == "VarHandleOp" and node.name in names:
      node.attr[COLLECTIONS_ATTR].list.SetInParent()
      node.attr[COLLECTIONS_ATTR].list.s.extend(names[node.name])
  return graph_def

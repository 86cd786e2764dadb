# SPDX-License-Identifier: Apache-2.0
"""Dumps of models: their graphs, with what a GraphDef does not say, in one file.

While a dump is enabled, a model's graphs are noted as they are built; `dump` writes what was noted and `load` reads it.
`graph_utils.GraphDefHelper` rebuilds input and model from it. Nothing of TensorFlow is patched: the library's trainer
calls `parse_input_fn_result` and the rest itself, and programs with loops of their own call them likewise.

The pickles of a dump hold plain data and the classes named in `_plain_pickle` only, and nothing else is unpickled;
literals are read by `ast.literal_eval`.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import logging

from monolith.core.errors import CallerError
from monolith.native_training import _proto_files, embedding_combiners, entry
from monolith.native_training._atomic_files import atomic_write
from monolith.native_training._estimator_inputs import features_and_labels, parse_input
from monolith.native_training._estimator_spec import ModeKeys
from monolith.native_training.data import parsers
from monolith.native_training.data._item_pool import POOL_KEY
from monolith.native_training.data.utils import get_feature_name_and_slot
from monolith.native_training.model_dump import (
  _call_records,
  _model_records,
  _param_records,
  _table_records,
  monolith_model_pb2,
)
from monolith.native_training.model_dump._input_import import DRY_RUN
from monolith.native_training.model_dump._literals import input_literal, label_literal
from monolith.native_training.model_dump._plain_pickle import dump_plain
from monolith.native_training.model_dump.graph_utils import GraphDefHelper
from monolith.native_training.model_export import export_context

__all__ = ["DumpUtils", "parse_input_fn_result"]

_F = TypeVar("_F", bound=Callable[..., Any])
_PROTO = "monolith_model_dump"
_HELPER = "graph_def_helper"
_HELPER_SOURCE = "graph_def_helper_source"
_SUB_MODEL_TYPES = ("ps", "dense")


class DumpUtils:
  """The dump of this process: every `DumpUtils()` is the same object.

  Attributes:
    enable: whether graphs under construction are noted.
    train, infer: what was noted of, or loaded for, training and prediction; None before.
    train_graph, infer_graph: their GraphDefs.
  """

  _instance: Optional[DumpUtils] = None

  def __new__(cls) -> DumpUtils:
    if cls._instance is None:
      cls._instance = super().__new__(cls)
    return cls._instance

  def __init__(self) -> None:
    if not hasattr(self, "enable"):
      self.enable = False
      self.reset()

  def __deepcopy__(self, memo: Dict[int, Any]) -> DumpUtils:
    return self

  def reset(self) -> None:
    """Forgets all that was noted or loaded. Graphs that exist keep what was noted of them."""
    self.train: Optional[monolith_model_pb2.ProtoModel] = None
    self.infer: Optional[monolith_model_pb2.ProtoModel] = None
    self.train_graph: Optional[tf.compat.v1.GraphDef] = None
    self.infer_graph: Optional[tf.compat.v1.GraphDef] = None
    self._params: Dict[str, Any] = {}
    self._run_config = ""
    self._user_params: List[str] = []
    self._sub_models: Dict[str, Dict[str, monolith_model_pb2.ProtoModel]] = {kind: {} for kind in _SUB_MODEL_TYPES}
    self._table_configs: List[monolith_model_pb2.HashTableConfig] = []
    self._feature_slice_dims: List[monolith_model_pb2.FeatureSliceDim] = []
    self._feature_combiners: List[monolith_model_pb2.FeatureCombiner] = []

  @property
  def need_record(self) -> bool:
    """Whether the default graph is noted: dumps are enabled, and it is going to run."""
    return self.enable and not hasattr(tf.compat.v1.get_default_graph(), DRY_RUN)

  @property
  def model_dump(self) -> monolith_model_pb2.ProtoModel:
    """What was noted of the default graph."""
    graph = tf.compat.v1.get_default_graph()
    if not hasattr(graph, _PROTO):
      setattr(graph, _PROTO, monolith_model_pb2.ProtoModel())
    return getattr(graph, _PROTO)

  # Calls.

  @staticmethod
  def update_kwargs_with_default(func: Callable[..., Any], kwargs: Dict[str, Any]) -> Dict[str, Any]:
    """Puts the defaults of `func` in the place of those `kwargs` that are None; changes and returns `kwargs`."""
    return _call_records.fill_defaults(func, kwargs)

  def record_feature(self, func: _F) -> _F:
    """Wraps `create_embedding_feature_column`: notes every feature once."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
      result = func(*args, **kwargs)
      if self.enable and self.need_record:
        _call_records.add_feature(self.model_dump, _call_records.arguments_of(func, args, kwargs))
      return result

    return wrapper  # type: ignore[return-value]

  def record_slice(self, func: _F) -> _F:
    """Wraps `lookup_embedding_slice`: notes the slice and the names of the tensors that came out.

    The wrapped method raises ValueError where a dump is made and a learning_rate_fn is given.
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
      if not (self.enable and self.need_record):
        return func(*args, **kwargs)
      arguments = _call_records.arguments_of(func, args, kwargs)
      _call_records.check_recordable_slice(arguments)
      result = func(*args, **kwargs)
      _call_records.add_slice(self.model_dump, arguments, result)
      return result

    return wrapper  # type: ignore[return-value]

  def record_receiver(self, func: _F) -> _F:
    """Wraps a receiver function: notes its features and the tensors that requests feed."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
      result = func(*args, **kwargs)
      if self.enable and self.need_record:
        _call_records.add_receiver(self.model_dump, result)
      return result

    return wrapper  # type: ignore[return-value]

  # Models.

  def add_config(self, run_config: str) -> None:
    """Sets the configuration of the run, JSON."""
    self._run_config = run_config

  def add_user_params(self, user_params: Sequence[str]) -> None:
    """Sets what the user gave on the command line."""
    self._user_params = list(user_params)

  @property
  def run_config(self) -> str:
    """The configuration of the run, JSON; "" where none was set."""
    return self._run_config

  @property
  def user_params(self) -> List[str]:
    """What the user gave on the command line."""
    return list(self._user_params)

  def record_params(self, model: Any) -> None:
    """Notes those attributes of a model that are public and plain data."""
    self._params = _param_records.plain_attributes(model)

  def get_params_bytes(self, model: Any) -> bytes:
    """A pickle of a model's attributes, of its settings `p` and its layouts; plain data only."""
    self.record_params(model)
    return _param_records.dump_params(model, self._params)

  def restore_params(self, mode: Optional[str] = None) -> Dict[str, Any]:
    """The attributes of the dumped model: `p` as Params, `_layout_dict` as {layout: OutConfig}.

    Args:
      mode: of which mode; training's by default, else prediction's.

    Raises:
      ValueError: nothing was loaded, there are no layouts, or the pickle holds more than plain data.
    """
    if mode is None:
      mode = ModeKeys.TRAIN if self.train is not None else ModeKeys.PREDICT
    return _param_records.load_params(self._of_mode(mode)[0].params)

  def add_signature(self) -> None:
    """Notes the signatures that the export in progress has of the default graph."""
    _model_records.add_signatures(self.model_dump, tf.compat.v1.get_default_graph())

  def restore_signature(self, mode: str = ModeKeys.PREDICT) -> None:
    """Tells the export in progress the signatures of a model that was imported into the default graph.

    Raises:
      ValueError: there is no export in progress.
      KeyError: a signature's tensor was not imported.
    """
    graph = tf.compat.v1.get_default_graph()
    _register(_context(), graph, self._of_mode(mode)[0], self.get_graph_helper(mode))

  def add_model_fn(
    self,
    model: Any,
    mode: str,
    features: Any,
    label: Any,
    loss: Optional[tf.Tensor],
    pred: Any,
    head_name: Any,
    is_classification: Any,
  ) -> None:
    """Notes what a model function gave, and the default graph as it is.

    Evaluation is not noted: a dump holds training and prediction.

    Args:
      model: the model, for its settings.
      mode: train, eval or infer.
      features: what the model function got.
      label, pred: a tensor, a list of tensors, or {head: tensor}; a label, or all, may be None.
      loss: of the heads, without auxiliary losses; None in prediction.
      head_name: a name a head; unused where `pred` is a dict.
      is_classification: one bool, or one a head.

    Raises:
      ValueError: the graph has training hooks other than one ItemPoolSaveRestoreHook, or numbers of heads differ.
    """
    ModeKeys.validate(mode)
    if not self.need_record or mode == ModeKeys.EVAL:
      return
    graph = tf.compat.v1.get_default_graph()
    _model_records.check_hooks(graph)
    proto = self.model_dump
    proto.model_fn.Clear()
    proto.model_fn.SetInParent()
    _model_records.add_heads(proto.model_fn, label, loss, pred, head_name, is_classification)
    _model_records.add_graph_parts(proto.model_fn, graph, features)
    del proto.extra_output[:]
    _model_records.add_extra_outputs(proto, graph)
    self.add_signature()
    proto.save_slice_info.update(_model_records.save_slice_infos(graph))
    proto.params = self.get_params_bytes(model)
    graph_def = _model_records.noted_graph_def(graph)
    if mode == ModeKeys.TRAIN:
      self.train, self.train_graph = proto, graph_def
    else:
      self.infer, self.infer_graph = proto, graph_def

  def add_input_fn(self, results: Any, parser_type: Optional[str] = None) -> None:
    """Notes what an input function gave.

    Args:
      results: features, or (features, label), as tensors.
      parser_type: which records were parsed; what the parsers of this thread say by default.

    Raises:
      ValueError: features are no dict, or hold something that is no tensor.
    """
    if not self.need_record:
      return
    features, label = features_and_labels(results)
    if not isinstance(features, Mapping):
      raise ValueError(f"the input gives {type(features).__name__}; a dump holds a dict of tensors.")
    message = self.model_dump.input_fn
    message.Clear()
    message.SetInParent()
    for name, value in features.items():
      message.output_features[name] = input_literal(name, value)
    message.label = label_literal(label)
    message.parser_type = parser_type or parsers.get_default_parser_ctx().parser_type or ""
    pools = tf.compat.v1.get_collection(POOL_KEY)
    message.item_pool = pools[0].name if pools else ""

  def add_optimizer(self, optimizer: Any) -> None:
    """Notes the dense optimizer of the default graph; to be called before it makes variables.

    Raises:
      ValueError: it is none that dumps can hold (those of `tf.compat.v1.train` and of this library, whose settings are
        plain data), or it has made variables.
    """
    if self.need_record:
      self.model_dump.optimizer = dump_plain(optimizer, f"the optimizer {type(optimizer).__name__}")

  # Sub-models.

  def add_sub_model(self, sub_model_type: str, name: str, graph: tf.Graph) -> None:
    """Notes a graph that runs elsewhere, with its signatures.

    Args:
      sub_model_type: `ps` or `dense`.
      name: its name.
      graph: the graph.

    Raises:
      CallerError: the type is another.
    """
    models = self._sub_models_of(sub_model_type)
    if not self.enable:
      return
    models[name] = monolith_model_pb2.ProtoModel(graph_def=_model_records.noted_graph_def(graph).SerializeToString())
    models[name].save_slice_info.update(_model_records.save_slice_infos(graph))
    _model_records.add_signatures(models[name], graph)

  def restore_sub_model(self, sub_model_type: str) -> None:
    """Imports the sub-models of a type into the sub-graphs of the export in progress, with their signatures.

    Raises:
      CallerError: the type is neither `ps` nor `dense`.
      ValueError: there is no export in progress.
    """
    models, context = self._sub_models_of(sub_model_type), _context()
    for name, proto in models.items():
      graph = context.sub_graph(name) if sub_model_type == "ps" else context.dense_sub_graph(name)
      graph_def = tf.compat.v1.GraphDef.FromString(proto.graph_def)
      helper = GraphDefHelper(graph_def, proto.save_slice_info)
      with graph.as_default():
        tensors = [t for s in proto.signature for names in (s.inputs, s.outputs) for t in names.values()]
        others = [node.name for node in graph_def.node if node.op != "VarHandleOp"]
        helper.import_tensors(tensors or others)
        _register(context, graph, proto, helper)

  def _sub_models_of(self, sub_model_type: str) -> Dict[str, monolith_model_pb2.ProtoModel]:
    if sub_model_type not in _SUB_MODEL_TYPES:
      raise CallerError(f"sub_model_type is {sub_model_type!r}; it must be 'ps' or 'dense'.")
    return self._sub_models[sub_model_type]

  # Files.

  def dump(self, fname: str) -> None:
    """Writes all that was noted; the file appears when it is complete.

    Raises:
      ValueError: nothing was noted.
    """
    if self.train is None and self.infer is None:
      raise ValueError(f"there is nothing to dump to {fname}: set DumpUtils().enable before graphs are built.")
    message = monolith_model_pb2.ModelDump(run_config=self._run_config, user_params=self._user_params)
    for mode, proto, graph_def in self._noted():
      message.model_dump[mode].CopyFrom(proto)
      message.model_dump[mode].graph_def = graph_def.SerializeToString(deterministic=True)
    for name, proto in self._sub_models["ps"].items():
      message.ps_sub_model_dump[name].CopyFrom(proto)
    for name, proto in self._sub_models["dense"].items():
      message.dense_sub_model_dump[name].CopyFrom(proto)
    message.table_configs.extend(self._table_configs)
    message.feature_slice_dims.extend(self._feature_slice_dims)
    message.feature_combiners.extend(self._feature_combiners)
    atomic_write(fname, message.SerializeToString(deterministic=True))

  def _noted(self) -> List[Tuple[str, monolith_model_pb2.ProtoModel, tf.compat.v1.GraphDef]]:
    noted = ((ModeKeys.TRAIN, self.train, self.train_graph), (ModeKeys.PREDICT, self.infer, self.infer_graph))
    return [(mode, proto, graph) for mode, proto, graph in noted if proto is not None and graph is not None]

  def load(self, fname: str) -> None:
    """Reads a dump, in the place of all that was noted before. It unpickles nothing.

    Raises:
      ValueError: the file is no dump.
      tf.errors.NotFoundError: there is no such file.
    """
    remedy = "; write one by training with enable_model_dump."
    message = _proto_files.read_proto(fname, monolith_model_pb2.ModelDump(), remedy)
    if not message.model_dump:
      raise ValueError(f"{fname} is no serialized ModelDump, or one of no model{remedy}")
    self.reset()
    self._run_config, self._user_params = message.run_config, list(message.user_params)
    if ModeKeys.TRAIN in message.model_dump:
      self.train, self.train_graph = _split(message.model_dump[ModeKeys.TRAIN])
    if ModeKeys.PREDICT in message.model_dump:
      self.infer, self.infer_graph = _split(message.model_dump[ModeKeys.PREDICT])
    self._sub_models = {"ps": dict(message.ps_sub_model_dump), "dense": dict(message.dense_sub_model_dump)}
    self._table_configs = list(message.table_configs)
    self._feature_slice_dims = list(message.feature_slice_dims)
    self._feature_combiners = list(message.feature_combiners)

  def _of_mode(self, mode: str) -> Tuple[monolith_model_pb2.ProtoModel, tf.compat.v1.GraphDef]:
    """What there is of a mode; evaluation has that of training."""
    ModeKeys.validate(mode)
    wanted = ModeKeys.PREDICT if mode == ModeKeys.PREDICT else ModeKeys.TRAIN
    for noted_mode, proto, graph_def in self._noted():
      if noted_mode == wanted:
        return proto, graph_def
    raise ValueError(f"the dump has nothing of mode {wanted!r}; it has {[noted[0] for noted in self._noted()]}.")

  def get_graph_helper(self, mode: str) -> GraphDefHelper:
    """The helper that imports a mode's graph; the same one for the same default graph.

    Raises:
      ValueError: the dump has nothing of the mode.
    """
    proto, graph_def = self._of_mode(mode)
    graph = tf.compat.v1.get_default_graph()
    if getattr(graph, _HELPER_SOURCE, None) is not graph_def:
      setattr(graph, _HELPER, GraphDefHelper(graph_def, proto.save_slice_info))
      setattr(graph, _HELPER_SOURCE, graph_def)
    return getattr(graph, _HELPER)

  # Tables.

  @property
  def table_configs(self) -> Dict[str, entry.HashTableConfigInstance]:
    """{table: its config}. Set, it must have numbers as learning rates (ValueError); they are kept as float32."""
    return _table_records.table_configs_of(self._table_configs)

  @table_configs.setter
  def table_configs(self, configs: Mapping[str, entry.HashTableConfigInstance]) -> None:
    self._table_configs = _table_records.table_messages(configs)

  @property
  def feature_slice_dims(self) -> Dict[str, List[int]]:
    """{feature: dims of its slices}."""
    return _table_records.dims_of(self._feature_slice_dims)

  @feature_slice_dims.setter
  def feature_slice_dims(self, dims: Mapping[str, Sequence[int]]) -> None:
    self._feature_slice_dims = _table_records.dim_messages(dims)

  @property
  def feature_combiners(self) -> Dict[str, embedding_combiners.Combiner]:
    """{feature: combiner}. Set, they must be ReduceSum, ReduceMean or FirstN (ValueError)."""
    return _table_records.combiners_of(self._feature_combiners)

  @feature_combiners.setter
  def feature_combiners(self, combiners: Mapping[str, embedding_combiners.Combiner]) -> None:
    self._feature_combiners = _table_records.combiner_messages(combiners)

  def get_slot_to_occurrence_threshold(self) -> Dict[int, int]:
    """{slot: sightings before a fid gets an entry} of the features; those without a slot are told in the log."""
    return {slot: feature.occurrence_threshold for slot, feature in self._features_by_slot()}

  def get_slot_to_expire_time(self) -> Dict[int, int]:
    """{slot: days without an update before eviction} of the features; those without a slot are told in the log."""
    return {slot: feature.expire_time for slot, feature in self._features_by_slot()}

  def _features_by_slot(self) -> List[Tuple[int, monolith_model_pb2.FeatureColumn]]:
    proto = self.train if self.train is not None else self.infer
    found: List[Tuple[int, monolith_model_pb2.FeatureColumn]] = []
    for feature in [] if proto is None else proto.features:
      # The table of a shared slot is that of the feature that it is shared with.
      slot = get_feature_name_and_slot(feature.shared_name or feature.feature_name)[1]
      if slot is None:
        logging.warning(
          "feature %r has no slot, so its occurrence threshold and expire time count for none.", feature.feature_name
        )
      elif not feature.shared_name or slot not in dict(found):
        found.append((slot, feature))
    return found

  def has_collected(self) -> bool:
    """Whether tables, dims of slices and combiners are there.

    Raises:
      CallerError: only some of the three are.
    """
    parts = {
      "table_configs": self._table_configs,
      "feature_slice_dims": self._feature_slice_dims,
      "feature_combiners": self._feature_combiners,
    }
    missing = [name for name, part in parts.items() if not part]
    if missing and len(missing) < len(parts):
      raise CallerError(f"the dump has no {', '.join(missing)}, but the rest of what the dry run collects; set them.")
    return not missing


def _split(proto: monolith_model_pb2.ProtoModel) -> Tuple[monolith_model_pb2.ProtoModel, tf.compat.v1.GraphDef]:
  result = monolith_model_pb2.ProtoModel()
  result.CopyFrom(proto)
  result.ClearField("graph_def")
  return result, tf.compat.v1.GraphDef.FromString(proto.graph_def)


def _context() -> export_context.ExportContext:
  context = export_context.get_current_export_ctx()
  if context is None:
    raise ValueError("there is no export in progress; restore inside of export_context.enter_export_mode.")
  return context


def _register(
  context: export_context.ExportContext,
  graph: tf.Graph,
  proto: monolith_model_pb2.ProtoModel,
  helper: GraphDefHelper,
) -> None:
  for signature in proto.signature:
    inputs, outputs = (
      {key: helper.imported(name) for key, name in names.items()} for names in (signature.inputs, signature.outputs)
    )
    context.add_signature(graph, signature.name, inputs, outputs)


def parse_input_fn_result(result: Any) -> Tuple[Any, List[tf.compat.v1.train.SessionRunHook]]:
  """Tensors of what an input function gave, noted where a dump is enabled.

  Args:
    result: a Dataset, features, or (features, labels); what `import_input_fn` gave brings its iterators along.

  Returns:
    ((features, labels), hooks that initialize iterators).

  Raises:
    ValueError: result is a tuple of another length, or a dump cannot hold it.
  """
  features, labels, hooks = parse_input(result)
  DumpUtils().add_input_fn((features, labels))
  return (features, labels), hooks

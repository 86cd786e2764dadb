# SPDX-License-Identifier: Apache-2.0
"""The classes that a user's model derives from, and the losses of its heads.

A `MonolithModel` gives `input_fn`, `model_fn` and `serving_input_receiver_fn`; the trainer does the rest. `model_fn`
runs once to record which tables the model needs, again in every graph that is built and, outside of training, once more
before, to record what it looks up in that mode. So it must be free of side effects.
"""

from __future__ import annotations

import abc
import contextlib
import copy
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.core import hyperparams
from monolith.native_training import (
  _embedding_slices,
  _model_fn,
  device_utils,
  distribution_utils,
  embedding_combiners,
  entry,
  tf_estimator,
)
from monolith.native_training._device_ctx import DeviceCtxType, MonolithDeviceCtx
from monolith.native_training._head_losses import (
  get_sigmoid_loss_and_pred,
  get_softmax_loss_and_pred,
)
from monolith.native_training._head_spec import EstimatorSpec
from monolith.native_training.data import feature_list
from monolith.native_training.data import feature_utils as data_feature_utils
from monolith.native_training.data import utils as data_utils
from monolith.native_training.feature import (
  DEFAULT_EXPIRE_TIME,
  FeatureColumn,
  FeatureSlice,
  FeatureSlot,
  FeatureSlotConfig,
)
from monolith.native_training.model_dump.dump_utils import DumpUtils
from monolith.native_training.model_export import export_context
from monolith.native_training.native_task import NativeTask

__all__ = [
  "DeviceCtxType",
  "EstimatorSpec",
  "MonolithBaseModel",
  "MonolithDeviceCtx",
  "MonolithModel",
  "get_sigmoid_loss_and_pred",
  "get_softmax_loss_and_pred",
]

_ModeKeys = tf_estimator.ModeKeys
_Part = Tuple[FeatureColumn, FeatureSlice]
_SINGLE_HOOKS = ("KafkaMetricHook", "FileMetricHook")


def _graph_attribute(name: str, factory: Callable[[], Any]) -> Any:
  graph = tf.compat.v1.get_default_graph()
  if not hasattr(graph, name):
    setattr(graph, name, factory())
  return getattr(graph, name)


class MonolithBaseModel(NativeTask, abc.ABC):
  """A model given by three methods.

  Its settings (`params()`) are attributes of the model too: `model.clip_norm` reads `model.p.clip_norm`, and assigning
  sets it. `model.batch_size` stands for the batch size of the model's mode (that of training where evaluation has none
  of its own); assigning sets it for both.
  """

  @classmethod
  def params(cls) -> hyperparams.InstantiableParams:
    """The settings of this class with their defaults."""
    p = super().params()
    p.define("output_path", None, "Directory of files of text that predict and evaluate write, a line a row.")
    p.define("output_fields", None, "Comma-separated features that come before the predictions in a line.")
    p.define("delimiter", "\t", "Between the fields of a line.")
    p.define("file_name", "", "File that the model was defined in.")
    p.define("enable_grads_and_vars_summary", False, "Summaries of gradients and variables.")
    p.define("dense_weight_decay", 0.0, "Adds this times each dense variable to its gradient.")
    # Kept from upstream: high enough to act only on exploding gradients.
    p.define("clip_norm", 1000.0, "Cap on the global gradient norm; None turns it off.")
    p.define("sparse_norm_warmup_steps", None, "Steps over which the cap of embeddings grows from 0.")
    p.define("default_occurrence_threshold", None, "For features that set none; None means 0.")
    return p

  def __init__(self, params: hyperparams.Params):
    super().__init__(params)
    data_utils.enable_tob_env()
    self.fs_dict: Dict[str, FeatureSlot] = {}
    self.fc_dict: Dict[str, FeatureColumn] = {}
    self.slice_dict: Dict[str, Dict[str, FeatureSlice]] = {}
    self._layout_dict: Dict[str, example_pb2.OutConfig] = {}
    self._occurrence_threshold: Dict[str, int] = {}
    self._share_slot_mapping: Dict[str, str] = {}
    self._use_dense_allreduce = distribution_utils.enable_sync_training()

  # Settings as attributes.

  def __getattr__(self, name: str) -> Any:
    # Python asks here for what it does not find; while the object is empty there is no `p` either.
    p = self.__dict__.get("p")
    if p is not None:
      if name == "batch_size":
        own = p.eval.per_replica_batch_size if p.mode == _ModeKeys.EVAL else None
        return p.train.per_replica_batch_size if own is None else own
      if name in p:
        return p[name]
    return super().__getattr__(name)

  def __setattr__(self, name: str, value: Any) -> None:
    p = self.__dict__.get("p")
    if p is not None and name == "batch_size":
      p.train.per_replica_batch_size = value
      p.eval.per_replica_batch_size = value
    elif p is not None and name in p:
      p[name] = value
    else:
      super().__setattr__(name, value)

  def __deepcopy__(self, memo: Dict[int, Any]) -> MonolithBaseModel:
    """A copy that has built no graph yet: slots, columns and slices, which belong to a graph, stay behind."""
    result = type(self).__new__(type(self))
    memo[id(self)] = result
    of_graph = ("fs_dict", "fc_dict", "slice_dict", "_occurrence_threshold")
    for name, value in self.__dict__.items():
      if name == "_ctx":
        result.__dict__[name] = type(value)()
      else:
        result.__dict__[name] = {} if name in of_graph else copy.deepcopy(value, memo)
    return result

  # What the user gives.

  @abc.abstractmethod
  def input_fn(self, mode: str) -> tf.data.Dataset:
    """A dataset of feature dicts: ragged int64 fids, dense tensors, labels."""

  @abc.abstractmethod
  def model_fn(self, features: Mapping[str, Any], mode: str) -> EstimatorSpec:
    """The model: an `EstimatorSpec(label, pred, ...)`, or (label, loss, pred)."""

  @abc.abstractmethod
  def serving_input_receiver_fn(self) -> tf_estimator.export.ServingInputReceiver:
    """The receiver of exported models."""

  # What the trainer takes.

  def instantiate(self) -> MonolithBaseModel:
    """The model itself: a model object may stand where params are expected."""
    return self

  def clean(self) -> None:
    """Forgets what belongs to the graph built last."""
    self.fs_dict = {}
    self.fc_dict = {}
    self.slice_dict = {}
    self._occurrence_threshold = {}

  def create_input_fn(self, mode: str) -> Callable[[], tf.data.Dataset]:
    def input_fn_internal() -> tf.data.Dataset:
      with MonolithDeviceCtx(DeviceCtxType.INPUT_FN):
        return self.input_fn(mode)

    return input_fn_internal

  def create_model_fn(self) -> Callable[..., tf_estimator.EstimatorSpec]:
    self.clean()

    def model_fn_internal(features: Any, mode: str, config: Any) -> tf_estimator.EstimatorSpec:
      del config
      # Made before the model, so that it comes first among the variables.
      _ = self._global_step
      with MonolithDeviceCtx(DeviceCtxType.MODEL_FN):
        return _model_fn.build_spec(self, features, mode, self._get_real_mode(mode))

    return model_fn_internal

  def create_serving_input_receiver_fn(
    self,
  ) -> Callable[[], tf_estimator.export.ServingInputReceiver]:
    def serving_input_receiver_fn_internal() -> tf_estimator.export.ServingInputReceiver:
      with MonolithDeviceCtx(DeviceCtxType.INPUT_RECEIVER_FN):
        return DumpUtils().record_receiver(self.serving_input_receiver_fn)()

    return serving_input_receiver_fn_internal

  def _get_real_mode(self, mode: str) -> str:
    """The mode that `model_fn` gets; a training loop asks the model, which may evaluate in it."""
    if mode == _ModeKeys.TRAIN:
      return self.mode
    if mode in (_ModeKeys.PREDICT, _ModeKeys.EVAL):
      return mode
    raise ValueError(f"model error! mode is {mode!r}; it must be 'train', 'eval' or 'infer'.")

  def is_fused_layout(self) -> bool:
    """Whether embeddings come in layouts, looked up by one op."""
    return self.ctx.layout_factory is not None

  # What belongs to the graph being built.

  @property
  def losses(self) -> List[tf.Tensor]:
    """Auxiliary losses of the default graph, which are added to the loss of the heads."""
    return _graph_attribute("__losses", list)

  def add_loss(self, losses: Union[None, tf.Tensor, Sequence[tf.Tensor]]) -> None:
    """Adds one or many auxiliary losses."""
    if losses is None:
      return
    self.losses.extend(losses if isinstance(losses, (list, tuple)) else [losses])

  @property
  def _global_step(self) -> tf.Variable:
    with device_utils.maybe_device_if_allowed("/device:GPU:0"):
      return tf.compat.v1.train.get_or_create_global_step()

  @property
  def _training_hooks(self) -> List[tf.compat.v1.train.SessionRunHook]:
    return _graph_attribute("__training_hooks", list)

  def add_training_hook(self, hook: tf.compat.v1.train.SessionRunHook) -> None:
    """Adds a hook of the loop; a second Kafka or file metric hook is left out."""
    kind = type(hook).__name__
    if kind in _SINGLE_HOOKS and any(type(h).__name__ == kind for h in self._training_hooks):
      return
    self._training_hooks.append(hook)

  @property
  def _export_outputs(self) -> Dict[str, tf_estimator.export.PredictOutput]:
    return _graph_attribute("__export_outputs", dict)

  def add_extra_output(
    self,
    name: str,
    outputs: Union[tf.Tensor, Mapping[str, tf.Tensor]],
    head_name: Optional[str] = None,
    head_type: Optional[str] = None,
  ) -> None:
    """Gives exported models one more signature.

    Args:
      name: the signature's name.
      outputs: its outputs.
      head_name, head_type: kept for compatibility.

    Raises:
      KeyError: the name is taken.
    """
    del head_name, head_type
    tf.compat.v1.add_to_collection("signature_name", name)
    if not export_context.is_exporting():
      return
    if name in self._export_outputs:
      raise KeyError(f"add_extra_output: there is an output {name!r} already; choose another name.")
    self._export_outputs[name] = tf_estimator.export.PredictOutput(outputs)

  # Layouts.

  def add_layout(
    self,
    name: str,
    slice_list: Sequence[Tuple[str, FeatureSlice]],
    out_type: Optional[str],
    shape_list: Sequence[Any],
  ) -> None:
    """Records how one lookup joins slices."""
    self._layout_dict[name] = _embedding_slices.build_out_config(slice_list, out_type, shape_list)

  @property
  def layout_dict(self) -> Dict[str, example_pb2.OutConfig]:
    """{layout name: how one lookup joins slices}."""
    return self._layout_dict

  @layout_dict.setter
  def layout_dict(self, layouts: Dict[str, example_pb2.OutConfig]) -> None:
    self._layout_dict = layouts


class MonolithModel(MonolithBaseModel):
  """A model whose features live in embedding tables.

  Args:
    params: its settings; those of its class by default.

  Raises:
    ValueError: a setting is not supported yet.
  """

  @classmethod
  def params(cls) -> hyperparams.InstantiableParams:
    """The settings of this class with their defaults."""
    p = super().params()
    p.define("feature_list", "", "Path of a feature_list.conf that says which slots features have.")
    return p

  def __init__(self, params: Optional[hyperparams.Params] = None):
    super().__init__(type(self).params() if params is None else params)
    if self.p.feature_list:
      feature_list.FeatureList.parse(self.p.feature_list)

  def _name_and_slot(self, item: Any) -> Tuple[str, Optional[int]]:
    listed = feature_list.FeatureList.parse(self.p.feature_list) if self.p.feature_list else None
    return data_utils.get_feature_name_and_slot(item, listed)

  def _get_fs_conf(
    self, shared_name: str, slot: Optional[int], occurrence_threshold: int, expire_time: int
  ) -> FeatureSlotConfig:
    gpu = self.p.train.use_gpu_emb_table
    return FeatureSlotConfig(
      name=shared_name,
      has_bias=False,
      slot_id=slot,
      occurrence_threshold=occurrence_threshold,
      expire_time=expire_time,
      hashtable_config=entry.GpucucoHashTableConfig() if gpu else entry.CuckooHashTableConfig(),
    )

  @DumpUtils().record_feature
  def create_embedding_feature_column(
    self,
    feature_name: Union[str, int],
    occurrence_threshold: Optional[int] = None,
    expire_time: int = DEFAULT_EXPIRE_TIME,
    max_seq_length: int = 0,
    shared_name: Union[str, int, None] = None,
    combiner: Union[None, str, embedding_combiners.Combiner] = None,
  ) -> FeatureColumn:
    """The column of a feature, made when first asked for.

    Args:
      feature_name: the feature, or its slot number.
      occurrence_threshold: sightings of a fid before it gets an entry; the model's default when None.
      expire_time: days without an update before an entry may be evicted.
      max_seq_length: > 0 for a sequence, of which so many fids are kept apart.
      shared_name: the feature whose table this one shares; vectors of equal fids are then the same.
      combiner: `reduce_sum`, `reduce_mean`, `first_n`, or an object; by default the first fids of a sequence, else
        the sum.

    Raises:
      ValueError: the combiner is unknown, or the shared feature has no slot.
    """
    combiner = _embedding_slices.resolve_combiner(combiner, max_seq_length)
    feature_name, slot = self._name_and_slot(feature_name)
    if feature_name in self.fc_dict:
      return self.fc_dict[feature_name]
    if occurrence_threshold is None:
      occurrence_threshold = self.p.default_occurrence_threshold or 0
    if shared_name is not None:
      feature_slot = self._shared_slot(feature_name, shared_name, occurrence_threshold, expire_time)
    else:
      config = self._get_fs_conf(feature_name, slot, occurrence_threshold, expire_time)
      feature_slot = self._create_slot(config)
    self._occurrence_threshold[feature_name] = occurrence_threshold
    self.fc_dict[feature_name] = FeatureColumn(feature_slot, feature_name, combiner)
    return self.fc_dict[feature_name]

  def _shared_slot(
    self,
    feature_name: str,
    shared_name: Union[str, int],
    occurrence_threshold: int,
    expire_time: int,
  ) -> FeatureSlot:
    name, slot = self._name_and_slot(shared_name)
    self._share_slot_mapping[feature_name] = name
    if name in self.fs_dict:
      return self.fs_dict[name]
    if name in self.fc_dict:
      return self.fc_dict[name].feature_slot
    if slot is None:
      raise ValueError(
        f"feature {feature_name!r} shares the slot of {name!r}, which has none; create the column of {name!r} first."
      )
    return self._create_slot(self._get_fs_conf(name, slot, occurrence_threshold, expire_time))

  def _create_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
    name = str(config.name)
    # A feature may come after one that shares its slot and has made it.
    if name not in self.fs_dict:
      self.fs_dict[name] = self.ctx.create_feature_slot(config)
    return self.fs_dict[name]

  def _slice_of(self, fc: Union[str, int, FeatureColumn], slice_name: str, slice_dim: int, *slice_args: Any) -> _Part:
    """A feature's column and its slice of that name, made from `slice_args` when first asked for."""
    if not isinstance(fc, FeatureColumn):
      fc = self.create_embedding_feature_column(fc)
    owner = self._share_slot_mapping.get(fc.feature_name, fc.feature_name)
    slices = self.slice_dict.setdefault(owner, {})
    if slice_name not in slices:
      slices[slice_name] = fc.feature_slot.add_feature_slice(slice_dim, *slice_args)
    fc_slice = slices[slice_name]
    if fc_slice.dim != slice_dim:
      raise ValueError(
        f"slice {slice_name!r} of feature {fc.feature_name!r} has dim {fc_slice.dim}, not {slice_dim}; "
        "use one dim for a slice, or another slice name."
      )
    return fc, fc_slice

  @DumpUtils().record_slice
  def lookup_embedding_slice(
    self,
    features: Any,
    slice_name: str,
    slice_dim: Optional[int] = None,
    initializer: Optional[entry.Initializer] = None,
    optimizer: Optional[entry.Optimizer] = None,
    compressor: Optional[entry.Compressor] = None,
    learning_rate_fn: Any = None,
    group_out_type: str = "add_n",
    out_type: Optional[str] = None,
  ) -> Union[tf.Tensor, List[tf.Tensor]]:
    """Looks up one named slice of several features.

    Args:
      features: {feature: dim}; a list of features, or of groups of features, with `slice_dim`; or a list of
        (feature, dim). A feature is a name, a slot number or a column.
      slice_name: the slice's name, unique within a feature's slot.
      slice_dim: the common dim.
      initializer, optimizer, compressor, learning_rate_fn: of the slice, where it is made; the slot's defaults if None.
      group_out_type: `add_n` or `concat`, how the features of a group are joined.
      out_type: None gives a list of [B, dim]; `concat`, `stack` and `add_n` join it along axis 1, or by adding.

    Raises:
      ValueError: an argument has another form.
    """
    name = _embedding_slices.layout_name(slice_name, features, out_type, _graph_attribute("__layout_names", dict))
    requests = _embedding_slices.parse_requests(features, slice_dim, group_out_type)
    if self.is_fused_layout():
      laid = self.ctx.layout_factory.get_layout(name)
      return _embedding_slices.join(laid, requests, group_out_type, out_type) if isinstance(laid, list) else laid
    slice_args = (initializer, optimizer, compressor, learning_rate_fn)
    parts = [
      self._slice_of(fc, slice_name, request.dim, *slice_args) for request in requests for fc in request.features
    ]
    pooled = all(fc.combiner.max_seq_length == 0 for fc, _ in parts)
    grouped = len(parts) > len(requests)
    factory = self.ctx.feature_factory
    with contextlib.nullcontext() if factory is None else factory.laid_out():
      if out_type == "concat" and pooled and (group_out_type == "concat" or not grouped) and factory is not None:
        result = factory.lookup_concat(parts)
      else:
        found = [fc.embedding_lookup(fc_slice) for fc, fc_slice in parts]
        result = _embedding_slices.join(found, requests, group_out_type, out_type)
    joined = result if isinstance(result, list) else [result]
    slice_list = [(fc.feature_name, fc_slice) for fc, fc_slice in parts]
    # A layout joins neither groups nor positions: where those are asked for, it has the slices, which are joined later.
    alone = grouped or not (pooled or out_type == "stack")
    self.add_layout(name, slice_list, None if alone else out_type, [t.shape.as_list() for t in joined])
    return result

  def share_slot(
    self,
    features: Optional[Dict[str, Any]] = None,
    share_meta: Optional[Dict[str, Tuple[bool, int]]] = None,
    variant_type: str = "example",
    suffix: str = "share",
  ) -> Any:
    """Moves the fids of features to other slots, so that features share the tables of those slots.

    Args:
      features: {feature name: ragged fids of version 2, ...}; changed and returned. None: records, not parsed yet.
      share_meta: {feature name: (whether its own fids are moved, slot)}. Where they are not, a feature
        `<name>_<suffix>` with the moved fids is added. The slots of both are registered under those names.
      variant_type: of records, `example` or `example_batch`.
      suffix: the end of an added feature's name.

    Returns:
      The features, or a function of records to be mapped over their dataset.

    Raises:
      KeyError: a feature of share_meta is missing.
      ValueError: share_meta is missing, features are neither a dict nor None, or the variant type has no columns.
    """
    if not share_meta:
      raise ValueError("share_slot: share_meta is missing; give {feature name: (inplace, slot)}.")
    data_utils.register_slots(
      {name if inplace else f"{name}_{suffix}": slot for name, (inplace, slot) in share_meta.items()}
    )
    if features is None:
      meta = dict(share_meta)
      return lambda records: data_feature_utils.switch_slot_batch(records, meta, variant_type, suffix)
    if not isinstance(features, dict):
      raise ValueError(
        f"share_slot: features are {type(features).__name__}; give a dict of ragged features, or None for a function "
        "that moves fids in records."
      )
    for name, (inplace, slot) in share_meta.items():
      if name not in features:
        raise KeyError(f"share_slot: feature {name!r} is missing; there are {sorted(features)}.")
      features[name if inplace else f"{name}_{suffix}"] = data_feature_utils.switch_slot(features[name], slot)
    return features

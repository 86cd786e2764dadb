# SPDX-License-Identifier: Apache-2.0
"""What can be trained natively: a task, and the context through which its model reaches tables."""

from __future__ import annotations

import abc
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import tensorflow as tf

from monolith.core import base_task, hyperparams
from monolith.native_training import tf_estimator, utils
from monolith.native_training.feature import FeatureColumn, FeatureFactory, FeatureSlot, FeatureSlotConfig
from monolith.native_training.model_export.export_context import ExportMode
from monolith.native_training.prefetch_queue import AsyncFunctionMgr

__all__ = ["NativeContext", "NativeTask"]


class NativeContext:
  """What the trainer gives to a task while a graph is being built.

  Args:
    feature_factory: makes slots; embeddings are looked up per feature.
    async_function_mgr: runs functions in the step or one step later.
    layout_factory: makes slots where embeddings come in layouts instead.

  Raises:
    ValueError: both factories are given.
  """

  def __init__(
    self,
    feature_factory: Optional[FeatureFactory] = None,
    async_function_mgr: Optional[AsyncFunctionMgr] = None,
    layout_factory: Any = None,
  ):
    if feature_factory is not None and layout_factory is not None:
      raise ValueError("Cannot set feature_factory and layout_factory in the same time")
    self.feature_factory = feature_factory
    self.async_function_mgr = async_function_mgr
    self.layout_factory = layout_factory

  def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
    """Makes a slot; creates no TensorFlow op.

    Raises:
      ValueError: no trainer has set a factory.
    """
    factory = self.feature_factory if self.layout_factory is None else self.layout_factory
    if factory is None:
      raise ValueError(f"slot {config.name!r}: the task has no feature factory; its model_fn runs under CpuTraining.")
    return factory.create_feature_slot(config)

  def gradient_targets(self, columns: Sequence[FeatureColumn], per_fid: bool = False) -> List[tf.Tensor]:
    """What a loss is differentiated by for `apply_embedding_gradients`; see `FeatureFactory.gradient_targets`."""
    return self._factory().gradient_targets(columns, per_fid=per_fid)

  def gradient_norm(self, grads_and_vars: Sequence[Tuple[Any, tf.Tensor]]) -> tf.Tensor:
    """The norm of all gradients of single fids that these stand for; see `FeatureFactory.gradient_norm`."""
    return self._factory().gradient_norm(grads_and_vars)

  def _factory(self) -> FeatureFactory:
    factory = self.feature_factory if self.layout_factory is None else self.layout_factory
    if factory is None:
      raise ValueError("the task has no feature factory; its model_fn runs under CpuTraining.")
    return factory

  def apply_embedding_gradients(
    self,
    grads_and_vars: Iterable[Tuple[Optional[tf.Tensor], tf.Tensor]],
    scale: Union[int, float, tf.Tensor] = 1,
  ) -> tf.Operation:
    """Updates tables by gradients with respect to `gradient_targets`, or `FeatureColumn.get_all_embeddings_concat()`.

    Args:
      grads_and_vars: pairs (gradient, embedding).
      scale: factor of the gradients.
    """
    return self._factory().apply_gradients(grads_and_vars, scale=scale)

  def add_async_function(
    self,
    target: Callable[..., Any],
    args: Optional[Sequence[Any]] = None,
    kwargs: Optional[Dict[str, Any]] = None,
    is_async: Optional[bool] = None,
    queue_name: str = "async_queue",
  ) -> Any:
    """Calls `target`, now or one step later; see `AsyncFunctionMgr.add_async_function`.

    Tensors that `target` uses must come in through its arguments. Without a manager it is called now.
    """
    if self.async_function_mgr is None:
      return target(*(args or ()), **(kwargs or {}))
    return self.async_function_mgr.add_async_function(target, args, kwargs, is_async, queue_name)


_METRICS: Tuple[Tuple[str, Any, str], ...] = (
  ("enable_deep_insight", False, "Send sampled predictions of training to dump_filename, and log counts."),
  ("deep_insight_target", "ctr_head", "Head names, comma-separated, where model_fn gives none."),
  ("deep_insight_name", None, "Name of the model in messages, and the default of model_name."),
  ("deep_insight_sample_ratio", 0.01, "Share of the users whose predictions are sent."),
  ("extra_fields_keys", [], "Further features that are sent, dense, a value a row."),
  ("enable_throughput_hook", True, "Report samples per second as a metric."),
  ("enable_kafka_metrics", False, "Send them to $KAFKA_TOPIC_NAME of $KAFKA_BROKER_LIST."),
  ("enable_tf2_profiler_hook", True, "Allow profiling by the TensorFlow profiler."),
  ("enable_file_metrics", False, "Write them to files of lines."),
  ("file_base_name", "/vepfs/jaguar_deepinsight_results", "Directory of those files, given to key_fn."),
  ("file_ext", "txt", "Suffix of those files."),
  ("parse_fn", None, "Makes an item of a message; reads JSON by default."),
  ("key_fn", None, "(item, worker, file_base_name) -> directory; by model, day and worker by default."),
  ("layout_fn", None, "Makes a line of an item; JSON by default."),
  ("dump_filename", "", "Dump messages to TFRecords in <this>.part-<worker> too."),
  ("use_data_service", False, "Kept for compatibility; input_fn says where the input comes from."),
)

_TRAIN = (
  ("max_pending_seconds_for_barrier", 30, "Seconds to wait for workers to stop before a save."),
  ("slow_start_steps", 0, "Global steps between the starts of consecutive workers, growing with ln."),
  ("sample_bias", 0.0, "Kept for compatibility."),
  ("use_gpu_emb_table", False, "Keep embedding tables on the GPU."),
  ("use_fountain", False, "Read from a fountain service."),
  ("fountain_zk_host", "", "Its ZooKeeper."),
  ("fountain_model_name", "", "Its model name."),
  ("fountain_parse_on_server", False, "Let it parse examples."),
  ("fountain_precompute_value_rowids", False, "Let it compute row ids."),
)

_SERVING = (
  ("export_with_gpu_allowed", False, "Allow GPU placement in exported graphs."),
  ("export_with_cleared_entry_devices", False, "Clear the devices of the entry graph."),
  ("export_when_saving", False, "Export with every checkpoint."),
  ("export_dir_base", "exported_models", "Directory of exports, relative to model_dir or absolute."),
  ("export_mode", ExportMode.DISTRIBUTED, "Standalone or distributed."),
  ("shared_embedding", True, "Exports refer to the checkpoint's tables instead of copying them."),
  ("with_remote_gpu", False, "Export the dense network as a sub-model of its own."),
)


class NativeTask(base_task.BaseTask, abc.ABC):
  """A task that gives an input function and a model function."""

  @classmethod
  def params(cls) -> hyperparams.InstantiableParams:
    """The settings of this class with their defaults; `name` is the class name in snake case."""
    p = super().params()
    p.name = utils.to_snake_case(cls.__name__)
    p.define("metrics", hyperparams.Params(), "Settings of metrics.")
    p.define("mode", tf_estimator.ModeKeys.TRAIN, "What the training loop does: train or eval.")
    p.define("serving", hyperparams.Params(), "Settings of exports.")
    for group, rows in (("metrics", _METRICS), ("train", _TRAIN), ("serving", _SERVING)):
      for name, default, description in rows:
        p[group].define(name, list(default) if isinstance(default, list) else default, description)
    return p

  def __init__(self, params: hyperparams.Params):
    super().__init__(params)
    self._ctx = NativeContext()
    self.p = params

  @property
  def ctx(self) -> NativeContext:
    """What the trainer gives to the task."""
    return self._ctx

  @abc.abstractmethod
  def create_input_fn(self, mode: str) -> Callable[..., Any]:
    """The input function of `mode`; it gives a `tf.data.Dataset` of feature dicts."""

  @abc.abstractmethod
  def create_model_fn(self) -> Callable[..., Any]:
    """The model function: (features, mode, config) -> `tf_estimator.EstimatorSpec`."""

  def create_serving_input_receiver_fn(
    self,
  ) -> Optional[Callable[[], tf_estimator.export.ServingInputReceiver]]:
    """The receiver function of exports. None means that the task cannot be exported."""
    return None

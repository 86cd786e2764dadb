# SPDX-License-Identifier: Apache-2.0
"""`CpuTraining`: wraps a task's input and model functions so that its embeddings live in tables."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import tensorflow as tf
from absl import logging

from monolith.native_training import (
  _training_hooks,
  feature,
  native_task_context,
  prefetch_queue,
  tf_estimator,
  variables,
)
from monolith.native_training._collect_pass import FeatureConfigs, collect_feature_configs, single_element
from monolith.native_training._combined_step import (
  CombinedFeatureFactory,
  combined_lookup,
  why_not_combined,
  why_setting_forbids,
)
from monolith.native_training._control_hooks import ControlHooks
from monolith.native_training._estimator_inputs import call_with_accepted, samples_in
from monolith.native_training._exporting import create_export_listener
from monolith.native_training._input_records import InputColumns, input_columns
from monolith.native_training._layout_choice import (
  InputChoice,
  choice_of_graph,
  iterator_name,
  make_input,
  why_not_layouts,
)
from monolith.native_training._layout_step import (
  LayoutLookup,
  create_partitioned_tables,
  has_records,
  split_records,
)
from monolith.native_training._model_dumps import note_input, note_spec
from monolith.native_training._mode_pass import ModeLookups, record_lookups
from monolith.native_training._sparse_step import (
  Filters,
  SplitFeatures,
  TableFeatureFactory,
  create_filters,
  create_tables,
  lookup_features,
  split_features,
)
from monolith.native_training._training_config import CpuTrainingConfig, check_training_config
from monolith.native_training.data import parsers
from monolith.native_training.hooks import ckpt_hooks, progress_hook, session_hooks
from monolith.native_training.model_export import export_context

__all__ = ["CpuTraining", "get_req_time", "is_chief", "make_native_task_context"]

ModeKeys = tf_estimator.ModeKeys


def is_chief(config: CpuTrainingConfig) -> bool:
  """Whether the process with these settings initializes and saves: worker 0."""
  return config.server_type == "worker" and config.index == 0


def make_native_task_context(
  config: CpuTrainingConfig, sync_backend: Any = None
) -> native_task_context.NativeTaskContext:
  """The task context of the process with these settings."""
  is_ps = config.server_type == "ps"
  return native_task_context.NativeTaskContext(
    num_ps=config.num_ps,
    ps_index=config.index if is_ps else 0,
    num_workers=config.num_workers,
    worker_index=0 if is_ps else config.index,
    model_name=config.model_name,
    sync_backend=sync_backend,
    server_type=config.server_type,
  )


def get_req_time(features: Mapping[str, Any]) -> Optional[tf.Tensor]:
  """The time of a batch: the first of its `req_time`, seconds; None where the input has none."""
  if "req_time" not in features:
    return None
  return tf.reshape(features["req_time"], [-1])[0]


class CpuTraining:
  """The functions of a task, wrapped for training with tables.

  The constructor runs the task's model once in a throw-away graph to learn which tables it needs.

  Args:
    config: the job's settings; copied.
    task: a NativeTask.
    sync_backend: not supported yet.
    also_supported: names of settings, of classes that derive from CpuTrainingConfig, that the caller acts upon.

  Raises:
    ValueError: a setting is invalid or not supported yet.
  """

  def __init__(
    self,
    config: CpuTrainingConfig,
    task: Any,
    sync_backend: Any = None,
    also_supported: frozenset = frozenset(),
  ):
    check_training_config(config, also_supported)
    if sync_backend is not None:
      raise ValueError("CpuTraining: sync_backend is not supported yet; leave it None.")
    self._config = copy.copy(config)
    if not self._config.model_name:
      name = task.p.metrics.deep_insight_name
      self._config.model_name = name or f"di_name_{type(task).__name__}"
    self._config.use_native_multi_hash_table = config.use_native_multi_hash_table is not False
    self._serving_config = dataclasses.replace(
      self._config,
      embedding_prefetch_capacity=0,
      enable_embedding_postpush=False,
      enable_variable_prefetch=False,
      enable_variable_postpush=False,
    )
    self._task = task
    if hasattr(task, "layout_dict"):
      task.layout_dict = {}  # of this training alone
    with self._task_context():
      self._feature_configs = collect_feature_configs(task, config.hashtable_init_capacity)
      self.layouts = dict(getattr(task, "layout_dict", None) or {})
      """{layout: how one lookup joins slices}, as training has them."""

  @property
  def config(self) -> CpuTrainingConfig:
    """The settings in force: while exporting those of serving."""
    return self._serving_config if export_context.is_exporting() else self._config

  @property
  def task(self) -> Any:
    """The wrapped task."""
    return self._task

  @property
  def feature_configs(self) -> FeatureConfigs:
    """The tables that the model needs."""
    return self._feature_configs

  def _task_context(self) -> Any:
    return native_task_context.with_ctx(make_native_task_context(self._config))

  def create_input_fn(self, mode: str) -> Callable[..., Any]:
    """The task's input function, with a prefetching dataset."""

    def input_fn(config: Any = None) -> Any:
      def make() -> Any:
        return call_with_accepted(self._task.create_input_fn(mode), mode=mode, config=config)

      result = self._make_input(make, mode, getattr(config, "model_dir", None))
      if isinstance(result, tf.data.Dataset):
        result = result.prefetch(tf.data.AUTOTUNE)
      return result

    return input_fn

  def create_serving_input_receiver_fn(self) -> Optional[Callable[[], Any]]:
    """The task's receiver function, or None when it has none."""
    receiver_fn = self._task.create_serving_input_receiver_fn()
    if receiver_fn is None:
      return None

    def serving_input_receiver_fn() -> Any:
      # Measured (benchmarks.serving.requests): parsed fids that one op looks up and combines make the sooner answer.
      choice = InputChoice("requests are answered sooner without")
      with self._task_context():
        return make_input(receiver_fn, bool(self._config.enable_fused_layout), choice, None)

    return serving_input_receiver_fn

  def _make_input(self, make: Callable[[], Any], mode: str, model_dir: Optional[str]) -> Any:
    """What an input function gives in the default graph, parsed to fids or, for layouts, without."""
    with self._task_context():
      asked = bool(self._config.enable_fused_layout)
      choice, columns = InputChoice(None), None
      if not asked:
        choice, columns = self._choose(make, mode, model_dir)
      return make_input(make, asked, choice, columns)

  def _choose(
    self, make: Callable[[], Any], mode: str, model_dir: Optional[str]
  ) -> Tuple[InputChoice, Optional[InputColumns]]:
    """Whether layouts can be had where the settings leave it open."""
    configs = self._feature_configs
    reason = why_setting_forbids(self._config)
    if self._config.enable_fused_layout is False:
      reason = "enable_fused_layout is False"
    elif reason is None and not configs.feature_to_table:
      reason = "the model has no embeddings"
    if reason is not None:
      return InputChoice(reason), None
    if mode == ModeKeys.TRAIN:
      reason = why_not_layouts(configs, self.layouts, configs.columns)
      if reason is None and ckpt_hooks.has_other_position(model_dir or "", self._config.index, iterator_name(True)):
        # It has batches that were read ahead, with their fids.
        reason = "the position of the input to go on from was saved with parsed fids"
      return InputChoice(reason), configs.columns
    return self._choose_by_dry_run(make, mode, model_dir)

  def _choose_by_dry_run(
    self, make: Callable[[], Any], mode: str, model_dir: Optional[str]
  ) -> Tuple[InputChoice, Optional[InputColumns]]:
    """Makes the input in a throw-away graph, and runs the model on what it would get."""
    configs = self._feature_configs
    graph = tf.Graph()
    graph.dry_run = True
    with graph.as_default(), parsers.ParserCtx(False):
      try:
        result = make()
      except Exception as error:  # noqa: BLE001 (the user's code; the graph itself will say what is wrong with it)
        return InputChoice(f"a dry run of the input failed ({error!r})"), None
      columns = input_columns(result)
      reason = columns.why_no_records(configs.feature_to_table)
      if reason is not None:
        return InputChoice(reason), None
      features, labels = single_element(result)
      split = split_features(features, configs)
    rows = next(iter(split.fids.values())).shape[0]
    found = self.lookups_of_mode(mode, model_dir, split.dense, labels, rows, True)
    if found is None:
      return InputChoice("a dry run of model_fn failed"), None
    configs = dataclasses.replace(configs, lookups=found.lookups)
    return InputChoice(why_not_layouts(configs, found.layouts, columns), found), columns

  def lookups_of_mode(
    self,
    mode: str,
    model_dir: Optional[str],
    dense: Dict[str, Any],
    labels: Any,
    batch_size: Optional[int],
    with_embeddings: bool,
  ) -> Optional[ModeLookups]:
    """What the model looks up in a mode; None where it does not run in a graph of placeholders."""

    def call_model_fn(features: Mapping[str, Any], labels: Any) -> Any:
      return run_model_fn(self._task, mode, model_dir, features, labels)

    try:
      return record_lookups(
        self._task, call_model_fn, dense, labels, self._feature_configs, batch_size, with_embeddings
      )
    except Exception as error:  # noqa: BLE001 (the user's code; what is wrong with it, the graph itself will say)
      logging.warning(
        "A dry run of model_fn in mode %s failed, so embeddings are looked up as if nothing were known of it: %r",
        mode,
        error,
      )
      return None

  def create_model_fn(self) -> Callable[..., Any]:
    """The task's model function, in the task context and, when the model has embeddings, over tables."""

    def model_fn(features: Any, mode: str, config: Any, labels: Any = None) -> Any:
      note_input(features, labels)
      with self._task_context():
        if self._feature_configs.feature_to_table:
          spec = _ModelBuilder(self, self._task, mode, config).build(features, labels)
        else:
          spec = call_with_accepted(
            self._task.create_model_fn(), features=features, labels=labels, mode=mode, config=config
          )
      note_spec(self._task, mode, features, labels, spec)
      return spec

    return model_fn


def run_model_fn(task: Any, mode: str, model_dir: Optional[str], features: Mapping[str, Any], labels: Any) -> Any:
  """Calls a task's model function."""
  return call_with_accepted(
    task.create_model_fn(),
    features=features,
    labels=labels,
    mode=mode,
    config=tf_estimator.RunConfig(model_dir=model_dir),
  )


class _ModelBuilder:
  """Builds one graph of a task's model.

  Args:
    training: the wrapped task's settings and tables.
    task: the task.
    mode: of the loop.
    run_config: of the loop; gives `model_dir`.
  """

  def __init__(self, training: CpuTraining, task: Any, mode: str, run_config: Any):
    self._training = training
    self._config = training.config
    self._feature_configs = training.feature_configs
    self._task = task
    self._mode = mode
    self._model_dir = run_config.model_dir
    self._records = False
    self._hooks: List[tf.compat.v1.train.SessionRunHook] = []
    # Looking ahead and pushing late exist to overlap training steps; elsewhere they would only be wrong.
    self._trains = mode == ModeKeys.TRAIN and not export_context.is_exporting()
    self._async_function_mgr = prefetch_queue.AsyncFunctionMgr(
      is_async=self._config.enable_variable_postpush and self._trains
    )
    self._prefetches_variables = self._config.enable_variable_prefetch and self._trains

  def build(self, features: Any, labels: Any) -> tf_estimator.EstimatorSpec:
    """The spec of the whole graph."""
    self._records = has_records(features)
    if self._by_layout(features):
      logging.info("Embeddings come in layouts in mode %s.", self._mode)
      return self._build_by_layout(features, labels)
    split = split_features(features, self._feature_configs)
    filters = create_filters(self._config, self._feature_configs)
    tables = create_tables(self._config, self._feature_configs, filters)
    configs = self._combined_configs(split, labels)
    combined = configs is not None
    configs = self._feature_configs if configs is None else configs
    embeddings = (combined_lookup if combined else lookup_features)(tables, split.fids, configs)
    capacity = self._config.embedding_prefetch_capacity if self._trains else 0
    (embeddings, fids, dense, labels), queue = prefetch_queue.enqueue_dicts_with_queue_return(
      (embeddings, split.fids, split.dense, labels), capacity=capacity
    )
    if queue is not None:
      self._hooks.append(prefetch_queue.EnqueueHook(queue))
      # The loop counts samples; counting those of the input would take batches away from the queue.
      progress_hook.set_samples_per_step(samples_in(fids))
    self._run_late_after(fids)
    factory = (CombinedFeatureFactory if combined else TableFeatureFactory)(
      tables,
      fids,
      embeddings,
      configs,
      self._async_function_mgr,
      postpush=self._config.enable_embedding_postpush and self._trains,
      req_time=get_req_time(dense),
    )
    spec = self._call_model_fn(factory, dense if combined else {**dense, **embeddings}, labels)
    return spec if export_context.is_exporting() else self._with_hooks(spec, filters)

  def _build_by_layout(self, features: Any, labels: Any) -> tf_estimator.EstimatorSpec:
    records, dense = split_records(features)
    layouts = self._layouts(dense, labels)
    filters = create_filters(self._config, self._feature_configs)
    tables = create_partitioned_tables(self._config, self._feature_configs, layouts, filters, self._updates_tables)
    lookup = LayoutLookup(tables, records)
    capacity = self._config.embedding_prefetch_capacity if self._trains else 0
    dense, labels, queue = lookup.prefetched(dense, labels, capacity)
    if queue is not None:
      self._hooks.append(prefetch_queue.EnqueueHook(queue))
    if not export_context.is_exporting():
      progress_hook.set_samples_per_step(lookup.batch_size)
    self._run_late_after(lookup.batch_size)
    postpush = self._config.enable_embedding_postpush and self._trains
    factory = lookup.factory(self._async_function_mgr, postpush, get_req_time(dense))
    spec = self._call_model_fn(factory, dense, labels)
    return spec if export_context.is_exporting() else self._with_hooks(spec, filters)

  def _by_layout(self, features: Any) -> bool:
    """Whether embeddings come in layouts. Where they are asked for, training insists on records."""
    return has_records(features) or bool(self._config.enable_fused_layout and self._updates_tables)

  @property
  def _updates_tables(self) -> bool:
    """Whether this is the graph that the collect pass has run for."""
    return self._trains and self._task.p.mode == ModeKeys.TRAIN

  def _run_late_after(self, batch: Any) -> None:
    """Updates that are a step late do not begin in a step without a batch, which would cut them short."""
    if self._trains:
      self._async_function_mgr.run_after(tf.nest.flatten(batch, expand_composites=True)[0])

  def _combined_configs(self, split: SplitFeatures, labels: Any) -> Optional[FeatureConfigs]:
    """The tables, and the lookups of this mode, if one op can look up and combine all embeddings."""
    configs, reason = self._lookups_to_combine(split, labels)
    if reason is not None:
      logging.info("Embeddings are looked up fid by fid in mode %s, since %s.", self._mode, reason)
      return None
    # Of several reasons against layouts that of the input is known; those of the model are the same as here.
    because = choice_of_graph().reason or "the input leaves no records"
    logging.info("One op combines embeddings in mode %s; they do not come in layouts, since %s.", self._mode, because)
    return configs

  def _lookups_to_combine(self, split: SplitFeatures, labels: Any) -> Tuple[FeatureConfigs, Optional[str]]:
    """The tables, and the lookups of this mode; and why one op cannot combine them, if so."""
    configs = self._feature_configs
    reason = why_setting_forbids(self._config)
    if reason is not None:
      return configs, reason
    if export_context.is_exporting_distributed():
      return configs, "the signatures of exported servers know no dealt fids"
    if not self._updates_tables:
      found = self._lookups_of_mode(split.dense, labels, next(iter(split.fids.values())).shape[0], True)
      if found is None:
        return configs, "a dry run of model_fn failed"
      configs = dataclasses.replace(configs, lookups=found.lookups)
    return configs, why_not_combined(configs)

  def _layouts(self, dense: Dict[str, Any], labels: Any) -> Mapping[str, Any]:
    """{layout: how one lookup joins slices} in this mode."""
    layouts = self._training.layouts
    if not self._updates_tables:
      found = self._lookups_of_mode(dense, labels, None, False)
      layouts = layouts if found is None else found.layouts
    if not layouts:
      raise ValueError(
        f"enable_fused_layout: the model looks nothing up by lookup_embedding_slice in mode {self._mode!r}; switch it "
        "off."
      )
    return layouts

  def _lookups_of_mode(
    self, dense: Dict[str, Any], labels: Any, batch_size: Optional[int], with_embeddings: bool
  ) -> Optional[ModeLookups]:
    """What the model looks up in this mode; None where it does not run in a graph of placeholders."""
    found = choice_of_graph().found
    if found is not None:
      return found
    return self._training.lookups_of_mode(self._mode, self._model_dir, dense, labels, batch_size, with_embeddings)

  def _call_model_fn(
    self, factory: feature.FeatureFactory, features: Dict[str, Any], labels: Any
  ) -> tf_estimator.EstimatorSpec:
    ctx = self._task.ctx
    if isinstance(factory, feature.EmbeddingLayoutFactory):
      ctx.layout_factory = factory
    else:
      ctx.feature_factory = factory
    ctx.async_function_mgr = self._async_function_mgr
    try:
      with _variable_scope(self._config), self._variable_creator_scope():
        return tf_estimator.EstimatorSpec.from_any(
          run_model_fn(self._task, self._mode, self._model_dir, features, labels)
        )
    finally:
      # They belong to this graph; a later one must not find them.
      ctx.feature_factory, ctx.layout_factory, ctx.async_function_mgr = None, None, None

  def _variable_creator_scope(self) -> Any:
    if not self._prefetches_variables:
      return contextlib.nullcontext()
    self._hooks.append(variables.FetchAllCachedVariablesHook())
    return tf.variable_creator_scope(variables.cached_variable_creator)

  def _with_hooks(self, spec: tf_estimator.EstimatorSpec, filters: Filters) -> tf_estimator.EstimatorSpec:
    trains = self._mode == ModeKeys.TRAIN
    monitor = _training_hooks.ps_monitor(self._config) if trains else None
    custom = [_training_hooks.custom_restore_listener(self._config, self._model_dir)] if trains else []
    restore = _training_hooks.restore_hook(self._model_dir, filters if trains else None, monitor, custom)
    if self._mode == ModeKeys.EVAL:
      return spec._replace(evaluation_hooks=(restore, *spec.evaluation_hooks))
    if self._mode == ModeKeys.PREDICT:
      return spec._replace(prediction_hooks=(restore, *spec.prediction_hooks))
    scaffold = spec.scaffold
    if scaffold.saver is None:
      saver = _training_hooks.full_saver(self._config, self._model_dir, monitor)
      scaffold = tf.compat.v1.train.Scaffold(saver=saver, copy_from_scaffold=scaffold)
    control = ControlHooks(self._config, self._task, self._model_dir, iterator_name(self._records))
    saver_hook = _training_hooks.full_saver_hook(
      self._config,
      self._task,
      self._model_dir,
      scaffold,
      filters,
      self._async_function_mgr,
      self._make_export_listener,
      control.guards,
    )
    savers = [saver_hook, control.server_hook(saver_hook)]
    dense_only = _training_hooks.dense_only_saver_hook(
      self._config, self._task, self._model_dir, self._make_export_listener, control.guards
    )
    if dense_only is not None:
      savers.append(dense_only)
    worker_hooks = (
      session_hooks.SetCurrentSessionHook(),
      *control.worker_hooks,
      *self._hooks,
      *self._async_function_mgr.hooks,
    )
    return spec._replace(
      scaffold=scaffold,
      training_chief_hooks=(
        *control.first,
        *_training_hooks.health_hooks(self._config, control.barrier_op),
        restore,
        *savers,
        *_training_hooks.profiler_hooks(self._config, self._model_dir),
        *spec.training_chief_hooks,
      ),
      training_hooks=(*worker_hooks, *spec.training_hooks, control.last),
    )

  def _make_export_listener(self, save_path: str, dense_only: bool) -> tf.compat.v1.train.CheckpointSaverListener:
    return create_export_listener(self._training, self._model_dir, save_path, dense_only)


def _variable_scope(config: CpuTrainingConfig) -> Any:
  """The scope of the model's variables: large ones made by `get_variable` are spread over the servers."""
  scope = tf.compat.v1.get_variable_scope()
  if not config.enable_variable_partition or export_context.is_exporting():
    return tf.compat.v1.variable_scope(scope)
  partitioner = tf.compat.v1.variable_axis_size_partitioner(max_shard_bytes=131072, max_shards=config.num_ps or None)
  return tf.compat.v1.variable_scope(scope, partitioner=partitioner, custom_getter=_keep_whole(partitioner))


def _keep_whole(partitioner: Callable[..., List[int]]) -> Callable[..., Any]:
  """Takes the scope's `partitioner` away from variables that it does not cut, so that they stay ordinary variables.

  Slots of optimizers ask for a variable with no partitioner at all, and stay as they are.
  """

  def custom_getter(getter: Any, *args: Any, **kwargs: Any) -> Any:
    if kwargs.get("partitioner") is partitioner:
      shape = tf.TensorShape(kwargs.get("shape"))
      known = shape.is_fully_defined() and shape.rank
      parts = partitioner(shape=shape, dtype=tf.as_dtype(kwargs.get("dtype") or tf.float32)) if known else [1]
      if all(count == 1 for count in parts):
        kwargs["partitioner"] = None
    return getter(*args, **kwargs)

  return custom_getter

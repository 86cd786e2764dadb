# SPDX-License-Identifier: Apache-2.0
"""The user-facing Estimator: trains, evaluates, predicts and exports a model by one configuration.

`EstimatorSpec`, `RunConfig` and `Estimator` here are this library's own; their namesakes after `tf.estimator` live in
`monolith.native_training.tf_estimator`. The trainer is imported when an `Estimator` is made, so that models can take
`EstimatorSpec` from here without it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import TYPE_CHECKING, Any, Callable, Dict, FrozenSet, Iterator, List, Optional, Sequence, TypeAlias, Union

import numpy as np
import tensorflow as tf

from monolith.core.errors import CallerError
from monolith.native_training import save_utils, tf_estimator
from monolith.native_training._head_spec import EstimatorSpec
from monolith.native_training._saved_model_import import import_saved_model
from monolith.native_training._seed_checkpoint import seed_model_dir
from monolith.native_training.service_discovery import ServiceDiscoveryType

if TYPE_CHECKING:
  from monolith.native_training.runner_utils import RunnerConfig

ModeKeys = tf_estimator.ModeKeys
SessionRunHook: TypeAlias = tf_estimator.SessionRunHook
export = tf_estimator.export
PredictOutput = export.PredictOutput
ServingInputReceiver = export.ServingInputReceiver

__all__ = [
  "Estimator",
  "EstimatorSpec",
  "ModeKeys",
  "PredictOutput",
  "RunConfig",
  "RunnerConfig",
  "ServiceDiscoveryType",
  "ServingInputReceiver",
  "SessionRunHook",
  "export",
  "import_saved_model",
]


def __getattr__(name: str) -> Any:
  # It sits above the trainer, whose import models need not pay for.
  if name == "RunnerConfig":
    from monolith.native_training import runner_utils

    return runner_utils.RunnerConfig
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# The steps before it also allocate memory and compile.
_FIRST_PROFILED_STEP = 10


@dataclasses.dataclass
class RunConfig:
  """The settings of an `Estimator` that most jobs touch; see `RunnerConfig` for their meaning.

  :param enable_parameter_sync: send parameters to online servers. Refused.
  :param enable_local_profiling: profile ten steps of a local run now and then, for TensorBoard.
  """

  is_local: bool = False
  num_ps: int = 0
  num_workers: int = 1
  chief_timeout_secs: int = 1800
  operation_timeout_in_ms: int = -1
  session_creation_timeout_secs: int = 7200
  max_retry_times: int = 6
  retry_wait_in_secs: int = 5
  enable_fused_layout: Optional[bool] = None
  enable_model_dump: bool = False
  bzid: Optional[str] = None
  base_name: Optional[str] = None
  ps_replica_num: Optional[int] = None
  model_dir: str = ""
  restore_dir: Optional[str] = None
  restore_ckpt: Optional[str] = None
  save_checkpoints_secs: Optional[int] = None
  save_checkpoints_steps: Optional[int] = None
  max_rpc_deadline_millis: int = 30000
  dense_only_save_checkpoints_secs: Optional[int] = None
  dense_only_save_checkpoints_steps: Optional[int] = None
  checkpoints_max_to_keep: int = 10
  warmup_file: str = "./warmup_file"
  partial_recovery: bool = False
  use_native_multi_hash_table: Optional[bool] = None
  clear_nn: bool = False
  continue_training: bool = False
  reload_alias_map: Optional[Dict[str, str]] = None
  enable_alias_map_auto_gen: Optional[bool] = None
  kafka_topics: Optional[str] = None
  kafka_group_id: Optional[str] = None
  kafka_servers: Optional[str] = None
  disable_native_metrics: bool = True
  save_summary_steps: int = 100
  log_step_count_steps: int = 100
  enable_parameter_sync: bool = False
  enable_local_profiling: bool = False

  def to_json(self) -> str:
    """This object as JSON."""
    return json.dumps(dataclasses.asdict(self), sort_keys=True)

  @classmethod
  def from_json(cls, text: str) -> RunConfig:
    """An object from the JSON of `to_json`.

    Raises:
      ValueError: it names a setting that does not exist.
    """
    fields = json.loads(text)
    unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(cls)})
    if unknown:
      raise ValueError(f"RunConfig has no settings {unknown}.")
    return cls(**fields)

  def to_runner_config(self) -> RunnerConfig:
    """The settings as a `RunnerConfig`, with this machine's overlap of embeddings and steps.

    Raises:
      ValueError: a setting of this class alone is not supported yet.
    """
    from monolith.native_training.runner_utils import RunnerConfig as Runner

    if self.enable_parameter_sync:
      raise ValueError("RunConfig.enable_parameter_sync is not supported: there are no online servers; leave it False.")
    own = ("enable_parameter_sync", "enable_local_profiling")
    values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in own}
    if self.is_local:
      # They concern restarts of a distributed job.
      del values["max_retry_times"], values["retry_wait_in_secs"]
    runner = Runner(**values)
    if runner.discovery_type is ServiceDiscoveryType.CONSUL:
      runner.discovery_type = ServiceDiscoveryType.ZK
    runner.embedding_prefetch_capacity = max(1, runner.embedding_prefetch_capacity)
    runner.enable_embedding_postpush = True
    if self.enable_local_profiling and self.is_local:
      runner.profile_some_steps_from = _FIRST_PROFILED_STEP
    return runner


# Settings of RunnerConfig that act here, or that concern what only runs between processes.
_ALSO_SUPPORTED: FrozenSet[str] = frozenset(
  (
    "discovery_type",
    "is_local",
    "monolith_grpc_worker_service_handler_multiplier",
    "restore_ckpt",
    "restore_dir",
    "tf_grpc_worker_cache_threads",
  )
)


class Estimator:
  """Trains, evaluates, predicts and exports a model.

  Args:
    model: the model's params, or a model object; each call works on a copy.
    conf: a `RunConfig` or `RunnerConfig`; is_local must be set.
    warm_start_from: must be None; `conf.restore_dir` and `conf.restore_ckpt` name a checkpoint to start from, tables
      included.

  Raises:
    ValueError: a setting is not supported yet, or model_dir is missing.
  """

  def __init__(self, model: Any, conf: Union[RunConfig, RunnerConfig], warm_start_from: Any = None):
    if warm_start_from is not None:
      raise ValueError(
        f"Estimator.warm_start_from is {warm_start_from!r}; leave it None and name the checkpoint to start from, whose "
        "tables are restored too, in the config's restore_dir and restore_ckpt."
      )
    runner = conf.to_runner_config() if isinstance(conf, RunConfig) else copy.copy(conf)
    if not runner.is_local:
      raise ValueError(
        f"{type(conf).__name__}.is_local is False: jobs over several processes are not supported yet; set it True."
      )
    if not runner.model_dir:
      raise ValueError(f"{type(conf).__name__}.model_dir is empty; set it.")
    self._model = model
    self._runner = runner

  @property
  def config(self) -> RunnerConfig:
    """The settings in use."""
    return self._runner

  @property
  def model_dir(self) -> str:
    """Directory of checkpoints and summaries."""
    return self._runner.model_dir

  def train(
    self,
    steps: Optional[int] = None,
    max_steps: Optional[int] = None,
    hooks: Optional[List[SessionRunHook]] = None,
  ) -> Estimator:
    """Trains; resumes from the newest checkpoint.

    With `enable_model_dump` the graphs of training and serving are written to `<model_dir>/model_dump` afterwards.

    Args:
      steps: further steps; `params.train.steps` when neither limit is given.
      max_steps: global step to stop at; `params.train.max_steps` when neither is given.
      hooks: hooks of the loop.

    Returns:
      self.

    Raises:
      CallerError: hooks is no list of hooks.
    """
    hooks = _checked_hooks(hooks)
    model = self._copy_of_model(ModeKeys.TRAIN)
    if steps is None and max_steps is None:
      train = getattr(model, "p", model).train
      steps, max_steps = train.steps, train.max_steps
    save_utils.check_writable(self.model_dir)
    seed_model_dir(self.model_dir, self._runner.restore_dir, self._runner.restore_ckpt)
    with self._training(model) as training:
      training.train(steps=steps, max_steps=max_steps, hooks=hooks)
    return self

  def evaluate(
    self,
    steps: Optional[int] = None,
    hooks: Optional[List[SessionRunHook]] = None,
    checkpoint_path: Optional[str] = None,
  ) -> Dict[str, Any]:
    """Evaluates the newest checkpoint; changes neither variables nor tables.

    Args:
      steps: batches; None means `params.eval.steps`, and None there until the input ends.
      hooks: hooks of the loop.
      checkpoint_path: another checkpoint.

    Returns:
      {`<head>_auc` or `<head>_mse`: value}, the mean loss of a batch under "loss", and "global_step".
    """
    hooks = _checked_hooks(hooks)
    model = self._copy_of_model(ModeKeys.EVAL)
    if steps is None:
      steps = getattr(model, "p", model).eval.steps
    with self._training(model) as training:
      return training.evaluate(steps=steps, hooks=hooks, checkpoint_path=checkpoint_path)

  def predict(
    self,
    predict_keys: Optional[Sequence[str]] = None,
    hooks: Optional[List[SessionRunHook]] = None,
    checkpoint_path: Optional[str] = None,
    yield_single_examples: bool = True,
  ) -> Iterator[Any]:
    """Yields the predictions of the newest checkpoint, by example or by batch.

    Args:
      predict_keys: which heads; None means all.
      hooks: hooks of the loop.
      checkpoint_path: another checkpoint.
      yield_single_examples: False yields whole batches.
    """
    hooks = _checked_hooks(hooks)
    with self._training(self._copy_of_model(ModeKeys.PREDICT)) as training:
      yield from training.predict(predict_keys, hooks, checkpoint_path, yield_single_examples)

  def export_saved_model(
    self,
    batch_size: int = 64,
    name: Optional[str] = None,
    dense_only: bool = False,
    enable_fused_layout: Optional[bool] = None,
  ) -> Any:
    """Exports the newest checkpoint into `<model_dir>/<params.serving.export_dir_base>`.

    Args:
      batch_size: rows that the exported graph pretends to have while it is built.
      name: the copied model's name; `demo_export` by default.
      dense_only: export the dense part only.
      enable_fused_layout: leave fids in the serialized records that serving_input_receiver_fn parses, shard them there,
        and look embeddings up by layout, whichever way the model was trained; signatures and predictions are the same.
        None: as the runner's setting of that name says.

    Returns:
      What the exporter returns: the path, as bytes.

    Raises:
      ValueError: the model has no serving_input_receiver_fn, it parses no records though enable_fused_layout needs
        them, or something asked is not supported yet.
    """
    from monolith.native_training import cpu_training

    model = self._copy_of_model(ModeKeys.PREDICT)
    params = getattr(model, "p", model)
    params.name = name or "demo_export"
    params.train.per_replica_batch_size = batch_size
    settings = {} if enable_fused_layout is None else {"enable_fused_layout": enable_fused_layout}
    training = self._training(model, **settings).training
    receiver_fn = training.create_serving_input_receiver_fn()
    if receiver_fn is None:
      raise ValueError(f"{type(training.task).__name__} gives no serving_input_receiver_fn; exports need one.")
    exporter = cpu_training.create_exporter(
      training,
      self.model_dir,
      self._runner.warmup_file,
      params.serving.export_dir_base,
      dense_only,
    )
    return exporter.export_saved_model(_require_records(receiver_fn) if enable_fused_layout else receiver_fn)

  def get_variable_names(self) -> List[str]:
    """Names of the dense variables in the newest checkpoint."""
    return [name for name, _ in tf.train.list_variables(self._require_checkpoint())]

  def get_variable_value(self, name: str) -> np.ndarray:
    """Value of dense variable `name` in the newest checkpoint."""
    return tf.train.load_variable(self._require_checkpoint(), name)

  def latest_checkpoint(self) -> Optional[str]:
    """Path prefix of the newest complete checkpoint, or None."""
    return save_utils.latest_checkpoint(self.model_dir)

  def close(self) -> None:
    """Ends the Estimator's use; a local one holds nothing between calls."""

  def _require_checkpoint(self) -> str:
    path = self.latest_checkpoint()
    if path is None:
      raise ValueError(f"model_dir {self.model_dir!r} holds no checkpoint; train first.")
    return path

  def _copy_of_model(self, mode: str) -> Any:
    model = copy.deepcopy(self._model)
    getattr(model, "p", model).mode = mode
    return model

  def _training(self, model: Any, **settings: Any) -> Any:
    from monolith.native_training._local_training import LocalTraining

    runner = copy.copy(self._runner)
    for name, value in settings.items():
      setattr(runner, name, value)
    return LocalTraining(model, runner, self.model_dir, also_supported=_ALSO_SUPPORTED)


def _require_records(receiver_fn: Callable[[], Any]) -> Callable[[], Any]:
  """`receiver_fn`, refused unless it parses records that keep their fids."""
  from monolith.native_training._layout_step import has_records

  def checked_receiver_fn() -> Any:
    receiver = receiver_fn()
    if not has_records(receiver.features):
      raise ValueError(
        "export_saved_model: enable_fused_layout needs a serving_input_receiver_fn that parses serialized records by "
        "parse_examples, parse_example_batch or parse_instances; leave it False."
      )
    return receiver

  return checked_receiver_fn


def _checked_hooks(hooks: Optional[List[SessionRunHook]]) -> List[SessionRunHook]:
  if hooks is None:
    return []
  if not isinstance(hooks, list) or not all(isinstance(hook, tf.compat.v1.train.SessionRunHook) for hook in hooks):
    raise CallerError(f"hooks is {hooks!r}; it must be a list of SessionRunHook.")
  return hooks

# SPDX-License-Identifier: Apache-2.0
"""Settings of a training job, and the refusal of those that do nothing yet."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, FrozenSet, Optional

import tensorflow as tf

__all__ = ["CpuTrainingConfig", "DistributedCpuTrainingConfig", "check_training_config"]


@dataclasses.dataclass
class CpuTrainingConfig:
  """How a task is trained. Settings whose text ends in "Refused." must have their default; the error says why, and what
  to do instead.

  :param server_type: role of this process, worker or ps.
  :param index: index of this worker; 0 is the chief. Refused.
  :param num_ps: number of parameter servers; 0 keeps everything in this process.
  :param num_workers: number of workers, the chief included. Refused.
  :param model_name: name under which the model is served; metrics.deep_insight_name or the class by default.
  :param mode: train; evaluation has a method of its own.
  :param filter_capacity: fids that an occurrence filter has room for.
  :param filter_split_num: parts of a sliding filter.
  :param filter_type: sliding_hash_filter, probabilistic_filter or no_filter.
  :param filter_equal_probability: admit every sighting of a fid with the same probability (probabilistic filter).
  :param hashtable_init_capacity: entries that each table reserves room for at once; 0 keeps the table's own setting.
  :param use_native_multi_hash_table: one op for all tables; None means what the checkpoints in the model_dir hold, or
    True. False keeps a single table for all slots of one configuration, as old checkpoints do, whose fids must then
    tell the slots apart. It is slower: features are looked up one by one.
  :param skip_zero_embedding_when_serving: leave out entries whose weights are all zero when serving.
  :param embedding_prefetch_capacity: steps whose embeddings are looked up ahead; 0 turns it off.
  :param enable_embedding_postpush: update tables while the next step runs.
  :param enable_variable_prefetch: read dense variables ahead of the step, which then misses the last step's update.
  :param enable_variable_postpush: update dense variables while the next step runs, which then misses that update.
  :param enable_sync_training: synchronous training. Refused.
  :param enable_partial_sync_training: synchronous dense variables, asynchronous tables. Refused.
  :param enable_gpu_training: dense variables on the GPU. Refused.
  :param processes_per_gpu: processes that share a GPU. Refused.
  :param merge_sync_training_ckpt: one checkpoint for all ranks. Refused.
  :param enable_async_optimize: update tables behind the step in synchronous training. Refused.
  :param enable_pipelined_fwda2a: overlap the exchange of embeddings. Refused.
  :param enable_pipelined_bwda2a: overlap the exchange of gradients. Refused.
  :param reorder_fids_in_data_pipeline: deal fids out to shards in the input pipeline. Refused.
  :param partial_recovery: restore only restarted parameter servers; the others keep what they learned since.
  :param enable_realtime_training: send parameters to online servers. Refused.
  :param force_shutdown_ps: shut parameter servers down also in real-time training. Refused.
  :param chief_timeout_secs: seconds for which the chief waits for workers at the end. Refused.
  :param tide_start_hour: start of the daily window (UTC) in which the ordinary save period counts.
  :param tide_start_minute: its minute.
  :param tide_end_hour: end of the window, exclusive.
  :param tide_end_minute: its minute.
  :param tide_save_secs: seconds between saves outside of the window.
  :param save_checkpoints_secs: seconds between checkpoints; params.train's by default.
  :param save_checkpoints_steps: steps between checkpoints; params.train's by default.
  :param dense_only_save_checkpoints_secs: seconds between checkpoints without tables.
  :param dense_only_save_checkpoints_steps: steps between checkpoints without tables.
  :param dense_only_stop_training_when_save: stop the other workers meanwhile.
  :param checkpoints_max_to_keep: checkpoints to keep; 0 keeps all.
  :param enable_model_ckpt_info: count the entries of each checkpoint (done for multi tables in any case).
  :param feature_eviction_on_save: drop expired entries from the tables after each save.
  :param clear_nn: start with fresh dense variables beside the checkpoint's tables, once; the file `clear_nn` remembers.
  :param continue_training: keep the global step then.
  :param reload_alias_map: {name of a dense variable: its name in the checkpoint}.
  :param enable_alias_map_auto_gen: guess that map when the checkpoint lacks variables of the model; None means True.
  :param warmup_file: warmup requests that go into exports; made up where it does not exist. None leaves them out.
  :param max_rpc_deadline_millis: milliseconds for a call between exported models.
  :param max_slow_start_wait_minute: minutes for which a worker's start may be delayed. Refused.
  :param enable_variable_partition: spread large variables made by get_variable over the parameter servers.
  :param fuse_lookups: where the model allows it, look up and combine all embeddings by one op here and, with num_ps,
    one on each server: in training, evaluation, prediction and exports; the numbers are the same.
  :param enable_fused_layout: leave fids in the records, shard them there, and look embeddings up by layout: in
    training, evaluation, prediction and exports after a save. It needs lookups by lookup_embedding_slice alone. None
    does so in training, evaluation and prediction where the model and the input allow it, and logs what it does; the
    numbers are the same.
  :param only_feature_engineering: run the input pipeline only. Refused.
  :param enable_model_dump: write the graphs of training and serving to `<model_dir>/model_dump` after a local
    training; see `model_dump.dump_utils`.
  :param profile_some_steps_from: first step of a profile of ten steps, counted in this run.
  :param profile_save_steps_interval: steps from the begin of one profile to that of the next.
  :param profile_with_nvprof_from_to: steps to profile by nvprof. Refused.
  :param submit_time_secs: when the job was submitted, for metrics. Refused.
  :param containers_ready_time_secs: when its containers were ready, for metrics. Refused.
  :param cluster_type: kind of cluster, for metrics. Refused.
  :param enable_resource_constrained_roughsort: rough sort. Refused.
  :param roughsort_items_use_parquet: its items come as parquet. Refused.
  :param roughsort_candidate_items_path: its items. Refused.
  :param items_input_lagrangex_header: framing of its items. Refused.
  :param items_input_has_sort_id: framing of its items. Refused.
  :param items_input_kafka_dump: framing of its items. Refused.
  :param items_input_kafka_dump_prefix: framing of its items. Refused.
  :param num_extra_dsworker_on_gpu_worker: data service workers beside a GPU worker. Refused.
  :param device_fn: device of an operation.
  :param use_dataservice: read from a data service. Refused.
  :param save_summary_steps: steps between summaries; 0 turns them off.
  :param log_step_count_steps: steps between progress lines; 0 turns them off.
  """

  server_type: str = "worker"
  index: int = 0
  num_ps: int = 0
  num_workers: int = 1
  model_name: str = ""
  mode: str = "train"
  filter_capacity: int = 300000000
  filter_split_num: int = 7
  filter_type: str = "sliding_hash_filter"
  filter_equal_probability: bool = True
  hashtable_init_capacity: int = 0
  use_native_multi_hash_table: Optional[bool] = None
  skip_zero_embedding_when_serving: bool = False
  embedding_prefetch_capacity: int = 0
  enable_embedding_postpush: bool = False
  enable_variable_prefetch: bool = False
  enable_variable_postpush: bool = False
  enable_sync_training: bool = False
  enable_partial_sync_training: bool = False
  enable_gpu_training: bool = False
  processes_per_gpu: int = 1
  merge_sync_training_ckpt: bool = True
  enable_async_optimize: bool = False
  enable_pipelined_fwda2a: bool = False
  enable_pipelined_bwda2a: bool = False
  reorder_fids_in_data_pipeline: bool = False
  partial_recovery: Optional[bool] = None
  enable_realtime_training: bool = False
  force_shutdown_ps: bool = False
  chief_timeout_secs: int = 1800
  tide_start_hour: Optional[int] = None
  tide_start_minute: Optional[int] = None
  tide_end_hour: Optional[int] = None
  tide_end_minute: Optional[int] = None
  tide_save_secs: Optional[int] = None
  save_checkpoints_secs: Optional[int] = None
  save_checkpoints_steps: Optional[int] = None
  dense_only_save_checkpoints_secs: Optional[int] = None
  dense_only_save_checkpoints_steps: Optional[int] = None
  dense_only_stop_training_when_save: bool = False
  checkpoints_max_to_keep: int = 10
  enable_model_ckpt_info: bool = False
  feature_eviction_on_save: bool = False
  clear_nn: bool = False
  continue_training: bool = False
  reload_alias_map: Optional[Dict[str, str]] = None
  enable_alias_map_auto_gen: Optional[bool] = None
  warmup_file: str = "./warmup_file"
  max_rpc_deadline_millis: int = 30000
  max_slow_start_wait_minute: int = 10
  enable_variable_partition: bool = True
  fuse_lookups: bool = True
  enable_fused_layout: Optional[bool] = None
  only_feature_engineering: bool = False
  enable_model_dump: bool = False
  profile_some_steps_from: Optional[int] = None
  profile_save_steps_interval: int = 5000
  profile_with_nvprof_from_to: Optional[str] = None
  submit_time_secs: Optional[int] = None
  containers_ready_time_secs: Optional[int] = None
  cluster_type: str = "stable"
  enable_resource_constrained_roughsort: bool = False
  roughsort_items_use_parquet: bool = False
  roughsort_candidate_items_path: Optional[str] = None
  items_input_lagrangex_header: bool = False
  items_input_has_sort_id: bool = False
  items_input_kafka_dump: bool = False
  items_input_kafka_dump_prefix: bool = False
  num_extra_dsworker_on_gpu_worker: int = 0
  device_fn: Optional[Callable[[tf.Operation], str]] = None
  use_dataservice: Optional[bool] = None
  save_summary_steps: int = 100
  log_step_count_steps: int = 100

  @property
  def enable_full_sync_training(self) -> bool:
    """Whether tables are trained synchronously too."""
    return self.enable_sync_training and not self.enable_partial_sync_training


@dataclasses.dataclass
class DistributedCpuTrainingConfig(CpuTrainingConfig):
  """Settings of a training job over several processes; of them `model_dir` and `max_retry_times` act in one process.

  :param model_dir: directory of checkpoints, summaries and exports.
  :param tensorboard_log_path: kept for compatibility. Refused.
  :param intra_op_parallelism_threads: threads within an operation. Refused.
  :param inter_op_parallelism_threads: operations at once. Refused.
  :param num_extra_ps: parameter servers to try out. Refused.
  :param num_redundant_ps: spare parameter servers. Refused.
  :param uuid: identifies the job. Refused.
  :param operation_timeout_in_ms: timeout of a step. Refused.
  :param session_creation_timeout_secs: seconds for which a worker waits for the chief. Refused.
  :param max_retry_times: new sessions after a lost one; with partial_recovery up to 6 by default.
  :param retry_wait_in_secs: seconds between them. Refused.
  :param fountain_zk_host: fountain's ZooKeeper. Refused.
  :param fountain_model_name: fountain's model. Refused.
  :param dc_aware: keep traffic within a data center. Refused.
  """

  model_dir: str = ""
  tensorboard_log_path: str = ""
  intra_op_parallelism_threads: int = 8
  inter_op_parallelism_threads: int = 16
  num_extra_ps: int = 0
  num_redundant_ps: int = 0
  uuid: str = ""
  operation_timeout_in_ms: int = -1
  session_creation_timeout_secs: int = 7200
  max_retry_times: int = 0
  retry_wait_in_secs: int = 30
  fountain_zk_host: str = ""
  fountain_model_name: str = ""
  dc_aware: bool = False


# What `cpu_training` acts upon. Everything else is refused unless it has its default.
_SUPPORTED: FrozenSet[str] = frozenset(
  (
    "checkpoints_max_to_keep",
    "clear_nn",
    "continue_training",
    "dense_only_save_checkpoints_secs",
    "dense_only_save_checkpoints_steps",
    "dense_only_stop_training_when_save",
    "device_fn",
    "embedding_prefetch_capacity",
    "enable_alias_map_auto_gen",
    "enable_embedding_postpush",
    "enable_fused_layout",
    "enable_model_dump",
    "enable_model_ckpt_info",
    "use_native_multi_hash_table",
    "enable_variable_partition",
    "enable_variable_postpush",
    "enable_variable_prefetch",
    "feature_eviction_on_save",
    "filter_capacity",
    "filter_equal_probability",
    "filter_split_num",
    "filter_type",
    "fuse_lookups",
    "hashtable_init_capacity",
    "log_step_count_steps",
    "max_retry_times",
    "max_rpc_deadline_millis",
    "model_dir",
    "model_name",
    "num_ps",
    "partial_recovery",
    "profile_save_steps_interval",
    "profile_some_steps_from",
    "reload_alias_map",
    "save_checkpoints_secs",
    "save_checkpoints_steps",
    "save_summary_steps",
    "skip_zero_embedding_when_serving",
    "tide_end_hour",
    "tide_end_minute",
    "tide_save_secs",
    "tide_start_hour",
    "tide_start_minute",
    "warmup_file",
  )
)

_WORKERS = "it concerns jobs of several worker processes, which cpu_training.local_train does not start"
_SYNC = "synchronous training needs several processes under MPI, which cpu_training.local_train does not start"
_GPU = "tables and training are on the CPU"
_METRICS = "it is a tag of a metrics service, and none is connected"
_ROUGHSORT = "rough sort is not built; run predict over the candidates"
_KAFKA = "Kafka is not built; read files with monolith.data.PBDataset"
_DATASERVICE = "a data service is not built; give the task's input_fn a tf.data.Dataset of your own"
_ONLINE = "online servers of parameters are not built; export with params.serving.export_when_saving"
_MODEL_METRICS = "it is a setting of the model; set params.metrics"
_SERVERS = "parameter servers run inside this process, with TensorFlow's own settings"

# Why a setting is refused.
_REASONS: Dict[str, str] = {
  "server_type": _WORKERS,
  "index": _WORKERS,
  "num_workers": _WORKERS,
  "mode": "the loop's mode is that of the model; set params.mode, or call evaluate or predict",
  "enable_sync_training": _SYNC,
  "enable_partial_sync_training": _SYNC,
  "enable_gpu_training": _GPU,
  "processes_per_gpu": _GPU,
  "merge_sync_training_ckpt": _SYNC,
  "enable_async_optimize": _SYNC,
  "enable_pipelined_fwda2a": _SYNC,
  "enable_pipelined_bwda2a": _SYNC,
  "reorder_fids_in_data_pipeline": "fids are dealt out to servers by the lookup itself",
  "enable_realtime_training": _ONLINE,
  "force_shutdown_ps": _ONLINE,
  "chief_timeout_secs": _WORKERS,
  "max_slow_start_wait_minute": _WORKERS,
  "only_feature_engineering": "there is no model to build then; cpu_training.local_train takes it",
  "profile_with_nvprof_from_to": _GPU + "; profile_some_steps_from profiles those",
  "submit_time_secs": _METRICS,
  "containers_ready_time_secs": _METRICS,
  "cluster_type": _METRICS,
  "enable_resource_constrained_roughsort": _ROUGHSORT,
  "roughsort_items_use_parquet": _ROUGHSORT,
  "roughsort_candidate_items_path": _ROUGHSORT,
  "items_input_lagrangex_header": _ROUGHSORT,
  "items_input_has_sort_id": _ROUGHSORT,
  "items_input_kafka_dump": _ROUGHSORT,
  "items_input_kafka_dump_prefix": _ROUGHSORT,
  "num_extra_dsworker_on_gpu_worker": _DATASERVICE,
  "use_dataservice": _DATASERVICE,
  "tensorboard_log_path": "summaries go to model_dir",
  "intra_op_parallelism_threads": _SERVERS,
  "inter_op_parallelism_threads": _SERVERS,
  "num_extra_ps": _WORKERS,
  "num_redundant_ps": _WORKERS,
  "uuid": _WORKERS,
  "operation_timeout_in_ms": _WORKERS,
  "session_creation_timeout_secs": _WORKERS,
  "retry_wait_in_secs": _WORKERS,
  "fountain_zk_host": "fountain is an internal service",
  "fountain_model_name": "fountain is an internal service",
  "dc_aware": _WORKERS,
  # Of RunnerConfig.
  "deep_insight_name": f"{_MODEL_METRICS}.deep_insight_name",
  "deep_insight_target": f"{_MODEL_METRICS}.deep_insight_target",
  "deep_insight_sample_ratio": f"{_MODEL_METRICS}.deep_insight_sample_ratio",
  "kafka_topics": _KAFKA,
  "kafka_group_id": _KAFKA,
  "kafka_servers": _KAFKA,
}

# Further values, besides the default, that ask for nothing more than what is done anyway.
_HARMLESS: Dict[str, Any] = {
  "use_dataservice": False,
}


def check_training_config(config: CpuTrainingConfig, also_supported: FrozenSet[str] = frozenset()) -> None:
  """Raises unless every setting either works or has its default.

  Args:
    config: the settings, of any class that derives from `CpuTrainingConfig`.
    also_supported: names of further settings that the caller acts upon.

  Raises:
    ValueError: names the setting.
  """
  if config.server_type != "worker":
    raise ValueError(f"{type(config).__name__}.server_type is {config.server_type!r}; a training runs as 'worker'.")
  if config.save_checkpoints_secs is not None and config.save_checkpoints_steps is not None:
    raise ValueError(
      f"save_checkpoints_secs={config.save_checkpoints_secs} and save_checkpoints_steps="
      f"{config.save_checkpoints_steps} are both given; give one."
    )
  if config.dense_only_save_checkpoints_secs is not None and config.dense_only_save_checkpoints_steps is not None:
    raise ValueError("dense_only_save_checkpoints_secs and dense_only_save_checkpoints_steps are both given; give one.")
  for name in ("num_ps", "embedding_prefetch_capacity", "hashtable_init_capacity"):
    if getattr(config, name) < 0:
      raise ValueError(f"{type(config).__name__}.{name} is {getattr(config, name)}; it must be >= 0.")
  if config.use_native_multi_hash_table is False:
    for name in ("enable_fused_layout", "enable_model_ckpt_info"):
      if getattr(config, name):
        raise ValueError(f"{name} needs tables in one op; leave use_native_multi_hash_table at None or {name} False.")
  for field in dataclasses.fields(config):
    if field.name in _SUPPORTED or field.name in also_supported:
      continue
    value = getattr(config, field.name)
    if value == field.default or (field.name in _HARMLESS and value == _HARMLESS[field.name]):
      continue
    reason = _REASONS.get(field.name, "nothing acts on it")
    raise ValueError(
      f"{type(config).__name__}.{field.name}={value!r} is not supported: {reason}; leave it at its default "
      f"({field.default!r})."
    )

# SPDX-License-Identifier: Apache-2.0
"""Settings of a training job, and the refusal of those that do nothing yet."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, FrozenSet, Optional

import tensorflow as tf

__all__ = ["CpuTrainingConfig", "DistributedCpuTrainingConfig", "check_training_config"]


@dataclasses.dataclass
class CpuTrainingConfig:
  """How a task is trained. Settings whose text ends in "Later." are refused unless they have their default.

  :param server_type: role of this process, worker or ps.
  :param index: index of this worker; 0 is the chief. Later.
  :param num_ps: number of parameter servers; 0 keeps everything in this process.
  :param num_workers: number of workers, the chief included. Later.
  :param model_name: name under which the model is served; metrics.deep_insight_name or the class by default.
  :param mode: train; evaluation has a method of its own.
  :param filter_capacity: fids that an occurrence filter has room for.
  :param filter_split_num: parts of a sliding filter.
  :param filter_type: sliding_hash_filter, probabilistic_filter or no_filter.
  :param filter_equal_probability: admit every sighting of a fid with the same probability (probabilistic filter).
  :param hashtable_init_capacity: entries that each table reserves room for at once; 0 keeps the table's own setting.
  :param use_native_multi_hash_table: one op for all tables; None means True.
  :param skip_zero_embedding_when_serving: leave out entries whose weights are all zero when serving.
  :param embedding_prefetch_capacity: steps whose embeddings are looked up ahead; 0 turns it off.
  :param enable_embedding_postpush: update tables while the next step runs.
  :param enable_variable_prefetch: read dense variables ahead of the step. Later.
  :param enable_variable_postpush: update dense variables while the next step runs. Later.
  :param enable_sync_training: synchronous training. Later.
  :param enable_partial_sync_training: synchronous dense variables, asynchronous tables. Later.
  :param enable_gpu_training: dense variables on the GPU. Later.
  :param processes_per_gpu: processes that share a GPU. Later.
  :param merge_sync_training_ckpt: one checkpoint for all ranks. Later.
  :param enable_async_optimize: update tables behind the step in synchronous training. Later.
  :param enable_pipelined_fwda2a: overlap the exchange of embeddings. Later.
  :param enable_pipelined_bwda2a: overlap the exchange of gradients. Later.
  :param reorder_fids_in_data_pipeline: deal fids out to shards in the input pipeline. Later.
  :param partial_recovery: restore only restarted parameter servers. Later.
  :param enable_realtime_training: send parameters to online servers. Later.
  :param force_shutdown_ps: shut parameter servers down also in real-time training. Later.
  :param chief_timeout_secs: seconds for which the chief waits for workers at the end. Later.
  :param tide_start_hour: start of the daily window (UTC) in which the ordinary save period counts.
  :param tide_start_minute: its minute.
  :param tide_end_hour: end of the window, exclusive.
  :param tide_end_minute: its minute.
  :param tide_save_secs: seconds between saves outside of the window.
  :param save_checkpoints_secs: seconds between checkpoints; params.train's by default.
  :param save_checkpoints_steps: steps between checkpoints; params.train's by default.
  :param dense_only_save_checkpoints_secs: seconds between checkpoints without tables.
  :param dense_only_save_checkpoints_steps: steps between checkpoints without tables.
  :param dense_only_stop_training_when_save: stop workers meanwhile. Later.
  :param checkpoints_max_to_keep: checkpoints to keep; 0 keeps all.
  :param enable_model_ckpt_info: count the entries of each checkpoint (done for multi tables in any case).
  :param feature_eviction_on_save: drop expired entries from the tables after each save.
  :param clear_nn: start with fresh dense variables. Later.
  :param continue_training: keep the global step then. Later.
  :param reload_alias_map: {new variable name: name in the checkpoint}. Later.
  :param enable_alias_map_auto_gen: guess that map. Later.
  :param warmup_file: warmup requests that go into exports.
  :param max_rpc_deadline_millis: milliseconds for a call between exported models.
  :param max_slow_start_wait_minute: minutes for which a worker's start may be delayed. Later.
  :param enable_variable_partition: spread large variables made by get_variable over the parameter servers.
  :param enable_fused_layout: look embeddings up by layout. Later.
  :param only_feature_engineering: run the input pipeline only. Later.
  :param enable_model_dump: record the model's graphs. Later.
  :param profile_some_steps_from: first step of a profile. Later.
  :param profile_save_steps_interval: steps between profiles. Later.
  :param profile_with_nvprof_from_to: steps to profile by nvprof. Later.
  :param submit_time_secs: when the job was submitted, for metrics. Later.
  :param containers_ready_time_secs: when its containers were ready, for metrics. Later.
  :param cluster_type: kind of cluster, for metrics. Later.
  :param enable_resource_constrained_roughsort: rough sort. Later.
  :param roughsort_items_use_parquet: its items come as parquet. Later.
  :param roughsort_candidate_items_path: its items. Later.
  :param items_input_lagrangex_header: framing of its items. Later.
  :param items_input_has_sort_id: framing of its items. Later.
  :param items_input_kafka_dump: framing of its items. Later.
  :param items_input_kafka_dump_prefix: framing of its items. Later.
  :param num_extra_dsworker_on_gpu_worker: data service workers beside a GPU worker. Later.
  :param device_fn: device of an operation.
  :param use_dataservice: read from a data service. Later.
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
  enable_fused_layout: bool = False
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
  """Settings of a training job over several processes, which is not supported yet but for `model_dir`.

  :param model_dir: directory of checkpoints, summaries and exports.
  :param tensorboard_log_path: kept for compatibility. Later.
  :param intra_op_parallelism_threads: threads within an operation. Later.
  :param inter_op_parallelism_threads: operations at once. Later.
  :param num_extra_ps: parameter servers to try out. Later.
  :param num_redundant_ps: spare parameter servers. Later.
  :param uuid: identifies the job. Later.
  :param operation_timeout_in_ms: timeout of a step. Later.
  :param session_creation_timeout_secs: seconds for which a worker waits for the chief. Later.
  :param max_retry_times: restarts after a change of the cluster. Later.
  :param retry_wait_in_secs: seconds between them. Later.
  :param fountain_zk_host: fountain's ZooKeeper. Later.
  :param fountain_model_name: fountain's model. Later.
  :param dc_aware: keep traffic within a data center. Later.
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
    "dense_only_save_checkpoints_secs",
    "dense_only_save_checkpoints_steps",
    "device_fn",
    "embedding_prefetch_capacity",
    "enable_embedding_postpush",
    "enable_model_ckpt_info",
    "enable_variable_partition",
    "feature_eviction_on_save",
    "filter_capacity",
    "filter_equal_probability",
    "filter_split_num",
    "filter_type",
    "hashtable_init_capacity",
    "log_step_count_steps",
    "max_rpc_deadline_millis",
    "model_dir",
    "model_name",
    "num_ps",
    "partial_recovery",
    "profile_some_steps_from",
    "profile_save_steps_interval",
    "enable_variable_prefetch",
    "enable_variable_postpush",
    "clear_nn",
    "continue_training",
    "reload_alias_map",
    "enable_alias_map_auto_gen",
    "max_retry_times",
    "dense_only_stop_training_when_save",
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

# Further values, besides the default, that ask for nothing more than what is done anyway.
_HARMLESS: Dict[str, Any] = {
  "use_native_multi_hash_table": True,
  "partial_recovery": False,
  "enable_alias_map_auto_gen": False,
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
  for field in dataclasses.fields(config):
    if field.name in _SUPPORTED or field.name in also_supported:
      continue
    value = getattr(config, field.name)
    if value == field.default or (field.name in _HARMLESS and value == _HARMLESS[field.name]):
      continue
    raise ValueError(
      f"{type(config).__name__}.{field.name}={value!r} is not supported yet; leave it at its default "
      f"({field.default!r})."
    )

# SPDX-License-Identifier: Apache-2.0
"""Settings of a training job as a command line gives them."""

from __future__ import annotations

import dataclasses
from typing import Optional

from monolith.native_training import gflags_utils
from monolith.native_training.cpu_training import DistributedCpuTrainingConfig
from monolith.native_training.service_discovery import ServiceDiscoveryType

__all__ = ["RunnerConfig"]


@gflags_utils.extract_flags_decorator(
  remove_flags=("device_fn", "profile_save_steps_interval", "reload_alias_map", "use_dataservice")
)
@dataclasses.dataclass
class RunnerConfig(DistributedCpuTrainingConfig):
  """Settings of a whole job. Those whose text ends in "Refused." must have their default.

  Each can be given as a command-line flag of its name, too, which counts where code left the default.

  :param task: class or script of the model. Refused.
  :param tf_config: TF_CONFIG of the job. Refused.
  :param deep_insight_name: the model's name in messages; set the model's params.metrics. Refused.
  :param discovery_type: how processes find each other; a local job needs none.
  :param zk_server: ZooKeeper's address. Refused.
  :param zk_watch_address_family: ipv4 or ipv6. Refused.
  :param is_local: train in this process.
  :param enable_fid_dedup: kept for compatibility. Refused.
  :param bzid: business of online serving. Refused.
  :param ps_replica_num: replicas of each online server. Refused.
  :param tf_grpc_worker_cache_threads: threads of gRPC's client side, between processes only.
  :param monolith_grpc_worker_service_handler_multiplier: handlers of its server side, between processes only.
  :param params_override: JSON of model params to override. Refused.
  :param base_name: name of online serving. Refused.
  :param data_type: kind of the input's records. Refused.
  :param feature_list: path of feature_list.conf. Refused.
  :param lagrangex_header: framing of the input. Refused.
  :param sort_id: framing of the input. Refused.
  :param kafka_dump: framing of the input. Refused.
  :param kafka_dump_prefix: framing of the input. Refused.
  :param restore_dir: directory of checkpoints to start from where model_dir has none.
  :param restore_ckpt: the checkpoint there, such as model.ckpt-30; the newest one by default.
  :param deep_insight_target: heads in messages; likewise. Refused.
  :param deep_insight_sample_ratio: share of users in messages; likewise. Refused.
  :param unified_serving: kept for compatibility. Refused.
  :param use_estimator: kept for compatibility. Refused.
  :param kafka_topics: topics of the input. Refused.
  :param kafka_group_id: consumer group. Refused.
  :param kafka_servers: brokers. Refused.
  :param input_path: directory of the input. Refused.
  :param is_hourly: it has a directory per hour. Refused.
  :param wildcard: pattern of its files. Refused.
  :param start_date: first day, inclusive. Refused.
  :param end_date: last day, exclusive. Refused.
  :param start_hour: first hour, inclusive. Refused.
  :param end_hour: last hour, exclusive. Refused.
  :param enable_dynamic_sharding: deal files out while training. Refused.
  :param max_task_num_per_worker: tasks of a worker then. Refused.
  :param disable_native_metrics: False prints AUC or mean squared error at each step to standard error; progress and
    summaries show them in any case. Refused.
  """

  task: Optional[str] = None
  tf_config: Optional[str] = None
  deep_insight_name: Optional[str] = None
  discovery_type: ServiceDiscoveryType = ServiceDiscoveryType.CONSUL
  zk_server: Optional[str] = None
  zk_watch_address_family: str = "ipv4"
  is_local: bool = False
  enable_fid_dedup: bool = False
  bzid: Optional[str] = None
  ps_replica_num: Optional[int] = None
  tf_grpc_worker_cache_threads: int = 16
  monolith_grpc_worker_service_handler_multiplier: float = 1.0
  params_override: Optional[str] = None
  base_name: Optional[str] = None
  data_type: Optional[str] = None
  feature_list: Optional[str] = None
  lagrangex_header: bool = False
  sort_id: bool = True
  kafka_dump: bool = False
  kafka_dump_prefix: bool = False
  restore_dir: Optional[str] = None
  restore_ckpt: Optional[str] = None
  deep_insight_target: Optional[str] = None
  deep_insight_sample_ratio: Optional[float] = None
  unified_serving: bool = False
  use_estimator: bool = False
  kafka_topics: Optional[str] = None
  kafka_group_id: Optional[str] = None
  kafka_servers: Optional[str] = None
  input_path: Optional[str] = None
  is_hourly: bool = False
  wildcard: Optional[str] = None
  start_date: Optional[str] = None
  end_date: Optional[str] = None
  start_hour: Optional[int] = None
  end_hour: Optional[int] = None
  enable_dynamic_sharding: bool = False
  max_task_num_per_worker: int = 1
  disable_native_metrics: bool = True

  def __post_init__(self) -> None:
    gflags_utils.update(self)

# SPDX-License-Identifier: Apache-2.0
"""How and where a loop runs: `RunConfig`, and the cluster that the environment variable TF_CONFIG describes."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

import tensorflow as tf

__all__ = ["RunConfig", "tf_config_env"]

_DEFAULT_SAVE_SECS = 600


class _UseDefault:
  """Marks a saving period that the caller left out (None turns saving by that period off)."""

  def __repr__(self) -> str:
    return "<default>"


_USE_DEFAULT: Any = _UseDefault()


@contextlib.contextmanager
def tf_config_env(tf_config: Optional[Mapping[str, Any]]) -> Iterator[None]:
  """Sets TF_CONFIG to the JSON of `tf_config` (None: unsets it) inside the block, then restores it."""
  previous = os.environ.pop("TF_CONFIG", None)
  if tf_config is not None:
    os.environ["TF_CONFIG"] = json.dumps(tf_config)
  try:
    yield
  finally:
    os.environ.pop("TF_CONFIG", None)
    if previous is not None:
      os.environ["TF_CONFIG"] = previous


class RunConfig:
  """Settings of a training, evaluation or prediction loop.

  The cluster, if any, is read from TF_CONFIG when the object is made:
  `{"cluster": {"chief": [addr], "ps": [...], "worker": [...]}, "task": {"type": ..., "index": ...}}`.

  Args:
    model_dir: directory of checkpoints and summaries; None lets the Estimator make a temporary one.
    tf_random_seed: graph-level seed; None draws fresh seeds.
    save_summary_steps: steps between summaries; 0 or None turns them off.
    save_checkpoints_steps: steps between checkpoints; not together with save_checkpoints_secs.
    save_checkpoints_secs: seconds between checkpoints; 600 when neither period is given. Both None turns saving off.
    session_config: ConfigProto of the session; None means soft placement.
    keep_checkpoint_max: checkpoints to keep; 0 or None keeps all.
    keep_checkpoint_every_n_hours: beyond that, one checkpoint every so many hours stays for good.
    log_step_count_steps: steps between progress lines and steps/second summaries; 0 or None turns them off.
    device_fn: maps an operation to its device; None places variables on the parameter servers in turn.
    session_creation_timeout_secs: seconds for which a worker waits for the chief's session.

  Raises:
    ValueError: both periods are given, or TF_CONFIG is malformed.
  """

  def __init__(
    self,
    model_dir: Optional[str] = None,
    tf_random_seed: Optional[int] = None,
    save_summary_steps: Optional[int] = 100,
    save_checkpoints_steps: Optional[int] = _USE_DEFAULT,
    save_checkpoints_secs: Optional[float] = _USE_DEFAULT,
    session_config: Optional[tf.compat.v1.ConfigProto] = None,
    keep_checkpoint_max: Optional[int] = 5,
    keep_checkpoint_every_n_hours: float = 10000,
    log_step_count_steps: Optional[int] = 100,
    device_fn: Optional[Callable[[tf.Operation], str]] = None,
    session_creation_timeout_secs: int = 7200,
  ):
    if save_checkpoints_steps is _USE_DEFAULT and save_checkpoints_secs is _USE_DEFAULT:
      save_checkpoints_steps, save_checkpoints_secs = None, _DEFAULT_SAVE_SECS
    elif save_checkpoints_secs is _USE_DEFAULT:
      save_checkpoints_secs = None
    elif save_checkpoints_steps is _USE_DEFAULT:
      save_checkpoints_steps = None
    if save_checkpoints_steps is not None and save_checkpoints_secs is not None:
      raise ValueError(
        f"RunConfig: save_checkpoints_steps={save_checkpoints_steps} and save_checkpoints_secs="
        f"{save_checkpoints_secs} are both given; give one."
      )
    self._fields: Dict[str, Any] = {
      "model_dir": model_dir,
      "tf_random_seed": tf_random_seed,
      "save_summary_steps": save_summary_steps,
      "save_checkpoints_steps": save_checkpoints_steps,
      "save_checkpoints_secs": save_checkpoints_secs,
      "session_config": session_config,
      "keep_checkpoint_max": keep_checkpoint_max,
      "keep_checkpoint_every_n_hours": keep_checkpoint_every_n_hours,
      "log_step_count_steps": log_step_count_steps,
      "device_fn": device_fn,
      "session_creation_timeout_secs": session_creation_timeout_secs,
    }
    self._read_tf_config()

  def __getattr__(self, name: str) -> Any:
    fields = self.__dict__.get("_fields", {})
    if name in fields:
      return fields[name]
    raise AttributeError(f"RunConfig has no attribute {name!r}.")

  def replace(self, **kwargs: Any) -> RunConfig:
    """A copy with the given constructor arguments replaced; keeps the cluster this object has read.

    Raises:
      ValueError: a name is no constructor argument.
    """
    unknown = sorted(set(kwargs) - set(self._fields))
    if unknown:
      raise ValueError(f"RunConfig has no fields {unknown}; it has {sorted(self._fields)}.")
    with tf_config_env(self._tf_config or None):
      return RunConfig(**{**self._fields, **kwargs})

  @property
  def cluster_spec(self) -> tf.train.ClusterSpec:
    """The cluster of TF_CONFIG; empty when there is none."""
    return self._cluster_spec

  @property
  def task_type(self) -> str:
    """The job of this process: chief, worker, ps or evaluator; `worker` without a cluster."""
    return self._task_type

  @property
  def task_id(self) -> int:
    """The index of this process within its job."""
    return self._task_id

  @property
  def master(self) -> str:
    """The session target: `grpc://<own address>`, or "" without a cluster."""
    return self._master

  @property
  def is_chief(self) -> bool:
    """Whether this process initializes, saves and writes summaries."""
    return self._is_chief

  @property
  def num_ps_replicas(self) -> int:
    """Number of parameter servers."""
    return self._count("ps")

  @property
  def num_worker_replicas(self) -> int:
    """Number of workers, the chief included; 1 without a cluster."""
    return max(1, self._count("worker") + self._count("chief"))

  def _count(self, job: str) -> int:
    return self._cluster_spec.num_tasks(job) if job in self._cluster_spec.jobs else 0

  def _read_tf_config(self) -> None:
    raw = os.environ.get("TF_CONFIG") or "{}"
    try:
      tf_config = json.loads(raw)
    except json.JSONDecodeError as error:
      raise ValueError(f"TF_CONFIG is no JSON ({error}): {raw!r}") from error
    self._tf_config = tf_config
    self._cluster_spec = tf.train.ClusterSpec(tf_config.get("cluster", {}))
    task = tf_config.get("task", {})
    if not self._cluster_spec.jobs:
      self._task_type, self._task_id, self._master, self._is_chief = "worker", 0, "", True
      return
    if "type" not in task or "index" not in task:
      raise ValueError(f"TF_CONFIG has a cluster but its task is {task}; it needs type and index.")
    self._task_type, self._task_id = str(task["type"]), int(task["index"])
    if self._task_type == "evaluator":
      self._master, self._is_chief = "", False
      return
    if self._task_id not in range(self._count(self._task_type)):
      raise ValueError(
        f"TF_CONFIG: task {self._task_type}:{self._task_id} is not in the cluster {self._cluster_spec.as_dict()}."
      )
    self._master = "grpc://" + self._cluster_spec.task_address(self._task_type, self._task_id)
    has_chief = self._count("chief") > 0
    self._is_chief = self._task_type == "chief" or (
      not has_chief and self._task_type == "worker" and self._task_id == 0
    )

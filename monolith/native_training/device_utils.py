# SPDX-License-Identifier: Apache-2.0
"""Where operations run: CPU unless GPU training is on and a scope allows the GPU."""

from __future__ import annotations

import contextlib
from typing import Callable, Iterator, List, Optional

import tensorflow as tf

__all__ = [
  "default_device_fn",
  "disable_gpu_training",
  "enable_gpu_training",
  "get_device_fn",
  "get_visible_gpus",
  "input_device_fn",
  "is_gpu_training",
  "maybe_device_if_allowed",
  "model_device_fn",
  "serving_input_device_fn",
  "skip_device",
  "within_placement_context_of",
]

_GPU_PLACEMENT_ALLOWED = False
_GPU_DEVICES: List[str] = []


def enable_gpu_training() -> None:
  """Lets `maybe_device_if_allowed` place operations on a GPU."""
  global _GPU_PLACEMENT_ALLOWED
  _GPU_PLACEMENT_ALLOWED = True


def disable_gpu_training() -> None:
  """Keeps every operation on the CPU (the initial state)."""
  global _GPU_PLACEMENT_ALLOWED
  _GPU_PLACEMENT_ALLOWED = False


def is_gpu_training() -> bool:
  """Whether GPU placement is allowed."""
  return _GPU_PLACEMENT_ALLOWED


def get_visible_gpus(local_rank: int, processes_per_gpu: int = 1) -> str:
  """The GPU of a process on this machine, for `gpu_options.visible_device_list`.

  Args:
    local_rank: index of the process on the machine.
    processes_per_gpu: processes that share one GPU, at least 1.

  Raises:
    ValueError: processes_per_gpu is not positive.
  """
  if processes_per_gpu < 1:
    raise ValueError(f"processes_per_gpu is {processes_per_gpu}; it must be at least 1.")
  return str(local_rank // processes_per_gpu)


def skip_device(op: tf.Operation) -> bool:
  """Whether `op` must stay on the CPU: writers, summaries and string constants."""
  return (
    op.type.startswith("Write")
    or op.type.endswith("Summary")
    or (op.type == "Const" and op.get_attr("dtype") == tf.string)
  )


def default_device_fn(op: tf.Operation) -> str:
  """Device of `op`: the CPU, unless a scope that `maybe_device_if_allowed` opened gave it a GPU."""
  cpu = "/device:CPU:0"
  if not op.device or skip_device(op):
    return cpu
  spec = tf.DeviceSpec.from_string(op.device)
  if spec.device_type == "GPU" and not _gpu_allowed(op.device):
    return spec.replace(device_type="CPU", device_index=0).to_string()
  if spec.device_type is None:
    return spec.replace(device_type="CPU", device_index=0).to_string()
  return op.device


def _gpu_allowed(device: str) -> bool:
  spec = tf.DeviceSpec.from_string(device)
  return _GPU_PLACEMENT_ALLOWED and f"GPU:{spec.device_index}" in _GPU_DEVICES


@contextlib.contextmanager
def maybe_device_if_allowed(name: str) -> Iterator[None]:
  """Places operations on device `name`; a GPU only when GPU training is on, else the scope changes nothing.

  Args:
    name: such as `/device:GPU:0`.
  """
  spec = tf.DeviceSpec.from_string(name)
  if spec.device_type == "GPU" and not is_gpu_training():
    yield
    return
  entry = f"{spec.device_type}:{spec.device_index}"
  _GPU_DEVICES.append(entry)
  try:
    with tf.compat.v1.device(name):
      yield
  finally:
    _GPU_DEVICES.remove(entry)


def within_placement_context_of(device_type: str) -> bool:
  """Whether an operation made now would be placed on a device of type `CPU` or `GPU`.

  Raises:
    ValueError: the default graph's placement cannot be probed for another type.
  """
  if device_type not in ("CPU", "GPU"):
    raise ValueError(f"device_type is {device_type!r}; it must be 'CPU' or 'GPU'.")
  graph = tf.compat.v1.get_default_graph()
  with graph.as_default():
    probe = tf.compat.v1.no_op(name="placement_probe")
  spec = tf.DeviceSpec.from_string(probe.device or "")
  return (spec.device_type or "CPU") == device_type


def get_device_fn(
  cluster: Optional[tf.train.ClusterSpec] = None, task: Optional[dict] = None
) -> Callable[[tf.Operation], str]:
  """A device function for a process of a cluster: variables on the parameter servers, the rest here.

  Args:
    cluster: the cluster; None means a lone process.
    task: {"type": job, "index": task} of this process; required with a cluster that has parameter servers.

  Raises:
    ValueError: the task is missing.
  """
  if cluster is None or "ps" not in cluster.jobs:
    return default_device_fn
  if not task:
    raise ValueError("get_device_fn: a cluster with parameter servers needs task={'type', 'index'}.")
  setter = tf.compat.v1.train.replica_device_setter(
    ps_tasks=cluster.num_tasks("ps"),
    worker_device=f"/job:{task['type']}/task:{task['index']}",
    merge_devices=True,
    cluster=cluster,
  )

  def device_fn(op: tf.Operation) -> str:
    return setter(op)

  return device_fn


def input_device_fn(op: tf.Operation) -> str:
  """Input pipelines stay on the CPU."""
  del op
  return "/device:CPU:0"


def model_device_fn(op: tf.Operation) -> str:
  """The model: the GPU where GPU training is on and the operation allows it."""
  if is_gpu_training() and not op.device and not skip_device(op):
    return "/device:GPU:0"
  return op.device or "/device:CPU:0"


def serving_input_device_fn(op: tf.Operation) -> str:
  """The parsing of requests: where it was put, else the CPU."""
  return op.device or "/device:CPU:0"

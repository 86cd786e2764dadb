# SPDX-License-Identifier: Apache-2.0
"""Ops that tell the time, record measurements, and watch a machine's memory."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Tuple

import tensorflow as tf
from absl import flags

from monolith.native_training import _flags
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["check_machine_health", "emit_timer", "machine_info", "tensors_timestamp"]

_MEM_LIMIT_FLAG = "monolith_default_machine_info_mem_limit"
_NO_LIMIT = 1 << 62

if _MEM_LIMIT_FLAG not in flags.FLAGS:
  flags.DEFINE_integer(_MEM_LIMIT_FLAG, _NO_LIMIT, "Bytes of memory from which on a process counts as unhealthy.")


def tensors_timestamp(tensors: Sequence[tf.Tensor]) -> Tuple[List[tf.Tensor], tf.Tensor]:
  """Passes tensors on, and tells when all of them were there.

  Args:
    tensors: any tensors.

  Returns:
    The same tensors, and microseconds since the epoch, int64.
  """
  same, timestamp = gen_monolith_ops.monolith_tensors_timestamp(list(tensors))
  return same, timestamp


def emit_timer(key: str, value: Any, tags: Optional[Mapping[str, str]] = None) -> tf.Operation:
  """Records a measurement; every ten minutes the log says how many there were lately, their mean and the largest.

  The environment variable MONOLITH_TIMER_REPORT_SECONDS, read at the first measurement, sets another time than 600
  seconds; 0: at every measurement.

  Args:
    key: its name.
    value: a float scalar.
    tags: {name: value}; measurements with other tags are counted apart.
  """
  text = "|".join(f"{name}={tag}" for name, tag in (tags or {}).items())
  return gen_monolith_ops.monolith_metric_v2(tf.cast(value, tf.float32), key=key, tags=text)


def machine_info(mem_limit: Optional[int] = None, shared_name: Optional[str] = None) -> tf.Tensor:
  """What is known of the machine on whose device the op runs.

  Args:
    mem_limit: bytes from which on the process counts as unhealthy; by default what the flag
      `--monolith_default_machine_info_mem_limit` says.
    shared_name: whoever creates it first decides for all.

  Returns:
    A handle for `check_machine_health`.
  """
  if mem_limit is None:
    mem_limit = _flags.flag_value(_MEM_LIMIT_FLAG, _NO_LIMIT)
  return gen_monolith_ops.monolith_machine_info(mem_limit=mem_limit, shared_name=shared_name or "", name="machine_info")


def check_machine_health(machine_info_tensor: tf.Tensor) -> tf.Tensor:
  """A string scalar: empty if all is well, else a serialized `logging_ops_pb2.MachineHealthResult`."""
  return gen_monolith_ops.monolith_check_machine_health(machine_info_tensor)

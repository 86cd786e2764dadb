# SPDX-License-Identifier: Apache-2.0
"""What the environment says about synchronous training: ranks and switches. Starts nothing."""

from __future__ import annotations

import os
from typing import Tuple

import tensorflow as tf

from monolith.native_training import _flags

__all__ = [
  "enable_sync_training",
  "get_mpi_local_rank",
  "get_mpi_local_size",
  "get_mpi_rank",
  "get_mpi_size",
  "get_sync_run_hooks",
]


def _env_int(name: str, default: int) -> int:
  value = os.environ.get(name, "")
  if not value:
    return default
  try:
    return int(value)
  except ValueError as error:
    raise ValueError(f"environment variable {name} is {value!r}; it must be an integer.") from error


def get_mpi_rank() -> int:
  """Rank of this process among all processes that mpirun started; 0 without mpirun."""
  return _env_int("OMPI_COMM_WORLD_RANK", 0)


def get_mpi_local_rank() -> int:
  """Rank of this process on its machine; 0 without mpirun."""
  return _env_int("OMPI_COMM_WORLD_LOCAL_RANK", 0)


def get_mpi_size() -> int:
  """Number of processes that mpirun started; 1 without mpirun."""
  return _env_int("OMPI_COMM_WORLD_SIZE", 1)


def get_mpi_local_size() -> int:
  """Number of those on this machine; 1 without mpirun."""
  return _env_int("OMPI_COMM_WORLD_LOCAL_SIZE", 1)


def enable_sync_training() -> bool:
  """Whether the flag `enable_sync_training` is set."""
  return bool(_flags.flag_value("enable_sync_training", False))


def get_sync_run_hooks(
  is_full_sync: bool = False,
) -> Tuple[tf.compat.v1.train.SessionRunHook, ...]:
  """Hooks of a synchronous loop: none without synchronous training.

  Raises:
    ValueError: synchronous training is on, which is not supported yet.
  """
  del is_full_sync
  if enable_sync_training():
    raise ValueError("synchronous training is not supported yet; leave --enable_sync_training unset.")
  return ()

# SPDX-License-Identifier: Apache-2.0
"""What the processes of an MLP job do: servers of a tf.data service, and workers that read through it."""

from __future__ import annotations

import importlib
import os
import sys
from types import TracebackType
from typing import Any

import tensorflow as tf
from absl import flags, logging
from tensorflow.data.experimental import service as dsvc

from monolith.native_training import _flags, distribution_utils
from monolith.native_training._estimator_inputs import DatasetInitializerHook
from monolith.native_training._mlp_env import MLPEnv
from monolith.native_training.data import _dataset_flags  # noqa: F401 (defines the flags)

__all__ = ["EXTRA_DSWORKERS", "add_mpi_exception_hook", "after_create_session", "begin", "mlp_pass"]

EXTRA_DSWORKERS: list[Any] = []  # servers of this process that live as long as it

_DATASET_IDS = "registed_dataset_id"  # a collection; the spelling is the interface's


def add_mpi_exception_hook() -> None:
  """Makes an uncaught error of one process that mpirun started end them all; the others would wait for ever.

  Without mpirun it does nothing.

  Raises:
    ImportError: mpi4py is not installed.
  """
  if "OMPI_COMM_WORLD_RANK" not in os.environ:
    return
  try:
    importlib.import_module("mpi4py")
  except ImportError as error:
    raise ImportError(
      "add_mpi_exception_hook: ending the other processes of mpirun needs the package mpi4py; pip install mpi4py."
    ) from error
  previous = sys.excepthook

  def abort(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    rank = distribution_utils.get_mpi_rank()
    print(f"Rank {rank} failed with {kind.__name__}: {value}. Ending all ranks.", file=sys.stderr, flush=True)
    try:
      previous(kind, value, trace)
      sys.stderr.flush()
    finally:
      importlib.import_module("mpi4py.MPI").COMM_WORLD.Abort(1)

  sys.excepthook = abort


def mlp_pass(
  dispatcher_role: str = "dispatcher",
  dsworker_role: str = "dsworker",
  worker_role: str = "worker",
  ps_role: str = "ps",
) -> None:
  """Does what the role of this process asks for; outside an MLP job nothing.

  A dispatcher and a dsworker serve until worker 0 has gone, and never return. A worker returns, with the flag
  `dataset_use_dataservice` once the service answers: then the flag `data_service_dispatcher` has its address, this
  process has `num_extra_dsworker_on_gpu_worker` dsworkers of its own if it has GPUs (`EXTRA_DSWORKERS`), and hooks that
  initialize datasets in training loops do what `begin` and `after_create_session` do.

  Args:
    dispatcher_role, dsworker_role, worker_role, ps_role: names of the roles, in any case.

  Raises:
    ValueError: the platform does not say where a process is that must be waited for.
  """
  uses_service = bool(_flags.flag_value("dataset_use_dataservice", False))
  if uses_service:
    DatasetInitializerHook.begin = begin  # type: ignore[method-assign]
    DatasetInitializerHook.after_create_session = after_create_session  # type: ignore[method-assign]
  env = MLPEnv()
  if not env.avaiable:
    return
  if env.role == dispatcher_role.upper():
    _serve_dispatcher(env, worker_role)
  elif env.role == dsworker_role.upper():
    _serve_dsworker(env, dispatcher_role, worker_role)
  elif env.role == worker_role.upper():
    if uses_service:
      _join_service(env, dispatcher_role, dsworker_role)
    logging.info("%s %d at %s:%d of a job with %s.", env.role, env.index, env.host, env.port, env.all_roles)
  elif env.role == ps_role.upper():
    logging.info("%s %d at %s:%d of a job with %s.", env.role, env.index, env.host, env.port, env.all_roles)
  else:
    logging.warning("Role '%s' is none of the job's known ones; this process goes on as it is.", env.role)


def _serve_dispatcher(env: MLPEnv, worker_role: str) -> None:
  server = dsvc.DispatchServer(dsvc.DispatcherConfig(port=env.port))
  logging.info("Dispatcher of the tf.data service at %s.", server.target)
  env.join(worker_role)


def _serve_dsworker(env: MLPEnv, dispatcher_role: str, worker_role: str) -> None:
  env.wait(dispatcher_role, use_ssh=False)
  server = _dsworker(env, dispatcher_role, env.port)
  logging.info("Worker %d of the tf.data service at %s:%d.", env.index, env.host, env.port)
  env.start_profiler()
  env.join(worker_role)
  del server  # it lives until here


def _dsworker(env: MLPEnv, dispatcher_role: str, port: int) -> dsvc.WorkerServer:
  """A server at a port; 0 takes any that is free."""
  dispatcher = env.dispatcher_addr(dispatcher_role)
  if dispatcher is None:
    role = dispatcher_role.upper()
    raise ValueError(
      f"MLP_{role}_0_PRIMARY_HOST or MLP_{role}_0_PORT is not set, so there is no dispatcher to join; give the job "
      "that role, or switch dataset_use_dataservice off."
    )
  host = f"[{env.host}]" if ":" in env.host else env.host
  return dsvc.WorkerServer(
    dsvc.WorkerConfig(
      dispatcher_address=dispatcher,
      worker_address=f"{host}:%port%",
      data_transfer_address=f"{host}:%dts_port%",
      port=port,
    )
  )


def _join_service(env: MLPEnv, dispatcher_role: str, dsworker_role: str) -> None:
  env.wait(dispatcher_role, use_ssh=False)
  for index in range(env.num_replicas(dsworker_role)):
    env.wait(dsworker_role, index, use_ssh=False)
  flags.FLAGS.data_service_dispatcher = env.dispatcher_target(dispatcher_role)  # type: ignore[assignment]
  if env.gpu:
    for _ in range(_flags.flag_value("num_extra_dsworker_on_gpu_worker", 0)):
      EXTRA_DSWORKERS.append(_dsworker(env, dispatcher_role, 0))


def _collectives() -> Any:
  """BytePS if MONOLITH_WITH_BYTEPS says so, else Horovod."""
  name = "byteps" if os.environ.get("MONOLITH_WITH_BYTEPS", "0") not in ("", "0") else "horovod"
  try:
    return importlib.import_module(f"{name}.tensorflow")
  except ImportError as error:
    raise ImportError(
      f"synchronous workers that share a dataset of a tf.data service need the package {name}, which is not installed."
    ) from error


def begin(self: Any) -> None:
  """Before the graph is final: lets all synchronous workers know the dataset that rank 0 registered at the service.

  The id is in the graph's collection `registed_dataset_id`, which is empty afterwards.

  Args:
    self: a hook that initializes an iterator, with an `_iterator` or its `_initializer`.

  Raises:
    ImportError: the package that broadcasts is not installed.
  """
  if hasattr(self, "_iterator"):
    self._initializer = self._iterator.initializer
  self._broadcast_dataset_id = None
  if not distribution_utils.enable_sync_training():
    return
  graph = tf.compat.v1.get_default_graph()
  dataset_ids = graph.get_collection(_DATASET_IDS)
  if dataset_ids:
    own = tf.convert_to_tensor(dataset_ids[0])
    self._broadcast_dataset_id = [own, _collectives().broadcast(own, root_rank=0)]
    graph.clear_collection(_DATASET_IDS)


def after_create_session(self: Any, session: tf.compat.v1.Session, coord: tf.train.Coordinator) -> None:
  """Broadcasts the dataset's id the first time, then initializes the iterator."""
  del coord
  if getattr(self, "_broadcast_dataset_id", None) is not None:
    own, broadcast = session.run(self._broadcast_dataset_id)
    self._broadcast_dataset_id = None
    logging.info("Dataset %s of the tf.data service, %s at rank 0.", own, broadcast)
  session.run(self._initializer)

# SPDX-License-Identifier: Apache-2.0
"""Remote control of a training loop over gRPC: pause, resume, save, ask how far it is."""

from __future__ import annotations

import os
import threading
from concurrent import futures
from typing import Any, Callable, Optional, TypeVar

import grpc
import tensorflow as tf
from absl import logging

from monolith.native_training import _checkpoint_files, barrier_ops
from monolith.native_training.hooks._step_gate import LoopEndedError, StepGate
from monolith.native_training.hooks.server import service_grpc, service_pb2
from monolith.native_training.hooks.server.client_lib import ADDRESS_FILE

__all__ = ["STOP_ACTION", "ServerHook"]

T = TypeVar("T")

STOP_ACTION = "Stop"
_THREADS = 2


class _Controller(service_grpc.ControllerServicer):
  """Answers the calls; whatever changes state does so between two steps of the loop."""

  def __init__(self, session: tf.compat.v1.Session, hook: ServerHook):
    self._session = session
    self._hook = hook

  def _between_steps(self, context: grpc.ServicerContext, action: Callable[[], T]) -> T:
    try:
      return self._hook.gate.between_steps(action, is_wanted=context.is_active)
    except LoopEndedError as error:
      context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
    except barrier_ops.BarrierAlreadyPlacedError as error:
      context.abort(grpc.StatusCode.ALREADY_EXISTS, str(error))
    # The caller is elsewhere, so it is told everything that went wrong.
    except Exception as error:  # noqa: BLE001
      logging.exception("A call of the controller failed.")
      context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
    raise LoopEndedError("abort returned")

  def StopTraining(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (names of the service)
    del request

    def stop() -> None:
      self._hook.barrier_op.place_barrier(self._session, STOP_ACTION)
      self._hook.gate.hold(True)

    self._between_steps(context, stop)
    logging.info("Training is paused by the controller.")
    return service_pb2.StopTrainingResponse()

  def ResumeTraining(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
    del request

    def resume() -> None:
      self._hook.barrier_op.remove_barrier(self._session)
      self._hook.gate.hold(False)

    self._between_steps(context, resume)
    logging.info("Training goes on.")
    return service_pb2.ResumeTrainingResponse()

  def SaveCheckpoint(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
    del request
    self._between_steps(context, lambda: self._hook.saver_hook.trigger_save(self._session, ignore_save_errors=False))
    return service_pb2.SaveCheckpointResponse()

  def GetBlockStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
    del request

    def status() -> Any:
      return service_pb2.GetBlockStatusResponse(
        blocked_indices=self._hook.barrier_op.get_blocked_indices(self._session),
        unblocked_indices=self._hook.barrier_op.get_unblocked_indices(self._session),
      )

    return self._between_steps(context, status)

  def GetTrainingStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
    del request
    step = self._between_steps(context, lambda: self._session.run(self._hook.global_step))
    return service_pb2.GetTrainingStatusResponse(global_step=int(step))


class ServerHook(tf.compat.v1.train.SessionRunHook):
  """Serves the controller from the creation of a session to its end, in the chief.

  Its address is in `<model_dir>/controller_server_addr.txt` meanwhile. There is no authentication: whoever reaches the
  port controls the run, so by default only this machine does.

  `StopTraining` places the barrier, which holds the other workers, and holds the chief's own loop before its next step;
  a stop signal still ends it. `SaveCheckpoint` saves between two steps, also while training is paused, and fails when
  the save does.

  Args:
    model_dir: directory of the address file.
    barrier_op: the workers' barrier.
    saver_hook: has `trigger_save(session, ignore_save_errors)`.
    gate: what lets calls act between steps. Its hooks are then the loop's; without one this hook makes its own.
    host: the interface to listen on, and what clients connect to.
  """

  def __init__(
    self,
    model_dir: str,
    barrier_op: barrier_ops.BarrierOp,
    saver_hook: Any,
    gate: Optional[StepGate] = None,
    host: str = "localhost",
  ):
    self._path = os.path.join(model_dir, ADDRESS_FILE)
    self._host = host
    self._owns_gate = gate is None
    self._server: Optional[grpc.Server] = None
    self.gate = StepGate() if gate is None else gate
    self.barrier_op = barrier_op
    self.saver_hook = saver_hook
    self.global_step: Any = None

  def begin(self) -> None:
    self.global_step = tf.compat.v1.train.get_global_step()

  def after_create_session(self, session, coord) -> None:
    if self._owns_gate:
      self.gate.first.after_create_session(session, coord)
      self.gate.last.after_create_session(session, coord)
    self.gate.hold(False)
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS))
    service_grpc.add_controller_to_server(_Controller(session, self), server)
    address = f"{self._host}:{server.add_insecure_port(f'{self._host}:0')}"
    server.start()
    self._server = server
    _checkpoint_files.atomic_write_text(self._path, address)
    if coord is not None:
      # An error ends the loop without calling `end`.
      threading.Thread(target=self._stop_with, args=(coord, server), daemon=True).start()

  def before_run(self, run_context):
    if self._owns_gate:
      self.gate.first.before_run(run_context)

  def after_run(self, run_context, run_values) -> None:
    if self._owns_gate:
      self.gate.last.after_run(run_context, run_values)

  def end(self, session) -> None:
    self.gate.first.end(session)
    if self._server is not None:
      self._stop(self._server)

  def _stop_with(self, coord: tf.train.Coordinator, server: grpc.Server) -> None:
    coord.wait_for_stop()
    self._stop(server)

  def _stop(self, server: grpc.Server) -> None:
    if self._server is None or self._server is not server:
      return  # `end` came first, or a new session has a server of its own.
    self._server = None
    server.stop(grace=1).wait()
    if tf.io.gfile.exists(self._path):
      tf.io.gfile.remove(self._path)

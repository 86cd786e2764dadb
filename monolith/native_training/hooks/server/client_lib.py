# SPDX-License-Identifier: Apache-2.0
"""Reaching the controller of a training run.

stub = client_lib.get_stub_from_model_dir(model_dir)
stub.StopTraining(service_pb2.StopTrainingRequest())
stub.SaveCheckpoint(service_pb2.SaveCheckpointRequest())
stub.ResumeTraining(service_pb2.ResumeTrainingRequest())
"""

from __future__ import annotations

import os

import grpc
import tensorflow as tf

from monolith.native_training.hooks.server import service_grpc

__all__ = ["ADDRESS_FILE", "get_stub_from_model_dir"]

ADDRESS_FILE = "controller_server_addr.txt"


def get_stub_from_model_dir(model_dir: str) -> service_grpc.ControllerStub:
  """A stub of the controller that serves the training run in `model_dir`.

  Raises:
    FileNotFoundError: no run serves one there.
  """
  path = os.path.join(model_dir, ADDRESS_FILE)
  if not tf.io.gfile.exists(path):
    raise FileNotFoundError(f"{path} does not exist: no training with a controller runs in {model_dir}.")
  with tf.io.gfile.GFile(path) as file:
    return service_grpc.ControllerStub(grpc.insecure_channel(file.read().strip()))

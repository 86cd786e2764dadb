# SPDX-License-Identifier: Apache-2.0
"""gRPC's client and server sides of the service in `service.proto`."""

from __future__ import annotations

from typing import Any, Dict, Tuple, Type

import grpc

from monolith.native_training.hooks.server import service_pb2

__all__ = ["ControllerServicer", "ControllerStub", "add_controller_to_server"]

_SERVICE = "Controller"


def _methods() -> Dict[str, Tuple[Type[Any], Type[Any]]]:
  """{method: (request, response)} as the service's descriptor lists them."""
  service = service_pb2.DESCRIPTOR.services_by_name[_SERVICE]
  return {
    m.name: (getattr(service_pb2, m.input_type.name), getattr(service_pb2, m.output_type.name)) for m in service.methods
  }


class ControllerStub:
  """Client side: a method for each of the service's, called with its request.

  Args:
    channel: a `grpc.Channel` to the server.
  """

  StopTraining: grpc.UnaryUnaryMultiCallable
  ResumeTraining: grpc.UnaryUnaryMultiCallable
  SaveCheckpoint: grpc.UnaryUnaryMultiCallable
  GetBlockStatus: grpc.UnaryUnaryMultiCallable
  GetTrainingStatus: grpc.UnaryUnaryMultiCallable

  def __init__(self, channel: grpc.Channel):
    for name, (request, response) in _methods().items():
      call = channel.unary_unary(
        f"/{_SERVICE}/{name}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
      )
      setattr(self, name, call)


class ControllerServicer:
  """Server side: a subclass has a method `Name(request, context)` for each method of the service."""


def add_controller_to_server(servicer: ControllerServicer, server: grpc.Server) -> None:
  """Lets `server` answer the service's calls with `servicer`'s methods.

  Raises:
    AttributeError: it lacks one.
  """
  handlers = {
    name: grpc.unary_unary_rpc_method_handler(
      getattr(servicer, name), request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
    for name, (request, response) in _methods().items()
  }
  server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])

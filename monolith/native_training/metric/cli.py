# SPDX-License-Identifier: Apache-2.0
"""The client that metrics are emitted through.

This distribution ships no metrics service, so the client takes every call and sends nothing, as the
interface prescribes; a deployment with a service of its own puts its client behind `get_cli`.
"""

from __future__ import annotations

from typing import Any, Callable

__all__ = ["Client", "get_cli"]


class Client:
  """Takes `emit_counter`, `emit_timer`, `emit_store`, `flush` and whatever else is called on it."""

  def __init__(self, *args: Any, **kwargs: Any):
    del args, kwargs

  def __getattr__(self, name: str) -> Callable[..., None]:
    def method(*args: Any, **kwargs: Any) -> None:
      del args, kwargs

    return method


def get_cli(*args: Any, **kwargs: Any) -> Client:
  """A new client; the arguments, such as a prefix, are for deployments that have a service."""
  return Client(*args, **kwargs)

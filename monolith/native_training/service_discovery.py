# SPDX-License-Identifier: Apache-2.0
"""Where the processes of a job find each other."""

from __future__ import annotations

import abc
import enum
from typing import Dict

__all__ = ["ServiceDiscovery", "ServiceDiscoveryType"]


class ServiceDiscoveryType(enum.Enum):
  """The services that a job can use."""

  PRIMUS = 1
  """TF_CONFIG, set by the job's scheduler."""
  CONSUL = 2
  ZK = 3
  """ZooKeeper."""
  MLP = 4
  """Environment variables of the MLP platform."""


class ServiceDiscovery(abc.ABC):
  """A register of addresses by name and index."""

  @abc.abstractmethod
  def register(self, name: str, index: int, addr: str) -> None:
    """Publishes `addr` as number `index` of `name`; the last address counts."""

  @abc.abstractmethod
  def deregister(self, name: str, index: int, addr: str) -> None:
    """Takes it back."""

  @abc.abstractmethod
  def query(self, name: str) -> Dict[int, str]:
    """{index: address} of `name`."""

  @abc.abstractmethod
  def close(self) -> None:
    """Ends the connection to the service."""

# SPDX-License-Identifier: Apache-2.0
"""Addresses of this machine and of others, and who answers."""

from __future__ import annotations

import concurrent.futures
import enum
import ipaddress
import socket
from typing import Dict, List, Sequence, Tuple

__all__ = [
  "AddressFamily",
  "NodeAliveChecker",
  "concat_ip_and_port",
  "get_local_ip",
  "get_local_server_addr",
  "is_ipv4_supported",
  "is_ipv6_address",
  "split_addr",
]

# Documentation addresses: nothing is sent, the system only says from where it would be.
_SOMEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


class AddressFamily(str, enum.Enum):
  """Which addresses to use."""

  IPV4 = "ipv4"
  IPV6 = "ipv6"


def is_ipv6_address(ip: str) -> bool:
  """Whether `ip` is an IPv6 address, without brackets."""
  try:
    return ipaddress.ip_address(ip).version == 6
  except ValueError:
    return False


def concat_ip_and_port(ip: str, port: int) -> str:
  """`ip:port`, with brackets around an IPv6 address: ("::1", 10) gives "[::1]:10"."""
  return f"[{ip}]:{port}" if is_ipv6_address(ip) else f"{ip}:{port}"


def split_addr(addr: str) -> Tuple[str, int]:
  """Host and port of `host:port` or `[ipv6]:port`.

  Raises:
    ValueError: addr is neither.
  """
  host, _, port = addr.rpartition(":")
  if not host or not port.isdigit():
    raise ValueError(f"{addr!r} is no address; give host:port or [ipv6]:port.")
  return host.strip("[]"), int(port)


def _own_ip(family: socket.AddressFamily) -> str:
  with socket.socket(family, socket.SOCK_DGRAM) as probe:
    probe.connect((_SOMEWHERE[family], 1))
    return probe.getsockname()[0]


def is_ipv4_supported() -> bool:
  """Whether this machine reaches others over IPv4."""
  try:
    _own_ip(socket.AF_INET)
    return True
  except OSError:
    return False


def get_local_ip() -> str:
  """The address by which others reach this machine, IPv4 if there is one; the loopback address without a network."""
  for family in (socket.AF_INET, socket.AF_INET6):
    try:
      return _own_ip(family)
    except OSError:
      continue
  return "127.0.0.1"


def get_local_server_addr(port: int) -> str:
  """The address by which others reach a server on `port` of this machine."""
  return concat_ip_and_port(get_local_ip(), port)


class NodeAliveChecker:
  """Asks at construction which addresses accept a connection.

  Args:
    addrs: `host:port`s.
    timeout: seconds to wait for each.
    num_thread: connections at once.

  Raises:
    ValueError: one is no address.
  """

  def __init__(self, addrs: Sequence[str], timeout: float = 1, num_thread: int = 10):
    self._addrs = list(addrs)
    targets = [split_addr(addr) for addr in self._addrs]
    with concurrent.futures.ThreadPoolExecutor(max(1, num_thread)) as pool:
      answers = pool.map(lambda target: _answers(target, timeout), targets)
      self._alive: Dict[str, bool] = dict(zip(self._addrs, answers, strict=True))

  def all_nodes_alive(self) -> bool:
    """Whether every address answered."""
    return all(self._alive.values())

  def get_dead_nodes(self) -> List[str]:
    """Those that did not answer."""
    return [addr for addr in self._addrs if not self._alive[addr]]

  def get_alive_nodes(self) -> List[str]:
    """Those that did."""
    return [addr for addr in self._addrs if self._alive[addr]]

  def get_addrs(self) -> List[str]:
    """All of them."""
    return list(self._addrs)


def _answers(target: Tuple[str, int], timeout: float) -> bool:
  try:
    with socket.create_connection(target, timeout=timeout):
      return True
  except OSError:
    return False

# SPDX-License-Identifier: Apache-2.0
"""Tests of addresses and of who answers."""

from __future__ import annotations

import socket

import pytest

from monolith.native_training import net_utils


def test_addresses():
  assert net_utils.concat_ip_and_port("::1", 10) == "[::1]:10"
  assert net_utils.concat_ip_and_port("1.2.3.4", 10) == "1.2.3.4:10"
  assert net_utils.split_addr("[::1]:10") == ("::1", 10)
  assert net_utils.split_addr("host:10") == ("host", 10)
  assert net_utils.is_ipv6_address("fe80::1") and not net_utils.is_ipv6_address("1.2.3.4")
  assert not net_utils.is_ipv6_address("host")
  for wrong in ("host", "host:", ":1", "host:x"):
    with pytest.raises(ValueError, match="give host:port"):
      net_utils.split_addr(wrong)


def test_own_address():
  ip = net_utils.get_local_ip()
  assert net_utils.get_local_server_addr(7) == net_utils.concat_ip_and_port(ip, 7)
  # A socket can be bound to it.
  family = socket.AF_INET6 if net_utils.is_ipv6_address(ip) else socket.AF_INET
  with socket.socket(family) as server:
    server.bind((ip, 0))


def test_without_a_network_it_is_the_loopback_address(monkeypatch):
  def unreachable(family):
    raise OSError("no route")

  monkeypatch.setattr(net_utils, "_own_ip", unreachable)
  assert net_utils.get_local_ip() == "127.0.0.1" and not net_utils.is_ipv4_supported()


def test_who_is_alive():
  with socket.create_server(("localhost", 0)) as server, socket.create_server(("localhost", 0)) as gone:
    alive, dead = (f"localhost:{s.getsockname()[1]}" for s in (server, gone))
    gone.close()
    checker = net_utils.NodeAliveChecker([alive, dead])
    assert not checker.all_nodes_alive()
    assert checker.get_alive_nodes() == [alive] and checker.get_dead_nodes() == [dead]
    assert checker.get_addrs() == [alive, dead]
    assert net_utils.NodeAliveChecker([alive]).all_nodes_alive()
    assert net_utils.NodeAliveChecker([]).all_nodes_alive()

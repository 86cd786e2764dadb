# SPDX-License-Identifier: Apache-2.0
"""The metrics client."""

from monolith.native_training.metric import cli


def test_takes_every_call():
  client = cli.get_cli("prefix")
  assert isinstance(client, cli.Client)
  assert client.emit_store("name", 1, tagkv={"a": "b"}) is None
  assert client.flush() is None
  assert client.anything_else(1, 2, x=3) is None

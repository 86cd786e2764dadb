# SPDX-License-Identifier: Apache-2.0
"""Files of one message."""

from __future__ import annotations

import pytest

from monolith.native_training import _proto_files, save_utils
from monolith.native_training.proto import ckpt_info_pb2

import tensorflow as tf  # isort: skip


def _info():
  return ckpt_info_pb2.CkptInfo(feature_counts={"user": 3})


def test_messages_come_back(tmp_path):
  path = tmp_path / "info"
  path.write_bytes(_info().SerializeToString())
  assert _proto_files.read_proto(str(path), ckpt_info_pb2.CkptInfo()) == _info()
  path.write_text(str(_info()))
  assert _proto_files.read_text_proto(str(path), ckpt_info_pb2.CkptInfo()) == _info()


@pytest.mark.parametrize(
  "read, content, words",
  [
    (_proto_files.read_proto, b"\xff\xff", r"info is no serialized CkptInfo \(.+\); make another\."),
    (_proto_files.read_text_proto, b"nothing: 1", r"info is no text CkptInfo \(.*nothing.*\); make another\."),
    (_proto_files.read_text_proto, b"\xff", r"info is no text CkptInfo \(.*decode.*\); make another\."),
  ],
)
def test_files_of_something_else_are_named(tmp_path, read, content, words):
  path = tmp_path / "info"
  path.write_bytes(content)
  with pytest.raises(ValueError, match=words):
    read(str(path), ckpt_info_pb2.CkptInfo(), "; make another.")
  with pytest.raises(tf.errors.NotFoundError, match="missing"):
    read(str(tmp_path / "missing"), ckpt_info_pb2.CkptInfo())


def test_a_checkpoint_state_that_is_no_text_is_named(tmp_path):
  (tmp_path / save_utils.MONOLITH_CHECKPOINT_FILE).write_bytes(b"\xff")
  with pytest.raises(ValueError, match="is no text MonolithCheckpointState"):
    save_utils.get_monolith_checkpoint_state(str(tmp_path))

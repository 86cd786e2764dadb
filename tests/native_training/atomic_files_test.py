# SPDX-License-Identifier: Apache-2.0
"""Files that are complete or absent."""

import os

import pytest

from monolith.native_training import _atomic_files


@pytest.mark.parametrize("content, written", [("añb\r\n", "añb\r\n".encode()), (b"\xff\x00", b"\xff\x00")])
def test_contents_replace_each_other(tmp_path, content, written):
  path = tmp_path / "f"
  path.write_bytes(b"something longer than the others")
  _atomic_files.atomic_write(str(path), content)
  assert path.read_bytes() == written and os.listdir(tmp_path) == ["f"]


def test_a_block_that_fails_leaves_what_there_was(tmp_path):
  (tmp_path / "f").write_text("before")
  with pytest.raises(KeyError), _atomic_files.replacing(str(tmp_path / "f")) as unfinished:
    assert os.path.dirname(unfinished) == str(tmp_path)
    with open(unfinished, "w") as file:
      file.write("half")
    raise KeyError
  assert (tmp_path / "f").read_text() == "before" and os.listdir(tmp_path) == ["f"]


def test_two_writers_do_not_meet(tmp_path):
  path = str(tmp_path / "f")
  with _atomic_files.replacing(path) as one, _atomic_files.replacing(path) as other:
    assert one != other
    for name in (one, other):
      with open(name, "w") as file:
        file.write(name)
  assert os.listdir(tmp_path) == ["f"] and (tmp_path / "f").read_text() == one

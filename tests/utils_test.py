# SPDX-License-Identifier: Apache-2.0
"""Copying files and finding the package."""

import os

import pytest

from monolith import path_utils, utils

import tensorflow as tf  # isort: skip


def _tree(tmp_path, *names):
  for name in names:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)


def test_copy_file_makes_the_directory(tmp_path):
  _tree(tmp_path, "a")
  utils.CopyFile(str(tmp_path / "a"), str(tmp_path / "x" / "y" / "b"))
  assert (tmp_path / "x" / "y" / "b").read_text() == "a"


def test_copy_file_overwrites_or_not(tmp_path):
  _tree(tmp_path, "a", "b")
  with pytest.raises(tf.errors.AlreadyExistsError):
    utils.CopyFile(str(tmp_path / "a"), str(tmp_path / "b"), overwrite=False)
  utils.CopyFile(str(tmp_path / "a"), str(tmp_path / "b"))
  assert (tmp_path / "b").read_text() == "a"


def test_copy_file_of_nothing(tmp_path):
  utils.CopyFile(str(tmp_path / "no"), str(tmp_path / "b"))
  assert not (tmp_path / "b").exists()
  with pytest.raises(tf.errors.NotFoundError):
    utils.CopyFile(str(tmp_path / "no"), str(tmp_path / "b"), skip_nonexist=False)


def test_copy_file_tries_again(tmp_path, monkeypatch):
  _tree(tmp_path, "a")
  real, failures = tf.io.gfile.copy, [1, 1]

  def flaky(*args, **kwargs):
    if failures:
      failures.pop()
      raise tf.errors.NotFoundError(None, None, "lost")
    real(*args, **kwargs)

  monkeypatch.setattr(tf.io.gfile, "copy", flaky)
  utils.CopyFile(str(tmp_path / "a"), str(tmp_path / "b"), max_retries=2)
  assert (tmp_path / "b").read_text() == "a"
  failures.extend([1, 1])
  with pytest.raises(tf.errors.NotFoundError, match="lost"):
    utils.CopyFile(str(tmp_path / "a"), str(tmp_path / "b"), max_retries=1)


@pytest.mark.parametrize("workers", [1, 3])
def test_copy_recursively_replaces_a_directory(tmp_path, workers):
  _tree(tmp_path, "src/a", "src/d/b", "src/d/e/c", "dst/old")
  utils.CopyRecursively(str(tmp_path / "src"), str(tmp_path / "dst"), max_workers=workers)
  found = sorted(str(p.relative_to(tmp_path / "dst")) for p in (tmp_path / "dst").rglob("*") if p.is_file())
  assert found == ["a", "d/b", "d/e/c"]
  assert (tmp_path / "dst" / "d" / "e" / "c").read_text() == "src/d/e/c"


def test_copy_recursively_takes_a_file(tmp_path):
  _tree(tmp_path, "a")
  utils.CopyRecursively(str(tmp_path / "a"), str(tmp_path / "b"))
  assert (tmp_path / "b").read_text() == "a"


def test_copy_recursively_of_nothing(tmp_path):
  utils.CopyRecursively(str(tmp_path / "no"), str(tmp_path / "b"))
  with pytest.raises(ValueError, match="no is not there"):
    utils.CopyRecursively(str(tmp_path / "no"), str(tmp_path / "b"), skip_nonexist=False)


def test_copy_recursively_does_not_swallow_errors(tmp_path, monkeypatch):
  _tree(tmp_path, "src/a")

  def broken(*args, **kwargs):
    raise tf.errors.PermissionDeniedError(None, None, "no entry")

  monkeypatch.setattr(tf.io.gfile, "copy", broken)
  with pytest.raises(tf.errors.PermissionDeniedError, match="no entry"):
    utils.CopyRecursively(str(tmp_path / "src"), str(tmp_path / "dst"), max_workers=2)


def test_monkey_patch_leaves_aborted_alone(monkeypatch):
  from tensorflow.python.training import monitored_session

  monkeypatch.setattr(monitored_session, "_PREEMPTION_ERRORS", monitored_session._PREEMPTION_ERRORS)
  utils.enable_monkey_patch()
  assert monitored_session._PREEMPTION_ERRORS == (tf.errors.AbortedError,)


def test_package_is_found():
  assert os.path.isfile(os.path.join(path_utils.find_main(), "monolith", "path_utils.py"))
  assert utils.get_libops_path("monolith/x.so") == os.path.join(utils.find_main(), "monolith/x.so")


@pytest.mark.parametrize(
  "base, path",
  [
    ("r/__main__", "r/__main__/site-packages/monolith/path_utils.py"),
    ("v/site-packages", "v/site-packages/monolith/path_utils.py"),
    ("monolith/s", "monolith/s/monolith/path_utils.py"),
  ],
)
def test_base_directory(tmp_path, base, path):
  (tmp_path / base / "monolith").mkdir(parents=True)
  assert path_utils._base_of(str(tmp_path / path)) == str(tmp_path / base)


def test_paths_without_a_package_are_refused(tmp_path):
  with pytest.raises(ValueError, match="has none of __main__, site-packages, monolith"):
    path_utils._base_of("/x/path_utils.py")
  with pytest.raises(ValueError, match="has no monolith"):
    path_utils._base_of(str(tmp_path / "site-packages" / "monolith" / "path_utils.py"))

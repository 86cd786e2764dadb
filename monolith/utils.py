# SPDX-License-Identifier: Apache-2.0
"""Copying files, and the one change to TensorFlow that a caller may ask for."""

from __future__ import annotations

import concurrent.futures
import os

import tensorflow as tf
from absl import logging

from monolith.path_utils import find_main, get_libops_path

__all__ = ["CopyFile", "CopyRecursively", "enable_monkey_patch", "find_main", "get_libops_path"]


def enable_monkey_patch() -> None:
  """Makes monitored sessions recover from `AbortedError` alone.

  TensorFlow's own sessions also recover from `UnavailableError`, and then wait for ever for a server that is gone.
  """
  from tensorflow.python.training import monitored_session

  monitored_session._PREEMPTION_ERRORS = (tf.errors.AbortedError,)


def CopyFile(src: str, dst: str, overwrite: bool = True, skip_nonexist: bool = True, max_retries: int = 5) -> None:
  """Copies a file on any file system that TensorFlow knows.

  Args:
    src: the file.
    dst: the new file; its directory is made.
    overwrite: replace an existing `dst` instead of failing.
    skip_nonexist: do nothing, but a line in the log, if `src` is not there.
    max_retries: how often to try again when a file system loses sight of the file while it is copied.

  Raises:
    tf.errors.NotFoundError: `src` is not there (and not skipped), or the tries are used up.
    tf.errors.AlreadyExistsError: `dst` exists and `overwrite` is false.
  """
  for attempt in range(max_retries + 1):
    try:
      tf.io.gfile.makedirs(os.path.dirname(os.path.abspath(dst)) if "://" not in dst else os.path.dirname(dst))
      tf.io.gfile.copy(src, dst, overwrite=overwrite)
      return
    except tf.errors.NotFoundError:
      if skip_nonexist and not tf.io.gfile.exists(src):
        logging.warning("%s is not there; not copied to %s", src, dst)
        return
      if attempt == max_retries:
        raise
      logging.warning("copying %s to %s failed, attempt %d of %d", src, dst, attempt + 1, max_retries + 1)


def CopyRecursively(src: str, dst: str, max_workers: int = 1, skip_nonexist: bool = True, max_retries: int = 5) -> None:
  """Copies a file or a directory with all that is in it; an existing directory `dst` is replaced.

  Args:
    src: file or directory.
    dst: its copy.
    max_workers: files copied at once.
    skip_nonexist: do nothing if `src` is not there.
    max_retries: as in `CopyFile`.

  Raises:
    ValueError: `src` is not there and not skipped.
  """
  if not tf.io.gfile.exists(src):
    if skip_nonexist:
      logging.warning("%s is not there; not copied to %s", src, dst)
      return
    raise ValueError(f"CopyRecursively: {src} is not there; check the path, or pass skip_nonexist=True.")
  if not tf.io.gfile.isdir(src):
    CopyFile(src, dst, overwrite=True, skip_nonexist=skip_nonexist, max_retries=max_retries)
    return
  if tf.io.gfile.exists(dst):
    tf.io.gfile.rmtree(dst)
  pairs: list[tuple[str, str]] = []
  for directory, _, files in tf.io.gfile.walk(src):
    target = os.path.join(dst, os.path.relpath(directory, src)) if directory.rstrip("/") != src.rstrip("/") else dst
    tf.io.gfile.makedirs(target)
    pairs += [(os.path.join(directory, f), os.path.join(target, f)) for f in files]
  with concurrent.futures.ThreadPoolExecutor(max_workers) as pool:
    # list() waits for all of them and raises what a copy raised.
    list(pool.map(lambda p: CopyFile(p[0], p[1], skip_nonexist=skip_nonexist, max_retries=max_retries), pairs))

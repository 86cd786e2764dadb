# SPDX-License-Identifier: Apache-2.0
"""Files that hold one protobuf message; a file that holds another thing is named."""

from __future__ import annotations

from typing import TypeVar

import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

__all__ = ["read_proto", "read_text_proto"]

M = TypeVar("M", bound=Message)


def read_proto(path: str, message: M, remedy: str = "") -> M:
  """Fills `message` from a file of its serialized form, and returns it.

  Args:
    path: the file, on any file system that TensorFlow knows.
    message: what is filled.
    remedy: the end of the error's text, with its punctuation.

  Raises:
    ValueError: the file holds something else.
    tf.errors.NotFoundError: there is no such file.
  """
  with tf.io.gfile.GFile(path, "rb") as file:
    content = file.read()
  try:
    message.ParseFromString(content)
  except DecodeError as error:
    raise ValueError(f"{path} is no serialized {message.DESCRIPTOR.name} ({error}){remedy}") from error
  return message


def read_text_proto(path: str, message: M, remedy: str = "") -> M:
  """As `read_proto`, of a file in the text format."""
  with tf.io.gfile.GFile(path, "rb") as file:
    content = file.read()
  try:
    return text_format.Parse(content.decode(), message)
  except (text_format.ParseError, UnicodeDecodeError) as error:
    raise ValueError(f"{path} is no text {message.DESCRIPTOR.name} ({error}){remedy}") from error

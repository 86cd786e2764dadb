# SPDX-License-Identifier: Apache-2.0
"""The build says in one sentence what does not fit."""

import json
import pathlib
import shutil
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build_tools"))

import build_ops  # noqa: E402


def fake_tensorflow(site: pathlib.Path, version: str, headers: bool = True) -> None:
  package = site / "tensorflow"
  package.mkdir(parents=True)
  (package / "libtensorflow_framework.so.2").touch()
  (site / f"tensorflow-{version}.dist-info").mkdir()
  if headers:
    header = package / "include/tensorflow/core/framework/op.h"
    header.parent.mkdir(parents=True)
    header.touch()


@pytest.fixture
def site(tmp_path, monkeypatch):
  directory = tmp_path / "site-packages"
  directory.mkdir()
  monkeypatch.setattr(build_ops, "_site_dirs", lambda: [directory])
  return directory


def test_missing_tensorflow_names_the_command_that_installs_it(site):
  with pytest.raises(build_ops.BuildError, match=r"not installed; run: pip install 'tensorflow==2\.21\.\*'"):
    build_ops.find_tensorflow()


@pytest.mark.parametrize("version", ["2.14.1", "2.22.0"])
def test_unsupported_tensorflow_is_named_with_the_range(site, version):
  fake_tensorflow(site, version)
  with pytest.raises(build_ops.BuildError, match=rf"TensorFlow {version} is installed.*2\.15 to 2\.21"):
    build_ops.find_tensorflow()


def test_tensorflow_without_headers_is_refused(site):
  fake_tensorflow(site, "2.21.0", headers=False)
  with pytest.raises(build_ops.BuildError, match="TensorFlow 2.21.0 has no C\\+\\+ headers"):
    build_ops.find_tensorflow()


def test_supported_tensorflow_is_found_without_importing_it(site):
  fake_tensorflow(site, "2.15.1")
  found = build_ops.find_tensorflow()
  assert (found.version, found.minor) == ("2.15.1", (2, 15))
  assert found.library.name == "libtensorflow_framework.so.2"


def test_missing_compiler_is_named(monkeypatch):
  monkeypatch.delenv("CXX", raising=False)
  monkeypatch.setattr(build_ops.shutil, "which", lambda name: None)
  with pytest.raises(build_ops.BuildError, match=r"no C\+\+ compiler found; install g\+\+ 9"):
    build_ops.find_compiler()


def test_compiler_without_cpp17_is_refused(monkeypatch, tmp_path):
  old = tmp_path / "old-cc"
  old.write_text("#!/bin/sh\ncat >/dev/null\nexit 1\n")
  old.chmod(0o755)
  monkeypatch.setenv("CXX", str(old))
  with pytest.raises(build_ops.BuildError, match=r"old-cc does not take C\+\+17"):
    build_ops.find_compiler()


def test_a_file_that_does_not_compile_fails_the_build_with_its_name(tmp_path):
  source = tmp_path / "broken.cc"
  source.write_text("int main() { return missing; }\n")
  failure = build_ops._compile(build_ops.find_compiler(), ["-std=c++17"], source, tmp_path / "obj" / "broken.o")
  assert "broken.cc" in failure and "missing" in failure


def test_an_object_is_built_again_when_a_header_changes(tmp_path):
  header, source, obj = tmp_path / "value.h", tmp_path / "unit.cc", tmp_path / "obj" / "unit.o"
  header.write_text("constexpr int kValue = 1;\n")
  source.write_text('#include "value.h"\nint Value() { return kValue; }\n')
  flags = ["-std=c++17", f"-I{tmp_path}"]
  assert build_ops._compile(build_ops.find_compiler(), flags, source, obj) is None
  first = obj.stat().st_mtime_ns
  assert build_ops._compile(build_ops.find_compiler(), flags, source, obj) is None
  assert obj.stat().st_mtime_ns == first, "nothing changed, so nothing is built"
  header.write_text("constexpr int kValue = 22222;\n")
  assert build_ops._compile(build_ops.find_compiler(), flags, source, obj) is None
  assert obj.stat().st_mtime_ns > first


def test_the_same_tensorflow_elsewhere_builds_nothing_again(tmp_path):
  source, obj = tmp_path / "unit.cc", tmp_path / "obj" / "unit.o"
  source.write_text('#include "value.h"\nint Value() { return kValue; }\n')
  for place in ("first", "second"):
    (tmp_path / place).mkdir()
    (tmp_path / place / "value.h").write_text("constexpr int kValue = 1;\n")

  def compile_against(place: str, value: int) -> int:
    flags = ["-std=c++17", f"-DVALUE={value}", "-isystem", str(tmp_path / place)]
    assert build_ops._compile(build_ops.find_compiler(), flags, source, obj, str(tmp_path / place)) is None
    return obj.stat().st_mtime_ns

  first = compile_against("first", 1)
  assert compile_against("second", 1) == first
  assert compile_against("second", 2) > first, "another flag builds again"
  shutil.rmtree(tmp_path / "second")
  assert compile_against("first", 2) > first, "the headers that it was built from are gone"


def _touch_sources(root: pathlib.Path, *names: str) -> None:
  for name in names:
    path = root / "cc" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_benchmarks_are_no_part_of_the_library(tmp_path):
  _touch_sources(tmp_path, "a.cc", "a_benchmark.cc", "b/c.cc", "b/testing.cc")
  assert [p.name for p in build_ops.op_sources(tmp_path)] == ["a.cc", "c.cc", "testing.cc"]


def test_a_test_among_the_sources_is_refused_by_name(tmp_path):
  _touch_sources(tmp_path, "a.cc", "b/c_test.cc")
  with pytest.raises(build_ops.BuildError, match="cc/b/c_test.cc is a test, .* move it to tests/cc/b/c_test.cc"):
    build_ops.op_sources(tmp_path)


def test_build_info_names_the_tensorflow_of_this_environment():
  import tensorflow

  info = ROOT / build_ops.OPS_DIR / build_ops.BUILD_INFO
  assert json.loads(info.read_text())["tensorflow_version"] == tensorflow.__version__

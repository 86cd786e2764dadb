# SPDX-License-Identifier: Apache-2.0
"""Compiles the op library against the TensorFlow that is installed.

Run as a script, or through `setup.py`. Every `.cc` below `cc/` that is no benchmark is compiled, in
parallel, into `monolith/native_training/runtime/ops/libmonolith_ops.so`; `_build_info.json` beside it records which
TensorFlow it belongs to. Objects live in `.build/`; an object is rebuilt when its source, one of the headers it
includes, or the command that makes it has changed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPS_DIR = pathlib.Path("monolith/native_training/runtime/ops")
LIBRARY = "libmonolith_ops.so"
BUILD_INFO = "_build_info.json"
SUPPORTED = ((2, 15), (2, 21))


class BuildError(RuntimeError):
  """A build cannot go on; the message is one sentence that says what to do."""


@dataclasses.dataclass(frozen=True)
class TensorFlow:
  """Where an installed TensorFlow keeps what a custom op needs."""

  version: str
  include: pathlib.Path
  library: pathlib.Path

  @property
  def minor(self) -> tuple[int, int]:
    major, minor = self.version.split(".")[:2]
    return int(major), int(minor)


def _site_dirs() -> list[pathlib.Path]:
  """Every place an interpreter looks for packages; under pip's build isolation also the environment's own."""
  paths = [p for p in sys.path if p.endswith("-packages")]
  paths += [sysconfig.get_paths()[key] for key in ("platlib", "purelib")]
  return [pathlib.Path(p) for p in dict.fromkeys(paths)]


def find_tensorflow() -> TensorFlow:
  """Locates TensorFlow without importing it.

  Raises:
    BuildError: none is installed, its headers are missing, or its version is outside what the sources support.
  """
  for site in _site_dirs():
    package = site / "tensorflow"
    libraries = sorted(package.glob("libtensorflow_framework.so*"))
    if not libraries:
      continue
    version = _distribution_version(site)
    found = TensorFlow(version, package / "include", libraries[-1])
    if not (found.include / "tensorflow/core/framework/op.h").is_file():
      raise BuildError(f"TensorFlow {version} has no C++ headers; reinstall it from a wheel.")
    if not SUPPORTED[0] <= found.minor <= SUPPORTED[1]:
      low, high = (".".join(map(str, v)) for v in SUPPORTED)
      raise BuildError(
        f"TensorFlow {version} is installed, but the ops build on {low} to {high}; "
        f"run: pip install 'tensorflow=={high}.*'."
      )
    return found
  raise BuildError("TensorFlow is not installed; run: pip install 'tensorflow==2.21.*', then build again.")


def _distribution_version(site: pathlib.Path) -> str:
  for info in sorted(site.glob("tensorflow*.dist-info")):
    match = re.match(r"tensorflow(?:_cpu|_intel|_rocm)?-(\d+\.\d+[^-]*)\.dist-info$", info.name)
    if match:
      return match.group(1)
  header = site / "tensorflow/include/tensorflow/core/public/version.h"
  if header.is_file():
    numbers = re.findall(r"#define TF_(?:MAJOR|MINOR|PATCH)_VERSION (\d+)", header.read_text())
    if len(numbers) == 3:
      return ".".join(numbers)
  raise BuildError(f"the TensorFlow below {site.name} does not tell its version; reinstall it.")


def find_compiler() -> list[str]:
  """Returns the C++ compiler's command, behind ccache where that is installed.

  Raises:
    BuildError: there is none, or it does not take C++17.
  """
  compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
  if not compiler:
    raise BuildError("no C++ compiler found; install g++ 9 or newer (or set CXX), then build again.")
  probe = subprocess.run(
    [*compiler.split(), "-std=c++17", "-x", "c++", "-fsyntax-only", "-"],
    input="#include <optional>\n#include <shared_mutex>\nint main() { return std::optional<int>(0).value(); }\n",
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  if probe.returncode:
    raise BuildError(f"the compiler {compiler} does not take C++17; install g++ 9 or newer (or set CXX).")
  ccache = shutil.which("ccache")
  command = compiler.split()
  return [ccache, *command] if ccache and "ccache" not in compiler else command


def op_sources(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
  """The one list of C++ sources of the op library (BUILD.bazel globs the same).

  Raises:
    BuildError: a test lies among them, where nothing would run it.
  """
  sources = sorted((root / "cc").rglob("*.cc"))
  for source in sources:
    if source.stem.endswith("_test"):
      path = source.relative_to(root)
      raise BuildError(f"{path} is a test, which nothing runs below cc/; move it to tests/{path}.")
  return [p for p in sources if not p.stem.endswith(("_benchmark", "_fuzzer", "_main"))]


def compile_flags(tensorflow: TensorFlow, generated: pathlib.Path, root: pathlib.Path = ROOT) -> list[str]:
  flags = ["-std=c++17", "-O3", "-fPIC", "-DNDEBUG", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra"]
  flags += [
    "-D_GLIBCXX_USE_CXX11_ABI=1",
    "-DEIGEN_MAX_ALIGN_BYTES=64",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
  ]
  flags += [f"-I{root}", "-isystem", str(generated), "-isystem", str(tensorflow.include)]
  if os.environ.get("MONOLITH_WERROR") == "1":
    flags.append("-Werror")
  return flags


def own_flags(source: pathlib.Path) -> list[str]:
  """What one source is compiled with besides the flags of all.

  Products of matrices may round a product and a sum at once; elsewhere every processor computes the same bits.
  """
  return ["-ffp-contract=fast"] if source.parent.name == "layers" else []


def _dependencies(depfile: pathlib.Path) -> list[str]:
  text = depfile.read_text().replace("\\\n", " ")
  return text.split(":", 1)[1].split()


def _is_current(obj: pathlib.Path, command_hash: str) -> bool:
  stamp, depfile = obj.with_suffix(".cmd"), obj.with_suffix(".d")
  if not (obj.is_file() and stamp.is_file() and depfile.is_file()) or stamp.read_text() != command_hash:
    return False
  built = obj.stat().st_mtime
  return all(os.path.exists(d) and os.path.getmtime(d) <= built for d in _dependencies(depfile))


def _compile(
  compiler: list[str], flags: list[str], source: pathlib.Path, obj: pathlib.Path, include: str = ""
) -> str | None:
  """Compiles one file; returns the compiler's complaint, or None.

  An object stays current if only the path `include` of the same TensorFlow differs: a wheel that is built in an
  environment of its own takes what `make setup` has compiled.
  """
  command = [*compiler, *flags, *own_flags(source), "-MD", "-MF", str(obj.with_suffix(".d"))]
  command += ["-c", str(source), "-o", str(obj)]
  digest = hashlib.sha256("\0".join(c for c in command if c != include).encode()).hexdigest()
  if _is_current(obj, digest):
    return None
  obj.parent.mkdir(parents=True, exist_ok=True)
  print(f"  {source.name}", flush=True)
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    return f"{source}:\n{done.stderr[-6000:]}"
  if done.stderr.strip():
    print(done.stderr, file=sys.stderr)
  obj.with_suffix(".cmd").write_text(digest)
  return None


def _generate_protos(root: pathlib.Path, out: pathlib.Path) -> list[pathlib.Path]:
  sys.path.insert(0, str(root / "build_tools"))
  import protos

  return [pathlib.Path(p) for p in protos.generate_cpp(root, out)]


def build(root: pathlib.Path = ROOT, jobs: int | None = None, out_dir: pathlib.Path | None = None) -> pathlib.Path:
  """Builds the op library and returns its path.

  Args:
    root: the source tree.
    jobs: how many files to compile at once; default the number of cores, but one per GiB of a small machine.
    out_dir: where the library goes; default beside the Python package's loader.

  Raises:
    BuildError: the tools do not fit, or a file does not compile.
  """
  tensorflow, compiler = find_tensorflow(), find_compiler()
  work = root / ".build" / f"tf-{tensorflow.version}"
  generated = work / "gen"
  sources = [*op_sources(root), *_generate_protos(root, generated)]
  flags = compile_flags(tensorflow, generated, root)
  objects = [
    work / "obj" / s.relative_to(generated if generated in s.parents else root).with_suffix(".o") for s in sources
  ]
  jobs = jobs or int(os.environ.get("MAX_JOBS", 0)) or os.cpu_count() or 1
  print(f"Compiling {len(sources)} C++ files for TensorFlow {tensorflow.version}, {jobs} at a time", flush=True)
  include = str(tensorflow.include)
  with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
    complaints = pool.map(lambda so: _compile(compiler, flags, *so, include), zip(sources, objects, strict=True))
    failures = [c for c in complaints if c]
  if failures:
    raise BuildError("the op library does not compile:\n" + "\n".join(failures))
  return _link(compiler, tensorflow, objects, out_dir or root / OPS_DIR)


def _link(compiler: list[str], tensorflow: TensorFlow, objects: list[pathlib.Path], out: pathlib.Path) -> pathlib.Path:
  out.mkdir(parents=True, exist_ok=True)
  target, temporary = out / LIBRARY, out / f"{LIBRARY}.{os.getpid()}.tmp"
  command = [c for c in compiler if not c.endswith("ccache")] + ["-shared", "-pthread", "-o", str(temporary)]
  command += [
    *map(str, objects),
    f"-L{tensorflow.library.parent}",
    f"-l:{tensorflow.library.name}",
    "-Wl,--no-undefined",
    "-ldl",  # a C library before glibc 2.34 has dlopen there
  ]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    raise BuildError(f"the op library does not link:\n{done.stderr[-6000:]}")
  os.replace(temporary, target)
  info = {"tensorflow_version": tensorflow.version}
  (out / BUILD_INFO).write_text(json.dumps(info, indent=2) + "\n")
  return target


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("-j", "--jobs", type=int, default=None, help="files compiled at once")
  arguments = parser.parse_args()
  sys.path.insert(0, str(ROOT / "build_tools"))
  import protos

  try:
    print(build(jobs=arguments.jobs).relative_to(ROOT))
  except (BuildError, protos.ProtoError) as error:
    print(f"error: {error}", file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  sys.exit(main())

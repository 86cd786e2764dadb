# SPDX-License-Identifier: Apache-2.0
"""Packages the Python code, the generated protobuf modules and the op library; see pyproject.toml for the rest."""

import pathlib
import sys

import setuptools
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "build_tools"))

import build_ops  # noqa: E402
import protos  # noqa: E402

PACKAGES = setuptools.find_packages(".", include=["monolith*", "idl*"])


def run_step(step, *arguments, **options):
  """Runs a build step; an environment that does not fit ends the build with one sentence."""
  try:
    return step(*arguments, **options)
  except (build_ops.BuildError, protos.ProtoError) as error:
    raise SystemExit(f"error: {error}") from None


class GenerateProtosAndBuildPy(build_py):
  """Generates `*_pb2.py` in the source tree before packages are collected."""

  def run(self):
    run_step(protos.generate_python, ROOT)
    self.distribution.packages = setuptools.find_packages(".", include=["monolith*", "idl*"])
    self.packages = self.distribution.packages
    super().run()


class BuildOps(build_ext):
  """Compiles the op library into the package, or beside the loader for an editable install."""

  def run(self):
    target = ROOT if self.inplace or self.editable_mode else pathlib.Path(self.build_lib).resolve()
    run_step(build_ops.build, ROOT, out_dir=target / build_ops.OPS_DIR)

  def get_outputs(self):
    base = ROOT if self.inplace or self.editable_mode else pathlib.Path(self.build_lib)
    return [str(base / build_ops.OPS_DIR / name) for name in (build_ops.LIBRARY, build_ops.BUILD_INFO)]


def requirements():
  """What the installed package needs: the TensorFlow minor that its ops were compiled for, and the Keras 2 of it."""
  try:
    major, minor = build_ops.find_tensorflow().minor
  except build_ops.BuildError:
    major, minor = build_ops.SUPPORTED[1]
  return [
    f"tensorflow=={major}.{minor}.*",
    f"tf_keras=={major}.{minor}.*",
    "numpy>=1.26",
    "absl-py>=2",
    "protobuf>=4",
    "grpcio>=1.60",
  ]


setuptools.setup(
  packages=PACKAGES,
  # An extension of that name is never compiled by setuptools; it makes the wheel platform specific.
  ext_modules=[setuptools.Extension("monolith.native_training.runtime.ops._ops", sources=[])],
  cmdclass={"build_py": GenerateProtosAndBuildPy, "build_ext": BuildOps},
  install_requires=requirements(),
)

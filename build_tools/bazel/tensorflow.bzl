# SPDX-License-Identifier: Apache-2.0
"""Makes the installed TensorFlow a repository: its headers, its framework library, and the protoc that fits it."""

_FIND = """
import sys
sys.path.insert(0, {tools!r})
import build_ops, protos
found = build_ops.find_tensorflow()
print(found.include)
print(found.library)
print(protos.find_protoc(protos.needed_version(found.include)).path)
"""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "tensorflow",
    srcs = ["{library}"],
    hdrs = glob(["include/**/*"], exclude = ["include/**/*.proto"]),
    defines = ["_GLIBCXX_USE_CXX11_ABI=1", "EIGEN_MAX_ALIGN_BYTES=64"],
    includes = ["include"],
)

exports_files(["protoc"])
"""

def _tensorflow_configure(ctx):
    python = ctx.os.environ.get("PYTHON_BIN_PATH") or ctx.which("python3")
    tools = str(ctx.path(Label("//build_tools:build_ops.py")).dirname)
    ctx.path(Label("//build_tools:protos.py"))
    done = ctx.execute([python, "-c", _FIND.replace("{tools!r}", repr(tools))])
    if done.return_code:
        fail("TensorFlow or protoc was not found: " + done.stderr.strip().split("\n")[-1])
    include, library, protoc = done.stdout.strip().split("\n")
    library_name = library.split("/")[-1]
    ctx.symlink(include, "include")
    ctx.symlink(library, library_name)
    ctx.symlink(protoc, "protoc")
    ctx.file("BUILD.bazel", _BUILD.replace("{library}", library_name))

tensorflow_configure = repository_rule(
    implementation = _tensorflow_configure,
    environ = ["PYTHON_BIN_PATH"],
    local = True,
)

# SPDX-License-Identifier: Apache-2.0
"""The wire: every field of every message against a register, and the bytes of a few messages.

`register.txt` was written from the published field tables, not from the sources below `protos/`. Its lines:

  file PATH SYNTAX [PACKAGE]
  message NAME                       (nested: Outer.Inner)
    FIELD NUMBER [rep|required|oneof] [packed] TYPE|map<KEY,VALUE> [=DEFAULT]
  enum NAME VALUE=NUMBER ...
  service NAME METHOD ...
"""

import importlib
import pathlib

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor

_REGISTER = pathlib.Path(__file__).with_name("register.txt")
_PROTOS = pathlib.Path(__file__).parents[2] / "protos"
_SCALARS = {
  getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name
  for name in "double float int64 uint64 int32 fixed64 bool string bytes uint32 sfixed64".split()
}


def _read_register() -> dict[str, dict]:
  files: dict[str, dict] = {}
  for line in _REGISTER.read_text().splitlines():
    kind, *rest = line.split()
    if kind == "file":
      current = files.setdefault(
        rest[0], {"syntax": rest[1], "package": " ".join(rest[2:]), "message": {}, "enum": {}, "service": {}}
      )
    elif not line.startswith(" "):
      members = current[kind][rest[0]] = {} if kind == "message" else rest[1:]
    else:
      members[kind] = " ".join(rest)
  return files


_FILES = _read_register()

# Fields that nobody published, numbered from 100 on: {message: {field: description}}.
_OURS = {"DcOptimizerConfig": {"base": "100 OptimizerConfig"}}


def _module(path: str):
  return importlib.import_module(path.removesuffix(".proto").replace("/", ".") + "_pb2")


def _type_name(field) -> str:
  if field.message_type is not None and field.message_type.GetOptions().map_entry:
    entry = field.message_type.fields_by_name
    return f"map<{_type_name(entry['key'])},{_type_name(entry['value'])}>"
  if field.message_type is not None:
    return field.message_type.name
  return field.enum_type.name if field.enum_type is not None else _SCALARS[field.type]


def _default(field) -> str:
  if not field.has_default_value:
    return ""
  if field.enum_type is not None:
    return "=" + field.enum_type.values_by_number[field.default_value].name
  if isinstance(field.default_value, bool):
    return "=" + str(field.default_value).lower()
  return f"={field.default_value:.6g}" if isinstance(field.default_value, float) else f"={field.default_value}"


def _describe(field, proto) -> str:
  """Writes a field as the register does."""
  type_name = _type_name(field)
  label = {proto.LABEL_REPEATED: "rep", proto.LABEL_REQUIRED: "required"}.get(proto.label, "")
  if type_name.startswith("map<"):
    label = ""
  if field.containing_oneof is not None:
    label = "oneof"
  packed = "packed" if label == "rep" and field.is_packed else ""
  return " ".join(part for part in (str(field.number), label, packed, type_name, _default(field)) if part)


def _walk(messages, prefix=""):
  for message in messages:
    if not message.GetOptions().map_entry:
      yield prefix + message.name, message
      yield from _walk(message.nested_types, f"{prefix}{message.name}.")


def _messages(module) -> dict:
  return dict(_walk(module.DESCRIPTOR.message_types_by_name.values()))


def test_register_and_sources_name_the_same_files():
  assert sorted(_FILES) == sorted(p.relative_to(_PROTOS).as_posix() for p in _PROTOS.rglob("*.proto"))


@pytest.mark.parametrize("path", _FILES)
def test_every_field_is_as_published(path):
  for name, message in _messages(_module(path)).items():
    proto = descriptor_pb2.DescriptorProto()
    message.CopyToProto(proto)
    found = {f.name: _describe(f, p) for f, p in zip(message.fields, proto.field, strict=True)}
    assert found == {**_FILES[path]["message"].get(name, {}), **_OURS.get(name, {})}, f"{path}: {name}"


@pytest.mark.parametrize("path", _FILES)
def test_every_message_enum_and_service_is_there(path):
  module, expected = _module(path), _FILES[path]
  assert sorted(_messages(module)) == sorted(expected["message"])
  enums = {e.name: e for e in module.DESCRIPTOR.enum_types_by_name.values()}
  enums |= {f"{n}.{e.name}": e for n, m in _messages(module).items() for e in m.enum_types}
  assert {n: [f"{v.name}={v.number}" for v in e.values] for n, e in enums.items()} == expected["enum"]
  services = {s.name: [m.name for m in s.methods] for s in module.DESCRIPTOR.services_by_name.values()}
  assert services == expected["service"]


@pytest.mark.parametrize("path", _FILES)
def test_syntax_and_package(path):
  file = descriptor_pb2.FileDescriptorProto()
  _module(path).DESCRIPTOR.CopyToProto(file)
  assert (file.syntax or "proto2", file.package) == (_FILES[path]["syntax"], _FILES[path]["package"])


@pytest.mark.parametrize("path", _FILES)
def test_oneofs_are_called_type(path):
  for message in _messages(_module(path)).values():
    assert [o.name for o in message.oneofs] in ([], ["type"])


def test_methods_take_requests_and_return_responses():
  for path, name in [
    ("monolith/native_training/hooks/server/service.proto", "Controller"),
    ("monolith/native_training/proto/primus_am_service.proto", "AppMasterService"),
    ("monolith/agent_service/agent_service.proto", "AgentService"),
  ]:
    for method in _module(path).DESCRIPTOR.services_by_name[name].methods:
      stem = method.name[0].upper() + method.name[1:]
      assert (method.input_type.name, method.output_type.name) == (f"{stem}Request", f"{stem}Response")
      assert not method.client_streaming and not method.server_streaming


def test_hash_table_module_exposes_what_it_imports_publicly():
  module = _module("monolith/native_training/runtime/hash_table/embedding_hash_table.proto")
  for name in ("OptimizerConfig", "InitializerConfig", "FloatCompressorConfig", "AdamOptimizerDump"):
    assert hasattr(module, name)


def test_serving_protos_load_beside_ours():
  from tensorflow_serving.apis import predict_pb2

  example_pb2 = _module("idl/matrix/proto/example.proto")
  assert example_pb2.Example.DESCRIPTOR.full_name == "monolith.io.proto.Example"
  assert predict_pb2.PredictRequest.DESCRIPTOR.full_name == "tensorflow.serving.PredictRequest"


def test_bytes_of_an_entry_dump():
  table = _module("monolith/native_training/runtime/hash_table/embedding_hash_table.proto")
  dump = table.EntryDump(id=-2, num=[1.0, -0.5], last_update_ts_sec=300)
  dump.opt.dump.add().adagrad.norm.append(0.25)
  assert dump.SerializeToString().hex() == (
    "09feffffffffffffff"  # id: fixed 64 bits
    "150000803f"  # num, one tag a float
    "15000000bf"
    "1a09"  # opt
    "0a07"  # dump
    "0a05"  # adagrad
    "0d0000803e"  # norm
    "20ac02"  # last_update_ts_sec
  )


def test_bytes_of_a_table_config():
  table = _module("monolith/native_training/runtime/hash_table/embedding_hash_table.proto")
  config = table.EmbeddingHashTableConfig(initial_capacity=1)
  config.cuckoo.SetInParent()
  segment = config.entry_config.segments.add(dim_size=4)
  segment.init_config.zeros.SetInParent()
  segment.opt_config.sgd.learning_rate = 1.0
  segment.comp_config.one_bit.SetInParent()
  assert config.SerializeToString().hex() == (
    "0a150a13"  # entry_config, one segment
    "0a020a00"  # zeros
    "12071205150000803f"  # sgd with its learning rate
    "1a022200"  # one_bit
    "3804"  # dim_size
    "1001"  # initial_capacity
    "2a00"  # cuckoo
  )


def test_bytes_of_an_example():
  example = _module("idl/matrix/proto/example.proto").Example(instance_weight=1.0)
  feature = example.named_feature.add(name="f", id=3)
  feature.feature.fid_v2_list.value.append((3 << 48) | 5)
  example.line_id.uid = 7
  example.line_id.special_strategies.extend([1, 300])
  example.label.extend([1.0])
  assert example.SerializeToString().hex() == (
    "0a13"  # named_feature
    "0a0166"  # name
    "120c120a0a080500000000000300"  # feature: fid_v2_list, packed fixed64
    "1803"  # id
    "a20610"  # line_id
    "110700000000000000"  # uid
    "b80201"  # special_strategies, one tag a number
    "b802ac02"
    "aa06040000803f"  # label, packed
    "b5060000803f"  # instance_weight
  )


def test_bytes_of_an_instance():
  instance = _module("idl/matrix/proto/proto_parser.proto").Instance(fid=[1, 2], label=[0.0])
  instance.feature.add(name="d", float_value=[0.5])
  assert instance.SerializeToString().hex() == (
    "0a1001000000000000000200000000000000"  # fid, packed fixed64
    "1a0400000000"  # label, packed
    "4a09"  # feature
    "0a0164"  # name
    "1a040000003f"  # float_value, packed
  )

# SPDX-License-Identifier: Apache-2.0
"""Streams of records and their compression as other programs write them, for tests. Independent of the library."""

import gzip
import struct
import zlib

import record_framing


def _word(value):
  return struct.pack("<Q", value)


def java_hash(text):
  """Java's String.hashCode, unsigned."""
  value = 0
  for char in text:
    value = (31 * value + ord(char)) & 0xFFFFFFFF
  return value


def frame(payload, *, lagrangex=None, prefix=False, sort_id=None, dump=False):
  """One record. `lagrangex` is the name of a source; `sort_id` is bytes, which the prefix carries the length of."""
  head = b""
  if lagrangex is not None:
    head = bytes([0]) + struct.pack("<I", java_hash(lagrangex))[:3] + bytes(4)
  else:
    if prefix:
      head += _word(len(sort_id)) if sort_id else bytes(16)
    if sort_id is not None:
      head += (b"" if prefix and sort_id else _word(len(sort_id))) + sort_id
    if dump:
      head += bytes(8)
  return head + _word(len(payload)) + payload


def stream(messages, **framing):
  """A file of messages (or bytes)."""
  payloads = [m if isinstance(m, bytes) else m.SerializeToString() for m in messages]
  return b"".join(frame(payload, **framing) for payload in payloads)


def hadoop_snappy(content, block_bytes=200, chunk_bytes=90):
  """Blocks of chunks: big-endian length of the block uncompressed, then big-endian lengths and chunks."""
  out = b""
  for at in range(0, len(content), block_bytes):
    block = content[at : at + block_bytes]
    out += struct.pack(">I", len(block))
    out += b"".join(record_framing.snappy_block(block[i : i + chunk_bytes]) for i in range(0, len(block), chunk_bytes))
  return out


COMPRESSORS = {
  "NO": lambda content: content,
  "SNAPPY": hadoop_snappy,
  "ZLIB": zlib.compress,
  "GZIP": lambda content: gzip.compress(content, mtime=0),
}

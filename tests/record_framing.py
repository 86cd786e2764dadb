# SPDX-License-Identifier: Apache-2.0
"""Record files byte by byte, by their definitions: TFRecords, and the blocks of Snappy that tables' data lies in.

For tests that write files as other programs do, or damage them at chosen places. Independent of TensorFlow.
"""

import struct


def _crc_table():
  table = []
  for byte in range(256):
    for _ in range(8):
      byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # CRC-32C (RFC 3720), reflected
    table.append(byte)
  return table


_CRC_TABLE = _crc_table()


def masked_crc(data):
  """TFRecord's checksum: CRC-32C, rotated, plus a constant."""
  crc = 0xFFFFFFFF
  for byte in data:
    crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
  crc ^= 0xFFFFFFFF
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def tf_record(payload):
  """One framed record: length, checksum of the length, payload, checksum of the payload."""
  length = struct.pack("<Q", len(payload))
  return length + struct.pack("<I", masked_crc(length)) + payload + struct.pack("<I", masked_crc(payload))


def tf_records(stream):
  """The payloads of a stream of framed records."""
  records, at = [], 0
  while at < len(stream):
    (size,) = struct.unpack_from("<Q", stream, at)
    records.append(stream[at + 12 : at + 12 + size])
    at += 16 + size
  return records


def _varint(value):
  out = bytearray()
  while value >= 0x80:
    out.append(value & 0x7F | 0x80)
    value >>= 7
  return bytes([*out, value])


def snappy(content, block_bytes=50):
  """Content as a file of Snappy blocks of literals, each behind its big-endian length."""
  return b"".join(snappy_block(content[at : at + block_bytes]) for at in range(0, len(content), block_bytes))


def snappy_block(part):
  """One block of a file, of up to 60 bytes a literal."""
  literals = b"".join(bytes([len(p) - 1 << 2]) + p for p in (part[i : i + 60] for i in range(0, len(part), 60)))
  block = _varint(len(part)) + literals
  return struct.pack(">I", len(block)) + block


def _unsnappy_block(block):
  """Decodes one raw Snappy block (https://github.com/google/snappy/blob/main/format_description.txt)."""
  size = shift = at = 0
  while True:
    byte = block[at]
    size |= (byte & 0x7F) << shift
    at, shift = at + 1, shift + 7
    if byte < 0x80:
      break
  out = bytearray()
  while at < len(block):
    tag = block[at]
    at += 1
    if tag & 3 == 0:
      length = (tag >> 2) + 1
      if length > 60:
        wide = length - 60
        length = int.from_bytes(block[at : at + wide], "little") + 1
        at += wide
      out += block[at : at + length]
      at += length
      continue
    if tag & 3 == 1:
      length, offset, used = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | block[at], 1
    else:
      used = 2 if tag & 3 == 2 else 4
      length, offset = (tag >> 2) + 1, int.from_bytes(block[at : at + used], "little")
    at += used
    for _ in range(length):
      out.append(out[-offset])
  assert len(out) == size
  return bytes(out)


def unsnappy(content):
  """The content of a file of Snappy blocks."""
  stream, at = b"", 0
  while at < len(content):
    (size,) = struct.unpack_from(">I", content, at)
    stream += _unsnappy_block(content[at + 4 : at + 4 + size])
    at += 4 + size
  return stream

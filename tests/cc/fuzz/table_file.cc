// SPDX-License-Identifier: Apache-2.0
// Reads an input as: a byte for the kind of table, a byte for how the file comes about, a byte for the size of the pieces
// that it is read in; then the file itself, or edits of one that a table has saved, either of its bytes or of its records,
// whose checksums are then right. What is read must be what a plain walk over the whole file finds, and a file that is
// damaged anywhere must leave the table as it was.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cc/hash_table/crc32c.h"
#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/record_frames.h"
#include "cc/hash_table/values.h"
#include "tests/cc/fuzz/drivers.h"
#include "tests/cc/fuzz/edits.h"
#include "tests/cc/hash_table/table_kinds.h"

namespace monolith {
namespace testing {
namespace {

using Contents = std::map<int64_t, std::string>;

std::unique_ptr<EmbeddingTable> FilledTable(const TableKind& kind) {
  auto table = NewEmbeddingTable(kind.config);
  for (const int64_t fid : {int64_t{0}, int64_t{-1}, int64_t{5} << 48, int64_t{12345}}) {
    Assign(table.get(), {fid}, {1, -2, 3.5f, 0.25f, -0.5f}, 1700000000 + fid % 7);
  }
  return table;
}

Contents ContentsOf(EmbeddingTable* table) {
  ExpireConfig never;  // by default, a stamp of the far future lets those of today expire
  never.default_days = std::numeric_limits<uint32_t>::max();
  Contents contents;
  table->Lock()->ForEach(0, 1, never, [&contents](int64_t fid, const std::string& entry) {
    contents[fid] = entry;
    return true;
  });
  return contents;
}

std::string LittleEndian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}

uint64_t Number(std::string_view text) {
  uint64_t value = 0;
  for (size_t i = text.size(); i > 0; --i) value = value << 8 | static_cast<uint8_t>(text[i - 1]);
  return value;
}

// TFRecord's checksum: rotated right by 15 bits, plus a constant.
std::string Checksum(std::string_view bytes) {
  const uint32_t crc = Crc32cByTables(bytes);
  return LittleEndian(static_cast<uint32_t>((crc >> 15 | crc << 17) + 0xA282EAD8u), 4);
}

std::string Frame(const std::string& payload, uint64_t length) {
  const std::string header = LittleEndian(length, 8);
  return header + Checksum(header) + payload + Checksum(payload);
}

// The records of a saved table, some of them edited or with a length that is not theirs, in frames that check.
std::string EditedRecords(const Contents& saved, InputBytes* in) {
  std::string file;
  for (const auto& item : saved) {
    std::string record = item.second;
    const int how = in->Below(8);
    if (how == 1) record = Damaged(record, in, 3);
    if (how == 2) continue;
    uint64_t length = record.size();
    if (how == 3) length = in->Below(2) == 0 ? length + in->Byte() : ~uint64_t{0} - in->Byte();
    file += Frame(record, length);
    if (how == 4) file += Frame(record, length);
  }
  return file;
}

std::string SavedFile(EmbeddingTable* table) {
  std::string file;
  FrameBuffer frames(100, [&file](std::string_view block) {
    file.append(block);
    return true;
  });
  table->Lock()->Save(0, 1, ExpireConfig(), &frames);
  frames.Flush();
  return file;
}

struct Walked {
  std::vector<std::string> records;
  bool damaged = false;
};

Walked Walk(std::string_view file) {
  Walked walked;
  while (!file.empty()) {
    walked.damaged = true;
    if (file.size() < 12 || file.substr(8, 4) != Checksum(file.substr(0, 8))) return walked;
    const uint64_t length = Number(file.substr(0, 8));
    file.remove_prefix(12);
    if (length > file.size() || file.size() - length < 4) return walked;
    const std::string_view payload = file.substr(0, length);
    if (file.substr(length, 4) != Checksum(payload)) return walked;
    walked.records.emplace_back(payload);
    walked.damaged = false;
    file.remove_prefix(length + 4);
  }
  return walked;
}

// What a restore of these records leaves; false if one of them is no entry, or one that does not fit.
bool Expect(const TableKind& kind, const std::vector<std::string>& records, std::map<int64_t, EntryDump>* expected) {
  for (const std::string& record : records) {
    EntryDump dump;
    if (!ParseEntryDump(record, &dump)) return false;
    if (kind.config.skip_zero_embedding && IsZero(dump.values.data(), dump.values.size())) continue;
    if (dump.values.size() > kKindDim) return false;
    const auto before = expected->find(dump.fid);
    if (before == expected->end() || before->second.update_ts <= dump.update_ts) (*expected)[dump.fid] = dump;
  }
  return true;
}

// Reads a file as the restore op does, a piece at a time; false if it or an entry is damaged.
bool ReadInto(const std::string& file, size_t piece, RestoreBatch* batch, size_t* num_records) {
  std::string here;
  size_t at = 0;
  std::vector<std::string_view> records;
  while (true) {
    records.clear();
    const std::string bytes(here);  // of just that size: a read behind it would be seen
    const FrameScan scan = TakeFrames(bytes, 3, &records);
    if (!records.empty()) {
      *num_records += records.size();
      try {
        batch->Add(records.data(), records.size(), 0, 1);
      } catch (const TableError& error) {
        Require(std::string(error.what()).find("table 'table'") == 0, "an error does not name the table");
        return false;
      }
      here.erase(0, scan.bytes);
      continue;
    }
    if (scan.damage != nullptr) return false;
    if (at == file.size()) return here.empty();
    here += file.substr(at, piece);
    at += std::min(piece, file.size() - at);
  }
}

bool SameFloats(const std::vector<float>& a, const std::vector<float>& b, size_t n) {
  return std::equal(a.begin(), a.begin() + n, b.begin(),
                    [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

void CheckRestored(const TableKind& kind, EmbeddingTable* table, const std::map<int64_t, EntryDump>& expected) {
  const Contents contents = ContentsOf(table);
  Require(contents.size() == expected.size(), "more or fewer entries were restored than the file has");
  for (const auto& [fid, bytes] : contents) {
    const auto it = expected.find(fid);
    Require(it != expected.end(), "an entry was restored that the file does not have");
    EntryDump now;
    Require(ParseEntryDump(bytes, &now), "a restored entry cannot be read");
    Require(now.update_ts == it->second.update_ts, "a restored stamp differs");
    std::vector<float> values = it->second.values;
    const size_t n = values.size();
    values.resize(kKindDim);
    Require(SameFloats(now.values, kind.Stored(values), n), "restored values differ");
  }
}

}  // namespace

int RunTableFile(const uint8_t* data, size_t size) {
  static const auto* const kinds = new std::vector<TableKind>(AllTableKinds());
  InputBytes in(data, size);
  const TableKind& kind = (*kinds)[in.Below(static_cast<int>(kinds->size()))];
  const int how = in.Below(4);
  const size_t piece = 1 + in.Byte();
  auto table = FilledTable(kind);
  const Contents before = ContentsOf(table.get());
  const std::string file = how == 0   ? in.Rest()
                           : how == 1 ? Damaged(SavedFile(table.get()), &in)
                                      : EditedRecords(before, &in);
  const Walked walked = Walk(file);
  std::map<int64_t, EntryDump> expected;
  const bool good = Expect(kind, walked.records, &expected) && !walked.damaged;

  auto batch = table->StartRestore();
  size_t num_records = 0;
  const bool taken = ReadInto(file, piece, batch.get(), &num_records);
  Require(taken == good, good ? "a good file was refused" : "a damaged file was taken");
  Require(!good || num_records == walked.records.size(), "records are counted wrongly");
  Require(ContentsOf(table.get()) == before, "a restore that is not finished has changed the table");
  if (!taken) return 0;
  table->FinishRestore(std::move(batch));
  CheckRestored(kind, table.get(), expected);
  return 0;
}

}  // namespace testing
}  // namespace monolith

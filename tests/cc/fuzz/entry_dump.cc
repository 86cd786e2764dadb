// SPDX-License-Identifier: Apache-2.0
// Reads an input as: a byte for the kind of table, a byte for how the entry comes about, then either the entry itself or
// edits of an entry that the table has saved.
#include "cc/hash_table/entry_dump.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "tests/cc/fuzz/drivers.h"
#include "tests/cc/fuzz/input_bytes.h"
#include "tests/cc/hash_table/table_kinds.h"

namespace monolith {
namespace testing {
namespace {

constexpr int kMostEdits = 12;
constexpr size_t kMostBytes = 4096;

// A table with entries of every look: fresh, trained, of extreme fids.
std::unique_ptr<EmbeddingTable> FilledTable(const TableKind& kind) {
  auto table = NewEmbeddingTable(kind.config);
  const std::vector<float> row = {1, -2, 3.5f, 0.25f, -0.5f};
  for (const int64_t fid : {int64_t{0}, int64_t{-1}, int64_t{5} << 48}) Assign(table.get(), {fid}, row, 1700000000);
  if (kind.trains()) Optimize(table.get(), {7, 0}, std::vector<float>(10, 1), std::vector<float>(3, 0.5f), 99);
  return table;
}

std::map<int64_t, std::string> Contents(EmbeddingTable* table) {
  std::map<int64_t, std::string> contents;
  table->Lock()->ForEach(0, 1, ExpireConfig(), [&contents](int64_t fid, const std::string& entry) {
    contents[fid] = entry;
    return true;
  });
  return contents;
}

// Flips, cuts, repeats and splices pieces of the valid entries.
std::string Edited(const std::map<int64_t, std::string>& valid, InputBytes* in) {
  std::vector<std::string> sources;
  for (const auto& item : valid) sources.push_back(item.second);
  const auto source = [&]() -> const std::string& { return sources[in->Below(static_cast<int>(sources.size()))]; };
  std::string entry = source();
  for (int i = 0; i < kMostEdits && !in->Done(); ++i) {
    const size_t at = entry.empty() ? 0 : in->Word() % entry.size();
    const uint8_t how = in->Byte();
    if (how % 5 == 0 && !entry.empty()) {
      entry[at] = static_cast<char>(entry[at] ^ (1 << in->Below(8)));
    } else if (how % 5 == 1) {
      entry.resize(at);
    } else if (how % 5 == 2) {
      entry.insert(at, 1 + in->Below(16), static_cast<char>(in->Byte()));
    } else if (how % 5 == 3) {
      const std::string& other = source();
      const size_t from = in->Word() % other.size();
      entry.insert(at, other.substr(from, in->Byte()));
    } else {
      entry.erase(at, 1 + in->Below(16));
    }
    if (entry.size() > kMostBytes) entry.resize(kMostBytes);
  }
  return entry;
}

bool SameFloats(const float* a, const float* b, size_t n) {
  return std::equal(a, a + n, b, [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

// An entry that was taken must read as it was written, and be saved in a form that is taken again unchanged.
void CheckTaken(const TableKind& kind, EmbeddingTable* table, const EntryDump& taken) {
  const std::string entry = table->LookupEntry(taken.fid);
  if (entry.empty()) return Require(kind.config.skip_zero_embedding, "a restored entry is not there");
  EntryDump now;
  Require(ParseEntryDump(entry, &now), "a restored entry cannot be read");
  Require(now.values.size() == kKindDim, "a restored entry has another dim");
  const std::vector<float> expected = kind.Stored(taken.values);
  Require(SameFloats(now.values.data(), expected.data(), expected.size()), "restored values differ");
  Require(now.update_ts == taken.update_ts, "a restored stamp differs");
  auto copy = NewEmbeddingTable(kind.config);
  Restore(copy.get(), Dump(table));
  Require(copy->size() == table->size() || kind.config.skip_zero_embedding, "a second restore loses entries");
  Require(copy->LookupEntry(taken.fid) == entry || copy->LookupEntry(taken.fid).empty(), "a second restore differs");
}

}  // namespace

int RunEntryDump(const uint8_t* data, size_t size) {
  static const auto* const kinds = new std::vector<TableKind>(AllTableKinds());
  InputBytes in(data, size);
  const TableKind& kind = (*kinds)[in.Below(static_cast<int>(kinds->size()))];
  auto table = FilledTable(kind);
  const std::map<int64_t, std::string> before = Contents(table.get());
  const std::string entry = in.Below(2) == 0 ? in.Rest() : Edited(before, &in);

  EntryDump dump;
  const bool parsed = ParseEntryDump(entry, &dump);
  auto batch = table->StartRestore();
  bool taken = true;
  try {
    batch->Add({before.begin()->second, entry}, 0, 1);
  } catch (const TableError& error) {
    taken = false;
    Require(std::string(error.what()).find("table 'table'") == 0, "an error does not name the table");
  }
  const bool fits = dump.values.size() <= kKindDim;
  Require(taken || !parsed || !fits, "a good entry was refused");
  // An entry that something else takes the place of may be too long: it is not looked at.
  const bool passed_over = dump.fid == before.begin()->first || kind.config.skip_zero_embedding;
  Require(!taken || (parsed && (fits || passed_over)), "a damaged entry was taken");
  Require(Contents(table.get()) == before, "a batch that is not finished has changed the table");
  if (!taken) return 0;
  table->FinishRestore(std::move(batch));
  // Beside a twin of another stamp the newer one is there; the rules for that are table_ops' to check.
  if (dump.fid != before.begin()->first && fits) CheckTaken(kind, table.get(), dump);
  Contents(table.get());
  return 0;
}

}  // namespace testing
}  // namespace monolith

// SPDX-License-Identifier: Apache-2.0
// Reads an input as: one byte for the kind of table, then operations, each a byte that names it and what it takes.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cc/hash_table/entry_dump.h"
#include "tests/cc/fuzz/drivers.h"
#include "tests/cc/fuzz/input_bytes.h"
#include "tests/cc/fuzz/map_table.h"

namespace monolith {
namespace testing {
namespace {

using Row = std::vector<float>;

constexpr int kMostOps = 300;
constexpr int kMostRuns = 4;
constexpr int64_t kDay = 86400;

bool Same(const Row& a, const Row& b) {
  const auto same = [](float x, float y) { return std::memcmp(&x, &y, 4) == 0 || (std::isnan(x) && std::isnan(y)); };
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), same);
}

// The order in which a batch asks is the table's own.
std::vector<int64_t> Sorted(std::vector<int64_t> fids) {
  std::sort(fids.begin(), fids.end());
  return fids;
}

// Admits about half of all fids, and writes down whom it was asked about.
class Choosy : public AdmissionFilter {
 public:
  static bool Admits(int64_t fid) { return __builtin_popcountll(static_cast<uint64_t>(fid)) % 2 == 1; }
  bool Admit(int64_t fid, int64_t) override {
    asked.push_back(fid);
    return Admits(fid);
  }
  std::vector<int64_t> asked;
};

// One input being played.
class Play {
 public:
  Play(const TableKind& kind, InputBytes* in)
      : kind_(kind), in_(*in), table_(NewEmbeddingTable(kind.config)), oracle_(kind) {}

  void Run() {
    for (int i = 0; i < kMostOps && !in_.Done(); ++i) {
      OneOp(in_.Byte());
      Require(table_->size() == oracle_.entries().size(),
              "size is " + std::to_string(table_->size()) + ", not " + std::to_string(oracle_.entries().size()));
      Require(table_->max_update_ts() == oracle_.max_update_ts(), "max_update_ts differs");
    }
    for (const auto& [fid, entry] : oracle_.entries()) {
      CheckLookup({fid});
      CheckEntry(fid);
    }
    Save();
  }

 private:
  void OneOp(uint8_t op) {
    switch (op % 12) {
      case 0:
        return CheckLookup(Fids());
      case 1:
        return CheckEntry(Fid());
      case 2:
      case 3:
        return Write(&EmbeddingTable::Assign, &MapTable::Assign);
      case 4:
        return Write(&EmbeddingTable::AssignAdd, &MapTable::AssignAdd);
      case 5:
      case 6:
        return Optimize();
      case 7:
        return Reinitialize();
      case 8:
        return Evict();
      case 9:
        return Save();
      case 10:
        return RestoreSaved();
      default:
        return AssignRun();
    }
  }

  // Three bits choose a form, five a number: the forms meet in some fids, and in some slots.
  int64_t Fid() {
    const uint8_t byte = in_.Byte();
    const int64_t i = byte & 31;
    switch (byte >> 5) {
      case 0:
        return i;
      case 1:
        return -i;
      case 2:
        return (i & 3) << 48;
      case 3:
        return ((i & 3) << 48) + i;
      case 4:
        return std::numeric_limits<int64_t>::min() + i;
      case 5:
        return std::numeric_limits<int64_t>::max() - i;
      case 6:
        return i << 32;
      default:
        return static_cast<int64_t>(static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u);
    }
  }

  std::vector<int64_t> Fids() {
    std::vector<int64_t> fids(1 + in_.Below(9));
    for (auto& fid : fids) fid = Fid();
    return fids;
  }

  // Quarters around 0; one byte in sixteen makes a row of zeros, or one that no arithmetic likes.
  Row AnyRow() {
    const uint8_t byte = in_.Byte();
    if (byte % 16 == 0) return Row(kKindDim, 0);
    Row row(kKindDim);
    for (int d = 0; d < kKindDim; ++d) row[d] = static_cast<int8_t>(byte + 37 * d) / 4.0f;
    if (byte % 16 == 1) row[byte / 16 % kKindDim] = byte & 16 ? 1e30f : 1e-30f;
    return row;
  }

  // Mostly within days of one another; sometimes before time began, or after 32 bits have run out.
  int64_t Time() {
    const uint8_t byte = in_.Byte();
    if (byte == 255) return -100;
    if (byte == 254) return int64_t{1} << 33;
    return byte * (kDay / 4);
  }

  ExpireConfig Expire() {
    ExpireConfig expire;
    if (in_.Below(2) != 0) expire.default_days = in_.Below(80);
    for (int i = in_.Below(3); i > 0; --i) expire.days_by_slot[in_.Below(4)] = in_.Below(80);
    return expire;
  }

  // What a filter must have been asked before a fid is written with this row.
  bool AskedAbout(int64_t fid) const { return oracle_.entries().count(fid) == 0; }

  template <typename TableWrite, typename MapWrite>
  void Write(TableWrite table_write, MapWrite map_write) {
    const std::vector<int64_t> fids = Fids();
    const int64_t time = Time();
    Choosy filter, *const used = in_.Below(3) == 0 ? &filter : nullptr;
    const bool skips = std::is_same_v<MapWrite, decltype(&MapTable::Assign)> &&
                       map_write == static_cast<MapWrite>(&MapTable::Assign) && kind_.config.skip_zero_embedding;
    Row rows;
    std::vector<int64_t> expected;
    for (const int64_t fid : fids) {
      const Row row = AnyRow();
      rows.insert(rows.end(), row.begin(), row.end());
      if (used != nullptr && AskedAbout(fid) && !(skips && row == Row(kKindDim, 0))) expected.push_back(fid);
      (oracle_.*map_write)(fid, row, time, used == nullptr || Choosy::Admits(fid));
    }
    (table_.get()->*table_write)({fids.data(), static_cast<int64_t>(fids.size()), rows.data()}, time, used);
    Require(Sorted(filter.asked) == Sorted(expected),
            "the filter was asked about other fids than those that were absent");
    CheckLookup(fids);
  }

  void Optimize() {
    const std::vector<int64_t> fids = Fids();
    const int64_t time = Time();
    const Row rates(table_->num_slices(), in_.Below(5) * 0.25f);
    std::vector<Row> gradients;
    std::vector<const float*> rows;
    for (size_t i = 0; i < fids.size(); ++i) gradients.push_back(AnyRow());
    for (const Row& gradient : gradients) rows.push_back(gradient.data());
    Choosy filter, *const used = kind_.trains() && in_.Below(3) == 0 ? &filter : nullptr;
    const auto step = [&] {
      table_->Optimize({fids.data(), static_cast<int64_t>(fids.size()), nullptr, rows.data()},
                       {rates.data(), time, 1, used});
    };
    if (!kind_.trains()) {
      try {
        step();
      } catch (const TableError&) {
        return;
      }
      throw Disagreement("a serving table was trained");
    }
    std::vector<int64_t> expected;
    for (size_t i = 0; i < fids.size(); ++i) {
      if (used != nullptr && AskedAbout(fids[i])) expected.push_back(fids[i]);
      oracle_.Optimize(fids[i], gradients[i], rates, time, 1, used == nullptr || Choosy::Admits(fids[i]));
    }
    step();
    Require(Sorted(filter.asked) == Sorted(expected),
            "the filter was asked about other fids than those that were absent");
    CheckLookup(fids);
  }

  void Reinitialize() {
    const std::vector<int64_t> fids = Fids();
    const int64_t time = Time();
    std::vector<int32_t> found(fids.size(), -7);
    table_->Reinitialize(fids.data(), fids.size(), time, found.data());
    for (size_t i = 0; i < fids.size(); ++i) {
      Require(found[i] == (oracle_.Reinitialize(fids[i], time) ? 1 : 0), "reinitialize misjudges what was there");
    }
  }

  void Evict() {
    const ExpireConfig expire = Expire();
    Require(table_->Evict(expire) == oracle_.Evict(expire), "other entries were evicted");
  }

  void Save() {
    const ExpireConfig expire = Expire();
    const int parts = 1 + in_.Below(5);
    saved_ = oracle_.Saved(expire);
    saved_bytes_.clear();
    const auto locked = table_->Lock();
    for (int part = 0; part < parts; ++part) {
      locked->ForEach(part, parts, expire, [this](int64_t fid, const std::string& bytes) {
        const auto it = saved_.find(fid);
        Require(it != saved_.end(), "a save holds fid " + std::to_string(fid) + ", which is not there");
        EntryDump dump;
        Require(ParseEntryDump(bytes, &dump) && dump.fid == fid, "a saved entry is damaged");
        CheckDump(dump, it->second);
        saved_bytes_.push_back(bytes);
        return true;
      });
    }
    Require(saved_bytes_.size() == saved_.size(), "a save lacks entries or has them twice");
  }

  // Restores the last save, sometimes only a shard of it, and sometimes into a batch that is dropped.
  void RestoreSaved() {
    const int num_shards = 1 + in_.Below(3), shard = in_.Below(num_shards);
    auto batch = table_->StartRestore();
    const size_t half = saved_bytes_.size() / 2;
    batch->Add({saved_bytes_.begin() + half, saved_bytes_.end()}, shard, num_shards);
    batch->Add({saved_bytes_.begin(), saved_bytes_.begin() + half}, shard, num_shards);
    if (in_.Below(4) == 0) return;
    table_->FinishRestore(std::move(batch));
    oracle_.Restore(saved_, shard, num_shards);
  }

  // Many fids in a row: the table grows.
  void AssignRun() {
    const int64_t n = 64 * (1 + in_.Below(16)), first = in_.Word(), time = Time();
    if (++runs_ > kMostRuns) return;
    const Row row = AnyRow();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t fid = first + i;
      table_->Assign({&fid, 1, row.data()}, time, nullptr);
      oracle_.Assign(fid, row, time, true);
    }
    CheckLookup({first, first + n / 2, first + n - 1, first + n});
  }

  void CheckLookup(const std::vector<int64_t>& fids) {
    Row expected;
    int64_t present = 0;
    for (const int64_t fid : fids) {
      const Row row = oracle_.Lookup(fid);
      expected.insert(expected.end(), row.begin(), row.end());
      present += oracle_.entries().count(fid);
    }
    Row read(expected.size(), -99);
    Require(table_->Lookup(fids.data(), fids.size(), read.data()) == present, "a lookup miscounts");
    Require(Same(read, expected), "a lookup from fid " + std::to_string(fids[0]) + " on differs");
  }

  void CheckEntry(int64_t fid) {
    const std::string bytes = table_->LookupEntry(fid);
    const auto it = oracle_.entries().find(fid);
    if (it == oracle_.entries().end()) return Require(bytes.empty(), "an absent fid has an entry");
    EntryDump dump;
    Require(ParseEntryDump(bytes, &dump), "lookup_entry gives damaged bytes");
    CheckDump(dump, it->second);
  }

  void CheckDump(const EntryDump& dump, const MapTable::Entry& entry) {
    Require(Same(dump.values, entry.kept), "saved values differ");
    Require(dump.update_ts == entry.update_ts, "a saved stamp differs");
    Require(dump.optimizer_states.size() == entry.states.size(), "a save has more or fewer states than slices");
    for (size_t i = 0; i < entry.states.size(); ++i) {
      const SliceConfig& slice = kind_.config.slices[i];
      const auto optimizer = NewOptimizer(slice.optimizer, slice.dim);
      Row state(entry.states[i].size(), -99);
      Require(RestoreState(dump.optimizer_states[i], *optimizer->schema(), optimizer->state_bytes(),
                           reinterpret_cast<char*>(state.data())),
              "a saved state cannot be read");
      Require(Same(state, entry.states[i]), "a saved state differs");
    }
  }

  const TableKind& kind_;
  InputBytes& in_;
  const std::unique_ptr<EmbeddingTable> table_;
  MapTable oracle_;
  MapTable::Entries saved_;  // by the last save
  std::vector<std::string> saved_bytes_;
  int runs_ = 0;
};

}  // namespace

int RunTableOps(const uint8_t* data, size_t size) {
  static const auto* const kinds = new std::vector<TableKind>(AllTableKinds());
  InputBytes in(data, size);
  const TableKind& kind = (*kinds)[in.Below(static_cast<int>(kinds->size()))];
  try {
    Play(kind, &in).Run();
  } catch (const Disagreement& error) {
    throw Disagreement(kind.name + ": " + error.what());
  }
  return 0;
}

}  // namespace testing
}  // namespace monolith

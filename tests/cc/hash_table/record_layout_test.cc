// SPDX-License-Identifier: Apache-2.0
// What the layout writes and reads is what the codec does; the codec is the reference.
#include "cc/hash_table/record_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/cc/hash_table/table_kinds.h"

namespace monolith {
namespace testing {
namespace {

// Tables whose states have several fields, some of one tag and some of another, and a slice that dumps nothing.
std::vector<TableConfig> FixedConfigs() {
  std::vector<TableConfig> configs;
  for (const char* optimizer : {"sgd", "adagrad", "adam", "amsgrad", "ftrl", "adadelta", "momentum", "rmsprop"}) {
    configs.push_back(MakeConfig({DefaultSlice(3, optimizer)}));
    configs.push_back(
        MakeConfig({DefaultSlice(1, optimizer), DefaultSlice(16, "adagrad"), DefaultSlice(2, optimizer)}));
  }
  return configs;
}

std::string RandomBytes(size_t n, std::mt19937* random) {
  std::string bytes(n, '\0');
  for (char& byte : bytes) byte = static_cast<char>((*random)());
  return bytes;
}

constexpr int64_t kFids[] = {0, 1, -1, int64_t{5} << 48};
constexpr uint32_t kTimes[] = {0, 1, 127, 128, 1700000000, 0xFFFFFFFF};

TEST(RecordLayoutTest, WritesWhatTheCodecWritesAndReadsItBack) {
  std::mt19937 random(1);
  for (const TableConfig& config : FixedConfigs()) {
    const auto codec = NewEntryCodec(config);
    const RecordLayout layout(*codec);
    ASSERT_TRUE(layout.is_fixed()) << config.slices[0].optimizer.name;
    for (const int64_t fid : kFids) {
      for (const uint32_t time : kTimes) {
        const std::string entry = RandomBytes(codec->entry_bytes(), &random);
        const std::string expected = codec->Saved(fid, entry.data(), entry.data() + codec->value_bytes(), time);
        std::string record(codec->most_saved_bytes(), '\0');
        record.resize(layout.Write(fid, entry.data(), time, record.data()) - record.data());
        ASSERT_EQ(record, expected);
        int64_t found_fid = 7;
        uint32_t found_time = 7;
        ASSERT_TRUE(layout.Matches(record, &found_fid, &found_time));
        EXPECT_EQ(found_fid, fid);
        EXPECT_EQ(found_time, time);
        std::string read(entry.size(), '\0');
        layout.Read(record.data(), read.data());
        EXPECT_EQ(read, entry);
      }
    }
  }
}

TEST(RecordLayoutTest, EveryBitThatIsNoFloatFidOrTimeCounts) {
  const auto codec = NewEntryCodec(MakeConfig({DefaultSlice(2, "adam"), DefaultSlice(3, "sgd")}));
  const RecordLayout layout(*codec);
  const std::string entry(codec->entry_bytes(), '\x11');
  const std::string record = codec->Saved(3, entry.data(), entry.data() + codec->value_bytes(), 5);
  const std::string other(codec->entry_bytes(), '\xEE');
  const std::string differs = codec->Saved(~int64_t{3}, other.data(), other.data() + codec->value_bytes(), 5);
  ASSERT_EQ(record.size(), differs.size());
  int64_t fid;
  uint32_t time;
  for (size_t bit = 0; bit < 8 * (record.size() - 1); ++bit) {
    std::string changed = record;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(layout.Matches(changed, &fid, &time), record[bit / 8] != differs[bit / 8]) << bit;
  }
}

TEST(RecordLayoutTest, RecordsOfOtherSizesDoNotMatch) {
  const auto codec = NewEntryCodec(MakeConfig({DefaultSlice(2, "adagrad")}));
  const RecordLayout layout(*codec);
  const std::string entry(codec->entry_bytes(), '\0');
  const std::string record = codec->Saved(3, entry.data(), entry.data() + codec->value_bytes(), 1700000000);
  int64_t fid;
  uint32_t time;
  for (size_t size = 0; size < record.size(); ++size) {
    EXPECT_FALSE(layout.Matches(record.substr(0, size), &fid, &time)) << size;
  }
  const std::string front = record.substr(0, record.size() - 5);  // without the time
  EXPECT_TRUE(layout.Matches(record, &fid, &time));
  EXPECT_FALSE(layout.Matches(record + '\0', &fid, &time));
  EXPECT_FALSE(layout.Matches(front + "\x01\x01", &fid, &time));              // something follows the time
  EXPECT_FALSE(layout.Matches(front + "\xFF\xFF\xFF\xFF\x10", &fid, &time));  // 2^32 and more
  EXPECT_FALSE(layout.Matches(front + "\x80\x80\x80\x80\x80", &fid, &time));  // goes on
  EXPECT_TRUE(layout.Matches(front + "\xFF\xFF\xFF\xFF\x0F", &fid, &time));
  EXPECT_EQ(time, 0xFFFFFFFFu);
}

TEST(RecordLayoutTest, IntegersAndEncodedValuesHaveNone) {
  EXPECT_FALSE(RecordLayout(*NewEntryCodec(MakeConfig({DefaultSlice(1, "batch_softmax")}))).is_fixed());
  for (const TableKind& kind : AllTableKinds()) {
    EXPECT_EQ(RecordLayout(*NewEntryCodec(kind.config)).is_fixed(), kind.trains()) << kind.name;
  }
}

// Restores of entries of the table's own form, of other forms, and of both in one call.
class TableRestoreTest : public ::testing::Test {
 protected:
  // The same fields in another order: the update time comes first.
  static std::string Reordered(const std::string& record, size_t time_bytes) {
    const size_t front = record.size() - time_bytes;
    return record.substr(front) + record.substr(0, front);
  }

  static std::string Record(const EntryCodec& codec, int64_t fid, float value, uint32_t time) {
    std::vector<float> entry(codec.entry_bytes() / sizeof(float), value);
    const auto* bytes = reinterpret_cast<const char*>(entry.data());
    return codec.Saved(fid, bytes, bytes + codec.value_bytes(), time);
  }
};

TEST_F(TableRestoreTest, OfTwinsInAnyFormsTheNewerWinsAndTheLaterOfOneAge) {
  const TableConfig config = MakeConfig({DefaultSlice(2, "adagrad")});
  const auto codec = NewEntryCodec(config);
  for (int forms = 0; forms < 4; ++forms) {
    const auto form = [&](int i, const std::string& record) { return forms >> i & 1 ? Reordered(record, 2) : record; };
    const std::string old = form(0, Record(*codec, 9, 1, 50)), young = form(1, Record(*codec, 9, 2, 60));
    const std::string same = form(1, Record(*codec, 9, 3, 50));
    const auto value_after = [&](const std::vector<std::vector<std::string>>& calls) {
      auto table = NewEmbeddingTable(config);
      auto batch = table->StartRestore(calls.size());
      for (const auto& call : calls) batch->Add(call, 0, 1);
      table->FinishRestore(std::move(batch));
      EXPECT_EQ(table->size(), 1u);
      return Lookup(*table, {9})[1];
    };
    EXPECT_EQ(value_after({{old, young}}), 2);
    EXPECT_EQ(value_after({{young, old}}), 2);
    EXPECT_EQ(value_after({{old}, {young}}), 2);
    EXPECT_EQ(value_after({{young}, {old}}), 2);
    EXPECT_EQ(value_after({{old, same}}), 3);
    EXPECT_EQ(value_after({{same, old}}), 1);
    EXPECT_EQ(value_after({{old}, {same}}), 3);
  }
}

TEST_F(TableRestoreTest, ManyEntriesOfMixedFormsComeBackWhateverCountWasTold) {
  const TableConfig config = MakeConfig({DefaultSlice(1, "sgd"), DefaultSlice(2, "adam")});
  auto table = NewEmbeddingTable(config);
  std::vector<int64_t> fids(20000);
  std::vector<float> rows;
  for (size_t i = 0; i < fids.size(); ++i) {
    fids[i] = static_cast<int64_t>(i * 0x9E3779B97F4A7C15);
    for (int d = 0; d < 3; ++d) rows.push_back(static_cast<float>(i * 3 + d));
  }
  Assign(table.get(), fids, rows, 77);
  std::vector<std::string> entries = Dump(table.get());
  for (size_t i = 0; i < entries.size(); i += 3) entries[i] = Reordered(entries[i], 2);
  for (const uint64_t told : {0, 100, 20000, 100000}) {
    auto copy = NewEmbeddingTable(config);
    auto batch = copy->StartRestore(told);
    for (size_t begin = 0; begin < entries.size(); begin += 3000) {
      const size_t end = std::min(begin + 3000, entries.size());
      batch->Add(std::vector<std::string>(entries.begin() + begin, entries.begin() + end), 0, 1);
    }
    copy->FinishRestore(std::move(batch));
    EXPECT_EQ(copy->size(), fids.size());
    EXPECT_EQ(Lookup(*copy, fids), rows);
    EXPECT_EQ(copy->max_update_ts(), 77);
    std::vector<std::string> expected = Dump(table.get()), found = Dump(copy.get());
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, expected);
  }
}

TEST_F(TableRestoreTest, TakesTheFidsOfItsShard) {
  const TableConfig config = MakeConfig({DefaultSlice(2, "adagrad")});
  const auto codec = NewEntryCodec(config);
  auto table = NewEmbeddingTable(config);
  auto batch = table->StartRestore();
  for (int64_t fid = -4; fid < 8; ++fid) batch->Add({Record(*codec, fid, static_cast<float>(fid), 1)}, 1, 4);
  table->FinishRestore(std::move(batch));
  EXPECT_EQ(table->size(), 3u);  // -3, 1 and 5, by their unsigned remainders
  EXPECT_EQ(Lookup(*table, {-3, 1, 5}), (std::vector<float>{-3, -3, 1, 1, 5, 5}));
}

}  // namespace
}  // namespace testing
}  // namespace monolith

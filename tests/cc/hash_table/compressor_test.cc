// SPDX-License-Identifier: Apache-2.0
// Compressors of serving entries and retrievers of training entries against worked cases.
#include "cc/hash_table/compressor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/retriever.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::Assign;
using testing::AssignAdd;
using testing::Dump;
using ::testing::ElementsAre;
using testing::Lookup;
using testing::MakeConfig;
using testing::MakeSlice;
using testing::Optimize;
using testing::Restore;
using testing::ServingConfig;

CompressorConfig FixedR8(float r) { return {"fixed_r8", r, 0, 0, 0, 0}; }

CompressorConfig OneBit(int64_t step_size, float amplitude = 0.1f) {
  return {"one_bit", 0, step_size, 1, 10000, amplitude};
}

std::vector<float> RoundTrip(const CompressorConfig& config, const std::vector<float>& values) {
  const auto compressor = NewCompressor(config);
  std::vector<char> bytes(compressor->Bytes(values.size()));
  compressor->Encode(values.data(), values.size(), bytes.data());
  std::vector<float> decoded(values.size());
  compressor->Decode(bytes.data(), values.size(), decoded.data());
  return decoded;
}

TEST(CompressorTest, FixedR8) {
  constexpr float kStep = 0.0390625f;
  EXPECT_THAT(RoundTrip(FixedR8(5), {100, -100, 3.5f, 1.4f * kStep, -1.4f * kStep, 1.6f * kStep, -1.6f * kStep}),
              ElementsAre(4.9609375f, -5, 3.515625f, kStep, -kStep, 2 * kStep, -2 * kStep));
  EXPECT_THAT(RoundTrip(FixedR8(5), {kStep / 2, -kStep / 2, NAN}), ElementsAre(kStep, -kStep, 0));
  EXPECT_THAT(RoundTrip(FixedR8(1), {1, 0.0039f, 0.0040f}), ElementsAre(0.9921875f, 0, 0.0078125f));
  EXPECT_EQ(NewCompressor(FixedR8(5))->Bytes(7), 7u);
}

TEST(CompressorTest, FixedR8KeepsTheSignOfHugeValues) {
  EXPECT_THAT(RoundTrip(FixedR8(1), {1e30f, -1e30f, INFINITY, -INFINITY, std::numeric_limits<float>::max()}),
              ElementsAre(0.9921875f, -1, 0.9921875f, -1, 0.9921875f));
}

TEST(CompressorTest, OneBit) {
  EXPECT_THAT(RoundTrip(OneBit(200, 1), {100, 0.1f, 1e-5f, 0, -1e-5f, -0.1f, -100}),
              ElementsAre(1, 1, 1, -1, -1, -1, -1));
  EXPECT_EQ(NewCompressor(OneBit(200))->Bytes(7), 7u);
}

TEST(CompressorTest, Halves) {
  EXPECT_THAT(RoundTrip({"fp16", 0, 0, 0, 0, 0}, {0.1f, 0.2f, 10000}),
              ElementsAre(0.0999755859375f, 0.199951171875f, 10000));
}

TEST(CompressorTest, EncodeReadsExactlyDimFloats) {
  SliceConfig one = MakeSlice(1), two = MakeSlice(2);
  one.compressor.name = two.compressor.name = "fp16";
  auto table = NewEmbeddingTable(ServingConfig({one, two}));
  Assign(table.get(), {7}, {1, 2, 3, 4});  // the fourth belongs to nobody
  EXPECT_THAT(Lookup(*table, {7}), ElementsAre(1, 2, 3));
}

TEST(CompressorTest, FixedR8Codes) {
  const float values[] = {3.5f, -5, 100, 0};
  char codes[4];
  NewCompressor(FixedR8(5))->Encode(values, 4, codes);
  EXPECT_THAT(codes, ElementsAre(90, -128, 127, 0));
}

TEST(CompressorTest, SlicesAreEncodedEachInItsOwnWay) {
  std::vector<SliceConfig> slices = {MakeSlice(1), MakeSlice(2), MakeSlice(3), MakeSlice(1)};
  slices[0].compressor.name = "fp16";
  slices[1].compressor = FixedR8(5);
  slices[2].compressor = OneBit(200, 0.5f);
  auto table = NewEmbeddingTable(ServingConfig(slices));
  Assign(table.get(), {7}, {0.1f, 100, 3.5f, 4, -4, 0, 0.7f});
  EXPECT_THAT(Lookup(*table, {7}), ElementsAre(0.0999755859375f, 4.9609375f, 3.515625f, 0.5f, -0.5f, -0.5f, 0.7f));
}

std::unique_ptr<EmbeddingTable> Training(const CompressorConfig& compressor, int dim = 1) {
  SliceConfig slice = MakeSlice(dim);
  slice.compressor = compressor;
  return NewEmbeddingTable(MakeConfig({slice}));
}

// The stored value of a fid of dim 1: the value after the first field's tag.
float Stored(const EmbeddingTable& table, int64_t fid) {
  EntryDump dump;
  const std::string entry = table.LookupEntry(fid);
  EXPECT_TRUE(ParseEntryDump(entry, &dump));
  return dump.values[0];
}

TEST(RetrieverTest, FixedR8ReadsTheGridAndKeepsWhatIsStored) {
  auto table = Training(FixedR8(1));
  Assign(table.get(), {7}, {0.0039f});
  EXPECT_THAT(Lookup(*table, {7, 8}), ElementsAre(0, 0));
  EXPECT_EQ(Stored(*table, 7), 0.0039f);
  AssignAdd(table.get(), {7}, {0.0001f});
  EXPECT_THAT(Lookup(*table, {7}), ElementsAre(0.0078125f));
  Optimize(table.get(), {7}, {0.25f}, {1});
  EXPECT_FLOAT_EQ(Stored(*table, 7), 0.004f - 0.25f);
}

TEST(RetrieverTest, SavedEntriesHoldWhatIsStored) {
  auto table = Training(FixedR8(1));
  Assign(table.get(), {7}, {0.0039f});
  auto copy = Training({"fp32", 0, 0, 0, 0, 0});
  Restore(copy.get(), Dump(table.get()));
  EXPECT_THAT(Lookup(*copy, {7}), ElementsAre(0.0039f));
}

TEST(RetrieverTest, OneBitReads) {
  auto table = Training(OneBit(1000));
  Assign(table.get(), {1, 2}, {1, 2});
  const std::vector<float> read = Lookup(*table, {1, 2});
  EXPECT_NEAR(read[0], 0.07615941, 1e-7);
  EXPECT_NEAR(read[1], 0.09640275, 1e-7);
}

float Scaled(Retriever* retriever, float weight, float gradient, int64_t step) {
  float scaled;
  retriever->ScaleGradient(&weight, &gradient, 1, step, &scaled);
  return scaled;
}

TEST(RetrieverTest, OneBitScalesGradientsAndRefreshesItsScale) {
  const auto retriever = NewRetriever(OneBit(1000));
  EXPECT_NEAR(Scaled(retriever.get(), 2, 1, 0), 0.00706508, 1e-7);
  EXPECT_NEAR(Scaled(retriever.get(), 2, 2, 999), 0.01413016, 1e-7);
  EXPECT_NEAR(Scaled(retriever.get(), 2, 100, 1000), 0.00544, 0.00544e-3);
  EXPECT_NEAR(Scaled(retriever.get(), 2, 200, 1001), 0.01089, 0.01089e-3);
  const float two = 2;
  float read;
  retriever->Read(&two, 1, &read);
  EXPECT_NEAR(read, 0.09998888, 1e-7);
  EXPECT_NEAR(Scaled(NewRetriever(OneBit(100)).get(), 1, 1, 100), 0.03584067, 1e-7);
}

TEST(RetrieverTest, OneBitFindsItsScaleAgainAfterARestart) {
  const auto before = NewRetriever(OneBit(100));
  Scaled(before.get(), 1, 1, 300);
  const auto after = NewRetriever(OneBit(100));
  EXPECT_EQ(Scaled(after.get(), 1, 1, 377), Scaled(before.get(), 1, 1, 377));
}

TEST(RetrieverTest, OneBitStopsAtTheLargestScale) {
  CompressorConfig config = OneBit(1, 1);
  config.max_scale = 3;
  const auto retriever = NewRetriever(config);
  Scaled(retriever.get(), 1, 1, 1000000);
  const float weight = 0.1f;
  float read;
  retriever->Read(&weight, 1, &read);
  EXPECT_FLOAT_EQ(read, std::tanh(0.3f));
}

TEST(RetrieverTest, OneBitLeavesTheCallersGradientAlone) {
  auto table = Training(OneBit(1000), 2);
  const std::vector<float> gradient = {1, 2};
  const int64_t fid = 7;
  const float rate = 1;
  Assign(table.get(), {7}, {2, 2});
  table->Optimize({&fid, 1, gradient.data()}, {&rate, 0, 0, nullptr});
  EXPECT_THAT(gradient, ElementsAre(1, 2));
  EXPECT_NEAR(Stored(*table, 7), 2 - 0.00706508, 1e-6);
}

TEST(RetrieverTest, OtherSlicesReadPlainly) {
  std::vector<SliceConfig> slices = {MakeSlice(1), MakeSlice(1)};
  slices[1].compressor = OneBit(1000);
  auto table = NewEmbeddingTable(MakeConfig(slices));
  Assign(table.get(), {7}, {1, 1});
  Optimize(table.get(), {7}, {0.25f, 0}, {1, 1});
  const std::vector<float> read = Lookup(*table, {7});
  EXPECT_EQ(read[0], 0.75f);
  EXPECT_NEAR(read[1], 0.07615941, 1e-7);
  EXPECT_THROW(Optimize(table.get(), {7}, {0, 0}, {1, 1}, 0, -1), TableError);
}

}  // namespace
}  // namespace monolith

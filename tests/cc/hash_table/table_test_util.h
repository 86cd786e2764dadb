// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CC_HASH_TABLE_TABLE_TEST_UTIL_H_
#define TESTS_CC_HASH_TABLE_TABLE_TEST_UTIL_H_

#include <memory>
#include <string>
#include <vector>

#include "cc/hash_table/embedding_table.h"

namespace monolith {
namespace testing {

inline SliceConfig MakeSlice(int dim, const std::string& optimizer = "sgd", float constant = 0) {
  SliceConfig slice;
  slice.dim = dim;
  slice.initializer.kind = InitializerConfig::Kind::kConstant;
  slice.initializer.constant = constant;
  slice.optimizer.name = optimizer;
  slice.compressor.name = "fp32";
  return slice;
}

inline TableConfig MakeConfig(const std::vector<SliceConfig>& slices) {
  TableConfig config;
  config.name = "table";
  config.slices = slices;
  return config;
}

// A slice with the settings that its optimizer's config message has by default.
inline SliceConfig DefaultSlice(int dim, const std::string& optimizer) {
  SliceConfig slice = MakeSlice(dim, optimizer);
  OptimizerConfig& config = slice.optimizer;
  config.beta1 = 0.9f;
  config.beta2 = 0.99f;
  config.epsilon = 0.01f;
  config.momentum = 0.9f;
  config.averaging_ratio = 0.9f;
  config.initial_accumulator_value = optimizer == "group_ftrl" ? 0 : 0.1f;
  config.beta = optimizer == "group_ftrl" ? 1 : 0;
  return slice;
}

inline TableConfig ServingConfig(const std::vector<SliceConfig>& slices) {
  TableConfig config = MakeConfig(slices);
  config.entry_type = TableConfig::EntryType::kServing;
  return config;
}

inline std::vector<float> Lookup(const EmbeddingTable& table, const std::vector<int64_t>& fids) {
  std::vector<float> values(fids.size() * table.dim(), -99);
  table.Lookup(fids.data(), fids.size(), values.data());
  return values;
}

inline void Assign(EmbeddingTable* table, const std::vector<int64_t>& fids, const std::vector<float>& values,
                   int64_t update_ts = 0) {
  table->Assign({fids.data(), static_cast<int64_t>(fids.size()), values.data()}, update_ts, nullptr);
}

inline void AssignAdd(EmbeddingTable* table, const std::vector<int64_t>& fids, const std::vector<float>& values,
                      int64_t update_ts = 0) {
  table->AssignAdd({fids.data(), static_cast<int64_t>(fids.size()), values.data()}, update_ts, nullptr);
}

inline void Optimize(EmbeddingTable* table, const std::vector<int64_t>& fids, const std::vector<float>& gradients,
                     const std::vector<float>& rates, int64_t update_ts = 0, int64_t global_step = 0) {
  table->Optimize({fids.data(), static_cast<int64_t>(fids.size()), gradients.data()},
                  {rates.data(), update_ts, global_step, nullptr});
}

inline std::vector<std::string> Dump(EmbeddingTable* table, int part = 0, int num_parts = 1) {
  std::vector<std::string> entries;
  table->Lock()->ForEach(part, num_parts, table->config().expire, [&entries](int64_t, const std::string& entry) {
    entries.push_back(entry);
    return true;
  });
  return entries;
}

inline void Restore(EmbeddingTable* table, const std::vector<std::string>& entries) {
  auto batch = table->StartRestore();
  batch->Add(entries, 0, 1);
  table->FinishRestore(std::move(batch));
}

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_HASH_TABLE_TABLE_TEST_UTIL_H_

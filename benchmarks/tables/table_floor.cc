// SPDX-License-Identifier: Apache-2.0
// The library's own table without TensorFlow: what separates it from the ops is the ops' overhead.
#include "benchmarks/tables/floor.h"
#include "cc/hash_table/embedding_table.h"

namespace {

monolith::TableConfig ConfigOf(const floors::Workload& workload) {
  monolith::SliceConfig slice;
  slice.dim = workload.dim;
  slice.initializer.kind = monolith::InitializerConfig::Kind::kConstant;
  slice.optimizer.name = "adagrad";
  slice.optimizer.initial_accumulator_value = workload.initial_accumulator;
  slice.compressor.name = "fp32";
  monolith::TableConfig config;
  config.name = "floor";
  config.slices.push_back(slice);
  return config;
}

class OwnTable {
 public:
  explicit OwnTable(const floors::Workload& workload)
      : rate_(workload.learning_rate), table_(monolith::NewEmbeddingTable(ConfigOf(workload))) {}

  void Lookup(const int64_t* fids, int64_t n, float* rows, int part) {
    const int64_t begin = n * part / floors::kThreads, end = n * (part + 1) / floors::kThreads;
    table_->Lookup(fids + begin, end - begin, rows + begin * table_->dim());
  }

  void Update(const int64_t* fids, int64_t n, const float* gradients, int part) {
    table_->Optimize({fids, n, gradients, nullptr, nullptr, part, floors::kThreads}, {&rate_, 0, 0, nullptr});
  }

 private:
  const float rate_;
  std::unique_ptr<monolith::EmbeddingTable> table_;
};

}  // namespace

int main(int argc, char** argv) { return floors::Main<OwnTable>(argc, argv); }

// SPDX-License-Identifier: Apache-2.0
// The library's own table without TensorFlow: what separates it from the ops is the ops' overhead.
#include "benchmarks/tables/floor.h"
#include "cc/hash_table/distinct_fids.h"
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

  // Fids are split as the op splits them: by hash, so that a fid is always one thread's.
  void Update(const int64_t* fids, int64_t n, const float* gradients, int part) {
    std::vector<int64_t>& own = fids_[part];
    std::vector<const float*>& rows = rows_[part];
    own.resize(n);
    rows.resize(n);
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
      own[count] = fids[i];
      rows[count] = gradients + i * table_->dim();
      count += monolith::PartOfFid(fids[i], floors::kThreads) == part;
    }
    table_->Optimize(own.data(), count, rows.data(), nullptr, &rate_, 0, 0, nullptr);
  }

 private:
  const float rate_;
  std::unique_ptr<monolith::EmbeddingTable> table_;
  std::vector<int64_t> fids_[floors::kThreads];
  std::vector<const float*> rows_[floors::kThreads];
};

}  // namespace

int main(int argc, char** argv) { return floors::Main<OwnTable>(argc, argv); }

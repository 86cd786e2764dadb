// SPDX-License-Identifier: Apache-2.0
// The one table implementation: training and serving entries differ in their codec only.
//
//   ConcurrentTable ── TableStorage ─┬─ 64 x FidIndex   fid -> entry number            (fid_index.h: probing, versions)
//          │                         └─ EntrySlab       entry number -> bytes          (entry_slab.h)
//          ├── EntryCodec    what the bytes of an entry mean                           (entry_codec.h)
//          ├── RecordLayout  where the bytes of an entry lie in its saved form              (record_layout.h)
//          ├── EpochManager  when memory that readers saw may be freed                 (epoch.h)
//          └── WriterGate    lets a save or a restore keep writers out                 (writer_gate.h)
//
// Memory: entry bytes rounded up to 8, 4 for the update time, 16 to 20 for the index. Reads go
// through hash, probe and copy in blocks; writes go in groups, which overlap: see entry_writer.h.
#ifndef CC_HASH_TABLE_CONCURRENT_TABLE_H_
#define CC_HASH_TABLE_CONCURRENT_TABLE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cc/hash_table/embedding_table.h"
#include "cc/hash_table/entry_codec.h"
#include "cc/hash_table/epoch.h"
#include "cc/hash_table/record_layout.h"
#include "cc/hash_table/table_storage.h"
#include "cc/hash_table/writer_gate.h"

namespace monolith {

class ConcurrentTable : public EmbeddingTable {
 public:
  explicit ConcurrentTable(const TableConfig& config);
  ~ConcurrentTable() override;

  const TableConfig& config() const override { return config_; }
  int dim() const override { return codec_->dim(); }
  int num_slices() const override { return codec_->num_slices(); }
  bool needs_looked_up() const override { return codec_->needs_looked_up(); }
  uint64_t size() const override;
  int64_t max_update_ts() const override { return max_update_ts_.load(std::memory_order_relaxed); }

  int64_t Lookup(const int64_t* fids, int64_t n, float* embeddings) const override;
  std::string LookupEntry(int64_t fid) const override;
  void Assign(const Batch& batch, int64_t update_ts, AdmissionFilter* filter) override;
  void AssignAdd(const Batch& batch, int64_t update_ts, AdmissionFilter* filter) override;
  void Optimize(const Batch& batch, const StepSettings& settings) override;
  void CheckOptimize(int64_t global_step, bool has_looked_up) const override;
  void Reinitialize(const int64_t* fids, int64_t n, int64_t now, int32_t* found) override;
  uint64_t Evict(const ExpireConfig& expire) override;

  std::unique_ptr<Locked> Lock() override;
  void Scan(int part, int num_parts, int64_t limit, uint64_t* offset, std::vector<std::string>* entries) const override;
  std::unique_ptr<RestoreBatch> StartRestore(uint64_t num_entries) const override;
  void FinishRestore(std::unique_ptr<RestoreBatch> batch) override;
  uint64_t MemoryBytes() const override;
  uint64_t EntryBytes() const override { return codec_->entry_bytes(); }
  double LoadFactor() const override;

 private:
  class LockedTable;

  TableStorage* storage() const { return storage_.load(std::memory_order_seq_cst); }
  void RaiseMaxUpdateTs(int64_t update_ts);
  void AssignSkippingZeros(const Batch& batch, int64_t update_ts, AdmissionFilter* filter);
  // write(row, value) for every fid of the batch that has or gets an entry.
  template <typename WriteRow>
  void WriteRows(const Batch& batch, int64_t update_ts, AdmissionFilter* filter, WriteRow write);

  const TableConfig config_;
  const std::unique_ptr<EntryCodec> codec_;
  const RecordLayout layout_;
  mutable EpochManager epochs_;
  WriterGate gate_;
  std::atomic<TableStorage*> storage_;
  std::atomic<int64_t> max_update_ts_{0};
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_CONCURRENT_TABLE_H_

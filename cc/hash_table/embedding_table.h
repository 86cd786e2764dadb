// SPDX-License-Identifier: Apache-2.0
// The interface of every table: a map from fid to entry, used a batch at a time.
//
// Any mix of calls from any threads is safe, except where a method says otherwise. A read of an entry is never torn;
// updates of one entry are serial, each counts; nothing is atomic across the entries of a batch. How entries lie in memory,
// and what a reader may see while a writer works, is on the first pages of fid_index.h and entry_slab.h.
#ifndef CC_HASH_TABLE_EMBEDDING_TABLE_H_
#define CC_HASH_TABLE_EMBEDDING_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cc/hash_table/record_frames.h"
#include "cc/hash_table/table_config.h"

namespace monolith {

// Decides whether a fid that a table lacks may get an entry.
class AdmissionFilter {
 public:
  virtual ~AdmissionFilter() = default;
  // Counts `occurrences` more sightings of `fid`; returns true if it is admitted.
  virtual bool Admit(int64_t fid, int64_t occurrences) = 0;
};

// A batch of fids to be written, with a row of floats each.
struct Batch {
  const int64_t* fids;
  int64_t n;
  const float* rows = nullptr;           // [n, dim]
  const float* const* row_of = nullptr;  // or, if not null, where the row of each fid is
  const int64_t* occurrences = nullptr;  // how often each was seen: what the filter counts; null: once
  int part = 0;                          // a call takes only those fids that belong to part `part` of `num_parts`
  int num_parts = 1;                     // (PartOfFid): so threads share a batch, and a fid is one thread's
  // Where the rows are gradients: the embeddings that they were computed from, for a table that needs_looked_up().
  const float* looked_up = nullptr;            // [n, dim]
  const float* const* looked_up_of = nullptr;  // or, if not null, where the one of each fid is
};

// What an optimizer step takes beside a gradient.
struct StepSettings {
  const float* learning_rates;  // one a slice
  int64_t update_ts;            // seconds
  int64_t global_step;
  AdmissionFilter* filter;  // null: all are admitted
};

// Entries read back from files, gathered beside a table until all of them have arrived. Threads may add to it at once.
class RestoreBatch {
 public:
  virtual ~RestoreBatch() = default;
  // Adds those of the serialized EntryDumps whose fid belongs to shard `shard` of `num_shards`; of a fid that comes twice,
  // the newer update time wins. Throws TableError for bytes that are no entry or do not fit the table.
  virtual void Add(const std::string_view* serialized, size_t n, int shard, int num_shards) = 0;

  void Add(const std::vector<std::string>& serialized, int shard, int num_shards) {
    const std::vector<std::string_view> views(serialized.begin(), serialized.end());
    Add(views.data(), views.size(), shard, num_shards);
  }
};

class EmbeddingTable {
 public:
  virtual ~EmbeddingTable() = default;

  virtual const TableConfig& config() const = 0;
  virtual int dim() const = 0;
  virtual int num_slices() const = 0;
  // Whether an optimizer step takes the embeddings that its gradient was computed from (optimizers/dc.cc).
  virtual bool needs_looked_up() const = 0;
  virtual uint64_t size() const = 0;
  virtual int64_t max_update_ts() const = 0;

  // Reads `n` embeddings into rows of `embeddings` [n, dim]; absent fids give zeros and are not inserted. Returns how
  // many were present.
  virtual int64_t Lookup(const int64_t* fids, int64_t n, float* embeddings) const = 0;

  // The saved form of one entry, without its fid; empty if absent.
  virtual std::string LookupEntry(int64_t fid) const = 0;

  // Writes. The first write of an absent fid asks `filter` (null: all are admitted) and initialises the entry before it
  // is applied. Occurrences of one fid are applied in the batch's order. `update_ts` is in seconds.
  virtual void Assign(const Batch& batch, int64_t update_ts, AdmissionFilter* filter) = 0;
  virtual void AssignAdd(const Batch& batch, int64_t update_ts, AdmissionFilter* filter) = 0;

  // One optimizer step for each occurrence; the rows are gradients. Throws TableError, with nothing changed, if the batch
  // lacks what needs_looked_up() asks for.
  virtual void Optimize(const Batch& batch, const StepSettings& settings) = 0;
  // Throws the TableError that Optimize would throw for a batch of some fids, which has what needs_looked_up() asks for or
  // has not. Who trains several tables in one call asks all of them before the first one changes.
  virtual void CheckOptimize(int64_t global_step, bool has_looked_up) const = 0;

  // Gives every fid fresh first values and an update time of `now`; found[i] tells whether it was there (1) or not (0).
  virtual void Reinitialize(const int64_t* fids, int64_t n, int64_t now, int32_t* found) = 0;

  // Removes what `expire` calls expired: max_update_ts - update_ts >= days * 86400. Returns how many were removed.
  virtual uint64_t Evict(const ExpireConfig& expire) = 0;

  // A cut through the table: writers wait while one of these lives, readers do not.
  class Locked {
   public:
    virtual ~Locked() = default;
    // Calls visit(fid, entry) with the serialized EntryDump, fid included, of every entry in part `part` of `num_parts`
    // that is not expired. Every entry lies in exactly one part; several threads may take parts at once. A visitor that
    // returns false ends the walk.
    virtual void ForEach(int part, int num_parts, const ExpireConfig& expire,
                         const std::function<bool(int64_t fid, const std::string& entry)>& visit) const = 0;
    // Puts the same entries, in the same order, into `frames`; returns how many. Stops early once `frames` takes no more.
    virtual uint64_t Save(int part, int num_parts, const ExpireConfig& expire, FrameBuffer* frames) const = 0;
  };
  virtual std::unique_ptr<Locked> Lock() = 0;

  // Reads on through part `part` of `num_parts`, without keeping writers out: appends at most `limit` entries, in the form
  // that Locked::ForEach gives. `*offset` says where to go on: 0 to begin, then what the call before left there. Fewer
  // than `limit` entries: the part has ended. The order is that of the fids' hashes, so whatever the table does between
  // two calls, an entry that is there all the time comes exactly once. Throws TableError for arguments out of range.
  virtual void Scan(int part, int num_parts, int64_t limit, uint64_t* offset,
                    std::vector<std::string>* entries) const = 0;

  // Restoring: fill a batch, then swap it in. Until then, and for ever if it is dropped, the table stays as it is.
  // `num_entries` is about how many will come, 0 if that is not known: room is made for them at once.
  virtual std::unique_ptr<RestoreBatch> StartRestore(uint64_t num_entries = 0) const = 0;
  virtual void FinishRestore(std::unique_ptr<RestoreBatch> batch) = 0;

  // Bytes that entries and index occupy.
  virtual uint64_t MemoryBytes() const = 0;
  // Bytes of one entry: its embedding, as it is kept, and the state of its optimizers.
  virtual uint64_t EntryBytes() const = 0;
  // The share of the index's cells that are in use.
  virtual double LoadFactor() const = 0;
};

// Throws TableError for a configuration that makes no table.
std::unique_ptr<EmbeddingTable> NewEmbeddingTable(const TableConfig& config);

}  // namespace monolith

#endif  // CC_HASH_TABLE_EMBEDDING_TABLE_H_

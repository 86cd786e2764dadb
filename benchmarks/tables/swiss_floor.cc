// SPDX-License-Identifier: Apache-2.0
// The floor of the throughput benchmark: a prefetched absl::flat_hash_map from fid to a slab entry, no TensorFlow.
//
// Two maps, split by a bit of the fid, so that two threads can insert without locks: each writes its own. Lookups read
// both maps, each thread half a batch. Map and slab take no part in concurrency of any kind: what they do is the least
// that a table of pointers can do. The slab asks for huge pages; the maps allocate as the library does.
#include <sys/mman.h>

#include <array>
#include <cmath>
#include <new>

#include "absl/container/flat_hash_map.h"
#include "benchmarks/tables/floor.h"

namespace {

constexpr int64_t kFar = 24;   // keys between the prefetch of a map's group and its probe
constexpr int64_t kNear = 12;  // keys between the probe and the use of the entry
constexpr int64_t kRing = 32;

int MapOf(int64_t fid) { return (static_cast<uint64_t>(fid) >> 20) & 1; }

class Slab {
 public:
  explicit Slab(size_t floats) : floats_(floats), chunk_(std::max<size_t>(1, kChunkBytes / (4 * floats))) {}
  float* Allocate() {
    if (used_ == chunk_) AddChunk();
    return data_ + used_++ * floats_;
  }

 private:
  static constexpr size_t kChunkBytes = size_t{16} << 20;
  void AddChunk() {
    void* raw = mmap(nullptr, kChunkBytes * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw std::bad_alloc();
    const uintptr_t aligned = (reinterpret_cast<uintptr_t>(raw) + (2 << 20) - 1) & ~uintptr_t{(2 << 20) - 1};
    data_ = reinterpret_cast<float*>(aligned);
    madvise(data_, kChunkBytes, MADV_HUGEPAGE);
    used_ = 0;
  }
  const size_t floats_, chunk_;
  float* data_ = nullptr;
  size_t used_ = chunk_;
};

class SwissTable {
 public:
  explicit SwissTable(const floors::Workload& workload)
      : dim_(workload.dim),
        rate_(workload.learning_rate),
        initial_(workload.initial_accumulator),
        parts_{Part(2 * workload.dim), Part(2 * workload.dim)} {}

  void Lookup(const int64_t* fids, int64_t n, float* rows, int part) {
    const int64_t begin = n * part / floors::kThreads, end = n * (part + 1) / floors::kThreads;
    Pipeline(
        fids + begin, end - begin, [this](int64_t fid) { return &parts_[MapOf(fid)].map; }, false,
        [&](int64_t i, int64_t, const float* entry) {
          float* row = rows + (begin + i) * dim_;
          if (entry == nullptr) {
            std::memset(row, 0, sizeof(float) * dim_);
          } else {
            std::memcpy(row, entry, sizeof(float) * dim_);
          }
        });
  }

  void Update(const int64_t* fids, int64_t n, const float* gradients, int part) {
    Part& own = parts_[part];
    own.fids.resize(n);
    own.gradients.resize(n);
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
      own.fids[count] = fids[i];
      own.gradients[count] = gradients + i * dim_;
      count += MapOf(fids[i]) == part;
    }
    Pipeline(
        own.fids.data(), count, [&own](int64_t) { return &own.map; }, true,
        [&](int64_t i, int64_t fid, float* entry) {
          if (entry == nullptr) entry = Insert(&own, fid);
          Adagrad(entry, own.gradients[i]);
        });
  }

 private:
  using Map = absl::flat_hash_map<int64_t, float*>;
  struct Part {
    explicit Part(size_t floats) : slab(floats) {}
    Map map;
    Slab slab;
    std::vector<int64_t> fids;  // this part's of a batch
    std::vector<const float*> gradients;
  };

  template <typename MapFor, typename Use>
  void Pipeline(const int64_t* fids, int64_t n, MapFor map_for, bool whole, Use use) {
    float* entries[kRing];
    const int64_t bytes = (whole ? 2 : 1) * sizeof(float) * dim_;
    for (int64_t i = 0; i < n + kFar; ++i) {
      if (i < n) map_for(fids[i])->prefetch(fids[i]);
      const int64_t near = i - (kFar - kNear);
      if (near >= 0 && near < n) {
        const Map* map = map_for(fids[near]);
        const auto found = map->find(fids[near]);
        entries[near % kRing] = found == map->end() ? nullptr : found->second;
        const char* at = reinterpret_cast<const char*>(entries[near % kRing]);
        for (int64_t b = 0; at != nullptr && b < std::min<int64_t>(bytes, 512); b += 64) __builtin_prefetch(at + b);
      }
      if (i >= kFar) use(i - kFar, fids[i - kFar], entries[(i - kFar) % kRing]);
    }
  }

  float* Insert(Part* own, int64_t fid) {
    float* entry = own->slab.Allocate();
    std::fill_n(entry, dim_, 0.0f);
    std::fill_n(entry + dim_, dim_, initial_);
    own->map.emplace(fid, entry);
    return entry;
  }

  void Adagrad(float* __restrict w, const float* __restrict g) const {
    float* __restrict norm = w + dim_;
    for (int i = 0; i < dim_; ++i) {
      norm[i] += g[i] * g[i];
      w[i] -= rate_ / std::sqrt(norm[i]) * g[i];
    }
  }

  const int dim_;
  const float rate_, initial_;
  std::array<Part, floors::kThreads> parts_;
};

}  // namespace

int main(int argc, char** argv) { return floors::Main<SwissTable>(argc, argv); }

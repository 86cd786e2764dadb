// SPDX-License-Identifier: Apache-2.0
// What the C++ floors of the throughput benchmark share: measurement.py in C++, on two threads.
//
// A table under test is a class with
//
//   explicit Table(const Workload& workload);
//   void Lookup(const int64_t* fids, int64_t n, float* rows, int part);
//   void Update(const int64_t* fids, int64_t n, const float* gradients, int part);   // distinct fids, Adagrad
//
// A call gets the whole batch; the two threads run it as part 0 and part 1 and share the work as they see fit.
#ifndef BENCHMARKS_TABLES_FLOOR_H_
#define BENCHMARKS_TABLES_FLOOR_H_

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace floors {

constexpr int kThreads = 2;
constexpr int kCheckedCalls = 4;
constexpr int64_t kBallast = 8;  // times what the table takes
constexpr size_t kBallastPiece = size_t{64} << 20;

inline int64_t FidOf(int64_t rank) {
  uint64_t x = (static_cast<uint64_t>(rank) + 1) * 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return static_cast<int64_t>(x ^ (x >> 31));
}

template <typename T>
std::vector<T> ReadArray(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error("cannot read " + path + "; give the directory that throughput.py made.");
  std::vector<T> values(static_cast<size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()), values.size() * sizeof(T));
  return values;
}

// Floats on a cache line's boundary, where TensorFlow has its tensors.
class Floats {
 public:
  explicit Floats(const std::vector<float>& values) : Floats(values.size()) {
    std::copy(values.begin(), values.end(), data());
  }
  explicit Floats(size_t size) : size_(size), data_(std::aligned_alloc(64, (4 * size + 63) / 64 * 64), &std::free) {
    std::memset(data_.get(), 0, 4 * size);
  }
  float* data() { return static_cast<float*>(data_.get()); }
  const float* data() const { return static_cast<const float*>(data_.get()); }
  size_t size() const { return size_; }

 private:
  size_t size_;
  std::unique_ptr<void, void (*)(void*)> data_;
};

struct Workload {
  explicit Workload(const std::string& directory) : gradients(ReadArray<float>(directory + "/gradients.f32")) {
    std::ifstream text(directory + "/workload.txt");
    std::string name, value;
    std::map<std::string, std::string> values;
    while (text >> name >> value) values[name] = value;
    keys = std::stoll(values.at("keys"));
    dim = std::stoi(values.at("dim"));
    batch = std::stoll(values.at("batch"));
    gradient_pool = std::stoi(values.at("gradient_pool"));
    learning_rate = std::stof(values.at("learning_rate"));
    initial_accumulator = std::stof(values.at("initial_accumulator"));
    lookup = ReadArray<int64_t>(directory + "/lookup.i64");
    update = ReadArray<int64_t>(directory + "/update.i64");
    for (auto* ranks : {&lookup, &update}) std::transform(ranks->begin(), ranks->end(), ranks->begin(), FidOf);
  }
  const float* GradientsOf(int64_t call) const { return gradients.data() + call % gradient_pool * batch * dim; }

  int64_t keys, batch;
  int dim, gradient_pool;
  float learning_rate, initial_accumulator;
  std::vector<int64_t> lookup, update;  // fids, [calls, batch]
  Floats gradients;                     // [pool, batch, dim]
};

// Runs work(0) here and work(1) on a thread of its own, which sleeps between calls.
class Pair {
 public:
  Pair() : other_([this] { Loop(); }) {}
  ~Pair() {
    Hand(nullptr);
    other_.join();
  }
  void Run(const std::function<void(int)>& work) {
    Hand(&work);
    work(0);
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !busy_; });
  }

 private:
  void Hand(const std::function<void(int)>* work) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      work_ = work;
      busy_ = true;
    }
    changed_.notify_all();
  }
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return busy_; });
      if (work_ == nullptr) return;
      lock.unlock();
      (*work_)(1);
      lock.lock();
      busy_ = false;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(int)>* work_ = nullptr;
  bool busy_ = false;
  std::thread other_;
};

class Ballast {
 public:
  explicit Ballast(size_t bytes) {
    const size_t pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
    for (size_t left = std::min(bytes, pages * page / 3); left >= kBallastPiece; left -= kBallastPiece) {
      void* piece = mmap(nullptr, kBallastPiece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (piece == MAP_FAILED) break;
      madvise(piece, kBallastPiece, MADV_HUGEPAGE);
      std::memset(piece, 1, kBallastPiece);
      pieces_.push_back(piece);
    }
  }
  ~Ballast() {
    while (!pieces_.empty()) Pop();
  }
  void Release(int64_t bytes) {
    for (owed_ += bytes; owed_ > 0 && !pieces_.empty(); owed_ -= kBallastPiece) Pop();
  }

 private:
  void Pop() {
    munmap(pieces_.back(), kBallastPiece);
    pieces_.pop_back();
  }
  std::vector<void*> pieces_;
  int64_t owed_ = 0;
};

inline double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double all, resident;
  statm >> all >> resident;
  return resident * sysconf(_SC_PAGE_SIZE);
}

inline double Checksum(const Floats& rows, int dim) {
  double sum = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const double value = rows.data()[i];
    sum += (1 + i / dim % 7) * (value + value * value);
  }
  return sum;
}

template <typename Call>
double Seconds(Call call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

inline void Print(const char* name, const std::vector<double>& seconds) {
  std::printf("\"%s\": [", name);
  for (size_t i = 0; i < seconds.size(); ++i) std::printf("%s%.9f", i == 0 ? "" : ", ", seconds[i]);
  std::printf("], ");
}

template <typename Table>
class Run {
 public:
  explicit Run(const Workload& workload)
      : workload_(workload), table_(workload), rows_(workload.batch * workload.dim) {}

  void All() {
    const double before = ResidentBytes();
    std::vector<double> insert = Fill(), lookup, update, step;
    const double bytes_per_key = (ResidentBytes() - before) / workload_.keys;
    const double lookup_checksum = Check(workload_.lookup);
    ForEach(workload_.lookup, [&](int64_t, const int64_t* fids) { lookup.push_back(Lookup(fids)); });
    ForEach(workload_.update,
            [&](int64_t call, const int64_t* fids) { update.push_back(Update(fids, workload_.batch, call)); });
    ForEach(workload_.update, [&](int64_t call, const int64_t* fids) {
      step.push_back(Lookup(fids) + Update(fids, workload_.batch, call));
    });
    std::printf("{");
    Print("insert", insert);
    Print("lookup", lookup);
    Print("update", update);
    Print("step", step);
    std::printf("\"lookup_checksum\": %.17g, \"update_checksum\": %.17g, \"bytes_per_key\": %.17g}\n", lookup_checksum,
                Check(workload_.update), bytes_per_key);
  }

 private:
  std::vector<double> Fill() {
    const int64_t bytes = 8 * workload_.dim + 48;
    Ballast ballast(kBallast * workload_.keys * bytes);
    std::vector<double> seconds;
    std::vector<int64_t> fids;
    for (int64_t begin = 0, call = 0; begin < workload_.keys; begin += workload_.batch, ++call) {
      const int64_t n = std::min(workload_.batch, workload_.keys - begin);
      fids.resize(n);
      for (int64_t i = 0; i < n; ++i) fids[i] = FidOf(begin + i);
      ballast.Release(kBallast * n * bytes);
      const double taken = Update(fids.data(), n, call);
      if (n == workload_.batch) seconds.push_back(taken);
    }
    return seconds;
  }
  template <typename Visit>
  void ForEach(const std::vector<int64_t>& fids, Visit visit) {
    for (size_t call = 0; call * workload_.batch < fids.size(); ++call) visit(call, &fids[call * workload_.batch]);
  }
  double Lookup(const int64_t* fids) {
    return Seconds([&] { pair_.Run([&](int part) { table_.Lookup(fids, workload_.batch, rows_.data(), part); }); });
  }
  double Update(const int64_t* fids, int64_t n, int64_t call) {
    const float* gradients = workload_.GradientsOf(call);
    return Seconds([&] { pair_.Run([&](int part) { table_.Update(fids, n, gradients, part); }); });
  }
  double Check(const std::vector<int64_t>& fids) {
    double sum = 0;
    ForEach(fids, [&](int64_t call, const int64_t* batch) {
      if (call >= kCheckedCalls) return;
      Lookup(batch);
      sum += Checksum(rows_, workload_.dim);
    });
    return sum;
  }

  const Workload& workload_;
  Table table_;
  Floats rows_;
  Pair pair_;
};

// The main of a floor: its one argument is the directory of a workload.
template <typename Table>
int Main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  try {
    const Workload workload(argv[1]);
    Run<Table>(workload).All();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace floors

#endif  // BENCHMARKS_TABLES_FLOOR_H_

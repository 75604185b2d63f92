// A step as a flat list of ops, built once: every op says what it reads and writes, what it costs, and how to call its
// kernel. From this one list come the memory plan, execution, profiles and the report before a run. Knows nothing of
// BERT.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tensor.h"
#include "kernels/kernels.h"

namespace dropforge {

/// Who owns a storage's memory: the program's arena (planned by lifetime), or a caller that binds a pointer before
/// execution (parameters, gradients, optimizer state, inputs, statistics).
enum class Owner : uint8_t { plan, caller };

struct Storage {
    std::string name;
    DType dtype;
    Shape shape;
    int64_t bytes;
    Owner owner;
    bool scratch = false;
};

/// What an op sees when it runs: bound pointers and the backend.
class Run {
  public:
    Run(void* const* pointers, const kernels::KernelTable& table, kernels::Context& context)
        : kernels(table), context(context), pointers_(pointers) {}

    /// The tensor's first element; nullptr for "no tensor".
    template <typename T = void>
    T* at(const Tensor& tensor) const {
        if (!tensor) return nullptr;
        return reinterpret_cast<T*>(static_cast<char*>(pointers_[tensor.storage]) + tensor.offset);
    }

    const kernels::KernelTable& kernels;
    kernels::Context& context;

  private:
    void* const* pointers_;
};

/// What an op computes where arithmetic may bound it: `count` products of [m,k] by [k,n], or as many attentions of m
/// queries to n keys with heads of size k. Predictions of its time ask for this.
struct Work {
    enum class Kind : uint8_t { elementwise, gemm, attention_forward, attention_backward };
    Kind kind = Kind::elementwise;
    int64_t count = 0, m = 0, n = 0, k = 0;
    int64_t read_beside = 0, written_beside = 0;  // matrices [m,n], beside a product's result
};

struct Op {
    std::string name;                    // "layer3/ffn/fc1.backward"
    std::vector<int32_t> reads, writes;  // storages; accumulated outputs are in both
    std::vector<std::pair<int32_t, int32_t>>
        inplace;   // (output, input): the output may take the input's memory if it dies here
    double flops;  // multiply-adds count 2; GEMMs and attention only (docs/algorithms.md)
    double bytes;  // read and written once each; without scratch
    Work work;
    std::function<void(const Run&)> run;
};

/// What an op touches. Scratch is a tensor that one op writes and nobody else reads.
struct Access {
    std::vector<Tensor> reads, writes;
    std::vector<std::pair<Tensor, Tensor>> inplace =
        {};  // (output, input); nothing where they are views at two offsets
    double flops = 0;
    Work work = {};
};

class Program {
  public:
    explicit Program(std::string name) : name_(std::move(name)) {}

    /// What a bound tensor holds when the program begins; `none`: an op must write it before one reads it.
    enum class Content : uint8_t { given, none };
    /// A tensor whose memory the caller binds by name. Names are unique among all storages: a second one throws Error.
    Tensor bound(const std::string& name, DType dtype, const Shape& shape, Content content = Content::given);
    /// A tensor in the planned arena, alive from the first op that writes it to the last that reads it.
    Tensor planned(const std::string& name, DType dtype, const Shape& shape);
    /// Planned bytes for one op's own use (0 bytes: no tensor); the op must list it under `writes`. Some kernels need
    /// a piece a thread: a program with scratch runs on at most as many threads as it was built with.
    Tensor scratch(const std::string& name, int64_t bytes);

    /// Appends an op. Throws Error if it reads a tensor without content that nothing has written.
    void add(std::string name, const Access& access, std::function<void(const Run&)> run);

    /// Prefix of the names given while the scope lives: "layer3/".
    class Scope {
      public:
        Scope(Program& program, const std::string& name);
        ~Scope();
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        Program& program_;
        size_t length_;
    };

    const std::string& name() const { return name_; }
    const std::vector<Storage>& storages() const { return storages_; }
    const std::vector<Op>& ops() const { return ops_; }
    /// The storage of that name. Throws Error if there is none.
    int32_t find(std::string_view name) const;
    bool has(std::string_view name) const { return by_name_.contains(name); }
    double flops() const;
    /// The most OpenMP threads that the scratch is enough for.
    int max_threads() const { return max_threads_; }

  private:
    Tensor add_storage(const std::string& name, DType dtype, const Shape& shape, Owner owner, bool scratch = false);

    std::string name_, prefix_;
    std::vector<Storage> storages_;
    std::map<std::string, int32_t, std::less<>> by_name_;
    std::vector<bool> written_;
    std::vector<Op> ops_;
    int max_threads_ = std::numeric_limits<int>::max();
};

}  // namespace dropforge

// A Program: a step as a flat list of ops, built once. Each op has the storages it reads and writes, its cost, and the
// call of its kernel. The memory plan, execution, profiles and the report before a run all follow from this list.
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

/// The owner of a storage's memory: the plan's arena, or the caller, which binds a pointer before execution
/// (parameters, gradients, optimizer state, inputs, statistics).
enum class Owner : uint8_t { plan, caller };

/// Memory that tensors are views of.
struct Storage {
    std::string name;
    DType dtype;
    Shape shape;
    int64_t bytes;
    Owner owner;
    bool scratch = false;
};

/// What an op's call needs: the storages' pointers and the backend.
class Run {
  public:
    Run(void* const* pointers, const kernels::KernelTable& table, kernels::Context& context)
        : kernels(table), context(context), pointers_(pointers) {}

    /// The tensor's first element; nullptr if it is absent.
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

/// The arithmetic of an op that it may bound, for predictions of its time: `count` GEMMs of [m,k] by [k,n], or
/// attentions of m queries to n keys with heads of size k.
struct Work {
    enum class Kind : uint8_t { elementwise, gemm, attention_forward, attention_backward };
    Kind kind = Kind::elementwise;
    int64_t count = 0, m = 0, n = 0, k = 0;
    int64_t extra_read = 0, extra_written = 0;  // number of matrices [m,n] of a GEMM's epilogue
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

/// The tensors of an op, its cost and its arithmetic. Absent tensors are left out. Scratch is listed under `writes`.
struct Access {
    std::vector<Tensor> reads, writes;
    /// (output, input); ignored where the two are views at different offsets.
    std::vector<std::pair<Tensor, Tensor>> inplace = {};
    double flops = 0;
    Work work = {};
};

/// The list of ops and the storages that they use.
class Program {
  public:
    explicit Program(std::string name) : name_(std::move(name)) {}

    /// Whether a bound tensor has content when the program begins; if not, an op must write it before one reads it.
    enum class Content : uint8_t { given, none };
    /// A tensor whose memory the caller binds by name. Names are unique among all storages: a second one throws Error.
    Tensor bound(const std::string& name, DType dtype, const Shape& shape, Content content = Content::given);
    /// A tensor in the planned arena, alive from the first op that writes it to the last that reads it.
    Tensor planned(const std::string& name, DType dtype, const Shape& shape);
    /// Planned memory for the use of one op, which must list it under `writes`; absent if `bytes` is 0. Since some
    /// kernels need scratch for each thread, a program with scratch runs on at most as many threads as it was built
    /// with.
    Tensor scratch(const std::string& name, int64_t bytes);

    /// Appends an op. Error if it reads a tensor that has no content and that no op has written.
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
    /// The largest number of OpenMP threads for which there is scratch.
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

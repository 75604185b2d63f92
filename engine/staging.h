// The small tensors that the host exchanges with programs at every run: inputs (tokens, positions, scales) and outputs
// (losses, counts). All inputs are in one block of memory and all outputs in another, so that a run needs one copy each
// way.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/buffer.h"
#include "engine/executor.h"

namespace dropforge {

/// The exchanged tensors of several programs, with host memory for several runs.
class Staging {
  public:
    /// Stages every caller-owned storage of `programs` whose name `selected` accepts. Storages of one name in several
    /// programs are one tensor, of one type and shape, or it is an Error. A tensor that an op writes is an output, any
    /// other an input. `runs` is the number of runs whose results can be unread at a time.
    Staging(kernels::Context& context, const std::vector<const Program*>& programs,
            const std::function<bool(std::string_view)>& selected, int64_t runs = 1);

    /// Error that names an input of `program` which is not among `given`, the inputs that the caller sets.
    void require_given(const Program& program, const std::set<std::string_view>& given) const;

    /// Binds the tensors that the executor's program has.
    void bind(Executor& executor) const;

    /// Begins the next run, in the host memory of the run `runs` before, for which it waits.
    void begin();
    bool has(std::string_view name) const { return places_.contains(name); }
    /// The tensor in the host memory of a run: the last one begun, or `ago` before it. Inputs are written between
    /// begin() and run(), and keep the values of `runs` runs before until then; outputs are valid after finish(). Error
    /// for an unknown name.
    template <typename T>
    std::span<T> at(std::string_view name, int64_t ago = 0) const {
        const Place& place = find(name);
        return {reinterpret_cast<T*>((place.output ? slot(ago).outputs : slot(ago).inputs).as<char>() + place.offset),
                static_cast<size_t>(place.bytes) / sizeof(T)};
    }
    /// Copies `values` to the input of that name; does nothing if there is none. Error if its size differs.
    template <typename T>
    void set(std::string_view name, std::span<const T> values) const {
        if (!has(name)) return;
        require_bytes(name, values.size_bytes());
        std::memcpy(at<T>(name).data(), values.data(), values.size_bytes());
    }

    /// Queues the copy of the inputs to the device, `executor`'s run, and the copy of the outputs back.
    void run(Executor& executor);
    /// Waits for the outputs of the last run begun, or of the one `ago` before it.
    void finish(int64_t ago = 0) const { context_.wait(slot(ago).mark); }

  private:
    struct Place {
        std::string program;  // the first that has the tensor
        DType dtype;
        Shape shape;
        int64_t bytes, offset = 0;
        bool output = false;
    };
    /// The host memory of one run.
    struct Slot {
        HostBuffer inputs, outputs;
        int64_t mark = 0;
    };

    const Place& find(std::string_view name) const;
    void require_bytes(std::string_view name, size_t bytes) const;
    const Slot& slot(int64_t ago) const {
        const auto n = static_cast<int64_t>(slots_.size());
        return slots_[static_cast<size_t>((current_ + n - ago % n) % n)];
    }

    kernels::Context& context_;
    std::map<std::string, Place, std::less<>> places_;
    Buffer inputs_, outputs_;
    std::vector<Slot> slots_;
    int64_t current_ = 0;
};

}  // namespace dropforge

// The small tensors that programs take from the host at every run and give back: tokens, positions, scales; losses,
// counts. All inputs lie side by side in one block and all outputs in another, so that a run needs one copy each way.
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

class Staging {
  public:
    /// Takes every caller-owned storage of `programs` for which `mine` holds; a name that several of them have is one
    /// tensor. What any op writes is an output, everything else an input. `runs`: how many the host may be ahead, with
    /// the results of all of them still to be read.
    Staging(kernels::Context& context, const std::vector<const Program*>& programs,
            const std::function<bool(std::string_view)>& mine, int64_t runs = 1);

    /// Throws Error naming an input of `program` that is not among `given`: nobody would set it before a run.
    void require_given(const Program& program, const std::set<std::string_view>& given) const;

    /// Binds what the executor's program has of them.
    void bind(Executor& executor) const;

    /// Begins the next run, in the host memory of the run that is `runs` ago; waits until that is done.
    void begin();
    bool has(std::string_view name) const { return places_.contains(name); }
    /// The tensor in the host memory of the run that was begun `ago` runs before the last one. An input is to be
    /// written before submit(), and keeps what it had `runs` ago; an output is there after finish(). Error if there is
    /// no such tensor.
    template <typename T>
    std::span<T> at(std::string_view name, int64_t ago = 0) const {
        const Place& place = find(name);
        return {reinterpret_cast<T*>((place.output ? slot(ago).outputs : slot(ago).inputs).as<char>() + place.offset),
                static_cast<size_t>(place.bytes) / sizeof(T)};
    }
    /// Copies `values` to an input, if there is one of that name. Error if it has another size.
    template <typename T>
    void set(std::string_view name, std::span<const T> values) const {
        if (!has(name)) return;
        require_bytes(name, values.size_bytes());
        std::memcpy(at<T>(name).data(), values.data(), values.size_bytes());
    }

    /// Queues the inputs' way to the device, `executor`'s run, and the outputs' way back.
    void run(Executor& executor);
    /// Waits for the outputs of the run that was begun `ago` runs before the last one.
    void finish(int64_t ago = 0) const { context_.wait(slot(ago).mark); }

  private:
    struct Place {
        std::string program;  // the first that has it
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

// How kernels are tested: every operation of every backend, on odd shapes, against the double reference.
//
// The rule. Inputs are random, rounded to the storage type under test. The truth is reference() on these inputs with
// f32 storage, so that only its last rounding to f32 is in it. `straightforward()` (f32 arithmetic, the storage under
// test, sums term after term) runs on the same inputs; its error, the largest over kSeeds random inputs so that no
// figure is small by luck, is the yardstick. For each output, both in the largest and in the root-mean-square
// difference,
//     error ≤ 2 · error of straightforward() + half an ulp of the output's storage at the scale of the output.
// NaN fails. Outputs and scratch are NaN before the call, and so is the padding between rows, which must stay as it
// was. A second run with another number of threads must give the same bits. Where the CUDA Toolkit's headers are, the
// CUDA kernels run too: on kernels/cuda/emulator, with their threads in three orders that must give the same bits, or,
// in a build for that (DROPFORGE_TEST_DEVICE=cuda), on a GPU.
//
// Gradients of reference() itself are checked against finite differences of its forward (check_gradient).
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <numbers>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "kernels/cuda/emulator/asan.h"
#include "kernels/cuda/emulator/observed.h"
#include "kernels/kernels.h"
#include "kernels/reference/loops.h"
#include "tests/support/kernel_array.h"
#if DROPFORGE_CUDA_TESTED
#include "kernels/cuda/backend.h"
#endif

namespace dropforge::kernels {

/// The backends that a test runs. One that needs operations which the CUDA backend lacks names them, and runs without
/// it. Where an observer looks at memory accesses (tests/simt_checks), only the CUDA backend; in a test of one level of
/// CPU kernels (main.cpp), not that one.
template <typename... Operations>
std::vector<const KernelTable*> backends(Operations KernelTable::*... needed) {
    std::vector<const KernelTable*> tables;
    if (!simt::observed()) tables = {&reference(), &cpu()};
#if DROPFORGE_CUDA_TESTED
    if (std::getenv("DROPFORGE_CPU") == nullptr) tables.push_back(&cuda());
#endif
    std::erase_if(tables,
                  [&]([[maybe_unused]] const KernelTable* table) { return !((table->*needed != nullptr) && ...); });
    return tables;
}

#if DROPFORGE_ASAN
constexpr uint64_t kSeeds = 4;  // the yardstick took most of the time; accesses are the same for all
#else
constexpr uint64_t kSeeds = 8;
#endif
constexpr DType kFloatTypes[] = {DType::f32, DType::bf16, DType::fp16};
/// The CPU leaves fp16 to GPUs.
inline bool computes(const KernelTable& backend, DType dtype) {
    return dtype != DType::fp16 || !std::string_view(backend.name).starts_with("cpu");
}

/// For messages: doctest prints a char* as an address.
inline std::string text(const KernelTable& backend) { return backend.name; }
inline std::string text(DType dtype) { return name_of(dtype); }

/// Half an ulp of a number of size 1: the unit roundoff.
constexpr double half_ulp(DType dtype) {
    return dtype == DType::bf16 ? 0x1p-8 : dtype == DType::fp16 ? 0x1p-11 : 0x1p-24;
}
/// Of f32 or a 16-bit type; f32 stands for no rounding at all.
inline double rounded_to(DType dtype, double value) {
    return is_16_bit(dtype) ? with_float_type(dtype,
                                              [&](auto type) {
                                                  return static_cast<double>(
                                                      static_cast<float>(decltype(type)(static_cast<float>(value))));
                                              })
                            : value;
}

/// A [1, n] array of given numbers.
inline Array array(DType dtype, std::initializer_list<double> values) {
    Array a(dtype, 1, static_cast<int64_t>(values.size()));
    a.fill([&](int64_t, int64_t c) { return values.begin()[c]; });
    return a;
}

/// One run of an operation: the backend, how its floats are stored, and the random inputs, which are the same for equal
/// seeds.
class Setup {
  public:
    Setup(const KernelTable& table, DType values, DType storage, uint64_t seed)
        : kernels(table), storage(storage), values_(values), stream_(seed, 0), context_(table.create_context()) {}

    const KernelTable& kernels;
    const DType storage;

    /// Normal deviates of the given scale, rounded to the type under test, in `storage`.
    Array normal(int64_t rows, int64_t columns, int64_t stride = 0, double scale = 1) {
        Array a(storage, rows, columns, stride);
        a.fill([&](int64_t, int64_t) { return rounded(scale * deviate()); });
        return a;
    }
    /// The same for operands that are f32 whatever the storage: around `mean`.
    Array floats(int64_t rows, int64_t columns, double mean = 0, double scale = 1) {
        Array a(DType::f32, rows, columns);
        a.fill([&](int64_t, int64_t) { return mean + scale * deviate(); });
        return a;
    }
    /// Integers in 0 … below-1; the first two are the first and the last of the range.
    Array integers(int64_t rows, int64_t columns, int64_t below) {
        Array a(DType::i32, rows, columns);
        a.fill([&](int64_t r, int64_t c) {
            const int64_t i = r * columns + c;
            return static_cast<double>(i == 0 ? 0 : i == 1 ? below - 1 : stream_.below(static_cast<uint32_t>(below)));
        });
        return a;
    }
    /// What an operation assigns (NaN before), or adds to (`accumulate`: random before).
    Array output(int64_t rows, int64_t columns, int64_t stride = 0, bool accumulate = false) {
        return accumulate ? normal(rows, columns, stride) : Array(storage, rows, columns, stride);
    }
    Array float_output(int64_t rows, int64_t columns, bool accumulate = false) {
        return accumulate ? floats(rows, columns) : Array(DType::f32, rows, columns);
    }
    static Array scratch(int64_t bytes) { return {DType::bf16, 1, bytes / 2}; }
    double rounded(double value) const { return rounded_to(values_, value); }

    template <typename Operation>
    void call(void (*kernel)(const Operation&, Context&), const Operation& operation) {
        require(kernel != nullptr, "backend {} lacks this operation", kernels.name);
        kernel(operation, *context_);
        context_->synchronize();
        if (!simt::observed()) return;
        if (text(kernels) != "cuda") simt::declare_all_written();  // it may have written anything, unseen
        CHECK(simt::complaints() == "");
    }

  private:
    /// Box & Muller 1958.
    double deviate() {
        const double radius = std::sqrt(-2 * std::log(stream_.uniform() + 0x1p-33));
        return radius * std::cos(2 * std::numbers::pi * stream_.uniform());
    }

    DType values_;
    PhiloxStream stream_;
    std::unique_ptr<Context> context_;
};

/// A result of a run: compared by the rule above, or bit for bit with the truth if exact.
struct Output {
    std::string name;
    Array array;
    bool exact = false;
};
using Outputs = std::vector<Output>;

template <typename... Rest>
void add_outputs(Outputs& outputs, std::string name, Array array, Rest&&... rest) {
    outputs.push_back({std::move(name), std::move(array), false});
    if constexpr (sizeof...(rest) > 0) add_outputs(outputs, std::forward<Rest>(rest)...);
}
/// outputs("y", std::move(y), "mean", std::move(mean), …)
template <typename... Pairs>
Outputs outputs(Pairs&&... pairs) {
    Outputs all;
    add_outputs(all, std::forward<Pairs>(pairs)...);
    return all;
}

struct Size {
    double largest = 0, rms = 0;
};
/// Of a − b, or of a alone; a difference that is not a number counts as infinite.
inline Size size_of_difference(const Array& a, const Array* b) {
    Size size;
    for (int64_t r = 0; r < a.rows(); ++r) {
        for (int64_t c = 0; c < a.columns(); ++c) {
            double d = std::abs(a.at(r, c) - (b ? b->at(r, c) : 0));
            if (std::isnan(d)) d = std::numeric_limits<double>::infinity();
            size.largest = std::max(size.largest, d);
            size.rms += d * d;
        }
    }
    size.rms = std::sqrt(size.rms / static_cast<double>(std::max<int64_t>(a.rows() * a.columns(), 1)));
    return size;
}

/// A GPU's tensor cores cut sums off where f32 arithmetic rounds them (Fasi et al. 2021, "Numerical behavior of NVIDIA
/// tensor cores"): by up to an ulp instead of half of one.
inline bool cuts_sums_off([[maybe_unused]] const KernelTable& backend, [[maybe_unused]] DType inputs) {
#if DROPFORGE_CUDA_DEVICE
    return &backend == &cuda() && inputs != DType::f32;
#else
    return false;
#endif
}

/// `cut_off`: as told above.
inline void compare(const Output& result, const Array& truth, const Size& yardstick, bool cut_off = false) {
    INFO("output ", result.name);
    CHECK(result.array.padding_untouched());
    const Size error = size_of_difference(result.array, &truth), scale = size_of_difference(truth, nullptr);
    const bool sums = cut_off && result.array.dtype() == DType::f32;
    const double ulp = result.exact ? 0 : half_ulp(result.array.dtype()) * (sums ? 2 : 1);
    const double factor = result.exact ? 0 : 2;
    REQUIRE(std::isfinite(yardstick.largest));
    CHECK(error.largest <= factor * yardstick.largest + ulp * scale.largest);
    CHECK(error.rms <= factor * yardstick.rms + ulp * scale.rms);
}

using RunOperation = std::function<Outputs(Setup&)>;

/// The truth for seed 0, and for each output the largest error of the straightforward implementation over all seeds.
struct Expected {
    Outputs truth;
    std::vector<Size> yardstick;
};
inline Expected expect(DType dtype, const RunOperation& run) {
    Expected expected;
    for (uint64_t seed = kSeeds; seed-- > 0;) {  // seed 0 last: its truth stays
        Setup exact(reference(), dtype, DType::f32, seed), plain(straightforward(), dtype, dtype, seed);
        expected.truth = run(exact);
        const Outputs results = run(plain);
        expected.yardstick.resize(results.size());
        for (size_t i = 0; i < results.size(); ++i) {
            const Size error = size_of_difference(results[i].array, &expected.truth[i].array);
            Size& largest = expected.yardstick[i];
            largest = {std::max(largest.largest, error.largest), std::max(largest.rms, error.rms)};
        }
    }
    return expected;
}

enum class Repeat : uint8_t { other_threads, same_threads };

/// While it lives, kernels run by schedule 0, 1 or 2, which must not matter: another number of threads (unless the same
/// is asked for), another order of CUDA's.
class Scheduled {
  public:
    Scheduled(size_t schedule, Repeat repeat)
#if DROPFORGE_CUDA_EMULATED
        : order_(orders[schedule])
#endif
    {
        if (repeat == Repeat::other_threads) omp_set_num_threads(schedule == 0 ? 1 : 3);
    }
    ~Scheduled() { omp_set_num_threads(threads_); }
    Scheduled(const Scheduled&) = delete;
    Scheduled& operator=(const Scheduled&) = delete;

    /// How many of them differ for a backend.
    static size_t count([[maybe_unused]] const KernelTable& backend) {
#if DROPFORGE_CUDA_EMULATED
        if (&backend == &cuda()) return 3;
#endif
        return 2;
    }

  private:
#if DROPFORGE_CUDA_EMULATED
    static constexpr simt::Order orders[] = {simt::Order::forward, simt::Order::reverse, simt::Order::random};
    simt::ScopedOrder order_;
#endif
    int threads_ = omp_get_max_threads();
};

/// Runs the operation on every backend and applies the rule; `label` says which case failed.
inline void check_backends(const std::string& label, DType dtype, const RunOperation& run,
                           Repeat repeat = Repeat::other_threads,
                           const std::vector<const KernelTable*>& tables = backends()) {
    const Expected expected = simt::observed() ? Expected{} : expect(dtype, run);
    for (const KernelTable* backend : tables) {
        if (!computes(*backend, dtype)) continue;
        INFO(text(*backend), " ", text(dtype), ": ", label);
        Outputs results;
        for (size_t schedule = 0; schedule < Scheduled::count(*backend); ++schedule) {
            const Scheduled scheduled(schedule, repeat);
            Setup setup(*backend, dtype, dtype, 0);
            Outputs these = run(setup);
            if (simt::observed()) break;  // what counts is in Setup::call
            if (schedule == 0) {
                results = std::move(these);
                continue;
            }
            INFO("schedule ", schedule);
            for (size_t i = 0; i < results.size(); ++i) CHECK(results[i].array == these[i].array);
        }
        for (size_t i = 0; i < results.size(); ++i)
            compare(results[i], expected.truth[i].array, expected.yardstick[i], cuts_sums_off(*backend, dtype));
    }
}

/// The same on chosen backends.
inline void check_backends(const std::vector<const KernelTable*>& tables, const std::string& label, DType dtype,
                           const RunOperation& run) {
    check_backends(label, dtype, run, Repeat::other_threads, tables);
}

/// Σ weight·y over the elements, and Σ |weight·y|: a loss whose gradient at y is `weight`.
struct Loss {
    double value = 0, magnitude = 0;

    void add(const Array& y, const Array& weight) {
        for (int64_t r = 0; r < y.rows(); ++r) {
            for (int64_t c = 0; c < y.columns(); ++c) {
                value += y.at(r, c) * weight.at(r, c);
                magnitude += std::abs(y.at(r, c) * weight.at(r, c));
            }
        }
    }
};

/// Compares `gradient` with central differences of `loss` in every element of x, which must be f32 and exact on a
/// coarse grid (values of bf16). D(h) = (f(x+h) − f(x−h))/2h; D = (4·D(h) − D(2h))/3 is exact to h⁴. Limit: the
/// rounding of y to f32, 1.5·u·magnitude/h in the worst case; the truncation, less than |D − D(h)| (which bounds the
/// far larger error of D(h)); and the rounding of `gradient`.
inline void check_gradient(const std::string& name, Array& x, const Array& gradient,
                           const std::function<Loss()>& loss) {
    INFO("gradient of ", name);
    constexpr double h = 0x1p-5, u = 0x1p-24;
    for (int64_t r = 0; r < x.rows(); ++r) {
        for (int64_t c = 0; c < x.columns(); ++c) {
            const double centre = x.at(r, c);
            double magnitude = 0;
            const auto difference = [&](double step) {
                x.set(r, c, centre + step);
                const Loss up = loss();
                x.set(r, c, centre - step);
                const Loss down = loss();
                x.set(r, c, centre);
                magnitude = std::max({magnitude, up.magnitude, down.magnitude});
                return (up.value - down.value) / (2 * step);
            };
            const double fine = difference(h), coarse = difference(2 * h), best = (4 * fine - coarse) / 3;
            const double limit = 1.5 * u * magnitude / h + std::abs(best - fine) + u * std::abs(best);
            const double error = std::abs(gradient.at(r, c) - best);
            INFO("element ", r, ", ", c);
            CHECK(error <= limit);
        }
    }
}

/// A Setup for check_gradient.
inline Setup gradient_setup() { return {reference(), DType::bf16, DType::f32, 1}; }

/// Philox state of a dropout, and the dropout itself for as long as this lives.
struct DropoutSource {
    /// Key, step, first sequence. Made when a test asks for it: kernels on a GPU reach what is made in main() only.
    static const uint32_t* state() {
        static const std::vector<uint32_t> words{0x12345678u, 0x9abcdef0u, 7, 3};
        return words.data();
    }
    Dropout with(float probability, uint32_t site = 5) const { return {state(), site, probability}; }
};

}  // namespace dropforge::kernels

#include "bench/measure/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

namespace dropforge {

namespace {

/// Seconds of one of `runs` runs, with one wait for all.
double seconds_of(kernels::Context& context, const std::function<void()>& run, int64_t runs) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    for (int64_t i = 0; i < runs; ++i) run();
    context.synchronize();
    return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(runs);
}

/// Times at least 5 samples, for at least the given time.
Seconds sample(kernels::Context& context, const std::function<void()>& run, int64_t runs, double enough) {
    constexpr size_t kFewest = 5;
    std::vector<double> samples;
    for (double total = 0; total < enough || samples.size() < kFewest;
         total += samples.back() * static_cast<double>(runs))
        samples.push_back(seconds_of(context, run, runs));
    std::ranges::sort(samples);
    return {samples[samples.size() / 2], samples[0]};
}

}  // namespace

Seconds time_calls(kernels::Context& context, const std::vector<std::function<void()>>& calls) {
    const auto call_all = [&] {
        for (const auto& call : calls) call();
    };
    call_all();  // makes plans, wakes threads, fetches memory
    context.synchronize();
    const auto count = static_cast<double>(calls.size());
    Seconds seconds{};
    if (context.on_host()) {
        seconds = sample(context, call_all, 1, 0.2);
    } else {
        constexpr double kSample = 2e-3;  // against some 10 µs of a wait
        const std::unique_ptr<kernels::Recording> recording = context.record(call_all);
        const auto replay = recording ? std::function<void()>([&] { recording->run(); }) : call_all;
        const double once = std::max(seconds_of(context, replay, 3), 1e-9);
        seconds = sample(context, replay, std::max<int64_t>(std::lround(kSample / once), 1), 0.05);
    }
    return {seconds.median / count, seconds.least / count};
}

}  // namespace dropforge

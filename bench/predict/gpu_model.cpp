#include "bench/predict/gpu_model.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "bench/predict/device_files.h"
#include "kernels/cuda/gemm/gemm_split_k.h"
#include "kernels/cuda/runtime/workspace.h"

namespace dropforge {

namespace {

constexpr double kMicro = 1e-6, kGiga = 1e9, kTera = 1e12;

/// Reads the numbers of a table of the file, which are positive.
class Numbers {
  public:
    Numbers(const toml::table& table, std::string prefix, const std::string& where)
        : table_(table), prefix_(std::move(prefix)), where_(where) {}

    double operator()(const char* key, double unit = 1) const {
        const auto value = table_[key].value<double>();
        require(value && *value > 0 && std::isfinite(*value), "{}: {}{} must be a positive number", where_, prefix_,
                key);
        return *value * unit;
    }

  private:
    const toml::table& table_;
    std::string prefix_;
    const std::string& where_;
};

const toml::table& table_of(const toml::table& root, const char* name, const std::string& where) {
    const toml::table* table = root[name].as_table();
    require(table != nullptr, "{}: there is no [{}]", where, name);
    return *table;
}

std::vector<GemmTile> tiles_of(const toml::table& gemm, const std::string& where) {
    std::vector<GemmTile> tiles;
    const toml::array* list = gemm["tiles"].as_array();
    require(list != nullptr && !list->empty(), "{}: gemm.tiles must be a list of [rows, columns, rate]", where);
    for (const toml::node& node : *list) {
        const toml::array* tile = node.as_array();
        std::array<double, 3> values{};
        for (size_t i = 0; tile != nullptr && tile->size() == values.size() && i < values.size(); ++i)
            values[i] = (*tile)[i].value<double>().value_or(0);
        require(std::ranges::all_of(values, [](double x) { return x > 0 && std::isfinite(x); }),
                "{}: gemm.tiles must be a list of [rows, columns, rate], all positive", where);
        tiles.push_back({values[0], values[1], values[2]});
    }
    return tiles;
}

GpuModel parse(std::string_view text, const std::string& where) {
    toml::table root;
    try {
        root = toml::parse(text);
    } catch (const toml::parse_error& error) {
        throw Error("{}:{}: {}", where, error.source().begin.line, error.description());
    }
    const toml::table &gemm = table_of(root, "gemm", where), &attention = table_of(root, "attention", where);
    const Numbers top(root, "", where), g(gemm, "gemm.", where), a(attention, "attention.", where);
    const auto name = root["name"].value<std::string>();
    require(name.has_value(), "{}: name must be a text", where);
    return {.name = *name,
            .sm_count = top("multiprocessors"),
            .bf16_flops = top("bf16_tflops", kTera),
            .tf32_flops = top("tf32_tflops", kTera),
            .f32_flops = top("f32_tflops", kTera),
            .memory_bytes = top("memory_gb", kGiga),
            .memory_bandwidth = top("memory_gb_per_s", kGiga),
            .l2_bytes = top("l2_mb", 1e6),
            .memory_efficiency = top("memory_efficiency"),
            .l2_speedup = top("l2_speedup"),
            .kernel_seconds = top("kernel_us", kMicro),
            .launch_seconds = top("launch_us", kMicro),
            .gemm_efficiency = g("efficiency"),
            .gemm_k_overhead = g("k_overhead"),
            .gemm_tiles = tiles_of(gemm, where),
            .attention_efficiency = a("efficiency"),
            .forward_steps = a("forward_steps"),
            .backward_steps = a("backward_steps")};
}

bool has_scratch(const Op& op, const Program& program) {
    return std::ranges::any_of(op.writes,
                               [&](int32_t id) { return program.storages()[static_cast<size_t>(id)].scratch; });
}
double tiles_across(int64_t size, double tile) { return std::ceil(static_cast<double>(size) / tile); }

}  // namespace

GpuModel GpuModel::load(const std::string& name_or_file) {
    for (const DeviceFile& file : device_files())
        if (file.name == name_or_file) return parse(file.text, name_or_file);
    if (fs::is_regular_file(name_or_file)) return parse(read_text(name_or_file), name_or_file);
    throw Error("no GPU named \"{}\", and no such file; known are {}", name_or_file, fmt::join(known(), ", "));
}

std::vector<std::string> GpuModel::known() {
    std::vector<std::string> names;
    for (const DeviceFile& file : device_files()) names.emplace_back(file.name);
    return names;
}

GpuPrediction::GpuPrediction(const GpuModel& gpu, DType dtype, bool tf32)
    : gpu_(gpu),
      element_bytes_(static_cast<double>(size_of(dtype))),
      peak_(is_16_bit(dtype) ? gpu.bf16_flops  // fp16 has the rate of bf16
            : tf32           ? gpu.tf32_flops
                             : gpu.f32_flops) {}

/// Seconds of memory traffic. Operands of up to half of the L2 are still in it from the op before.
double GpuPrediction::memory_seconds(double bytes) const {
    const double in_l2 = std::min(bytes, gpu_.l2_bytes / 2), bandwidth = gpu_.memory_bandwidth * gpu_.memory_efficiency;
    return (bytes - in_l2) / bandwidth + in_l2 / (bandwidth * gpu_.l2_speedup);
}

/// Seconds of a GEMM with the best tile and split-K factor. Every SM has one tile at a time, and the last wave may be
/// nearly empty. Partial sums of split-K are added in f32 by a separate kernel. Each matrix of the epilogue costs a
/// tile as much as the result: half of its prologue and epilogue. A bias gradient is free, as the step to which the
/// A100's file is fitted has them too.
double GpuPrediction::gemm_seconds(const Work& w, int64_t epilogue_matrices) const {
    using namespace kernels::on_cuda;
    const double result = 4 * static_cast<double>(w.m * w.n);  // f32
    const double most = std::min(static_cast<double>(max_split_k(w.m, w.n, w.k)), kWorkspaceBytes / result);
    double best = std::numeric_limits<double>::infinity();
    for (const GemmTile& tile : gpu_.gemm_tiles) {
        const double tiles = tiles_across(w.m, tile.rows) * tiles_across(w.n, tile.columns);
        const double rate = peak_ / gpu_.sm_count * gpu_.gemm_efficiency * tile.rate;
        for (double split_k = 1; split_k == 1 || split_k <= most; ++split_k) {
            const double rounds = std::ceil(tiles * split_k / gpu_.sm_count);
            const double ends = gpu_.gemm_k_overhead * (1 + 0.5 * static_cast<double>(epilogue_matrices));
            const double depth = static_cast<double>(w.k) / split_k + ends;
            double seconds = rounds * 2 * tile.rows * tile.columns * depth / rate;
            if (split_k > 1) seconds += memory_seconds((split_k + 1) * result) + gpu_.kernel_seconds;
            best = std::min(best, seconds);
        }
    }
    return best;
}

/// Seconds of attention: matrix multiplications, and instructions for each score. The backward pass has five
/// multiplications, or seven where the keys are too many for one block, as scores and their gradients are recomputed
/// for the queries' gradients.
double GpuPrediction::attention_seconds(const Work& w) const {
    constexpr int64_t kKeysOfBlock = 128;  // kernels/cuda/attention/attention_backward.cu, heads of up to 64
    const double scores = static_cast<double>(w.count * w.m * w.n), head = static_cast<double>(w.k);
    const bool backward = w.kind == Work::Kind::attention_backward, recomputed = backward && w.n > kKeysOfBlock;
    const double multiplications = !backward ? 2 : recomputed ? 7 : 5;
    const double steps = !backward ? gpu_.forward_steps : gpu_.backward_steps * (recomputed ? 1.5 : 1);
    const double instructions = gpu_.f32_flops / 2;  // a multiply-add counts two
    return multiplications * 2 * scores * head / (peak_ * gpu_.attention_efficiency) + scores * steps / instructions +
           (recomputed ? gpu_.kernel_seconds : 0);
}

/// Whether GELU is a kernel after the GEMM, as for f32, for which libraries have no such epilogue.
bool GpuPrediction::gelu_is_unfused(const Work& w) const {
    return w.extra_read + w.extra_written > 0 && element_bytes_ > 2;
}

/// Seconds of a GEMM with its epilogue. Unfused, GELU reads the GEMM's result, and the input if there is one, and
/// writes a matrix.
double GpuPrediction::gemm_op_seconds(const Work& w) const {
    if (!gelu_is_unfused(w)) return gemm_seconds(w, w.extra_read + w.extra_written);
    const double matrices = 2 + static_cast<double>(w.extra_read);
    return gemm_seconds(w, 0) + memory_seconds(element_bytes_ * matrices * static_cast<double>(w.m * w.n));
}

/// Number of kernels of an op. Ops with scratch (a sum over rows, a norm) have two stages.
double GpuPrediction::kernels_of(const Op& op, const Program& program) const {
    if (gelu_is_unfused(op.work)) return 2;
    const bool staged = op.work.kind == Work::Kind::elementwise || op.work.kind == Work::Kind::gemm;
    return staged && has_scratch(op, program) ? 2 : 1;
}

PredictedTime GpuPrediction::of(const Op& op, const Program& program) const {
    double arithmetic = 0;
    if (op.work.kind == Work::Kind::gemm) {
        arithmetic = gemm_op_seconds(op.work);
    } else if (op.work.kind != Work::Kind::elementwise) {
        arithmetic = attention_seconds(op.work);
    }
    return {kernels_of(op, program) * gpu_.kernel_seconds + std::max(arithmetic, memory_seconds(op.bytes)),
            std::max(op.flops / peak_, op.bytes / gpu_.memory_bandwidth)};
}

}  // namespace dropforge

#include "bench/measure/onednn.h"

#include "base/error.h"

#ifdef DROPFORGE_ONEDNN
#include <dnnl.h>

#include <array>
#include <dnnl.hpp>
#include <unordered_map>

#include "kernels/cpu/buffer.h"
#include "kernels/cpu_level.h"

namespace dropforge {

namespace {

using kernels::Gemm;

/// The properties of a Gemm on which the primitive depends: all but its pointers.
struct MatmulShape {
    int64_t m, n, k, lda, ldb, ldc;
    bool transpose_a, transpose_b, accumulate, bias;
    DType dtype, out;

    explicit MatmulShape(const Gemm& g)
        : m(g.m),
          n(g.n),
          k(g.k),
          lda(g.lda),
          ldb(g.ldb),
          ldc(g.ldc),
          transpose_a(g.transpose_a),
          transpose_b(g.transpose_b),
          accumulate(g.accumulate),
          bias(g.bias != nullptr),
          dtype(g.dtype),
          out(g.out) {}
    bool operator==(const MatmulShape&) const = default;
};

struct MatmulShapeHash {
    size_t operator()(const MatmulShape& s) const {
        size_t hash = 0;
        for (int64_t value :
             {s.m, s.n, s.k, s.lda, s.ldb, s.ldc,
              int64_t{s.transpose_a} | int64_t{s.transpose_b} << 1 | int64_t{s.accumulate} << 2 | int64_t{s.bias} << 3 |
                  int64_t{s.out == DType::f32} << 4 | int64_t{s.dtype == DType::f32} << 5})
            hash = (hash ^ static_cast<size_t>(value)) * 0x9E3779B97F4A7C15u;
        return hash ^ (hash >> 32);
    }
};

using dnnl::memory;

memory::data_type type_of(DType dtype) {
    return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc matrix(int64_t rows, int64_t columns, int64_t ld, bool transposed, DType dtype) {
    return {{rows, columns}, type_of(dtype), transposed ? memory::dims{1, ld} : memory::dims{ld, 1}};
}

struct Plan {
    dnnl::matmul primitive;
    memory a, b, bias, c, scratchpad;
    size_t scratchpad_bytes;
};

}  // namespace

class OneDnn::Plans {
  public:
    void execute(const Gemm& g) {
        Plan& plan = plan_of(g);
        plan.a.set_data_handle(const_cast<void*>(g.a));
        plan.b.set_data_handle(const_cast<void*>(g.b));
        plan.c.set_data_handle(g.c);
        plan.scratchpad.set_data_handle(scratchpad_.reserve(plan.scratchpad_bytes));
        std::array<dnnl_exec_arg_t, 5> arguments{{{DNNL_ARG_SRC, plan.a.get()},
                                                  {DNNL_ARG_WEIGHTS, plan.b.get()},
                                                  {DNNL_ARG_DST, plan.c.get()},
                                                  {DNNL_ARG_SCRATCHPAD, plan.scratchpad.get()},
                                                  {DNNL_ARG_BIAS, nullptr}}};
        int count = 4;
        if (g.bias) {
            plan.bias.set_data_handle(const_cast<float*>(g.bias));
            arguments[static_cast<size_t>(count++)].memory = plan.bias.get();
        }
        const dnnl_status_t status =
            dnnl_primitive_execute(plan.primitive.get(), stream_.get(), count, arguments.data());
        require(status == dnnl_success, "oneDNN: matmul {} x {} x {} failed with status {}", g.m, g.n, g.k,
                static_cast<int>(status));
    }

    bool has(const Gemm& g) {
        try {
            plan_of(g);
            return true;
        } catch (const dnnl::error&) {
            return false;
        }
    }

  private:
    Plan& plan_of(const Gemm& g) {
        const MatmulShape shape(g);
        if (auto found = plans_.find(shape); found != plans_.end()) return found->second;
        return plans_.emplace(shape, make_plan(g)).first->second;
    }

    Plan make_plan(const Gemm& g) const {
        const memory::desc a = matrix(g.m, g.k, g.lda, g.transpose_a, g.dtype),
                           b = matrix(g.k, g.n, g.ldb, g.transpose_b, g.dtype),
                           c = matrix(g.m, g.n, g.ldc, false, g.out),
                           bias = g.bias ? matrix(1, g.n, g.n, false, DType::f32) : memory::desc();
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        if (g.accumulate) {
            dnnl::post_ops sum;
            sum.append_sum();
            attributes.set_post_ops(sum);
        }
#if DNNL_VERSION_MAJOR >= 3
        const dnnl::matmul::primitive_desc description(engine_, a, b, bias, c, attributes);
#else
        const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, bias, c), attributes, engine_);
#endif
        const memory::desc scratchpad = description.scratchpad_desc();
        return {dnnl::matmul(description),      memory(a, engine_, nullptr), memory(b, engine_, nullptr),
                memory(bias, engine_, nullptr), memory(c, engine_, nullptr), memory(scratchpad, engine_, nullptr),
                scratchpad.get_size()};
    }

    dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream_{engine_};
    std::unordered_map<MatmulShape, Plan, MatmulShapeHash> plans_;
    kernels::on_cpu::Buffer scratchpad_;
};

OneDnn::OneDnn() {
    using kernels::CpuLevel;
    if (const CpuLevel level = kernels::cpu_level(); level != kernels::cpu_levels().back())
        dnnl::set_max_cpu_isa(level == CpuLevel::avx512 ? dnnl::cpu_isa::avx512_core
                              : level == CpuLevel::avx2 ? dnnl::cpu_isa::avx2
                                                        : dnnl::cpu_isa::sse41);
    plans_ = std::make_unique<Plans>();
}
OneDnn::~OneDnn() = default;
bool OneDnn::has(const Gemm& g) { return plans_->has(g); }
void OneDnn::gemm(const Gemm& g) { plans_->execute(g); }

}  // namespace dropforge

#else

namespace dropforge {

class OneDnn::Plans {};
OneDnn::OneDnn() = default;
OneDnn::~OneDnn() = default;
bool OneDnn::has(const kernels::Gemm&) { return false; }
void OneDnn::gemm(const kernels::Gemm&) { throw Error("bench was built without oneDNN"); }

}  // namespace dropforge

#endif

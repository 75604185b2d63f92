#include "kernels/cuda/cudnn/cudnn_graphs.h"

#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#include <cudnn_frontend.h>

#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"

// The frontend wants this variable; it is set once, by use_cudnn.
void* cudnn_frontend::cudnn_dlhandle = nullptr;

namespace dropforge::kernels::on_cuda {

namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;
using Sizes = std::vector<int64_t>;

/// Unique ids of the operands in a graph of attention, and of a GEMM.
enum Operand : int64_t { q = 1, k, v, out, lse, dout, dq, dk, dv, rows, lengths, seed, offset };
enum Factor : int64_t { a = 1, b, bias, before, after };  // before and after: GELU

void check(cudnnStatus_t status, const char* what) {
    if (status != CUDNN_STATUS_SUCCESS) throw Error("cuDNN: cannot {}: {}", what, fe::detail::get_error_string(status));
}

/// The frontend's message as one line.
std::string line(std::string text) {
    for (char& c : text)
        if (c == '\n') c = ' ';
    return text;
}

fe::graph::Tensor_attributes attributes(int64_t operand, const char* name) {
    fe::graph::Tensor_attributes a;
    a.set_uid(operand).set_name(name);
    return a;
}

/// Sets storage in `dtype`, arithmetic in f32.
void set_types(fe::graph::Graph& graph, DType dtype, int compute_capability) {
    // Must precede the first operation: without a compute capability, the frontend asks CUDA for the current GPU's.
    graph.set_sm_version(compute_capability)
        .set_io_data_type(dtype == DType::fp16 ? fe::DataType_t::HALF : fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
}

/// Builds the graph up to the check whether an engine supports it, leaving out engines that have one of `notes`.
template <typename... Handle>
fe::error_t plan(fe::graph::Graph& graph, const std::vector<fe::NumericalNote_t>& notes, Handle... handle) {
    fe::error_t status = graph.validate();
    if (status.is_good()) status = graph.build_operation_graph(handle...);
    if (status.is_good()) status = graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
    if (status.is_good() && !notes.empty()) graph.deselect_numeric_notes(notes);
    if (status.is_good()) status = graph.check_support();
    return status;
}

/// plan() for the GPU that `device` describes, without a GPU. Returns why no engine supports the graph; empty: one
/// does.
std::string support_on(const std::string& device, fe::graph::Graph& graph,
                       const std::vector<fe::NumericalNote_t>& notes) {
    const auto properties = std::make_shared<fe::DeviceProperties>();
    fe::error_t status = properties->deserialize({device.begin(), device.end()});
    if (status.is_good()) {
        graph.set_device_properties(properties);
        status = plan(graph, notes);
    }
    return status.is_good() ? "" : line(status.get_message());
}

}  // namespace

void use_cudnn(void* library) { fe::cudnn_dlhandle = library; }

int64_t cudnn_version() { return static_cast<int64_t>(fe::detail::get_backend_version()); }

void DestroyCudnn::operator()(cudnnContext* handle) const noexcept { fe::detail::destroy_handle(handle); }

CudnnHandle make_cudnn(CUstream_st* stream) {
    cudnnHandle_t handle = nullptr;
    check(fe::detail::create_handle(&handle), "start");
    CudnnHandle owner(handle);
    check(fe::detail::set_stream(handle, stream), "use a stream");
    return owner;
}

/// In the frontend's terms a tensor of attention is [B, heads, rows, head_size] with four strides.
struct CudnnAttention::Graph {
    AttentionShape shape;
    Pass pass;
    fe::graph::Graph graph;

    Graph(const AttentionShape& s, Pass p, int compute_capability) : shape(s), pass(p) {
        set_types(graph, s.dtype, compute_capability);
        if (pass == Pass::forward)
            add_forward();
        else
            add_backward();
    }

    Sizes queries() const { return {shape.batch, shape.heads, shape.rows_q, shape.head_size}; }
    Sizes keys() const { return {shape.batch, shape.heads, shape.rows_kv, shape.head_size}; }
    Sizes strides(int64_t rows, int64_t stride) const { return {rows * stride, shape.head_size, stride, 1}; }

    Tensor query_like(Operand operand, const char* name) {
        return graph.tensor(
            attributes(operand, name).set_dim(queries()).set_stride(strides(shape.rows_q, shape.stride_q)));
    }
    Tensor key_like(Operand operand, const char* name) {
        return graph.tensor(
            attributes(operand, name).set_dim(keys()).set_stride(strides(shape.rows_kv, shape.stride_kv)));
    }
    Tensor out_like(Operand operand, const char* name) {
        return graph.tensor(
            attributes(operand, name).set_dim(queries()).set_stride(strides(shape.rows_q, shape.stride_out)));
    }
    Tensor integers(Operand operand, const char* name, int64_t n, fe::DataType_t type) {
        return graph.tensor(
            attributes(operand, name).set_dim({n, 1, 1, 1}).set_stride({1, 1, 1, 1}).set_data_type(type));
    }
    void give(const Tensor& tensor, Operand operand, const char* name, const Sizes& sizes, const Sizes& strides) {
        tensor->set_output(true).set_uid(operand).set_name(name).set_dim(sizes).set_stride(strides);
    }
    Sizes lse_sizes() const { return {shape.batch, shape.heads, shape.rows_q, 1}; }
    Sizes lse_strides() const { return {shape.heads * shape.rows_q, shape.rows_q, 1, 1}; }

    /// The options of both passes: scale, lengths, dropout.
    template <typename Attributes>
    Attributes options(const char* name) {
        Attributes a;
        a.set_name(name)
            .set_attn_scale(shape.scale)
            .set_padding_mask(true)
            .set_seq_len_q(integers(rows, "rows", shape.batch, fe::DataType_t::INT32))
            .set_seq_len_kv(integers(lengths, "lengths", shape.batch, fe::DataType_t::INT32));
        if (shape.dropout > 0)
            a.set_dropout(shape.dropout, integers(seed, "seed", 1, fe::DataType_t::INT64),
                          integers(offset, "offset", 1, fe::DataType_t::INT64));
        return a;
    }

    void add_forward() {
        auto a = options<fe::graph::SDPA_attributes>("attention").set_generate_stats(true);
        const auto [o, stats] = graph.sdpa(query_like(q, "q"), key_like(k, "k"), key_like(v, "v"), a);
        give(o, out, "out", queries(), strides(shape.rows_q, shape.stride_out));
        give(stats, lse, "lse", lse_sizes(), lse_strides());
        stats->set_data_type(fe::DataType_t::FLOAT);
    }

    void add_backward() {
        auto a = options<fe::graph::SDPA_backward_attributes>("attention_backward").set_deterministic_algorithm(true);
        const Tensor stats = graph.tensor(
            attributes(lse, "lse").set_dim(lse_sizes()).set_stride(lse_strides()).set_data_type(fe::DataType_t::FLOAT));
        const auto [gq, gk, gv] = graph.sdpa_backward(query_like(q, "q"), key_like(k, "k"), key_like(v, "v"),
                                                      out_like(out, "out"), out_like(dout, "dout"), stats, a);
        give(gq, dq, "dq", queries(), strides(shape.rows_q, shape.stride_q));
        give(gk, dk, "dk", keys(), strides(shape.rows_kv, shape.stride_kv));
        give(gv, dv, "dv", keys(), strides(shape.rows_kv, shape.stride_kv));
    }
};

CudnnAttention::CudnnAttention(const AttentionShape& shape, Pass pass, int compute_capability)
    : graph_(std::make_unique<Graph>(shape, pass, compute_capability)) {}
CudnnAttention::~CudnnAttention() = default;

std::string CudnnAttention::build(cudnnContext* handle) {
    fe::error_t status = plan(graph_->graph, {}, handle);
    if (status.is_good()) status = graph_->graph.build_plans();
    return status.is_good() ? "" : line(status.get_message());
}

std::string CudnnAttention::support(const std::string& device) { return support_on(device, graph_->graph, {}); }

std::string CudnnAttention::name() const {
    std::string name;
    fe::error_t status = graph_->graph.get_plan_name(name);
    return status.is_good() ? name : "no name";
}

int64_t CudnnAttention::workspace_bytes() const {
    int64_t bytes = 0;
    fe::error_t status = graph_->graph.get_workspace_size(bytes);
    require(status.is_good(), "cuDNN: attention: {}", line(status.get_message()));
    return bytes;
}

void CudnnAttention::run(cudnnContext* handle, const CudnnOperands& o, void* workspace) {
    std::unordered_map<int64_t, void*> pointers;
    const auto bind = [&](Operand operand, const void* pointer) { pointers[operand] = const_cast<void*>(pointer); };
    bind(q, o.q);
    bind(k, o.k);
    bind(v, o.v);
    bind(out, o.out);
    bind(lse, o.lse);
    bind(rows, o.rows);
    bind(lengths, o.lengths);
    if (graph_->shape.dropout > 0) {
        bind(seed, o.seed);
        bind(offset, o.offset);
    }
    if (graph_->pass == Pass::backward) {
        bind(dout, o.dout);
        bind(dq, o.dq);
        bind(dk, o.dk);
        bind(dv, o.dv);
    }
    fe::error_t status = graph_->graph.execute(handle, pointers, workspace);
    if (status.is_bad()) throw Error("cuDNN: attention: {}", line(status.get_message()));
}

// ------------------------------------------------------------------------------------------------- GEMMs with GELU

/// In the frontend's terms matrices are [1, rows, columns] with three strides.
struct CudnnGelu::Graph {
    GeluGemm gemm;
    fe::graph::Graph graph;
    int64_t chosen = 0;

    Graph(const GeluGemm& p, int compute_capability) : gemm(p) {
        set_types(graph, p.dtype, compute_capability);
        const Tensor c =
            graph.matmul(graph.tensor(attributes(a, "a").set_dim({1, p.m, p.k}).set_stride({p.m * p.lda, p.lda, 1})),
                         graph.tensor(attributes(b, "b").set_dim({1, p.k, p.n}).set_stride(strides_of_b())),
                         fe::graph::Matmul_attributes().set_name("gemm"));
        if (p.slope)
            add_slope(c);
        else
            add_gelu(c);
    }

    Sizes strides_of_b() const {
        const int64_t rows = gemm.transpose_b ? gemm.n : gemm.k;
        return {rows * gemm.ldb, gemm.transpose_b ? 1 : gemm.ldb, gemm.transpose_b ? gemm.ldb : 1};
    }
    Sizes sizes() const { return {1, gemm.m, gemm.n}; }
    Sizes strides() const { return {gemm.m * gemm.n, gemm.n, 1}; }
    void give(const Tensor& tensor, Factor name) {
        tensor->set_output(true).set_uid(name).set_dim(sizes()).set_stride(strides()).set_data_type(
            gemm.dtype == DType::fp16 ? fe::DataType_t::HALF : fe::DataType_t::BFLOAT16);
    }
    static fe::graph::Pointwise_attributes pointwise(const char* name, fe::PointwiseMode_t mode) {
        fe::graph::Pointwise_attributes attributes;
        attributes.set_name(name).set_mode(mode);
        return attributes;
    }

    void add_gelu(Tensor c) {
        if (gemm.bias) {
            const Tensor vector = graph.tensor(attributes(bias, "bias")
                                                   .set_dim({1, 1, gemm.n})
                                                   .set_stride({gemm.n, gemm.n, 1})
                                                   .set_data_type(fe::DataType_t::FLOAT));
            c = graph.pointwise(c, vector, pointwise("add", fe::PointwiseMode_t::ADD));
        }
        give(c, before);
        const bool erf = gemm.form == Gelu::erf;
        give(graph.pointwise(
                 c, pointwise("gelu", erf ? fe::PointwiseMode_t::GELU_FWD : fe::PointwiseMode_t::GELU_APPROX_TANH_FWD)),
             after);
    }
    void add_slope(const Tensor& c) {
        const Tensor input = graph.tensor(attributes(before, "before").set_dim(sizes()).set_stride(strides()));
        const bool erf = gemm.form == Gelu::erf;
        give(graph.pointwise(
                 c, input,
                 pointwise("slope", erf ? fe::PointwiseMode_t::GELU_BWD : fe::PointwiseMode_t::GELU_APPROX_TANH_BWD)),
             after);
    }

    static std::vector<fe::NumericalNote_t> refused() {
        return {fe::NumericalNote_t::NONDETERMINISTIC, fe::NumericalNote_t::DOWN_CONVERT_INPUTS,
                fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION};
    }
};

CudnnGelu::CudnnGelu(const GeluGemm& gemm, int compute_capability)
    : graph_(std::make_unique<Graph>(gemm, compute_capability)) {}
CudnnGelu::~CudnnGelu() = default;

std::string CudnnGelu::build(cudnnContext* handle, int64_t n) {
    fe::error_t status = plan(graph_->graph, Graph::refused(), handle);
    if (status.is_good()) status = graph_->graph.build_plan_at_index(n);
    graph_->chosen = n;
    return status.is_good() ? "" : line(status.get_message());
}

std::string CudnnGelu::support(const std::string& device) {
    return support_on(device, graph_->graph, Graph::refused());
}

std::string CudnnGelu::name() const {
    std::string name;
    fe::error_t status = graph_->graph.get_plan_name_at_index(graph_->chosen, name);
    return status.is_good() ? name : "no name";
}

int64_t CudnnGelu::workspace_bytes() const {
    int64_t bytes = 0;
    fe::error_t status = graph_->graph.get_workspace_size_plan_at_index(graph_->chosen, bytes);
    require(status.is_good(), "cuDNN: GEMM with GELU: {}", line(status.get_message()));
    return bytes;
}

void CudnnGelu::run(cudnnContext* handle, const Gemm& g, void* workspace) {
    std::unordered_map<int64_t, void*> pointers;
    const auto bind = [&](Factor factor, const void* pointer) { pointers[factor] = const_cast<void*>(pointer); };
    bind(a, g.a);
    bind(b, g.b);
    if (graph_->gemm.bias) bind(bias, g.bias);
    bind(before, graph_->gemm.slope ? g.gelu.input : g.c);
    bind(after, graph_->gemm.slope ? g.c : g.gelu.output);
    fe::error_t status = graph_->graph.execute_plan_at_index(handle, pointers, workspace, graph_->chosen);
    if (status.is_bad()) throw Error("cuDNN: GEMM with GELU: {}", line(status.get_message()));
}

}  // namespace dropforge::kernels::on_cuda

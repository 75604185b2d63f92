// Embeddings: the sum of three table rows and its LayerNorm in one pass. Backward writes the gradients at the sums to
// scratch; embedding_tables.cu adds them to the rows of the tables.
#include "kernels/blocks.h"
#include "kernels/cuda/rowwise/column_sums.cuh"
#include "kernels/cuda/rowwise/embedding_tables.cuh"
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/rowwise/layernorm.cuh"
#include "kernels/cuda/runtime/dropout.cuh"

namespace dropforge::kernels::on_cuda {

struct Tables {
    template <typename Embedding>  // EmbeddingForward or EmbeddingBackward
    explicit Tables(const Embedding& e)
        : ids(e.ids),
          types(e.types),
          word(e.word),
          position(e.position),
          type(e.type),
          rows(e.rows),
          sequence(e.sequence),
          columns(e.columns) {}
    const int32_t *ids, *types;
    const float *word, *position, *type;
    int64_t rows, sequence, columns;
};

/// word[id] + position[row % sequence] + type[type id]. Only the words' rows come from device memory; the others are
/// cached.
class SumOfTables {
  public:
    __device__ SumOfTables(const Tables& t, int64_t row)
        : word_(t.word + t.ids[row] * t.columns),
          position_(t.position + static_cast<unsigned>(row) % static_cast<unsigned>(t.sequence) * t.columns),
          type_(t.type + (t.types ? t.types[row] : 0) * t.columns) {}

    template <int N>
    __device__ void load(int64_t column, float (&sum)[N]) const {
        float position[N], type[N];
        on_cuda::load<N>(word_ + column, sum);
        on_cuda::load<N>(position_ + column, position);
        on_cuda::load<N>(type_ + column, type);
#pragma unroll
        for (int i = 0; i < N; ++i) sum[i] = sum[i] + position[i] + type[i];
    }

  private:
    const float *word_, *position_, *type_;
};

// ------------------------------------------------------------------------------------------------------------- forward
struct EmbeddingOutputs {
    const float *gain, *bias;
    float *mean, *rstd;
    float epsilon;
};

/// One block in the launch bounds makes the compiler read ahead instead of saving registers, for which it would spill
/// at some widths. With 72 registers (bf16, up to 1024 columns) 28 warps run on an SM.
template <typename T, int N, int kPacks>
__global__ void __launch_bounds__(kWarp* kForwardWarps, 1)
    embedding_forward_kernel(Tables tables, T* y, EmbeddingOutputs a, DropoutArgument dropout) {
    const int64_t row = int64_t{blockIdx.x} * kForwardWarps + threadIdx.y;
    if (row >= tables.rows) return;  // all lanes of the warp
    const SumOfTables source(tables, row);
    auto lane =
        lane_row<N, kPacks>(tables.columns, [&](int64_t column, float(&value)[N]) { source.load<N>(column, value); });
    float total = 0;
    lane.fill([&](int64_t column, float(&value)[N]) {
        source.load<N>(column, value);
#pragma unroll
        for (int i = 0; i < N; ++i) total += value[i];
    });
    const RowMoments m = moments_of(lane, total, tables.columns, a.epsilon);
    const DropoutDraws draws(dropout);
    lane.read([&](int64_t column, const float(&value)[N]) {
        float normalized[N];
        normalize<N>(value, m, a.gain + column, a.bias + column, normalized);
        draws.apply<N>(normalized, row, column);
        store<N>(y + row * tables.columns + column, normalized);
    });
    if (threadIdx.x == 0) {
        a.mean[row] = m.mean;
        a.rstd[row] = m.rstd;
    }
}

void embedding_forward(const EmbeddingForward& e, Context& context) {
    if (e.rows == 0) return;
    with_device_type(e.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_row_shape<T>(e.columns, {e.word, e.position, e.type, e.gain, e.bias, e.y}, [&](auto pack, auto packs) {
            launch(embedding_forward_kernel<T, pack(), packs()>, context,
                   {blocks_for(e.rows, kForwardWarps), dim3(kWarp, kForwardWarps)}, Tables(e), static_cast<T*>(e.y),
                   EmbeddingOutputs{e.gain, e.bias, e.mean, e.rstd, e.epsilon}, DropoutArgument(e.dropout, e.sequence));
        });
    });
}

// ------------------------------------------------------------------------------------------------------------ backward
// As in LayerNorm's backward, but a thread has a row at a time, of dy and of three tables. At 88 registers and two
// groups of threads (192 for h = 768, bf16) three blocks run on an SM: 27 KiB of dy and words in flight.
constexpr int kMaxRowGroups = 2;

struct EmbeddingGradientArguments {
    const float *gain, *mean, *rstd;
    float* dsum;      // [rows, columns]
    float* partials;  // [blocks, 2, columns]
};

/// Gradients at the sums of the tables' rows; the block's shares of dgain and dbias.
template <typename T, int N, int kPacks>
__global__ void __launch_bounds__(kBackwardThreads)
    embedding_gradient_kernel(const T* __restrict__ dy, Tables tables, EmbeddingGradientArguments a,
                              DropoutArgument dropout) {
    using S = Share<N, kPacks>;
    const int64_t begin = tables.rows * blockIdx.x / gridDim.x, end = tables.rows * (blockIdx.x + 1) / gridDim.x;
    const DropoutDraws draws(dropout);
    const auto columns = static_cast<float>(tables.columns);
    float gain[S::kSize] = {}, dgain[S::kSize] = {}, dbias[S::kSize] = {};
    S::load(a.gain, tables.columns, gain);
    int turn = 0;
    for (int64_t base = begin; base < end; base += blockDim.y, ++turn) {  // by all threads: the body has barriers
        const int64_t row = base + threadIdx.y;
        // Elements beyond the row's or the block's end are 0 and add nothing.
        float gradient[S::kSize] = {}, normalized[S::kSize] = {}, sums[2] = {};
        if (row < end) {
            const SumOfTables source(tables, row);
            S::load(dy + row * tables.columns, tables.columns, gradient);
#pragma unroll
            for (int p = 0; p < kPacks; ++p) {
                if (S::column(p) >= tables.columns) continue;
                source.load<N>(S::column(p), S::part(normalized, p));
                draws.apply<N>(S::part(gradient, p), row, S::column(p));
            }
            begin_row(gradient, normalized, {a.mean[row], a.rstd[row]}, gain, dgain, dbias, sums[0], sums[1]);
        }
        group_sums(sums, turn);
        if (row < end) {
            end_row(gradient, normalized, a.rstd[row], sums[0] / columns, sums[1] / columns);
            S::store(a.dsum + row * tables.columns, tables.columns, gradient);
        }
    }
    float* partials = a.partials + int64_t{blockIdx.x} * 2 * tables.columns;
    add_groups<N, kPacks>(dgain, tables.columns, partials);
    add_groups<N, kPacks>(dbias, tables.columns, partials + tables.columns);
}

void embedding_backward(const EmbeddingBackward& e, Context& context) {
    if (e.rows == 0) return;
    const int64_t blocks = device_row_blocks(e.rows);
    const EmbeddingScratch scratch(e);
    with_device_type(e.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(e.columns, {e.dy, e.word, e.position, e.type, e.gain, scratch.dsum}, [&](auto pack) {
            constexpr int kPacks = pack() == 1 ? 4 : 1;
            launch(embedding_gradient_kernel<T, pack(), kPacks>, context,
                   {static_cast<unsigned>(blocks), backward_block(e.columns, pack() * kPacks, kMaxRowGroups)},
                   static_cast<const T*>(e.dy), Tables(e),
                   EmbeddingGradientArguments{e.gain, e.mean, e.rstd, scratch.dsum, scratch.partials},
                   DropoutArgument(e.dropout, e.sequence));
        });
    });
    add_partials(scratch.partials, blocks, e.columns, {{e.dgain, e.dbias}, 2}, e.accumulate, context);
    add_to_positions_and_types(e, scratch, context);
    add_to_words(e, scratch, context);
}

}  // namespace dropforge::kernels::on_cuda

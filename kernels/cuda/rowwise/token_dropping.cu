// Token dropping: the values of positions, the choice of those that are kept, and the table of importance. All of it is
// small compared with a layer, so latency counts.
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/runtime/device.cuh"
#include "kernels/cuda/runtime/dropout.cuh"

namespace dropforge::kernels::on_cuda {

// ------------------------------------------------------------------------------------------------------------- values
constexpr int kFlatThreads = 256;

/// A thread has the four positions of one draw.
__global__ void __launch_bounds__(kFlatThreads) token_values_kernel(TokenValues t, int64_t quads) {
    const int64_t thread = int64_t{blockIdx.x} * kFlatThreads + threadIdx.x, b = thread / quads;
    if (b >= t.batch) return;
    const int64_t quad = thread % quads, first = b * t.sequence + quad * 4;
    const int count = static_cast<int>(t.sequence - quad * 4 < 4 ? t.sequence - quad * 4 : 4);
    uint4 words{};
    if (t.noise) {
        const auto sequence = t.noise[3] + static_cast<unsigned>(b);  // modulo 2^32
        words = philox4x32(make_uint4(static_cast<unsigned>(quad), sequence, t.site, t.noise[2]),
                           make_uint2(t.noise[0], t.noise[1]));
    }
    const unsigned draws[] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (i >= count) continue;
        const float value = t.table[t.ids[first + i]];
        t.values[first + i] = t.noise ? value + 0x1p-24f * static_cast<float>(draws[i] >> 8) : value;
    }
}

void token_values(const TokenValues& t, Context& context) {
    const int64_t quads = (t.sequence + 3) / 4;
    if (t.batch * quads == 0) return;
    launch(token_values_kernel, context, {blocks_for(t.batch * quads, kFlatThreads), kFlatThreads}, t, quads);
}

// --------------------------------------------------------------------------------------------------------------- top k
/// Sums and prefix sums over a block of a number from each thread.
class BlockSums {
  public:
    __device__ int total(int value) {
        const int lane = static_cast<int>(threadIdx.x % kWarp), warps = static_cast<int>(blockDim.x / kWarp);
        int* sums = of_warps(warp_sum(value));
        return warp_sum(lane < warps ? sums[lane] : 0);
    }
    struct Prefix {
        int before, total;
    };
    __device__ Prefix prefix(int value) {
        const int lane = static_cast<int>(threadIdx.x % kWarp), warp = static_cast<int>(threadIdx.x / kWarp);
        int sum = value;
#pragma unroll
        for (unsigned offset = 1; offset < kWarp; offset *= 2) {
            const int below = __shfl_up_sync(kAllLanes, sum, offset);
            if (lane >= static_cast<int>(offset)) sum += below;
        }
        const int* sums = of_warps(__shfl_sync(kAllLanes, sum, kWarp - 1));
        const int of_lane = lane < static_cast<int>(blockDim.x / kWarp) ? sums[lane] : 0;
        return {warp_sum(lane < warp ? of_lane : 0) + sum - value, warp_sum(of_lane)};
    }

  private:
    /// Each warp's number, for all threads. Two buffers, so that one barrier is enough: no thread is two turns ahead.
    __device__ int* of_warps(int value) {
        DROPFORGE_SHARED(int, of_warp, [2][kWarp]);
        int* sums = of_warp[turn_++ % 2];
        if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = value;
        __syncthreads();
        return sums;
    }
    int turn_ = 0;
};

/// A number as an integer of the same order, with -0 = +0. A NaN sorts beyond the infinity of its sign, as a quiet one:
/// the result of x + 0 on the CPU. On a GPU x + 0 makes all NaNs equal, so bits are compared: negative numbers have all
/// bits inverted, others the first.
__device__ inline unsigned ordered(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) bits |= 0x00400000u;
    if (bits == 0x80000000u) bits = 0;
    return bits ^ ((0u - (bits >> 31)) | 0x80000000u);
}

constexpr int kTopThreads = 1024;
constexpr int kKeys = 8;  // consecutive positions of a thread

/// A key that exactly k keys reach or, if there is none because of ties, the k-th largest key: found bit by bit from
/// the top, one barrier a bit. Keys of 0 do not count.
__device__ inline unsigned threshold_of(const unsigned (&key)[kKeys], int k, BlockSums& sums) {
    unsigned threshold = 0;
    for (unsigned bit = 0x80000000u; bit != 0; bit >>= 1) {
        int reach = 0;
#pragma unroll
        for (int i = 0; i < kKeys; ++i) reach += key[i] >= (threshold | bit) ? 1 : 0;
        reach = sums.total(reach);
        if (reach >= k) threshold |= bit;
        if (reach == k) break;
    }
    return threshold;
}

/// A block has a sequence, which it reads once.
template <int N>
__global__ void __launch_bounds__(kTopThreads) top_k_kernel(TopK t) {
    const int64_t b = blockIdx.x;
    const auto sequence = static_cast<int>(t.sequence), keep = static_cast<int>(t.keep);
    const int length = t.lengths ? t.lengths[b] : sequence;
    // If there are fewer real positions than are to be kept, all of them are, and the others come from the padding.
    const bool from_padding = length < keep;
    const int begin = from_padding ? length : 0, end = from_padding ? sequence : length;
    const int first = static_cast<int>(threadIdx.x) * kKeys;
    const float* values = t.values + b * sequence + first;
    int32_t* kept = t.kept + b * keep;
    unsigned key[kKeys] = {};
#pragma unroll
    for (int i = 0; i < kKeys; i += N) {
        if (first + i >= sequence) continue;
        float value[N];
        load<N>(values + i, value);
#pragma unroll
        for (int j = 0; j < N; ++j) {
            const int position = first + i + j;
            if (position < begin) kept[position] = position;
            if (position >= begin && position < end) key[i + j] = ordered(value[j]);
        }
    }
    BlockSums sums;
    const int k = keep - begin;
    const unsigned threshold = threshold_of(key, k, sums);
    const auto is_tie = [&](int i) { return key[i] == threshold && first + i >= begin && first + i < end; };
    int above = 0, ties = 0;
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
        above += key[i] > threshold ? 1 : 0;
        ties += is_tie(i) ? 1 : 0;
    }
    const BlockSums::Prefix prefix = sums.prefix(above | ties << 16);
    const int wanted_ties = k - (prefix.total & 0xffff);
    above = prefix.before & 0xffff;
    ties = prefix.before >> 16;
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
        const bool tie = is_tie(i);
        if (key[i] > threshold || (tie && ties < wanted_ties))
            kept[begin + above + (ties < wanted_ties ? ties : wanted_ties)] = first + i;
        above += key[i] > threshold ? 1 : 0;
        ties += tie ? 1 : 0;
    }
    if (threadIdx.x == 0 && t.kept_lengths) t.kept_lengths[b] = from_padding ? length : keep;
}

void top_k(const TopK& k, Context& context) {
    constexpr int64_t kLimit = int64_t{kTopThreads} * kKeys;
    if (k.sequence > kLimit) refuse_size("positions of a sequence", k.sequence, kLimit);
    if (k.batch == 0) return;
    const unsigned warps = blocks_for(k.sequence, kKeys * kWarp);
    with_pack<float>(k.sequence, {k.values}, [&](auto pack) {
        launch(top_k_kernel<pack()>, context, {blocks_for(k.batch, 1), warps * kWarp}, k);
    });
}

// ---------------------------------------------------------------------------------------------------------- importance
constexpr int kEntries = 256;  // of the table, one a thread
constexpr int kSlots = 4;      // of a thread in a tile

/// A block has kEntries of the table and searches all slots for them, a tile at a time: matches go to a list in order
/// of the slots, which each thread searches for its entry. No atomics, and all additions are in order.
__global__ void __launch_bounds__(kEntries) importance_sums_kernel(ImportanceSums x) {
    struct Hit {
        int entry;
        float loss;
    };
    constexpr int kTile = kEntries * kSlots;
    DROPFORGE_SHARED(Hit, hits, [kTile]);
    const int first_entry = static_cast<int>(blockIdx.x) * kEntries, me = static_cast<int>(threadIdx.x);
    const int64_t entry = first_entry + me;
    const bool exists = entry < x.vocabulary;
    float sum = exists && x.accumulate ? x.sums[entry] : 0.0f, count = exists && x.accumulate ? x.counts[entry] : 0.0f;
    BlockSums block;
    for (int64_t tile = 0; tile < x.n; tile += kTile) {
        const int64_t slot = tile + int64_t{me} * kSlots;
        Hit found[kSlots];
        bool is_hit[kSlots];
        int number = 0;
#pragma unroll
        for (int i = 0; i < kSlots; ++i) {
            is_hit[i] = false;
            if (slot + i >= x.n) continue;
            found[i] = {x.labels[slot + i] - first_entry, x.loss[slot + i]};
            is_hit[i] = x.weights[slot + i] > 0 && found[i].entry >= 0 && found[i].entry < kEntries;
            number += is_hit[i] ? 1 : 0;
        }
        const BlockSums::Prefix prefix = block.prefix(number);  // a barrier: the list before has been read
        int place = prefix.before;
#pragma unroll
        for (int i = 0; i < kSlots; ++i)
            if (is_hit[i]) hits[place++] = found[i];
        __syncthreads();
#pragma unroll 4
        for (int i = 0; i < prefix.total; ++i) {
            const Hit hit = hits[i];
            if (hit.entry == me) {
                sum += hit.loss;
                count += 1;
            }
        }
    }
    if (!exists) return;
    x.sums[entry] = sum;
    x.counts[entry] = count;
}

void importance_sums(const ImportanceSums& x, Context& context) {
    if (x.vocabulary == 0) return;
    launch(importance_sums_kernel, context, {blocks_for(x.vocabulary, kEntries), kEntries}, x);
}

/// Computes in double: few entries are updated, and rounding errors would add up over the run.
__global__ void __launch_bounds__(kFlatThreads)
    importance_update_kernel(const float* __restrict__ sums, const float* __restrict__ counts, float* table,
                             const float* __restrict__ norm, const FixedValue* __restrict__ fixed, int fixed_count,
                             int64_t vocabulary, double beta) {
    const int64_t v = int64_t{blockIdx.x} * kFlatThreads + threadIdx.x;
    if (v >= vocabulary || !is_finite(*norm)) return;
    bool changes = counts[v] > 0;
    float value = 0;
    if (changes) value = static_cast<float>(beta * table[v] + (1 - beta) * (static_cast<double>(sums[v]) / counts[v]));
    for (int i = 0; i < fixed_count; ++i)
        if (fixed[i].id == v) {
            changes = true;
            value = fixed[i].value;
        }
    if (changes) table[v] = value;
}

void importance_update(const ImportanceUpdate& u, Context& context) {
    if (u.vocabulary == 0) return;
    launch(importance_update_kernel, context, {blocks_for(u.vocabulary, kFlatThreads), kFlatThreads}, u.sums, u.counts,
           u.table, u.norm, constants(u.fixed, context), u.fixed.size(), u.vocabulary, u.beta);
}

}  // namespace dropforge::kernels::on_cuda

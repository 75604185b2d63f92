#include "kernels/cuda/rowwise/sort_rows.cuh"

namespace dropforge::kernels::on_cuda {

// Radix sort from the lowest digit up, each pass a stable counting sort, in one block: a vocabulary's 15 bits are two
// passes, and tens of thousands of rows are some hundred for each of 32 warps, so that more blocks, with a launch for
// each of a pass's three steps, would take longer. No atomics: each warp has its own counters, and one lane counts for
// all lanes with the same digit.
constexpr int kSortThreads = 1024;
constexpr int kSortWarps = kSortThreads / kWarp;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kAhead = 8;  // outstanding reads of a lane

/// Exclusive prefix sums over the block's threads. Between two calls there must be a barrier.
__device__ inline unsigned prefix_sum(unsigned value) {
    DROPFORGE_SHARED(unsigned, of_warp, [kSortWarps]);
    const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const auto inclusive = [lane](unsigned x) {
#pragma unroll
        for (unsigned offset = 1; offset < kWarp; offset *= 2) {
            const unsigned below = __shfl_up_sync(kAllLanes, x, offset);
            if (lane >= offset) x += below;
        }
        return x;
    };
    const unsigned sum = inclusive(value);
    if (lane == kWarp - 1) of_warp[warp] = sum;
    __syncthreads();
    const unsigned total = of_warp[lane], before = inclusive(total) - total;
    const unsigned base = __shfl_sync(kAllLanes, before, static_cast<int>(warp));
    return base + sum - value;
}

/// One pass. A warp has a contiguous range of the rows.
class SortPass {
  public:
    using Counts = unsigned[kDigits][kSortWarps + 1];  // the last column keeps lanes on different banks

    __device__ SortPass(Counts& counts, int rows, int shift) : counts_(counts), shift_(shift) {
        const int per_warp = (rows + kSortThreads - 1) / kSortThreads * kWarp;
        begin_ = warp() * per_warp < rows ? warp() * per_warp : rows;
        end_ = begin_ + per_warp < rows ? begin_ + per_warp : rows;
    }

    template <typename From>  // row number -> IdRow
    __device__ void run(From&& from, IdRow* to) {
        for (int d = lane(); d < kDigits; d += kWarp) counts_[d][warp()] = 0;
        __syncwarp();
        for_items(from, [&](IdRow, unsigned digit, unsigned peers, bool inside) {
            if (inside && lane() == __ffs(static_cast<int>(peers)) - 1) counts_[digit][warp()] += __popc(peers);
            __syncwarp();
        });
        __syncthreads();
        counts_to_places();
        __syncthreads();
        for_items(from, [&](IdRow item, unsigned digit, unsigned peers, bool inside) {
            const unsigned first = counts_[digit][warp()], before = __popc(peers & ((1u << lane()) - 1));
            __syncwarp();
            if (inside && before == 0) counts_[digit][warp()] = first + __popc(peers);
            if (inside) to[first + before] = item;
            __syncwarp();
        });
        __syncthreads();
    }

  private:
    __device__ static int lane() { return static_cast<int>(threadIdx.x % kWarp); }
    __device__ static int warp() { return static_cast<int>(threadIdx.x / kWarp); }

    /// Calls f(item, digit, lanes that have the same digit, whether there is an item) for the warp's rows in order, 32
    /// at a time.
    template <typename From, typename F>
    __device__ void for_items(From&& from, F&& f) const {
        for (int base = begin_; base < end_; base += kAhead * kWarp) {
            IdRow item[kAhead];
#pragma unroll
            for (int i = 0; i < kAhead; ++i) {
                const int at = base + i * kWarp + lane();
                item[i] = at < end_ ? from(at) : IdRow{};
            }
#pragma unroll
            for (int i = 0; i < kAhead; ++i) {
                const int first = base + i * kWarp;
                if (first >= end_) break;  // all lanes of the warp
                const bool inside = first + lane() < end_;
                const unsigned digit = static_cast<unsigned>(item[i].id) >> shift_ & (kDigits - 1);
                f(item[i], digit, __match_any_sync(kAllLanes, inside ? digit : kDigits), inside);
            }
        }
    }
    /// Turns the numbers of a warp's rows with each digit into the positions of the first of them: prefix sums over
    /// lower digits, then over earlier warps.
    __device__ void counts_to_places() {
        constexpr int kEach = kDigits * kSortWarps / kSortThreads;
        static_assert(kSortWarps % kEach == 0, "a thread's counters are of one digit");
        const int digit = static_cast<int>(threadIdx.x) * kEach / kSortWarps;
        const int first = static_cast<int>(threadIdx.x) * kEach % kSortWarps;
        unsigned sum = 0;
#pragma unroll
        for (int i = 0; i < kEach; ++i) sum += counts_[digit][first + i];
        unsigned place = prefix_sum(sum);
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
            const unsigned count = counts_[digit][first + i];
            counts_[digit][first + i] = place;
            place += count;
        }
    }

    Counts& counts_;
    int begin_, end_, shift_;
};

__global__ void __launch_bounds__(kSortThreads)
    sort_rows_kernel(const int32_t* ids, int rows, IdRow* sorted, IdRow* other) {
    DROPFORGE_SHARED(unsigned, counts, [kDigits][kSortWarps + 1]);
    int bits = 0;
    for (int i = static_cast<int>(threadIdx.x); i < rows; i += kSortThreads) bits |= ids[i];
    int passes = 1;  // as many as the largest id has digits
    while (passes * kDigitBits < 32 && __syncthreads_or(bits >> passes * kDigitBits) != 0) ++passes;
    IdRow* to = passes % 2 != 0 ? sorted : other;
    SortPass(counts, rows, 0).run([ids](int i) { return IdRow{ids[i], i}; }, to);
    for (int pass = 1; pass < passes; ++pass) {
        const IdRow* from = to;
        to = to == sorted ? other : sorted;
        SortPass(counts, rows, pass * kDigitBits).run([from](int i) { return from[i]; }, to);
    }
}

void sort_rows(const int32_t* ids, int64_t rows, IdRow* sorted, IdRow* other, Context& context) {
    launch(sort_rows_kernel, context, {1, kSortThreads}, ids, rows, sorted, other);
}

}  // namespace dropforge::kernels::on_cuda

// What the CUDA kernels share, kernels/cuda/runtime/device.cuh, dropout.cuh and mma.cuh: access in packs, rounding,
// reductions, Philox, multiplication of fragments; and what launchers refuse.
// label: simt-quick
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cstring>
#include <numeric>

#include "kernels/cuda/rowwise/sort_rows.cuh"
#include "kernels/cuda/runtime/dropout.cuh"
#include "kernels/cuda/runtime/mma.cuh"
#include "kernels/dropout.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/message_of.h"

namespace dropforge::kernels::on_cuda {
namespace {

template <typename T, int N>
__global__ void copy_kernel(const float* from, T* narrow, float* back, int n) {
    const int first = static_cast<int>(threadIdx.x) * N;
    if (first >= n) return;
    float value[N];
    load<N>(from + first, value);
    store<N>(narrow + first, value);
    load<N>(narrow + first, value);
    store<N>(back + first, value);
}

constexpr int kNumbers = 256;

template <typename T>
struct Copied {
    alignas(16) float from[kNumbers], back[kNumbers];
    alignas(16) T narrow[kNumbers];

    /// Numbers of every size and sign, then the special ones.
    Copied() {
        PhiloxStream stream(1, 2);
        for (float& f : from) {
            do f = std::bit_cast<float>(stream.next());
            while (std::isnan(f));
        }
        const float special[] = {0.0f, -0.0f, 1 + 0x1p-8f, 1 + 0x3p-8f, 3.4e38f, -3.4e38f, 0x1p-140f, INFINITY};
        std::memcpy(from, special, sizeof special);
    }
    template <int N>
    void run() {
        CudaContext context;
        launch(copy_kernel<T, N>, context, {1, kNumbers}, from, narrow, back, kNumbers);
    }
};

/// Devices' type and the engine's.
template <typename T, typename Host, int N>
void check_bits() {
    Copied<T> c;
    for (int i = kNumbers / 2; i < kNumbers; ++i) c.from[i] = static_cast<float>(i) * 0x1.1p-16f;  // fp16's subnormals
    c.template run<N>();
    for (int i = 0; i < kNumbers; ++i) {
        uint16_t bits;
        std::memcpy(&bits, &c.narrow[i], 2);
        CHECK(bits == Host(c.from[i]).bits);
        CHECK(c.back[i] == static_cast<float>(Host(c.from[i])));
    }
}

TEST_CASE("packs: bf16 and fp16 have the bits of the engine's, whatever the width of the access") {
    check_bits<__nv_bfloat16, bf16, 1>();
    check_bits<__nv_bfloat16, bf16, 8>();
    check_bits<__half, fp16, 1>();
    check_bits<__half, fp16, 8>();
}

TEST_CASE("packs: f32 is kept") {
    Copied<float> wide;
    wide.run<4>();
    CHECK(std::memcmp(wide.from, wide.back, sizeof wide.from) == 0);
}

TEST_CASE("aligned: pointers and rows both count") {
    alignas(16) const char bytes[32] = {};
    CHECK(aligned(16, 32, {bytes, bytes + 16, nullptr}));
    CHECK(!aligned(16, 32, {bytes, bytes + 8}));
    CHECK(!aligned(16, 24, {bytes}));
}

__global__ void reduce_kernel(const float* x, float* sums, float* largest) {
    sums[threadIdx.x] = block_reduce(x[threadIdx.x], Sum{});
    largest[threadIdx.x] = block_reduce(x[threadIdx.x], Maximum{});
}

TEST_CASE("block_reduce: every thread has the sum and the maximum, in every order") {
    for (const simt::Order order : {simt::Order::forward, simt::Order::reverse, simt::Order::random}) {
        for (const unsigned threads : {32u, 96u, 1024u}) {
            const simt::ScopedOrder scope(order);
            std::vector<float> x(threads), sums(threads), largest(threads);
            for (unsigned i = 0; i < threads; ++i) x[i] = i == threads / 2 ? -1.0f : -2.0f - static_cast<float>(i % 7);
            double sum = 0;
            for (const float f : x) sum += static_cast<double>(f);
            CudaContext context;
            launch(reduce_kernel, context, {1, threads}, x.data(), sums.data(), largest.data());
            for (unsigned i = 0; i < threads; ++i) CHECK((sums[i] == static_cast<float>(sum) && largest[i] == -1.0f));
        }
    }
}

__global__ void philox_kernel(uint4 counter, uint2 key, uint4* words) { *words = on_cuda::philox4x32(counter, key); }

TEST_CASE("philox4x32 has the words of base/philox.h") {
    PhiloxStream stream(3, 4);
    CudaContext context;
    for (int i = 0; i < 100; ++i) {
        const Philox4 counter = {stream.next(), stream.next(), stream.next(), stream.next()};
        const uint2 key = make_uint2(stream.next(), stream.next());
        uint4 words;
        launch(philox_kernel, context, {1, 1}, make_uint4(counter[0], counter[1], counter[2], counter[3]), key, &words);
        CHECK(Philox4{words.x, words.y, words.z, words.w} ==
              dropforge::philox4x32(counter, key.x | uint64_t{key.y} << 32));
    }
}

template <int N>
__global__ void dropout_kernel(DropoutArgument dropout, float* factors, int columns) {
    const DropoutDraws draws(dropout);
    const int column = static_cast<int>(threadIdx.x) * N;
    float value[N];
    for (int i = 0; i < N; ++i) value[i] = 1;
    draws.apply<N>(value, blockIdx.x, column);
    for (int i = 0; i < N; ++i) factors[static_cast<int>(blockIdx.x) * columns + column + i] = value[i];
}

TEST_CASE("dropout draws the bits of kernels/dropout.h in packs of 1, 4 and 8") {
    const DropoutSource source;
    constexpr int rows = 5, columns = 64, per_sequence = 0x70000001;  // the first row passes 2^32
    const auto check = [&](auto width, float probability) {
        const Dropout d = source.with(probability);
        std::vector<float> factors(rows * columns);
        CudaContext context;
        launch(dropout_kernel<width()>, context, {rows, columns / width()}, DropoutArgument(d, per_sequence),
               factors.data(), columns);
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c)
                CHECK(factors[static_cast<size_t>(r * columns + c)] ==
                      dropout_factor(d, first_row(d, per_sequence) + static_cast<uint64_t>(r), c));
    };
    for (const float probability : {0.0f, 0.1f, 0.5f}) {
        check(std::integral_constant<int, 1>{}, probability);
        check(std::integral_constant<int, 4>{}, probability);
        check(std::integral_constant<int, 8>{}, probability);
    }
}

TEST_CASE("sort_rows: by id, equal ids in order of rows, in every order") {
    PhiloxStream random(5, 0);
    for (const simt::Order order : {simt::Order::forward, simt::Order::reverse, simt::Order::random}) {
        for (const int rows : {1, 2, 31, 33, 1024, 1025, 9000}) {
            for (const uint32_t below : {1u, 3u, 256u, 257u, 30522u, 0x10001u, 0x80000000u}) {
                INFO(rows, " rows of ids below ", below);
                const simt::ScopedOrder scope(order);
                std::vector<int32_t> ids;
                for (int i = 0; i < rows; ++i) ids.push_back(static_cast<int32_t>(random.below(below)));
                std::vector<IdRow> sorted(ids.size()), other(ids.size());
                CudaContext context;
                sort_rows(ids.data(), rows, sorted.data(), other.data(), context);
                std::vector<int32_t> expected(ids.size());
                std::iota(expected.begin(), expected.end(), 0);
                std::ranges::stable_sort(expected, {}, [&](int32_t row) { return ids[static_cast<size_t>(row)]; });
                for (size_t i = 0; i < ids.size(); ++i)
                    if (sorted[i].row != expected[i] || sorted[i].id != ids[static_cast<size_t>(expected[i])])
                        FAIL_CHECK("place ", i);
            }
        }
    }
}

class CountingContext : public Context {
  public:
    int allocated = 0, released = 0, uploads = 0;

    void* allocate(int64_t bytes) override {
        ++allocated;
        return Context::allocate(bytes);
    }
    void release(void* memory, int64_t bytes) noexcept override {
        ++released;
        Context::release(memory, bytes);
    }
    void upload(void* to, const void* host, int64_t bytes) override {
        ++uploads;
        Context::upload(to, host, bytes);
    }
};

TEST_CASE("constants are found again by what they hold, and freed") {
    CountingContext context;
    {
        Constants constants(context);
        const std::vector<int> numbers = {1, 2, 3}, same = numbers, longer = {1, 2, 3, 4};
        const int* copy = constants.find(std::span(numbers));
        REQUIRE(copy != numbers.data());
        CHECK(std::equal(numbers.begin(), numbers.end(), copy));
        CHECK(constants.find(std::span(same)) == copy);
        CHECK(constants.find(std::span(longer)) != copy);
        CHECK(constants.find(std::span(longer).first(3)) == copy);
        CHECK(constants.find(std::span(numbers)) == copy);  // the copies stay where they are
        CHECK(constants.find(std::span<const int>()) == nullptr);
        CHECK((context.allocated == 2 && context.uploads == 2 && context.released == 0));
    }
    CHECK(context.released == 2);
}

/// c [16, 16] += a [16, 16] · b, b [16, 16] given as it is or transposed, both by way of late copies.
template <typename T>
__global__ void product_kernel(const T* a, const T* b, float* c, bool b_transposed) {
    DROPFORGE_SHARED(T, of_a, [16 * 16]);
    DROPFORGE_SHARED(T, of_b, [16 * 16]);
    const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
    copy_pack(of_a + 8 * lane, a + 8 * lane, true);
    copy_pack(of_b + 8 * lane, b + 8 * lane, true);
    end_copy_group();
    wait_for_copies<0>();
    __syncthreads();
    unsigned left[4], right[4];
    load_matrices(left, of_a + lane % 16 * 16 + lane / 16 * 8);
    if (b_transposed)
        load_matrices(right, of_b + (lane / 16 * 8 + lane % 8) * 16 + lane / 8 % 2 * 8);
    else
        load_transposed(right, of_b + lane % 16 * 16 + lane / 16 * 8);
    for (int half = 0; half < 2; ++half) {
        float sum[4];
        for (int i = 0; i < 4; ++i) sum[i] = c[(g + i / 2 * 8) * 16 + 8 * half + 2 * t + i % 2];
        multiply_add<T>(sum, left, right[2 * half], right[2 * half + 1]);
        for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 16 + 8 * half + 2 * t + i % 2] = sum[i];
    }
}

template <typename T>
void check_products() {
    PhiloxStream stream(5, 6);
    const auto fill = [&](auto& matrix) {
        for (auto& element : matrix) element = static_cast<float>(stream.below(15)) - 7;
    };
    for (const bool b_transposed : {false, true}) {
        alignas(16) T a[256], b[256];
        float c[256], expected[256];
        fill(a);
        fill(b);
        fill(c);
        for (int row = 0; row < 16; ++row)
            for (int column = 0; column < 16; ++column) {
                float sum = c[row * 16 + column];
                for (int k = 0; k < 16; ++k)
                    sum += static_cast<float>(a[row * 16 + k]) *
                           static_cast<float>(b_transposed ? b[column * 16 + k] : b[k * 16 + column]);
                expected[row * 16 + column] = sum;
            }
        CudaContext context;
        launch(product_kernel<T>, context, {1, 32}, a, b, c, b_transposed);
        for (int i = 0; i < 256; ++i) CHECK(c[i] == expected[i]);
    }
}

TEST_CASE("fragments: multiplication of integers is exact in both layouts of the second matrix") {
    check_products<__nv_bfloat16>();
    check_products<__half>();
}

__global__ void pieces_kernel(unsigned* masks, unsigned* pairs, float* power) {
    masks[0] = spread_signs(0x80007f80u, 0x00ff0000u, 0x0123u);
    masks[1] = spread_signs(0x80007f80u, 0x00ff0000u, 0x6547u);
    pairs[0] = pair_of<__nv_bfloat16>(1.0f, -2.0f);
    pairs[1] = pair_of<__half>(1.0f, -2.0f);
    power[0] = fast_exp2(-3.0f);
    power[1] = fast_exp2(-INFINITY);
}

TEST_CASE("bytes of signs, pairs, powers of two") {
    unsigned masks[2], pairs[2];
    float power[2];
    CudaContext context;
    launch(pieces_kernel, context, {1, 1}, masks, pairs, power);
    CHECK(masks[0] == 0xff0000ffu);  // bytes 3, 2, 1, 0 from the lowest on: 80, 00, 7f, 80
    CHECK(masks[1] == 0xff000000u);  // bytes 7, 4, 5, 6: 00, 00, 00, ff
    CHECK(pairs[0] == 0xc0003f80u);
    CHECK(pairs[1] == 0xc0003c00u);
    CHECK((power[0] == 0.125f && power[1] == 0.0f));
}

TEST_CASE("launchers refuse what does not fit a grid") {
    const auto message = [](auto&& action) { return test::message_of(action); };
    CHECK(message([] { blocks_for(int64_t{1} << 40, 256); }) ==
          "1099511627776 elements of one launch: the CUDA backend takes at most 549755813632");
    CudaContext context;
    const GatherRows wide{.from = nullptr,
                          .index = nullptr,
                          .to = nullptr,
                          .batch = 65536,
                          .count = 1,
                          .per_sequence = 1,
                          .columns = 8,
                          .dtype = DType::f32};
    CHECK(message([&] { cuda().gather_rows(wide, context); }) ==
          "65536 sequences: the CUDA backend takes at most 65535");
    const TopK longest{.values = nullptr,
                       .lengths = nullptr,
                       .kept = nullptr,
                       .kept_lengths = nullptr,
                       .batch = 1,
                       .sequence = 8193,
                       .keep = 1};
    CHECK(message([&] { cuda().top_k(longest, context); }) ==
          "8193 positions of a sequence: the CUDA backend takes at most 8192");
    AttentionForward attention{};
    attention.batch = 65536;
    attention.heads = attention.rows_q = attention.rows_kv = 1;
    CHECK(message([&] { cuda().attention_forward(attention, context); }) ==
          "65536 sequences: the CUDA backend takes at most 65535");
    attention.batch = 1;
    attention.head_size = 129;
    CHECK(message([&] { cuda().attention_forward(attention, context); }) ==
          "129 columns of an attention head: the CUDA backend takes at most 128");
    LayerNormBackward norm{};
    norm.rows = 1;
    norm.columns = 2049;
    norm.dtype = DType::f32;
    CHECK(message([&] { cuda().layernorm_backward(norm, context); }) ==
          "2049 columns of a LayerNorm: the CUDA backend takes at most 2048");
}

}  // namespace
}  // namespace dropforge::kernels::on_cuda

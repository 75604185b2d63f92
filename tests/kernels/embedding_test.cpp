// Embeddings: gathered sums, LayerNorm, dropout; gradients of tables with repeated and untouched rows.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

struct Case {
    int64_t batch, sequence, columns, vocabulary, positions;
    bool types = true, accumulate = false;
    float dropout = 0;
    int64_t type_count = 2, more = 0;  // rows of a sequence that is not whole

    int64_t rows() const { return batch * sequence + more; }
};

const DropoutSource source;

std::string label(const Case& k) {
    return fmt::format("[{},{},{}] + {} of {} words, {} positions, {} types {} accumulate {} dropout {}", k.batch,
                       k.sequence, k.columns, k.more, k.vocabulary, k.positions, k.type_count, k.types, k.accumulate,
                       k.dropout);
}

struct Tensors {
    Array ids, types, word, position, type, gain, bias;
    Array y, mean, rstd;
    Array dy, dword, dposition, dtype_table, dgain, dbias;

    Tensors(Setup& s, const Case& k)
        : ids(s.integers(1, k.rows(), k.vocabulary)),
          types(s.integers(1, k.rows(), k.type_count)),
          word(s.floats(k.vocabulary, k.columns)),
          position(s.floats(k.positions, k.columns)),
          type(s.floats(k.type_count, k.columns)),
          gain(s.floats(1, k.columns, 1, 0.3)),
          bias(s.floats(1, k.columns)),
          y(s.output(k.rows(), k.columns)),
          mean(s.float_output(1, k.rows())),
          rstd(s.float_output(1, k.rows())),
          dy(s.normal(k.rows(), k.columns)),
          dword(s.floats(k.vocabulary, k.columns)),
          dposition(s.float_output(k.positions, k.columns, k.accumulate)),
          dtype_table(s.float_output(k.type_count, k.columns, k.accumulate)),
          dgain(s.float_output(1, k.columns, k.accumulate)),
          dbias(s.float_output(1, k.columns, k.accumulate)) {}

    void forward(Setup& s, const Case& k, float epsilon = 1e-12f) {
        s.call(s.kernels.embedding_forward, EmbeddingForward{.ids = ids.data<int32_t>(),
                                                             .types = k.types ? types.data<int32_t>() : nullptr,
                                                             .word = word.data<float>(),
                                                             .position = position.data<float>(),
                                                             .type = type.data<float>(),
                                                             .gain = gain.data<float>(),
                                                             .bias = bias.data<float>(),
                                                             .y = y.data(),
                                                             .mean = mean.data<float>(),
                                                             .rstd = rstd.data<float>(),
                                                             .rows = k.rows(),
                                                             .sequence = k.sequence,
                                                             .columns = k.columns,
                                                             .epsilon = epsilon,
                                                             .dropout = source.with(k.dropout),
                                                             .dtype = s.storage});
    }
    void backward(Setup& s, const Case& k) {
        Array scratch = Setup::scratch(embedding_backward_scratch_bytes(k.rows(), k.columns));
        s.call(s.kernels.embedding_backward, EmbeddingBackward{.dy = dy.data(),
                                                               .ids = ids.data<int32_t>(),
                                                               .types = k.types ? types.data<int32_t>() : nullptr,
                                                               .word = word.data<float>(),
                                                               .position = position.data<float>(),
                                                               .type = type.data<float>(),
                                                               .gain = gain.data<float>(),
                                                               .mean = mean.data<float>(),
                                                               .rstd = rstd.data<float>(),
                                                               .dword = dword.data<float>(),
                                                               .dposition = dposition.data<float>(),
                                                               .dtype_table = dtype_table.data<float>(),
                                                               .dgain = dgain.data<float>(),
                                                               .dbias = dbias.data<float>(),
                                                               .scratch = scratch.data(),
                                                               .rows = k.rows(),
                                                               .sequence = k.sequence,
                                                               .columns = k.columns,
                                                               .positions = k.positions,
                                                               .type_count = k.type_count,
                                                               .dropout = source.with(k.dropout),
                                                               .dtype = s.storage,
                                                               .accumulate = k.accumulate});
    }
};

TEST_CASE("embedding: which rows are summed") {
    // Tables whose rows are (a, -a): the sum's sign is what LayerNorm leaves, its size is in rstd.
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        const Case k{.batch = 2, .sequence = 2, .columns = 2, .vocabulary = 4, .positions = 3};
        Tensors t(s, k);
        const auto opposite = [](Array& table, double unit) {
            table.fill([&](int64_t r, int64_t c) { return unit * static_cast<double>(r) * (c ? -1 : 1); });
        };
        opposite(t.word, 100);
        opposite(t.position, 10);
        opposite(t.type, 1);
        t.ids = array(DType::i32, {0, 3, 1, 2});
        t.types = array(DType::i32, {1, 1, 0, 1});
        t.forward(s, k);
        const double sums[] = {1, 311, 100, 211};
        for (int r = 0; r < 4; ++r) {
            CHECK(t.mean.at(0, r) == 0);
            CHECK(std::abs(t.rstd.at(0, r) * sums[r] - 1) <= 2 * 0x1p-23);
            for (int c = 0; c < 2; ++c) {
                const double y = (c ? -1 : 1) * t.gain.at(0, c) + t.bias.at(0, c);
                CHECK(std::abs(t.y.at(r, c) - y) <= 4 * 0x1p-23 * 2);
            }
        }
    }
}

TEST_CASE("embedding: gradients against finite differences") {
    for (const Case& k : {Case{2, 3, 5, 4, 4}, Case{2, 3, 5, 4, 4, false, false, 0.3f}}) {
        Setup s = gradient_setup();
        Tensors t(s, k);
        for (Array* a : {&t.word, &t.position, &t.type, &t.gain, &t.bias})
            a->fill([&](int64_t r, int64_t c) { return s.rounded(a->at(r, c)); });
        t.dword.fill([](int64_t, int64_t) { return 0; });
        t.forward(s, k, 0.1f);
        t.backward(s, k);
        const auto loss = [&] {
            t.forward(s, k, 0.1f);
            Loss sum;
            sum.add(t.y, t.dy);
            return sum;
        };
        check_gradient("word", t.word, t.dword, loss);
        check_gradient("position", t.position, t.dposition, loss);
        check_gradient("type", t.type, t.dtype_table, loss);
        check_gradient("gain", t.gain, t.dgain, loss);
        check_gradient("bias", t.bias, t.dbias, loss);
    }
}

TEST_CASE("embedding: forward and backward") {
    const Case cases[] = {
        {1, 1, 3, 2, 1},
        {1, 2, 31, 1003, 5, false},
        {3, 11, 33, 7, 16, true, true, 0.1f},  // many repeats
        {5, 13, 64, 1003, 13, true, false, 0.1f},
        {2, 63, 65, 1003, 64, false, true},
        {33, 31, 24, 50, 512, true, false, 0.5f},
        {2, 16, 768, 300, 32, true, true, 0.1f},
        // One word for all rows; a sequence of one row; types beyond BERT's two; few words, each in many rows.
        {2, 1000, 8, 1, 1000},
        {70, 1, 40, 1, 3, true, false, 0.1f},
        {9, 33, 36, 3, 40, true, true, 0, 5},
        {31, 33, 1024, 40, 33, true, false, 0.1f, 1},
        {1, 3, 1032, 5, 4, true, false, 0.1f},  // more than a lane keeps
        {2, 700, 8, 300, 700, true, true, 0, 2, 33},
    };
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : cases) {
            check_backends(label(k), dtype, [&](Setup& s) {
                Tensors t(s, k);
                t.forward(s, k);
                Outputs all = outputs("y", t.y, "mean", t.mean, "rstd", t.rstd);
                Setup exact(reference(), dtype, s.storage, 0);  // the saved tensors: the same for all
                t.forward(exact, k);
                t.backward(s, k);
                add_outputs(all, "dword", std::move(t.dword), "dposition", std::move(t.dposition), "dtype",
                            std::move(t.dtype_table), "dgain", std::move(t.dgain), "dbias", std::move(t.dbias));
                return all;
            });
        }
    }
}

TEST_CASE("embedding backward touches the words of the batch only") {
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        const Case k{.batch = 2, .sequence = 5, .columns = 9, .vocabulary = 40, .positions = 5};
        Tensors t(s, k);
        t.dword = Array(DType::f32, k.vocabulary, k.columns);  // all bits 1
        t.forward(s, k);
        for (int64_t r = 0; r < k.rows(); ++r)
            for (int64_t c = 0; c < k.columns; ++c) t.dword.set(static_cast<int64_t>(t.ids.at(0, r)), c, 0);
        const Array before = t.dword;
        t.backward(s, k);
        std::vector<bool> hit(static_cast<size_t>(k.vocabulary));
        for (int64_t r = 0; r < k.rows(); ++r) hit[static_cast<size_t>(t.ids.at(0, r))] = true;
        for (int64_t v = 0; v < k.vocabulary; ++v)
            for (int64_t c = 0; c < k.columns; ++c) CHECK(std::isnan(t.dword.at(v, c)) == !hit[static_cast<size_t>(v)]);
    }
}

}  // namespace
}  // namespace dropforge::kernels

// Sum of word, position and type embeddings, LayerNorm, dropout (Devlin et al. 2019, section 3), and its backward.
#include <map>
#include <vector>

#include "kernels/dropout.h"
#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

template <typename Real>
using Row = std::vector<Real>;

/// word[id] + position[row % sequence] + type[type id]; e is an EmbeddingForward or EmbeddingBackward.
template <typename Real, typename Embedding>
void gather_sum(const Embedding& e, int64_t row, Row<Real>& sum) {
    const float* word = e.word + e.ids[row] * e.columns;
    const float* position = e.position + row % e.sequence * e.columns;
    const float* type = e.type + (e.types ? e.types[row] : 0) * e.columns;
    for (size_t c = 0; c < sum.size(); ++c) sum[c] = get<Real>(word[c]) + get<Real>(position[c]) + get<Real>(type[c]);
}

template <typename Real, typename T>
void forward(const EmbeddingForward& e) {
    auto* y = static_cast<T*>(e.y);
    const uint64_t row0 = first_row(e.dropout, e.sequence);
    Row<Real> z(static_cast<size_t>(e.columns));
    for (int64_t r = 0; r < e.rows; ++r) {
        gather_sum(e, r, z);
        const auto [mean, rstd] = moments(z.data(), e.columns, e.epsilon);
        e.mean[r] = static_cast<float>(mean);
        e.rstd[r] = static_cast<float>(rstd);
        for (int64_t c = 0; c < e.columns; ++c) {
            const Real normalized = (z[static_cast<size_t>(c)] - mean) * rstd;
            const auto factor = static_cast<Real>(dropout_factor(e.dropout, row0 + static_cast<uint64_t>(r), c));
            y[r * e.columns + c] = put<T>(factor * (get<Real>(e.gain[c]) * normalized + get<Real>(e.bias[c])));
        }
    }
}

/// Gradients of the rows of each table, and of LayerNorm's gain and bias.
template <typename Real>
struct Sums {
    explicit Sums(size_t columns) : zero(columns), gain(columns), bias(columns) {}
    Row<Real>& of(std::map<int64_t, Row<Real>>& table, int64_t row) {
        return table.try_emplace(row, zero).first->second;
    }

    Row<Real> zero, gain, bias;
    std::map<int64_t, Row<Real>> word, position, type;
};

template <typename Real, typename T>
Sums<Real> sum_gradients(const EmbeddingBackward& e) {
    const auto* dy = static_cast<const T*>(e.dy);
    const auto columns = static_cast<size_t>(e.columns);
    const uint64_t row0 = first_row(e.dropout, e.sequence);
    Sums<Real> sums(columns);
    Row<Real> z(columns), g(columns);
    for (int64_t r = 0; r < e.rows; ++r) {
        const auto mean = get<Real>(e.mean[r]), rstd = get<Real>(e.rstd[r]);
        gather_sum(e, r, z);
        for (size_t c = 0; c < columns; ++c) {
            const auto column = static_cast<int64_t>(c);
            const auto factor = static_cast<Real>(dropout_factor(e.dropout, row0 + static_cast<uint64_t>(r), column));
            const Real gradient = factor * get<Real>(dy[r * e.columns + column]);
            z[c] = (z[c] - mean) * rstd;
            sums.gain[c] += gradient * z[c];
            sums.bias[c] += gradient;
            g[c] = gradient * get<Real>(e.gain[c]);
        }
        layernorm_input_gradient(g.data(), z.data(), rstd, e.columns);
        Row<Real>& word = sums.of(sums.word, e.ids[r]);
        Row<Real>& position = sums.of(sums.position, r % e.sequence);
        Row<Real>& type = sums.of(sums.type, e.types ? e.types[r] : 0);
        for (size_t c = 0; c < columns; ++c) {
            word[c] += g[c];
            position[c] += g[c];
            type[c] += g[c];
        }
    }
    return sums;
}

/// Adds to, or assigns, `rows` rows of a table; rows without a gradient get 0.
template <typename Real>
void write_table(float* table, const std::map<int64_t, Row<Real>>& sums, int64_t rows, int64_t columns,
                 bool accumulate) {
    for (int64_t r = 0; r < rows; ++r) {
        const auto found = sums.find(r);
        for (int64_t c = 0; c < columns; ++c) {
            const Real value = found == sums.end() ? Real{0} : found->second[static_cast<size_t>(c)];
            assign_or_add(table[r * columns + c], value, accumulate);
        }
    }
}

template <typename Real, typename T>
void backward(const EmbeddingBackward& e) {
    const Sums<Real> sums = sum_gradients<Real, T>(e);
    for (const auto& [id, gradient] : sums.word) {
        for (int64_t c = 0; c < e.columns; ++c)
            assign_or_add(e.dword[id * e.columns + c], gradient[static_cast<size_t>(c)], true);
    }
    write_table(e.dposition, sums.position, e.accumulate ? e.sequence : e.positions, e.columns, e.accumulate);
    write_table(e.dtype_table, sums.type, e.type_count, e.columns, e.accumulate);
    for (int64_t c = 0; c < e.columns; ++c) {
        assign_or_add(e.dgain[c], sums.gain[static_cast<size_t>(c)], e.accumulate);
        assign_or_add(e.dbias[c], sums.bias[static_cast<size_t>(c)], e.accumulate);
    }
}

}  // namespace

template <typename Real>
void embedding_forward(const EmbeddingForward& e, Context&) {
    with_float_type(e.dtype, [&](auto type) { forward<Real, decltype(type)>(e); });
}

template <typename Real>
void embedding_backward(const EmbeddingBackward& e, Context&) {
    with_float_type(e.dtype, [&](auto type) { backward<Real, decltype(type)>(e); });
}

template void embedding_forward<double>(const EmbeddingForward&, Context&);
template void embedding_forward<float>(const EmbeddingForward&, Context&);
template void embedding_backward<double>(const EmbeddingBackward&, Context&);
template void embedding_backward<float>(const EmbeddingBackward&, Context&);

}  // namespace dropforge::kernels::loops

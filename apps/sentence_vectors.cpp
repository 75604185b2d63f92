#include "apps/sentence_vectors.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>

#include "apps/line_reader.h"
#include "apps/npy_file.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "devices/choice/choose_device.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/checkpoint/sentence_files.h"
#include "model/checkpoint/text_encoder.h"
#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/training/bucketed_forward.h"

namespace dropforge {

namespace {

using Ids = std::vector<int32_t>;

/// The sequences of these numbers as a batch of the length of their bucket.
data::Batch batch_of(const std::vector<Ids>& sequences, std::span<const size_t> numbers, int64_t most, int64_t step) {
    size_t longest = 0;
    for (const size_t i : numbers) longest = std::max(longest, sequences[i].size());
    data::Batch batch{.sequences = static_cast<int64_t>(numbers.size()),
                      .length = bucket_length(static_cast<int64_t>(longest), most, step)};
    for (const size_t i : numbers) {
        batch.lengths.push_back(static_cast<int32_t>(sequences[i].size()));
        batch.input_ids.insert(batch.input_ids.end(), sequences[i].begin(), sequences[i].end());
        batch.input_ids.resize(batch.lengths.size() * static_cast<size_t>(batch.length));
    }
    return batch;
}

/// A model on its device.
class SentenceModel {
  public:
    SentenceModel(const Model& model, const Device& device, const EmbedOptions& o, const EmbedResult& as)
        : batch_(static_cast<size_t>(o.batch)),
          size_(static_cast<size_t>(as.size)),
          most_(as.max_length),
          step_(bucket_step(device.kind != "cpu")),
          forward_(
              model.parameters,
              [&model, pooling = as.pooling](const BuildOptions& options) {
                  return sentence_vectors(model.parameters, options, pooling);
              },
              {.batch = o.batch, .sequence = as.max_length, .dtype = o.dtype, .lengths = true},
              model.values.as<float>(), *device.kernels, step_) {}

    /// Vectors [n,h]. They are computed in the order of the sequences' lengths, so that few positions are padding.
    std::vector<float> vectors(const std::vector<Ids>& sequences, const InterruptGuard& interrupt) {
        std::vector<size_t> order(sequences.size());
        std::iota(order.begin(), order.end(), 0);
        std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return sequences[i].size(); });
        std::vector<float> vectors(sequences.size() * size_);
        for (std::span<const size_t> left = order; !left.empty();) {
            const auto batch = left.first(std::min(left.size(), batch_));
            left = left.subspan(batch.size());
            forward_.run(batch_of(sequences, batch, most_, step_));
            const std::span<const float> all = forward_.output<float>(names::kSentenceVectors);
            for (size_t row = 0; row < batch.size(); ++row)
                std::ranges::copy(all.subspan(row * size_, size_), vectors.data() + batch[row] * size_);
            if (interrupt.signal() != 0) throw Interrupted{interrupt.signal()};
        }
        return vectors;
    }

  private:
    size_t batch_, size_;
    int64_t most_, step_;  // of the buckets
    BucketedForward forward_;
};

/// How the vectors are made, from the options and from the model's files.
EmbedResult settings(const EmbedOptions& o, const Model& model, const ModelTokenizer& tokenizer) {
    const BertConfig& config = model.parameters.config();
    const SentenceTexts texts = read_sentence_texts(o.model, config.max_positions);
    const SentencePooling pooling = o.pooling ? SentencePooling{*o.pooling} : read_sentence_pooling(o.model);
    require(tokenizer.size() <= config.vocabulary, "{}: {} tokens, but config.json says {}", o.model.string(),
            tokenizer.size(), config.vocabulary);
    require(!texts.lower_case || tokenizer.normalization.lower_case,
            "{}: sentence_bert_config.json says do_lower_case, but the tokenizer keeps upper case", o.model.string());
    EmbedResult result{.size = config.hidden,
                       .max_length = o.max_length.value_or(texts.max_length),
                       .pooling = pooling.pooling,
                       .normalized = o.normalize || pooling.normalize,
                       .notes = notes_on(model, o.model)};
    require(result.max_length <= config.max_positions, "--max-length {}: the model has {} positions", result.max_length,
            config.max_positions);
    result.notes.insert(result.notes.end(), tokenizer.notes.begin(), tokenizer.notes.end());
    if (!texts.default_prompt.empty())
        result.notes.push_back(
            fmt::format("{}: sentence-transformers puts \"{}\" before each sentence, which is not "
                        "done here",
                        o.model.string(), texts.default_prompt));
    return result;
}

/// The ids of the next lines, at most `count`, cut to the length that a sentence may have.
std::vector<Ids> next_sequences(LineReader& lines, TextEncoder& encoder, size_t count, EmbedResult& result) {
    std::vector<Ids> sequences;
    std::string line;
    while (sequences.size() < count && lines.next(line)) {
        Ids& ids = sequences.emplace_back(encoder.encode(line));
        if (std::cmp_less_equal(ids.size(), result.max_length)) continue;
        ids.resize(static_cast<size_t>(result.max_length));
        ids.back() = encoder.special().sep;
        ++result.cut;
    }
    return sequences;
}

void normalize(std::span<float> vector) {
    constexpr double kLeast = 1e-12;  // as PyTorch's normalize
    double squares = 0;
    for (const float x : vector) squares += double{x} * x;
    const double norm = std::max(std::sqrt(squares), kLeast);
    for (float& x : vector) x = static_cast<float>(x / norm);
}

/// The vectors as they are written. Error for one that is not finite.
void finish(std::span<float> vectors, const EmbedOptions& o, const EmbedResult& result) {
    const auto size = static_cast<size_t>(result.size);
    for (size_t i = 0; i < vectors.size() / size; ++i) {
        const std::span<float> vector = vectors.subspan(i * size, size);
        require(std::ranges::all_of(vector, [](float x) { return std::isfinite(x); }),
                "{}: the vector of line {} is not finite in {}", o.text.string(),
                result.sentences + static_cast<int64_t>(i) + 1, name_of(o.dtype));
        if (result.normalized) normalize(vector);
    }
}

}  // namespace

EmbedResult embed(const EmbedOptions& o) {
    require(o.overwrite || !fs::exists(o.out), "{}: is there already; --overwrite replaces it", o.out.string());
    LineReader lines(o.text);
    require_intact(o.model);
    const Model model = load_model(o.model);
    const ModelTokenizer tokenizer = load_tokenizer(o.model);
    EmbedResult result = settings(o, model, tokenizer);
    const Device device = choose_device(o.device);
    require_computes(device, o.dtype);
    SentenceModel sentences(model, device, o, result);
    TextEncoder encoder(tokenizer);
    NpyFile file(o.out, result.size);
    const InterruptGuard interrupt;
    const auto start = std::chrono::steady_clock::now();
    // As many lines at a time as sorting by length gains from, in bounded memory.
    const auto count = static_cast<size_t>(std::max<int64_t>((1 << 14) / o.batch, 16) * o.batch);
    for (;;) {
        const std::vector<Ids> sequences = next_sequences(lines, encoder, count, result);
        if (sequences.empty()) break;
        std::vector<float> vectors = sentences.vectors(sequences, interrupt);
        finish(vectors, o, result);
        file.write(vectors);
        result.sentences = file.rows();
    }
    require(result.sentences > 0, "{}: empty", o.text.string());
    file.commit();
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
}

}  // namespace dropforge

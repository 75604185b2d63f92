#include "export/export_model.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/rollback.h"
#include "export/model_card.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/checkpoint/tokenizer_files.h"
#include "model/run/mask_logits.h"

namespace dropforge {

namespace {

/// Files of a checkpoint that are of use for training alone.
constexpr const char* kOfTraining[] = {"trainer.safetensors", "manifest.json"};

Checkpoint checkpoint_of(const fs::path& run, int64_t step) {
    const std::vector<Checkpoint> all = list_checkpoints(run);
    require(!all.empty(), "{}: there is no checkpoint", run.string());
    if (step < 0) return all.back();
    const auto found = std::ranges::find(all, step, &Checkpoint::step);
    require(found != all.end(), "{}: there is no checkpoint after step {}; the newest is after step {}", run.string(),
            step, all.back().step);
    return *found;
}

/// [CLS], ids from all over the vocabulary with a [MASK] in their middle, [SEP].
data::Batch sample(const data::Vocabulary& vocabulary, int64_t max_positions) {
    constexpr int64_t kLength = 24;
    constexpr uint64_t kStride = 7919;  // prime
    const data::SpecialIds special = vocabulary.special();
    data::Batch batch{.sequences = 1, .length = std::min(kLength, max_positions), .masked = 1};
    for (int64_t i = 0; i < batch.length; ++i)
        batch.input_ids.push_back(
            static_cast<int32_t>(static_cast<uint64_t>(i) * kStride % static_cast<uint64_t>(vocabulary.size())));
    batch.masked_positions = {static_cast<int32_t>(batch.length / 2)};
    batch.input_ids.front() = special.cls;
    batch.input_ids.back() = special.sep;
    batch.input_ids[static_cast<size_t>(batch.length / 2)] = special.mask;
    return batch;
}

/// What the model says of such a sequence, in f32.
nlohmann::ordered_json expected_output(const Model& model, const data::Vocabulary& vocabulary) {
    constexpr size_t kTop = 10;
    const data::Batch batch = sample(vocabulary, model.parameters.config().max_positions);
    const std::vector<float> all = MaskLogits(model, batch.length, batch.masked, DType::f32, kernels::cpu()).of(batch);
    const std::span<const float> logits = std::span(all).first(static_cast<size_t>(vocabulary.size()));
    auto top = nlohmann::ordered_json::array();
    for (const int32_t id : largest(logits, kTop))
        top.push_back({{"id", id}, {"token", vocabulary.token(id)}, {"logit", logits[static_cast<size_t>(id)]}});
    return {{"input_ids", batch.input_ids}, {"mask_position", batch.masked_positions.front()}, {"top", top}};
}

/// The last part of the run's path that names something.
std::string name_of_run(const fs::path& run) { return fs::canonical(run).filename().string(); }

/// All else that is written here is durable too.
void copy_durably(const fs::path& from, const fs::path& to) {
    const MappedFile file(from);
    write_text(to, {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
}

void fill(const fs::path& folder, const fs::path& run, const Checkpoint& checkpoint) {
    const Model model = load_model(checkpoint.path);
    const ModelTokenizer tokenizer = load_tokenizer(checkpoint.path);
    for (const fs::directory_entry& file : fs::directory_iterator(checkpoint.path))
        if (std::ranges::count(kOfTraining, file.path().filename().string()) == 0)
            copy_durably(file.path(), folder / file.path().filename());
    write_text(folder / "parity.json", expected_output(model, tokenizer.vocabulary).dump(1) + "\n");
    const report::ReportedRun record = report::RunReader().read(name_of_run(run), run);
    write_text(folder / "README.md",
               model_card(name_of_run(run), model.parameters.count(), record, load_training_state(checkpoint.path)));
}

}  // namespace

Exported export_model(const fs::path& run, int64_t step, const fs::path& out) {
    require(recorded_config(run).has_value(), "{}: not a run folder: it has no config.toml", run.string());
    const Checkpoint checkpoint = checkpoint_of(run, step);
    require_intact(checkpoint.path);
    require(!fs::exists(out) || (fs::is_directory(out) && fs::is_empty(out)), "{}: is there already", out.string());
    const fs::path target = fs::absolute(out / "").lexically_normal().parent_path();
    const fs::path temporary = fmt::format("{}.tmp{}", target.string(), getpid());
    Rollback changes;
    for (const fs::path& made : make_folders(folder_of(target))) changes.add([made] { fs::remove(made); });
    fs::create_directory(temporary);
    changes.add([temporary] { fs::remove_all(temporary); });
    fill(temporary, run, checkpoint);
    sync_folder(temporary);
    rename_durably(temporary, target);
    changes.commit();
    Exported exported{.checkpoint = checkpoint.path, .step = checkpoint.step, .files = {}};
    for (const fs::directory_entry& file : fs::directory_iterator(target))
        exported.files.push_back(file.path().filename().string());
    std::ranges::sort(exported.files);
    return exported;
}

}  // namespace dropforge

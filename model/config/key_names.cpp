#include "model/config/key_names.h"

#include <algorithm>

#include "base/nearest.h"

namespace dropforge::config {

namespace {

struct OtherName {
    const char *name, *key;
};

/// Of Hugging Face's TrainingArguments and BertConfig, of Google's BERT, of fairseq, NVIDIA's and PyTorch's scripts.
/// Several keys of a name: that of pretraining, and that of fine-tuning.
constexpr OtherName kOtherNames[] = {
    {"learning_rate", "train.lr"},
    {"peak_lr", "train.lr"},
    {"init_lr", "train.lr"},
    {"min_lr", "train.end_lr"},
    {"max_steps", "train.steps"},
    {"num_train_steps", "train.steps"},
    {"num_steps", "train.steps"},
    {"total_steps", "train.steps"},
    {"max_update", "train.steps"},
    {"iterations", "train.steps"},
    {"num_train_epochs", "train.epochs"},
    {"num_train_epochs", "train.steps"},
    {"epochs", "train.steps"},
    {"batch_size", "train.batch"},
    {"train_batch_size", "train.batch"},
    {"global_batch_size", "train.batch"},
    {"per_device_batch_size", "train.batch"},
    {"per_device_train_batch_size", "train.batch"},
    {"micro_batch_size", "train.micro_batch"},
    {"gradient_accumulation_steps", "train.micro_batch"},
    {"accumulate_grad_batches", "train.micro_batch"},
    {"update_freq", "train.micro_batch"},
    {"dtype", "train.precision"},
    {"bf16", "train.precision"},
    {"fp16", "train.precision"},
    {"mixed_precision", "train.precision"},
    {"random_seed", "train.seed"},
    {"optim", "train.optimizer"},
    {"warmup_ratio", "train.warmup_steps"},
    {"warmup_ratio", "train.warmup"},
    {"num_warmup_steps", "train.warmup_steps"},
    {"num_warmup_steps", "train.warmup"},
    {"warmup_proportion", "train.warmup_steps"},
    {"warmup_proportion", "train.warmup"},
    {"lr_scheduler_type", "train.schedule"},
    {"lr_schedule", "train.schedule"},
    {"adam_beta1", "train.beta1"},
    {"adam_beta2", "train.beta2"},
    {"adam_epsilon", "train.epsilon"},
    {"eps", "train.epsilon"},
    {"wd", "train.weight_decay"},
    {"max_grad_norm", "train.clip"},
    {"grad_clip", "train.clip"},
    {"clip_norm", "train.clip"},
    {"seq_length", "data.sequence"},
    {"seq_len", "data.sequence"},
    {"sequence_length", "data.sequence"},
    {"max_seq_length", "data.sequence"},
    {"max_seq_length", "data.max_length"},
    {"max_length", "data.sequence"},
    {"block_size", "data.sequence"},
    {"mlm_probability", "data.mask_probability"},
    {"masked_lm_prob", "data.mask_probability"},
    {"mask_prob", "data.mask_probability"},
    {"max_predictions_per_seq", "data.max_predictions"},
    {"whole_word_mask", "data.whole_word"},
    {"do_whole_word_mask", "data.whole_word"},
    {"short_seq_prob", "data.short_sequences"},
    {"data_dir", "data.path"},
    {"hidden_size", "model.hidden"},
    {"d_model", "model.hidden"},
    {"num_hidden_layers", "model.layers"},
    {"n_layer", "model.layers"},
    {"num_attention_heads", "model.heads"},
    {"n_head", "model.heads"},
    {"intermediate_size", "model.intermediate"},
    {"d_ff", "model.intermediate"},
    {"max_position_embeddings", "model.max_positions"},
    {"hidden_act", "model.activation"},
    {"hidden_dropout_prob", "model.dropout"},
    {"attention_probs_dropout_prob", "model.attention_dropout"},
    {"keep_ratio", "dropping.keep"},
    {"token_keep", "dropping.keep"},
    {"eval_steps", "eval.every"},
    {"eval_interval", "eval.every"},
    {"save_steps", "checkpoint.every"},
    {"save_interval", "checkpoint.every"},
    {"save_checkpoints_steps", "checkpoint.every"},
    {"save_total_limit", "checkpoint.keep_last"},
    {"logging_steps", "log.every"},
    {"log_interval", "log.every"},
};

}  // namespace

std::string nearest_key(const std::vector<Field>& fields, const std::string& key) {
    const std::string name = key.substr(key.find('.') + 1);
    size_t best = std::string::npos;
    std::string found;
    const auto offer = [&](size_t distance, const std::string& meant) {
        if (distance >= best) return;
        best = distance;
        found = meant;
    };
    for (const Field& field : fields) {
        if (name.size() >= 3 && field.key().starts_with(key)) offer(2, field.key());
        offer(edit_distance(key, field.key()), field.key());
        offer(edit_distance(name, field.name) + 2, field.key());
    }
    for (const OtherName& other : kOtherNames)
        if (std::ranges::find(fields, other.key, &Field::key) != fields.end())
            offer(edit_distance(name, other.name), other.key);
    return found;
}

std::string nearest_table(const std::vector<Field>& fields, const std::string& table) {
    std::vector<std::string> tables;
    tables.reserve(fields.size());
    for (const Field& field : fields) tables.emplace_back(field.table);
    return nearest(table, tables);
}

}  // namespace dropforge::config

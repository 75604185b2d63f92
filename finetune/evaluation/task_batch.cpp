#include "finetune/evaluation/task_batch.h"

#include <algorithm>

namespace dropforge {

using tasks::Item;
using tasks::Kind;

std::vector<int64_t> lengths_of(const tasks::Items& items) {
    std::vector<int64_t> lengths;
    for (const Item& item : items.items) lengths.push_back(static_cast<int64_t>(item.length()));
    return lengths;
}

int64_t sequences_per_item(const TaskData& data) {
    return data.task.kind == Kind::choice ? std::ssize(data.items.items.front().sequences) : 1;
}

void fill_tokens(std::span<const Item* const> items, int64_t length, int32_t pad, data::Batch& batch) {
    batch.sequences = 0;
    batch.length = length;
    for (const Item* item : items) batch.sequences += std::ssize(item->sequences);
    const auto size = static_cast<size_t>(batch.sequences * length);
    batch.input_ids.assign(size, pad);
    batch.token_type_ids.assign(size, 0);
    batch.lengths.clear();
    auto ids = batch.input_ids.begin(), types = batch.token_type_ids.begin();
    for (const Item* item : items)
        for (const tasks::Sequence& s : item->sequences) {
            std::ranges::copy(s.ids, ids);
            for (size_t i = 0; i < s.ids.size(); ++i) types[static_cast<ptrdiff_t>(i)] = s.token_type(i);
            batch.lengths.push_back(static_cast<int32_t>(s.ids.size()));
            ids += length;
            types += length;
        }
}

double TaskLabeller::weight(const Item& item) const {
    const std::vector<int32_t>& classes = example(item).classes;
    if (data_.task.kind == Kind::single || data_.task.kind == Kind::pair) return class_weight(classes[0]);
    if (data_.task.kind != Kind::token) return 1;
    double sum = 0;
    for (const int32_t word : item.words) sum += class_weight(classes[static_cast<size_t>(word)]);
    return sum;
}

void TaskLabeller::fill(std::span<const Item* const> items, int64_t rows, int64_t length, TaskLabels& l) const {
    const bool token = data_.task.kind == Kind::token;
    const auto n = static_cast<size_t>(token ? rows * length : rows);
    l.weights.assign(n, 0);
    if (data_.task.kind == Kind::regression) l.values.assign(n, 0);
    if (data_.task.kind == Kind::span) {
        l.starts.assign(n, 0);
        l.ends.assign(n, 0);
    } else if (data_.task.kind != Kind::regression) {
        l.labels.assign(n, 0);
    }
    for (size_t i = 0; i < items.size(); ++i) {
        const Item& item = *items[i];
        const tasks::Example& of = example(item);
        if (!token) l.weights[i] = static_cast<float>(weight(item));
        switch (data_.task.kind) {
            case Kind::regression:
                l.values[i] = static_cast<float>(of.value);
                break;
            case Kind::span:
                l.starts[i] = item.start;
                l.ends[i] = item.end;
                break;
            case Kind::token:
                for (size_t k = 0; k < item.words.size(); ++k) {
                    const size_t at = i * static_cast<size_t>(length) + static_cast<size_t>(item.positions[k]);
                    l.labels[at] = of.classes[static_cast<size_t>(item.words[k])];
                    l.weights[at] = static_cast<float>(class_weight(l.labels[at]));
                }
                break;
            default:
                l.labels[i] = of.classes[0];
        }
    }
}

}  // namespace dropforge

// Builders of engine/ops.h that move rows by an index.
#include "engine/op_shapes.h"
#include "engine/ops.h"

namespace dropforge::ops {

void gather_rows(Program& program, const std::string& name, Tensor from, Tensor index, Tensor to) {
    const int64_t per = per_sequence(name, from, index, to);
    program.add(name, {.reads = {from, index}, .writes = {to}}, [=](const Run& r) {
        r.kernels.gather_rows({.from = r.at(from),
                               .index = r.at<int32_t>(index),
                               .to = r.at(to),
                               .batch = rows(index),
                               .count = columns(index),
                               .per_sequence = per,
                               .columns = columns(from),
                               .dtype = from.dtype},
                              r.context);
    });
}

void scatter_rows(Program& program, const std::string& name, Tensor from, Tensor index, Tensor to, Scatter mode) {
    const int64_t per = per_sequence(name, to, index, from);
    Access access{.reads = {from, index}, .writes = {to}};
    if (mode != Scatter::clear_and_accumulate) access.reads.push_back(to);
    program.add(name, access, [=](const Run& r) {
        r.kernels.scatter_rows({.from = r.at(from),
                                .index = r.at<int32_t>(index),
                                .to = r.at(to),
                                .batch = rows(index),
                                .count = columns(index),
                                .per_sequence = per,
                                .columns = columns(from),
                                .dtype = from.dtype,
                                .accumulate = mode != Scatter::replace,
                                .clear = mode == Scatter::clear_and_accumulate},
                               r.context);
    });
}

void merge_rows(Program& program, const std::string& name, Tensor picked, Tensor index, Tensor rest, Tensor all) {
    const int64_t per = per_sequence(name, all, index, picked);
    check_like(name, "rest", rest, all);
    const Access access{.reads = {picked, index, rest}, .writes = {all}, .inplace = {{all, rest}}};
    program.add(name, access, [=](const Run& r) {
        r.kernels.merge_rows({.rows = r.at(picked),
                              .index = r.at<int32_t>(index),
                              .rest = r.at(rest),
                              .all = r.at(all),
                              .batch = rows(index),
                              .count = columns(index),
                              .per_sequence = per,
                              .columns = columns(all),
                              .dtype = all.dtype},
                             r.context);
    });
}

void split_rows(Program& program, const std::string& name, Tensor all, Tensor index, Tensor picked, Tensor rest,
                bool accumulate) {
    const int64_t per = per_sequence(name, all, index, picked);
    check_like(name, "rest", rest, all);
    require(!accumulate || rest.storage != all.storage || rest.offset != all.offset,
            "{}: cannot add rows to themselves", name);
    Access access{.reads = {all, index}, .writes = {picked, rest}};
    if (accumulate)
        access.reads.push_back(rest);
    else
        access.inplace.emplace_back(rest, all);
    program.add(name, access, [=](const Run& r) {
        r.kernels.split_rows({.all = r.at(all),
                              .index = r.at<int32_t>(index),
                              .rows = r.at(picked),
                              .rest = r.at(rest),
                              .batch = rows(index),
                              .count = columns(index),
                              .per_sequence = per,
                              .columns = columns(all),
                              .dtype = all.dtype,
                              .accumulate = accumulate},
                             r.context);
    });
}

}  // namespace dropforge::ops

// The options that say which task a command is about.
#pragma once

#include <CLI/CLI.hpp>

#include "finetune/evaluation/task_files.h"

namespace dropforge {

/// Adds --task, which is returned, --labels and --columns.
CLI::Option* add_task_options(CLI::App& command, TaskChoice& task);

}  // namespace dropforge

#include "apps/task_options.h"

#include "apps/commands.h"

namespace dropforge {

CLI::Option* add_task_options(CLI::App& command, TaskChoice& task) {
    std::vector<const char*> names;
    for (const tasks::Task& t : tasks::all_tasks()) names.push_back(t.name.c_str());
    CLI::Option* option = add_names(
                              command, "--task", names, 0, [&task, names](size_t chosen) { task.name = names[chosen]; },
                              "The task, which says how the files are read and what is measured")
                              ->default_str("");
    command
        .add_option("--labels", task.labels,
                    "The labels of single, pair or token, with commas between; by default those that the files have")
        ->type_name("LABEL")
        ->delimiter(',');
    command
        .add_option("--columns", task.columns,
                    "The columns of the label and of the texts, with commas between, in a TSV or JSON lines")
        ->type_name("NAME")
        ->delimiter(',');
    return option;
}

}  // namespace dropforge

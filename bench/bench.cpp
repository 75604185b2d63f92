// The command line of bench, the throughput studies: a table for people, or one JSON object with --json. The program's
// name is that of its file, which is installed as dropforge-bench.
#include "base/command_line.h"
#include "base/file.h"
#include "base/revision.h"
#include "bench/measure/commands.h"
#include "devices/build_info.h"
#include "devices/choice/choose_device.h"

int main(int argc, char** argv) {
    using namespace dropforge;
    const std::string name = argc > 0 ? fs::path(argv[0]).filename().string() : "bench";
    const auto add_subcommands = [](CLI::App& app) {
        add_data(app);
        add_kernels(app);
        add_gemm(app);
        add_step(app);
        add_predict(app);
    };
    return run_command_line(
        {.name = name,
         .description =
             "Measures the speed of Dropforge's kernels and training steps on this machine, and predicts it for GPUs.",
         .version = [&] { return build_info(name, kRevision, backends()); },
         .add_subcommands = add_subcommands},
        argc, argv);
}

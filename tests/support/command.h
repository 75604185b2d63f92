// Runs the real dropforge and catches what it prints.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "tests/support/data_fixture.h"
#include "tests/support/paths.h"

namespace dropforge::test {

struct CommandResult {
    int exit_code = 0;  // 128 + signal if it was killed
    std::string out, error;
};

/// A running dropforge. Limits: the largest file it may write, the memory of its own that it may have; `unprivileged`:
/// not as root, who may write anywhere.
class Command {
  public:
    struct Limits {
        uint64_t file_bytes = RLIM_INFINITY, memory_bytes = RLIM_INFINITY;
        bool unprivileged = false;
    };

    explicit Command(const std::vector<std::string>& arguments) : Command(arguments, Limits{}) {}
    Command(const std::vector<std::string>& arguments, const Limits& limits) {
        const std::string program = std::string(kPrograms) + "/dropforge";
        std::vector<char*> argv = {const_cast<char*>(program.c_str())};
        for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
        argv.push_back(nullptr);
        // Opened here and handed over, so that an unprivileged child needs no right to the folders on the way to it.
        const int binary = open(program.c_str(), O_RDONLY);
        REQUIRE(binary >= 0);
        const int out = open((folder_ / "out").c_str(), O_WRONLY | O_CREAT, 0666),
                  error = open((folder_ / "err").c_str(), O_WRONLY | O_CREAT, 0666);
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            dup2(out, STDOUT_FILENO);
            dup2(error, STDERR_FILENO);
            const rlimit size{limits.file_bytes, limits.file_bytes};
            setrlimit(RLIMIT_FSIZE, &size);
            const rlimit memory{limits.memory_bytes, limits.memory_bytes};
            setrlimit(RLIMIT_DATA, &memory);
            signal(SIGXFSZ, SIG_IGN);  // the write fails with EFBIG instead
            if (limits.unprivileged && geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(126);
            fexecve(binary, argv.data(), environ);
            _exit(127);
        }
        for (const int descriptor : {binary, out, error}) close(descriptor);
    }
    Command(const Command&) = delete;
    Command& operator=(const Command&) = delete;
    ~Command() {
        if (pid_ <= 0) return;
        kill(SIGKILL);
        wait();
    }

    void kill(int signal) { ::kill(pid_, signal); }
    CommandResult wait() {
        int status = 0;
        REQUIRE(waitpid(pid_, &status, 0) == pid_);
        pid_ = -1;
        return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(folder_ / "out"),
                read_text(folder_ / "err")};
    }

  private:
    TemporaryFolder folder_;
    pid_t pid_ = -1;
};

inline CommandResult run_command(const std::vector<std::string>& arguments) { return Command(arguments).wait(); }

}  // namespace dropforge::test

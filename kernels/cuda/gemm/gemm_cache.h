// The file that keeps which algorithm was the fastest for which product, so that only the first run measures, and so
// that a run that is resumed has the bits of one that was not interrupted.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/file.h"

namespace dropforge::kernels::on_cuda {

struct StoredAlgorithm {
    std::array<uint64_t, 8> words{};  // of cublasLtMatmulAlgo_t, which are the library's own affair
    double microseconds = 0;
};

/// One file a machine: gemm-<gpu>-<driver>-<library>.txt in DROPFORGE_CACHE, or else $XDG_CACHE_HOME/dropforge, or else
/// ~/.cache/dropforge; DROPFORGE_CACHE set but empty: no file. A file that is damaged, or of another machine or
/// version, counts as absent, and is replaced whole: whoever reads it at the same time sees the old one or the new one.
/// Processes that add to it take turns, by a lock on the file's name with .lock, so that none loses what another has
/// added.
class GemmCache {
  public:
    /// Reads the file. `driver` and `library` are versions.
    GemmCache(const std::string& gpu, int64_t driver, int64_t library);

    std::optional<StoredAlgorithm> find(const std::string& product) const;
    /// Keeps it, in the file too, beside what other processes have put there. Gives why the file could not be written,
    /// or nothing.
    std::string store(const std::string& product, const StoredAlgorithm& algorithm);

    const fs::path& path() const { return path_; }
    /// Why a file that is there was not used; empty if it was, or if there was none.
    const std::string& trouble() const { return trouble_; }

  private:
    using Algorithms = std::map<std::string, StoredAlgorithm>;
    Algorithms read(std::string& trouble) const;

    std::string machine_;
    fs::path path_;  // empty: none
    std::string trouble_;
    Algorithms algorithms_;
};

}  // namespace dropforge::kernels::on_cuda

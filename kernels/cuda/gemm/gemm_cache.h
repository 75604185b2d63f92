// The file that keeps the fastest algorithm of each GEMM, so that only the first run measures, and so that a resumed
// run has the bits of one that was not interrupted.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/file.h"

namespace dropforge::kernels::on_cuda {

struct StoredAlgorithm {
    std::array<uint64_t, 8> words{};  // the opaque cublasLtMatmulAlgo_t
    double microseconds = 0;
};

/// One file a machine: gemm-<gpu>-<driver>-<library>.txt in DROPFORGE_CACHE, or else $XDG_CACHE_HOME/dropforge, or else
/// ~/.cache/dropforge; DROPFORGE_CACHE set but empty: no file. A file that is damaged, or of another machine or
/// version, counts as absent. It is replaced by a rename, so that a concurrent reader sees the old or the new one.
/// Writers take turns by a lock on the file's name with .lock, so that none loses what another has added.
class GemmCache {
  public:
    /// Reads the file. `driver` and `library` are version numbers.
    GemmCache(const std::string& gpu, int64_t driver, int64_t library);

    /// The algorithm stored for text(GemmKey), if any.
    std::optional<StoredAlgorithm> find(const std::string& key) const;
    /// Stores the algorithm, also in the file, merged with what other processes have added. Returns why the file could
    /// not be written; empty: it was.
    std::string store(const std::string& key, const StoredAlgorithm& algorithm);

    const fs::path& path() const { return path_; }
    /// Why an existing file was not used; empty if it was, or if there is none.
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

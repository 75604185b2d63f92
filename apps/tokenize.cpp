#include "apps/commands.h"
namespace dropforge {
void add_tokenize(CLI::App&, CommonOptions&) {}
}  // namespace dropforge

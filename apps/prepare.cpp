#include "apps/commands.h"
namespace dropforge {
void add_prepare(CLI::App&, CommonOptions&) {}
}  // namespace dropforge

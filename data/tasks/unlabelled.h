// Texts without labels, to predict these for.
#pragma once

#include "data/tasks/examples.h"

namespace dropforge::tasks {

/// An example a line, which may be empty; "-" is standard input. Texts stand between tabs: of single and pair one or
/// two, whichever of the two is asked for, as of regression; of choice a premise and two choices or more. Of token a
/// line is a sentence, with white space between its words. Of span the file is SQuAD's JSON, where answers may be
/// missing. UTF-8 as in read_examples(). Throws Error, with file and line, for another number of texts than the kind
/// has, or than the first line.
ExampleFile read_unlabelled(Kind kind, const fs::path& path);

}  // namespace dropforge::tasks

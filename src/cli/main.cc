#include "cli/program.h"

int main(int argc, char** argv) { return proa::cli::run_program({argv, static_cast<size_t>(argc)}); }

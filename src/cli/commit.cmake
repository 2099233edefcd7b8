# Writes OUT with the hash of the commit in SOURCE; leaves the file alone when nothing changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --exclude=* --abbrev=40
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT [[
#include "cli/version.h"
const std::string_view proa::cli::kCommit = "@commit@";
]] @ONLY)

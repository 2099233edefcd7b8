# Flags shared by every target, and proa_module(): one folder, one target, dependencies one way.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_definitions(_GNU_SOURCE)
add_compile_options(-Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Wno-missing-designated-field-initializers -ffunction-sections -fdata-sections
  $<$<NOT:$<CONFIG:Debug>>:-g1> -fstack-protector-strong)
add_link_options(-fuse-ld=lld-19 -Wl,--gc-sections)
if(PROA_SANITIZE)
  add_compile_options(-fsanitize=${PROA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PROA_SANITIZE})
else()
  add_compile_definitions($<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
endif()
if(PROA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(PROA_TIDY)
  set(CMAKE_CXX_CLANG_TIDY clang-tidy-19 --quiet)
endif()

# The modules in dependency order, and what each may use. A module that includes or links anything
# else does not configure.
set(PROA_USES_base "")
set(PROA_USES_kernel base)
set(PROA_USES_net base)
set(PROA_USES_oci net kernel base)
set(PROA_USES_fabric kernel base)
set(PROA_USES_vmm guest fabric net kernel base)
# The shim links no libc and no C++ runtime: nothing below it would do.
set(PROA_USES_shim "")
# The first process of a virtual machine: libc-free as the shim, and built of its parts.
set(PROA_USES_guest shim)
# Before main: depends on nothing, and only programs link it.
set(PROA_USES_start "")
set(PROA_USES_logs net kernel base)
set(PROA_USES_engine logs fabric oci kernel base)
set(PROA_USES_kube net kernel base)
set(PROA_USES_cli vmm kube engine logs fabric oci net kernel base)

# Short-lived roles are paid for by the page: these modules are built for size.
set(PROA_SMALL_MODULES base kernel oci fabric logs engine cli shim guest start)

function(_proa_check_includes module)
  set(allowed ${module} ${PROA_USES_${module}})
  foreach(file ${ARGN})
    file(STRINGS ${file} includes REGEX "^#include \"[a-z_]+/")
    foreach(line ${includes})
      string(REGEX REPLACE "^#include \"([a-z_]+)/.*" "\\1" used "${line}")
      if(NOT used IN_LIST allowed)
        message(FATAL_ERROR "${file}: module '${module}' may not use '${used}' (see cmake/ProaBuild.cmake)")
      endif()
    endforeach()
  endforeach()
endfunction()

# Every unit-test program; built by what needs nothing else.
add_custom_target(unit_tests)

# proa_module(name [LIBS lib...] [SOURCES extra...]): library proa_<name> from every *.cc in this
# folder and below, and a unit-test program <name>_test from every *_test.cc.
function(proa_module module)
  cmake_parse_arguments(ARG "" "" "LIBS;SOURCES;EXCLUDE;TEST_LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cc)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS *.h)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  foreach(pattern ${ARG_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  _proa_check_includes(${module} ${sources} ${headers} ${tests})
  add_library(proa_${module} STATIC ${sources} ${ARG_SOURCES})
  target_include_directories(proa_${module} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  if(module IN_LIST PROA_SMALL_MODULES)
    target_compile_options(proa_${module} PRIVATE $<$<CONFIG:Release>:-Os>)
  endif()
  foreach(used ${PROA_USES_${module}})
    target_link_libraries(proa_${module} PUBLIC proa_${used})
  endforeach()
  target_link_libraries(proa_${module} PUBLIC ${ARG_LIBS})
  if(tests)
    add_executable(${module}_test ${tests})
    target_link_libraries(${module}_test PRIVATE proa_${module} ${ARG_TEST_LIBS} gmock gtest gtest_main pthread)
    add_dependencies(unit_tests ${module}_test)
    add_test(NAME unit.${module} COMMAND ${module}_test WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    set_tests_properties(unit.${module} PROPERTIES LABELS unit TIMEOUT 120)
  endif()
endfunction()

# Links `target` as one static-pie file with packed relocations; a plain PIE under a sanitizer.
function(proa_program target)
  if(PROA_STATIC)
    target_link_options(${target} PRIVATE -static-pie -Wl,--icf=safe -Wl,--pack-dyn-relocs=relr -Wl,-z,separate-code
      -Wl,--wrap=OPENSSL_cpuid_setup  # base/openssl.h
      $<$<CONFIG:Release>:-Wl,--strip-debug>)
  endif()
endfunction()

# Lets `target` start without the C library's long questioning of the processor (start/cache_figure.h).
function(proa_quick_start target)
  if(NOT PROA_STATIC)
    return()
  endif()
  target_link_libraries(${target} PRIVATE proa_start)
  # What short commands run stands side by side (scripts/order-functions): fewer pages to map.
  set(order ${CMAKE_SOURCE_DIR}/src/start/order/functions.txt)
  target_link_options(${target} PRIVATE -Wl,-u,proa_cache_figure -Wl,-u,proa_late_relocations
    -Wl,-Map=$<TARGET_FILE:${target}>.map
    -Wl,--symbol-ordering-file=${order} -Wl,--no-warn-symbol-ordering)
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${order})
  # cmpl $1, max_cpuid(%rip); jbe
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND redirect $<TARGET_FILE:${target}> handle_intel.constprop.0 proa_cache_figure 833d????????010f86 VERBATIM)
  # OpenSSL's relocations wait until TLS is used (start/late_relocations.h).
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND defer $<TARGET_FILE:${target}> $<TARGET_FILE:${target}>.map VERBATIM)
  add_dependencies(${target} redirect defer)
endfunction()

# What is compiled once for each instruction set.
set(UGODIT_ISA_SOURCES "")
foreach(name espirit_lanes peak sense_lanes sense_plane sense_rows sense_solve wavelet_lanes)
  list(APPEND UGODIT_ISA_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.cpp)
endforeach()

set(UGODIT_ISA_OPTIMISATION -O3)

# Compiles the sources once for each instruction set, in namespaces ugodit::baseline, ugodit::avx2 and ugodit::avx512:
# UGODIT_ISA names the namespace, and UGODIT_ISA_AVX2 or UGODIT_ISA_AVX512 is defined. csrc/cpu/simd.h says what such a
# source may not do. The target gets UGODIT_HAS_ISA_VARIANTS where there is more than the baseline.
function(ugodit_add_isa_variants target)
  set(variants baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    list(APPEND variants avx2 avx512)
    target_compile_definitions(${target} PRIVATE UGODIT_HAS_ISA_VARIANTS)
  endif()
  set(options_baseline "")
  set(options_avx2 -DUGODIT_ISA_AVX2 -mavx2 -mfma)
  set(options_avx512 -DUGODIT_ISA_AVX512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own AVX-512 header trips this warning (GCC bug 105593).
    list(APPEND options_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  list(GET ARGN 0 first)
  get_filename_component(stem ${first} NAME_WE)
  foreach(variant IN LISTS variants)
    set(objects ${target}_${stem}_${variant})
    add_library(${objects} OBJECT ${ARGN})
    target_include_directories(${objects} PRIVATE ${PROJECT_SOURCE_DIR}/csrc)
    target_compile_options(${objects} PRIVATE ${UGODIT_ISA_OPTIMISATION} -fno-math-errno -Wall -Wextra -DUGODIT_ISA=${variant} ${options_${variant}})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
  endforeach()
endfunction()

# CUDA on the CPU, for tests: one shared library that stands where the CUDA runtime, cuBLASLt and NCCL would, and, where there is
# an nvcc, the backend compiled to run on it.
file(GLOB SIGHTLINE_EMULATOR_SOURCES CONFIGURE_DEPENDS native/emulator/runtime/*.cpp native/emulator/cublaslt/*.cpp
     native/emulator/nccl/*.cpp)
if(NOT SIGHTLINE_CUDA_FOUND) # these need the toolkit's headers
  list(FILTER SIGHTLINE_EMULATOR_SOURCES EXCLUDE REGEX "/(check_cuda_headers|device_properties)\\.cpp$")
endif()

# ---- the stand-ins ----------------------------------------------------------------------------------------------------
add_library(sightline_emulator SHARED EXCLUDE_FROM_ALL ${SIGHTLINE_EMULATOR_SOURCES} ${SIGHTLINE_PTX_OBJECTS})
set_target_properties(sightline_emulator PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/testing)
target_compile_options(sightline_emulator PRIVATE ${SIGHTLINE_WARNINGS} -Wno-psabi ${SIGHTLINE_NUMERICS})
target_link_libraries(sightline_emulator PRIVATE sightline_core)
if(SIGHTLINE_CUDA_FOUND)
  target_include_directories(sightline_emulator SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
endif()
if(NOT APPLE)
  target_link_options(sightline_emulator PRIVATE -Wl,--exclude-libs,ALL)
endif()

# The tests reach it through the test addon, which is beside it.
target_link_libraries(sightline_testing PRIVATE sightline_emulator sightline_cuda_loaders)
set_target_properties(sightline_testing PROPERTIES BUILD_RPATH "$<IF:$<BOOL:${APPLE}>,@loader_path,$ORIGIN>")

if(NOT SIGHTLINE_CUDA_FOUND)
  return()
endif()

# ---- the backend on the stand-ins: PTX that can be read, with source lines ----------------------------------------------
set(SIGHTLINE_EMULATED_FLAGS -gencode arch=compute_80,code=compute_80 --no-compress -lineinfo)
sightline_add_cuda_library(sightline_cuda_emulated testing sightline_emulator "${SIGHTLINE_EMULATED_FLAGS}")

# Small kernels that the tests of the emulator itself launch.
file(GLOB SIGHTLINE_TEST_KERNEL_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/emulator/kernels/*.cu)
add_dependencies(sightline_testing sightline_cuda_emulated)
if(NOT SIGHTLINE_TEST_KERNEL_SOURCES)
  return()  # the package as published has no tests
endif()
sightline_compile_kernels(SIGHTLINE_TEST_KERNEL_OBJECTS cuda/test_kernels "${SIGHTLINE_TEST_KERNEL_SOURCES}"
                          ${SIGHTLINE_EMULATED_FLAGS})
add_library(sightline_test_kernels SHARED EXCLUDE_FROM_ALL ${SIGHTLINE_TEST_KERNEL_OBJECTS})
set_target_properties(sightline_test_kernels PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/testing
                      LINKER_LANGUAGE CXX BUILD_RPATH "$ORIGIN")
target_link_libraries(sightline_test_kernels PRIVATE sightline_emulator)
target_link_options(sightline_test_kernels PRIVATE -Wl,-z,defs)

add_dependencies(sightline_testing sightline_test_kernels)

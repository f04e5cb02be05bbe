# The CUDA backend, where there is an nvcc. Without one, everything else builds as it does anyway.
#   sightline_cuda           what runs on GPUs: machine code of sm_80 and sm_90, PTX for what is newer (npm run build:cuda)
#   sightline_cuda_emulated  the same sources as PTX on the emulator, for tests
# Both are left out of the default build: the first takes minutes, the second belongs to the test addon.
set(SIGHTLINE_CUDA_DEFAULT AUTO)
if(DEFINED ENV{SIGHTLINE_CUDA})
  set(SIGHTLINE_CUDA_DEFAULT "$ENV{SIGHTLINE_CUDA}")
endif()
set(SIGHTLINE_CUDA ${SIGHTLINE_CUDA_DEFAULT} CACHE STRING "CUDA backend: AUTO (if there is an nvcc), ON or OFF")
set_property(CACHE SIGHTLINE_CUDA PROPERTY STRINGS AUTO ON OFF)

set(SIGHTLINE_CUDA_FOUND FALSE)
if(NOT SIGHTLINE_CUDA STREQUAL "OFF")
  if(NOT DEFINED CUDAToolkit_ROOT AND DEFINED ENV{CUDA_HOME})
    set(CUDAToolkit_ROOT "$ENV{CUDA_HOME}")
  endif()
  find_package(CUDAToolkit 12.0 QUIET)
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE)
    set(SIGHTLINE_CUDA_FOUND TRUE)
    message(STATUS "CUDA backend: nvcc ${CUDAToolkit_VERSION} (${CUDAToolkit_NVCC_EXECUTABLE})")
  elseif(SIGHTLINE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "SIGHTLINE_CUDA=ON, but there is no nvcc of CUDA 12.0 or newer: "
                        "put its folder into PATH or set CUDA_HOME")
  else()
    message(STATUS "CUDA backend: left out, there is no nvcc (PATH, CUDA_HOME)")
  endif()
endif()

# ---- what needs no toolkit: opening cuBLASLt and NCCL at run time, for tests where there is no nvcc ---------------------
add_library(sightline_cuda_loaders STATIC EXCLUDE_FROM_ALL native/cuda/dynamic_library.cpp native/cuda/cublaslt_library.cpp
            native/cuda/nccl_library.cpp)
target_compile_options(sightline_cuda_loaders PRIVATE ${SIGHTLINE_WARNINGS})
target_link_libraries(sightline_cuda_loaders PUBLIC sightline_core ${CMAKE_DL_LIBS})

if(NOT SIGHTLINE_CUDA_FOUND)
  return()
endif()

# Warnings are errors: a kernel that the compiler has doubts about does not ship.
set(SIGHTLINE_NVCC_FLAGS -std=c++20 -O3 -Werror all-warnings -ccbin ${CMAKE_CXX_COMPILER} -I${CMAKE_CURRENT_SOURCE_DIR}/native
    -Xcompiler -fPIC)
# A host compiler newer than the toolkit knows is the user's to choose, e.g. -allow-unsupported-compiler.
set(SIGHTLINE_NVCC_EXTRA_FLAGS "" CACHE STRING "Further options of nvcc")

# Sets `objects` to the objects of CUDA sources compiled with the options that follow. Beside each object lies
# <name>.ptxas.txt with what the compiler printed.
function(sightline_compile_kernels objects folder sources)
  set(list)
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${folder}/${name}.o)
    set(command ${CCACHE_PROGRAM} ${CUDAToolkit_NVCC_EXECUTABLE} ${SIGHTLINE_NVCC_FLAGS} ${SIGHTLINE_NVCC_EXTRA_FLAGS} ${ARGN}
        -MD -MF ${object}.d -c ${source} -o ${object})
    string(REPLACE ";" "|" command "${command}")
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/${folder}
      COMMAND ${CMAKE_COMMAND} -D "COMMAND=${command}" -D REPORT=${CMAKE_CURRENT_BINARY_DIR}/${folder}/${name}.ptxas.txt
              -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/compile_kernels.cmake
      DEPENDS ${source} ${CMAKE_CURRENT_SOURCE_DIR}/cmake/compile_kernels.cmake
      DEPFILE ${object}.d
      COMMENT "Compiling ${folder}/${name}.cu"
      VERBATIM)
    list(APPEND list ${object})
  endforeach()
  set(${objects} ${list} PARENT_SCOPE)
endfunction()

file(GLOB SIGHTLINE_KERNEL_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/native/ops/*.cu
     ${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/*.cu)
file(GLOB SIGHTLINE_CUDA_HOST_SOURCES CONFIGURE_DEPENDS native/cuda/*.cpp)

# A shared library of the backend: host sources, kernels compiled with `options`, and the CUDA runtime given.
function(sightline_add_cuda_library target folder runtime options)
  sightline_compile_kernels(objects cuda/${target} "${SIGHTLINE_KERNEL_SOURCES}" -Xcompiler -fvisibility=hidden ${options})
  add_library(${target} SHARED EXCLUDE_FROM_ALL ${SIGHTLINE_CUDA_HOST_SOURCES} ${objects})
  set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${folder}
                        LINKER_LANGUAGE CXX BUILD_RPATH "$ORIGIN")
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_options(${target} PRIVATE ${SIGHTLINE_WARNINGS})
  target_link_libraries(${target} PRIVATE sightline_core ${CMAKE_DL_LIBS} ${runtime})
  # An op without a kernel must not link.
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL -Wl,-z,defs)
endfunction()

sightline_add_cuda_library(sightline_cuda ${CMAKE_BUILD_TYPE} CUDA::cudart_static
  "-gencode;arch=compute_80,code=sm_80;-gencode;arch=compute_90,code=[sm_90,compute_90];-Xptxas;-v")
target_link_options(sightline_cuda PRIVATE -Wl,--strip-all)

# Compiles one CUDA source and keeps what ptxas says of its kernels (registers, shared memory, spills) beside the object.
#   cmake -D COMMAND=<compiler and options, separated by |> -D REPORT=<file> -P compile_kernels.cmake
string(REPLACE "|" ";" COMMAND "${COMMAND}")
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${output}")
endif()
file(WRITE "${REPORT}" "${output}")

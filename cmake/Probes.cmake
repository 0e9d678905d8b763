# SPDX-License-Identifier: Apache-2.0
#
# Asks the system what it offers. Each answer becomes MPROC_HAVE_<NAME> in the
# private header mproc_config.h: the only thing an #if in src/posix and
# src/win32 may test.

include(CheckCSourceCompiles)
include(CheckSymbolExists)
include(CheckLibraryExists)
include(CMakePushCheckState)

# probe(<NAME> <symbol> <header>...)
function(probe name symbol)
  check_symbol_exists(${symbol} "${ARGN}" MPROC_HAVE_${name})
endfunction()

cmake_push_check_state(RESET)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  set(CMAKE_REQUIRED_DEFINITIONS -D_GNU_SOURCE)
endif()
set(CMAKE_REQUIRED_QUIET ON)

if(NOT WIN32)
  # Processes
  probe(PRCTL              prctl                sys/prctl.h)
  probe(SIGRTMAX           SIGRTMAX             signal.h)
  probe(NSGETENVIRON       _NSGetEnviron        crt_externs.h)
  probe(LIBC_SINGLE_THREADED __libc_single_threaded sys/single_threaded.h)

  # A call of the kernel that goes on in both processes needs machine code. The sanitizers need to know of vforks.
  check_c_source_compiles("
    #include <features.h>
    #if !defined(__linux__) || !defined(__x86_64__) || !defined(__LP64__) || !defined(__GNUC__)
    #error another machine
    #elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    #error a sanitizer
    #elif defined(__has_feature)
    #if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
    #error a sanitizer
    #endif
    #endif
    int main(void) { return 0; }" MPROC_HAVE_X86_64_CLONE3)

  # Descriptors
  probe(PIPE2              pipe2                fcntl.h unistd.h)
  probe(SOCK_CLOEXEC       SOCK_CLOEXEC         sys/types.h sys/socket.h)
  probe(MSG_CMSG_CLOEXEC   MSG_CMSG_CLOEXEC     sys/types.h sys/socket.h)
  probe(CLOSE_RANGE        close_range          unistd.h)
  probe(CLOSE_RANGE_CLOEXEC CLOSE_RANGE_CLOEXEC unistd.h)
  probe(SYS_CLOSE_RANGE    SYS_close_range      sys/syscall.h)
  probe(SYS_MEMBARRIER     SYS_membarrier       sys/syscall.h)
  probe(F_MAXFD            F_MAXFD              fcntl.h)
  probe(SO_NOSIGPIPE       SO_NOSIGPIPE         sys/types.h sys/socket.h)
  probe(O_PATH             O_PATH               fcntl.h)
  probe(O_SEARCH           O_SEARCH             fcntl.h)

  # Memory
  probe(OS_SYNC            os_sync_wait_on_address os/os_sync_wait_on_address.h)
  probe(MEMFD_CREATE       memfd_create         sys/mman.h)
  probe(POSIX_FALLOCATE    posix_fallocate      fcntl.h)
  probe(FALLOCATE          fallocate            fcntl.h)
  probe(SEEK_DATA          SEEK_DATA            unistd.h)
  probe(F_ADD_SEALS        F_ADD_SEALS          fcntl.h)
  probe(MAP_NORESERVE      MAP_NORESERVE        sys/mman.h)
  probe(RLIMIT_AS          RLIMIT_AS            sys/resource.h)
  probe(MADV_DONTDUMP      MADV_DONTDUMP        sys/mman.h)
  probe(MADV_NOCORE        MADV_NOCORE          sys/mman.h)

  probe(SHM_OPEN           shm_open             sys/mman.h fcntl.h)
  if(NOT MPROC_HAVE_SHM_OPEN)
    # Before glibc 2.34 it was in a library of its own.
    check_library_exists(rt shm_open "" MPROC_SHM_OPEN_IN_RT)
    set(MPROC_HAVE_SHM_OPEN ${MPROC_SHM_OPEN_IN_RT})
  endif()
endif()
cmake_pop_check_state()

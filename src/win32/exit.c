/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows has no signals: a process that an exception ended has the exception's code as its exit code. Here these
 * codes, and those that we end processes with, become the numbers that Linux would give.
 */
#include "win32.h"

/* Our own codes: an error (bits 30, 31) of an application (bit 29), which the system's never are; "MP"; the signal. */
#define SIGNAL_CODE 0xE04D5000u

/* Codes of exceptions that the system has ended a process with lie from here to there. */
#define EXCEPTION_FIRST 0xC0000000u
#define EXCEPTION_LAST 0xCFFFFFFFu

/* Linux's numbers. */
enum {
    INTERRUPTED = 2,
    ILLEGAL = 4,
    TRAPPED = 5,
    ABORTED = 6,
    BUS_ERROR = 7,
    ARITHMETIC = 8,
    KILLED = 9,
    BAD_MEMORY = 11
};

/* What a shell and a dynamic linker on Unix end with when a program cannot be loaded. */
enum { NOT_LOADED = 127 };

/** The exceptions that have a signal of their own; all others of the system's are ends by abort(). */
static const struct row_t {
    DWORD native;
    int code;
} rows[] = {
    {0x40000015, -ABORTED},     /* STATUS_FATAL_APP_EXIT: abort() of some runtimes */
    {0x40010004, -KILLED},      /* DBG_TERMINATE_PROCESS: ended by a debugger */
    {0x40010005, -INTERRUPTED}, /* DBG_CONTROL_C */
    {0x80000001, -BAD_MEMORY},  /* STATUS_GUARD_PAGE_VIOLATION */
    {0x80000002, -BUS_ERROR},   /* STATUS_DATATYPE_MISALIGNMENT */
    {0x80000003, -TRAPPED},     /* STATUS_BREAKPOINT */
    {0x80000004, -TRAPPED},     /* STATUS_SINGLE_STEP */
    {0xC0000005, -BAD_MEMORY},  /* STATUS_ACCESS_VIOLATION */
    {0xC0000006, -BUS_ERROR},   /* STATUS_IN_PAGE_ERROR: a mapped file that cannot be read */
    {0xC000001D, -ILLEGAL},     /* STATUS_ILLEGAL_INSTRUCTION */
    {0xC000007B, NOT_LOADED},   /* STATUS_INVALID_IMAGE_FORMAT: of a DLL */
    {0xC000008C, -BAD_MEMORY},  /* STATUS_ARRAY_BOUNDS_EXCEEDED */
    {0xC000008D, -ARITHMETIC},  /* STATUS_FLOAT_DENORMAL_OPERAND */
    {0xC000008E, -ARITHMETIC},  /* STATUS_FLOAT_DIVIDE_BY_ZERO */
    {0xC000008F, -ARITHMETIC},  /* STATUS_FLOAT_INEXACT_RESULT */
    {0xC0000090, -ARITHMETIC},  /* STATUS_FLOAT_INVALID_OPERATION */
    {0xC0000091, -ARITHMETIC},  /* STATUS_FLOAT_OVERFLOW */
    {0xC0000092, -ARITHMETIC},  /* STATUS_FLOAT_STACK_CHECK */
    {0xC0000093, -ARITHMETIC},  /* STATUS_FLOAT_UNDERFLOW */
    {0xC0000094, -ARITHMETIC},  /* STATUS_INTEGER_DIVIDE_BY_ZERO */
    {0xC0000095, -ARITHMETIC},  /* STATUS_INTEGER_OVERFLOW */
    {0xC0000096, -ILLEGAL},     /* STATUS_PRIVILEGED_INSTRUCTION */
    {0xC00000FD, -BAD_MEMORY},  /* STATUS_STACK_OVERFLOW */
    {0xC0000135, NOT_LOADED},   /* STATUS_DLL_NOT_FOUND */
    {0xC0000138, NOT_LOADED},   /* STATUS_ORDINAL_NOT_FOUND */
    {0xC0000139, NOT_LOADED},   /* STATUS_ENTRYPOINT_NOT_FOUND */
    {0xC000013A, -INTERRUPTED}, /* STATUS_CONTROL_C_EXIT */
    {0xC0000142, NOT_LOADED},   /* STATUS_DLL_INIT_FAILED */
    {0xC00002B4, -ARITHMETIC},  /* STATUS_FLOAT_MULTIPLE_FAULTS */
    {0xC00002B5, -ARITHMETIC},  /* STATUS_FLOAT_MULTIPLE_TRAPS */
    {0xE06D7363, -ABORTED},     /* a C++ exception of Visual C++ that nobody caught */
};

DWORD win32_signal_code(int sig)
{
    return SIGNAL_CODE | (DWORD)sig;
}

int win32_exit_code(DWORD native)
{
    if ((native & ~0xffu) == SIGNAL_CODE)
        return -(int)(native & 0xff);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].native == native)
            return rows[i].code;
    if (native >= EXCEPTION_FIRST && native <= EXCEPTION_LAST)
        return -ABORTED;
    /* The program's own number, of which Unix keeps as much: exit(-1) is 255, exit(300) is 44. */
    return (int)(native & 0xff);
}

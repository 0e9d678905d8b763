/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file export.h
 * @brief The macros that mark declarations for the compiler.
 *
 * This is the only public header with conditions on a platform.
 */
#ifndef MPROC_EXPORT_H
#define MPROC_EXPORT_H

/**
 * Marks a function of the public API. Define MPROC_STATIC when you link the static library by hand (CMake and
 * pkg-config do).
 */
#if defined(MPROC_STATIC)
#define MPROC_API
#elif defined(_WIN32) && defined(MPROC_BUILDING)
#define MPROC_API __declspec(dllexport)
#elif defined(_WIN32)
#define MPROC_API __declspec(dllimport)
#elif defined(__GNUC__)
#define MPROC_API __attribute__((visibility("default")))
#else
#define MPROC_API
#endif

/** Marks a function that is called like printf, so that compilers check its arguments. */
#if defined(__MINGW32__) && !defined(__clang__)
#define MPROC_FORMAT(string, first) __attribute__((__format__(__gnu_printf__, string, first)))
#elif defined(__GNUC__)
#define MPROC_FORMAT(string, first) __attribute__((__format__(__printf__, string, first)))
#else
#define MPROC_FORMAT(string, first)
#endif

#endif

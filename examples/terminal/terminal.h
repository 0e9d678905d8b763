/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file terminal.h
 * @brief The terminal behind standard error; one source file for each kind of system.
 */
#ifndef EXAMPLE_TERMINAL_H
#define EXAMPLE_TERMINAL_H

/**
 * Tell how wide the terminal is that standard error writes to.
 *
 * @return Its columns; 0 if standard error is no terminal.
 */
int terminal_width(void);

#endif

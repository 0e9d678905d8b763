/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file json.h
 * @brief Whether a text is JSON: no more than what tests need.
 */
#ifndef MPROC_TEST_JSON_H
#define MPROC_TEST_JSON_H

/** Where the value ends that a text begins with; NULL if that is no value. */
const char *json_end(const char *text);

/** Whether all of a text is one value. */
int json_is_value(const char *text);

#endif

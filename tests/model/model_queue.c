/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings of src/ring.h, and how src/queue_put.c and src/queue_get.c wait at them: each item is got once, whole, and
 * in order; nobody sleeps while there is an item or room; and whoever dies takes no more along than what it had.
 */
#include "model/queues.h"

static const body_t putters[] = {put_some, put_some, get_all};
static const body_t putters_of_some[] = {put_some, put_some, get_some};
static const body_t getters_of_some[] = {put_some, get_some, get_some};
static const body_t pair[] = {put_some, get_all};

int main(void)
{
    make(3, 0);
    name_words();
    make(2, 0);
    set_counts(1, 1, 2);
    explore("two slots, two putters", putters_of_some, 3, 0);
    make(1, 0);
    explore("one slot, two putters", putters_of_some, 3, 0);
    set_counts(2, 1, 1);
    explore("one slot, two getters", getters_of_some, 3, 0);
    make(1, 0);
    has_ends = 1;
    set_counts(2, 0, 0);
    explore("one slot, one and one", pair, 2, 1);
    make(2, 0);
    has_ends = 1;
    set_counts(1, 1, 0);
    explore("two slots, two putters", putters, 3, 0);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings of src/ring.h, and how src/queue_put.c and src/queue_get.c wait at them: each item is got once, whole, and
 * in order; nobody sleeps while there is an item or room; and whoever dies takes no more along than what it had.
 */
#include "model/no_spots.h"

static const body_t putters[] = {put_some, put_some, get_all};
static const body_t putters_of_some[] = {put_some, put_some, get_some};
static const body_t getters_of_some[] = {put_some, get_some, get_some};
static const body_t pair[] = {put_some, get_all};

int main(void)
{
    make(3, 0);
    name_words();
    make(1, 0);
    has_ends = 1;
    set_counts(2, 0, 0);
    explore("one slot, one and one", pair, 2, 1);
    make(2, 0);
    set_counts(1, 1, 2);
    explore("two slots, two putters", putters_of_some, 3, 0);
    make(1, 0);
    explore("one slot, two putters", putters_of_some, 3, 0);
    make(1, 0);
    immortal = 1 << 2;
    set_counts(1, 1, 1);
    explore("one slot, a putter dies", putters_of_some, 3, 1);
    make(2, 0);
    set_counts(2, 1, 1);
    explore("two slots, two getters", getters_of_some, 3, 0);
    make(1, 0);
    have_claim(0);
    set_counts(1, 1, 2);
    explore("one slot, claimed by a dead one", putters_of_some, 3, 0);
    make(3, 0);
    for (unsigned i = 0; i < 3; i++)
        have_item(i);
    set_counts(1, 1, 2);
    explore("three slots, all full", putters_of_some, 3, 0);
    if (model_is_deep()) {
        make(1, 0);
        set_counts(2, 1, 1);
        explore("one slot, two getters", getters_of_some, 3, 0);
        make(3, 0);
        has_ends = 1;
        set_counts(4, 0, 0);
        explore("three slots, one and one", pair, 2, 2);
        make(2, 0);
        has_ends = 1;
        set_counts(1, 1, 0);
        explore("two slots, two putters", putters, 3, 1);
    }
    return 0;
}

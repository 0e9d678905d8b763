/* SPDX-License-Identifier: Apache-2.0 */
#include <new>

#include <boost/interprocess/sync/interprocess_mutex.hpp>

extern "C" {
#include "sync_objects.h"
}

namespace
{

boost::interprocess::interprocess_mutex *mutex;

int open_mutex(void *memory)
{
    try {
        mutex = new (memory) boost::interprocess::interprocess_mutex;
    } catch (...) {
        return -1;
    }
    return 0;
}

int play(unsigned, unsigned, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        mutex->lock();
        *sync_counter = *sync_counter + 1;
        mutex->unlock();
    }
    return 0;
}

} // namespace

extern "C" const sync_object_t sync_boost = {"boost", open_mutex, nullptr, play, 1};

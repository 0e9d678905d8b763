/* SPDX-License-Identifier: Apache-2.0 */
#include <cstddef>
#include <cstdio>
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>

extern "C" {
#include "queue_kinds.h"
}

namespace
{

using boost::interprocess::message_queue;

void *make(std::size_t size, std::size_t capacity)
{
    static int count;
    char name[64];
    std::snprintf(name, sizeof name, "mproc-bench-%ld-%d", static_cast<long>(getpid()), count++);
    try {
        message_queue *queue = new message_queue(boost::interprocess::create_only, name, capacity, size);
        message_queue::remove(name);
        return queue;
    } catch (...) {
        return nullptr;
    }
}

int put(void *queue, const void *data, std::size_t size)
{
    static_cast<message_queue *>(queue)->send(data, size, 0);
    return 0;
}

int get(void *queue, void *data, std::size_t size)
{
    message_queue::size_type got = 0;
    unsigned priority = 0;
    static_cast<message_queue *>(queue)->receive(data, size, got, priority);
    return got == size ? 0 : -1;
}

} // namespace

extern "C" const queue_kind_t queue_boost = {"boost", make, put, get};

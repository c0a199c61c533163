/* Counts visits, to a limit. */
#include "pleach.h"

PLEACH_ARGUMENTS("name: str, limit: u64");

static uint8_t buffer[1024];

PLEACH_RUN {
    pleach_arguments arguments = pleach_arguments_in(buffer, sizeof buffer);
    pleach_bytes name = pleach_take_bytes(&arguments, "name");
    uint64_t limit = pleach_take_u64(&arguments, "limit");
    pleach_finish(&arguments);

    uint64_t count = 0;
    uint32_t record = pleach_open_in_domain("counters/", name);
    uint32_t len = pleach_rec_get(record, &count, sizeof count);
    if (len != PLEACH_ABSENT && len != sizeof count) pleach_fail(300, "not a counter: ", name);
    if (count >= limit) pleach_fail(301, "the limit is reached: ", name);
    count++;
    pleach_rec_put(record, &count, sizeof count);
}

/* threads.h: splitting work over the threads of the pool. */
#ifndef SCRATCHNET_THREADS_H
#define SCRATCHNET_THREADS_H

#include "scratchnet.h"

typedef void (*sn_task)(void *context, sn_size chunk);

/* Run task(context, 0), ..., task(context, chunks - 1), in any order, on this thread and possibly others;
 * return when all have finished. Chunks must be independent. */
void sn_parallel(sn_size chunks, sn_task task, void *context);

#endif

/* update.c: an optimizer's kernel, chosen by its code, over coalesced parameters; large ones by several threads. */

#include "scratchnet.h"
#include "threads.h"

static void update_part(sn_type type, sn_optimizer optimizer, const sn_parameter *q, const double numbers[4])
{
    const double lr = numbers[0], a = numbers[1], b = numbers[2], c = numbers[3];
    void *first = q->state[0], *second = q->state[1];
    switch (optimizer) {
    case SN_SGD: sn_sgd_update(type, q->n, q->p, q->g, lr); break;
    case SN_MOMENTUM: sn_momentum_update(type, q->n, q->p, q->g, first, lr, a); break;
    case SN_NESTEROV: sn_nesterov_update(type, q->n, q->p, q->g, first, lr, a); break;
    case SN_ADAGRAD: sn_adagrad_update(type, q->n, q->p, q->g, first, lr); break;
    case SN_RMSPROP: sn_rmsprop_update(type, q->n, q->p, q->g, first, lr, a); break;
    case SN_ADAM: sn_adam_update(type, q->n, q->p, q->g, first, second, lr, a, b, c); break;
    }
}

enum { CHUNK = 1 << 16 }; /* parameters that one thread updates at a time */

typedef struct {
    sn_type type;
    sn_optimizer optimizer;
    const sn_parameter *parameter;
    const double *numbers;
} update_job;

static void update_chunk(void *context, sn_size chunk)
{
    const update_job *job = context;
    const sn_parameter *q = job->parameter;
    const sn_size start = chunk * CHUNK, left = q->n - start;
    const size_t skip = (size_t)start * (job->type == SN_FLOAT64 ? sizeof(double) : sizeof(float));
    const sn_parameter part = {
        left < CHUNK ? left : CHUNK, (char *)q->p + skip, (char *)q->g + skip,
        { q->state[0] ? (char *)q->state[0] + skip : NULL, q->state[1] ? (char *)q->state[1] + skip : NULL },
    };
    update_part(job->type, job->optimizer, &part, job->numbers);
}

void sn_update(sn_type type, sn_optimizer optimizer, const sn_parameter *parameter, const double numbers[4])
{
    if (parameter->n < 4 * CHUNK || sn_threads() == 1) {
        update_part(type, optimizer, parameter, numbers);
        return;
    }
    update_job job = { type, optimizer, parameter, numbers };
    sn_parallel((parameter->n + CHUNK - 1) / CHUNK, update_chunk, &job);
}

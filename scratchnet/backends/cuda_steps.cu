// cuda_steps.cu: whole training steps on a GPU; it stands behind cuda.cu in one source.
//
// A step gathers the batch's rows, runs forward through a chain of layers, takes the loss, runs backward (no dx
// for the first layer), clips and updates. What changes from step to step lies in device memory, so that a
// captured graph of launches stays valid. There are three ways through a step:
//
//   layers   a launch per product, and step_loss, step_squares, step_update; the first batch by step_gather
//   rows     step_products: the first layer's products, in parts; step_rows: a block per row of the batch, forward
//            and backward to the gradients before the activations; step_gradients, a thread per parameter, which
//            also updates it unless it has to be clipped: then step_update follows
//   block    step_block: all steps of a run in one launch, by one block, whose threads wait for each other only
//
// Small nets wait for memory and for launches, not for arithmetic: so a loop over numbers of the device's memory has
// some of them under way at a time, in registers, and 0 in the place of those beyond its end; and what a block has
// to know is read first.

// Tables of numbers and pointers, as long long, which cuda_steps.py fills in this order.

struct Run {
    Size batch, layers, parameters; // samples in a step; layers in the chain; numbers that are trained
    Size optimizer, parts;          // number of blocks that write squares[]
    Size data_type;                 // of data; see number_at
    const void *data;               // [rows,D]: the samples
    const Label *labels;            // [rows]
    const Label *order;             // [steps,batch]: rows to train on
    REAL *x;                        // [batch,D]: the gathered samples
    Label *t;                       // [batch]
    REAL *products;                 // [chunks,batch,M]: rows: the first layer's, of a chunk of its inputs each
    double *terms;                  // [batch]: losses of the samples
    double *losses;                 // [steps]
    double *squares;                // [parts]: their sum is the squared norm of all gradients; NULL: no clipping
    const double *rates;            // [steps]: lr of each step's update (Adam's is corrected for its count)
    const double *numbers;          // the optimizer's three numbers after lr, then the largest norm
};

// Behind the run stands its progress. No launch of a graph reads a number that it writes: blocks of one launch run
// in any order.
struct Progress {
    Size done, begun, steps; // steps done and begun in this run, and how many to make
};

struct Layer { // out = activation(in W + b)
    Size D, M, activation;
    const REAL *in;                  // [batch,D]
    REAL *W, *b, *dW, *db;           // [D,M], [M]
    REAL *out, *dz;                  // [batch,M]; dz: gradient before the activation
    REAL *W_state[2], *b_state[2];   // of the optimizer, or NULL
};

enum { LAYER_FIELDS = 14 };

__device__ inline const Run &run_of(const Size *table) { return *(const Run *)table; }
__device__ inline Progress &progress_of(Size *table) { return *(Progress *)(table + sizeof(Run) / sizeof(Size)); }
__device__ inline const Layer &layer_of(const Size *table, Size k)
{
    return *(const Layer *)(table + k * LAYER_FIELDS);
}

enum { BOOL, UINT8, INT8, INT16, INT32, INT64, FLOAT32, FLOAT64 };

__device__ inline REAL number_at(const void *data, Size type, Size i)
{
    switch (type) {
    case BOOL: return ((const unsigned char *)data)[i] != 0; // any byte but 0 is 1
    case UINT8: return (REAL)((const unsigned char *)data)[i];
    case INT8: return (REAL)((const signed char *)data)[i];
    case INT16: return (REAL)((const short *)data)[i];
    case INT32: return (REAL)((const int *)data)[i];
    case INT64: return (REAL)((const long long *)data)[i];
    case FLOAT32: return (REAL)((const float *)data)[i];
    default: return (REAL)((const double *)data)[i];
    }
}

// x and t of a step
__device__ inline void gather(const Run &run, Size D, Size step)
{
    const Label *rows = run.order + step * run.batch;
    for (Size i = first_element(); i < run.batch * D; i += element_step())
        run.x[i] = number_at(run.data, run.data_type, rows[i / D] * D + i % D);
    for (Size i = first_element(); i < run.batch; i += element_step())
        run.t[i] = run.labels[rows[i]];
}

// The optimizer's rule for the update of a step.
__device__ inline Rule rule_of(const Run &run, Size step)
{
    return make_rule(run.optimizer, run.rates[step], run.numbers[0], run.numbers[1], run.numbers[2]);
}

// What all gradients are multiplied with, if less than 1, so that their norm stays below the largest. Book 2,
// ch. 6.1.4. shared[WARPS]
__device__ inline double clipping_rate(const Run &run, double *shared)
{
    if (!run.squares)
        return 1;
    return run.numbers[3] / (sqrt(sum_of_terms(run.squares, run.parts, shared)) + 1e-6);
}

__device__ inline void clip_and_update(const Rule &rule, double rate, REAL *p, REAL *g, REAL *first, REAL *second)
{
    if (rate < 1)
        *g *= (REAL)rate;
    update_number(rule, p, *g, first, second);
}

// The mean loss of a step, by the last warp of all, which has the least else to do.
__device__ inline void store_loss(const Run &run, const double *terms, Size step)
{
    if (blockIdx.x != gridDim.x - 1 || threadIdx.x / WARP != WARPS - 1)
        return;
    double sum = 0;
    for (Size i = threadIdx.x % WARP; i < run.batch; i += WARP)
        sum += terms[i];
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        run.losses[step] = sum / (double)run.batch;
}

__device__ inline bool is_first_thread() { return blockIdx.x == 0 && threadIdx.x == 0; }

// Softmax, loss and gradient of the last layer's output, logits[C], by one row's threads; y is kept nowhere.
template <typename Row>
__device__ void loss_and_gradient(const Row &row, Size C, Size batch, const REAL *logits, Label t, REAL *dz,
                                  double *term)
{
    softmax_row(row, C, logits, dz);
    row_loss(row, C, dz, t, DELTA, 0, term);
    for (Size j = row.lane(); j < C; j += row.lanes())
        dz[j] = loss_gradient(dz[j], j == t, 1, (REAL)batch);
}

// The same of row i of the batch.
template <typename Row> __device__ void loss_of_row(const Row &row, const Run &run, const Layer &last, Size i)
{
    const Size at = i * last.M;
    loss_and_gradient(row, last.M, run.batch, last.out + at, run.t[i], last.dz + at, &run.terms[i]);
}

// ---- Layers: a launch per product -----------------------------------------------------------------

// Before the first step of a run: its batch.
extern "C" __global__ void __launch_bounds__(THREADS, 1) step_gather(Size *run_table, const Size *layers)
{
    gather(run_of(run_table), layer_of(layers, 0).D, 0);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) step_loss_warp(Size *run_table, const Size *layers)
{
    const Run &run = run_of(run_table);
    const Size i = row_of_warp();
    if (i < run.batch) // all threads of a warp alike
        loss_of_row(WarpRow(), run, layer_of(layers, run.layers - 1), i);
    if (is_first_thread())
        progress_of(run_table).begun = progress_of(run_table).done + 1;
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) step_loss_block(Size *run_table, const Size *layers)
{
    __shared__ REAL shared[WARPS];
    const Run &run = run_of(run_table);
    loss_of_row(BlockRow{ shared }, run, layer_of(layers, run.layers - 1), blockIdx.x);
    if (is_first_thread())
        progress_of(run_table).begun = progress_of(run_table).done + 1;
}

// squares[first + block] of the gradients g[n], which are some of all
extern "C" __global__ void __launch_bounds__(THREADS, 1)
step_squares(Size *run_table, const Size *layers, const REAL *g, Size n, Size first)
{
    __shared__ double shared[WARPS];
    const double sum = squares_of(g, n, shared);
    if (threadIdx.x == 0)
        run_of(run_table).squares[first + blockIdx.x] = sum;
}

// Clip and update p[n], which are some of all parameters. The last such launch of a step ends it: it notes the
// loss, and gathers the next step's batch where no other launch does.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
step_update(Size *run_table, const Size *layers, REAL *p, REAL *g, REAL *first, REAL *second, Size n,
            Size ends, Size gathers)
{
    __shared__ double shared[WARPS];
    const Run run = run_of(run_table);
    const Size begun = progress_of(run_table).begun;
    const double rate = clipping_rate(run, shared);
    const Rule rule = rule_of(run, begun - 1);
    for (Size i = first_element(); i < n; i += element_step())
        clip_and_update(rule, rate, p + i, g + i, first ? first + i : nullptr, second ? second + i : nullptr);
    if (!ends)
        return;
    store_loss(run, run.terms, begun - 1);
    if (gathers && begun < progress_of(run_table).steps)
        gather(run, layer_of(layers, 0).D, begun);
    if (is_first_thread())
        progress_of(run_table).done = begun;
}

// ---- Rows: a block takes a row of the batch through all layers -----------------------------------------

enum { TILE_ROWS = 8, CHUNK = THREADS / TILE_ROWS };

// products[chunk,batch,M] of the first layer: a block takes TILE_ROWS samples and CHUNK of their inputs, which it
// gathers, one a thread. A thread has a column of W's chunk in registers, and some of the rows. M <= THREADS.
extern "C" __global__ void __launch_bounds__(THREADS, 1) step_products(Size *run_table, const Size *layers)
{
    __shared__ REAL x[TILE_ROWS][CHUNK];
    const Run run = run_of(run_table);
    const Layer l = layer_of(layers, 0);
    const Size chunks = (l.D + CHUNK - 1) / CHUNK, chunk = blockIdx.x % chunks;
    const Size first_row = blockIdx.x / chunks * TILE_ROWS, first_k = chunk * CHUNK;
    const int width = (int)((l.M + WARP - 1) / WARP) * WARP, groups = THREADS / width;
    const int group = threadIdx.x / width, j = threadIdx.x % width;
    REAL column[CHUNK];
#pragma unroll
    for (int k = 0; k < CHUNK; k++)
        column[k] = j < l.M && first_k + k < l.D ? l.W[(first_k + k) * l.M + j] : (REAL)0;
    const int i = threadIdx.x / CHUNK, k = threadIdx.x % CHUNK;
    REAL value = 0;
    if (first_row + i < run.batch && first_k + k < l.D) {
        const Label row = run.order[progress_of(run_table).done * run.batch + first_row + i];
        value = number_at(run.data, run.data_type, row * l.D + first_k + k);
        run.x[(first_row + i) * l.D + first_k + k] = value;
    }
    x[i][k] = value;
    __syncthreads();
    if (j >= l.M)
        return;
    for (int own = group; own < TILE_ROWS && first_row + own < run.batch; own += groups) {
        REAL sum = 0;
#pragma unroll
        for (int k = 0; k < CHUNK; k++)
            sum = fma(x[own][k], column[k], sum);
        run.products[(chunk * run.batch + first_row + own) * l.M + j] = sum;
    }
}

enum { READS = 8 }; // numbers under way

// The sum over k < count of in[k] data[k step + j] for column j < M, to thread j; in is shared, or NULL: 1. The
// threads are groups of M, rounded up to warps; group g adds the terms k = g, g + groups, ...; then the groups' sums
// are added in order. M is at most THREADS; sums[THREADS] is shared, and the caller waits for all threads before
// the next call.
__device__ inline REAL sum_by_groups(int M, int count, const REAL *in, const REAL *data, Size step, REAL *sums)
{
    const int width = (M + WARP - 1) / WARP * WARP, groups = THREADS / width;
    const int group = threadIdx.x / width, j = threadIdx.x % width;
    REAL sum = 0;
    if (j < M && group < groups)
        for (int first = group; first < count; first += READS * groups) {
            REAL number[READS];
#pragma unroll
            for (int n = 0; n < READS; n++) {
                const int k = first + n * groups;
                number[n] = k < count ? data[k * step + j] : (REAL)0;
            }
#pragma unroll
            for (int n = 0; n < READS; n++) {
                const int k = first + n * groups;
                sum = fma(in && k < count ? in[k] : (REAL)1, number[n], sum);
            }
        }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < M)
        for (int other = 1; other < groups; other++)
            sum += sums[other * width + j];
    return sum;
}

enum { TEAM = 8 }; // lanes that add up one number of a row's gradient

// dz[D] of the layer before = dout[M] W', before its activation, whose output is in[D]; shared_dz gets it too.
__device__ inline void backward_row(const Layer &l, Size activation_before, const REAL *in, const REAL *dout,
                                    REAL *dz, REAL *shared_dz)
{
    const int D = (int)l.D, M = (int)l.M, lane = threadIdx.x % TEAM;
    for (int first = 0; first < D; first += THREADS / TEAM) { // all threads of a warp alike
        const int i = first + threadIdx.x / TEAM;
        const REAL y = i < D ? in[i] : (REAL)0;
        REAL sum = 0;
        if (i < D)
            for (int from = lane; from < M; from += READS * TEAM) {
                REAL number[READS];
#pragma unroll
                for (int n = 0; n < READS; n++) {
                    const int j = from + n * TEAM;
                    number[n] = j < M ? l.W[i * M + j] : (REAL)0;
                }
#pragma unroll
                for (int n = 0; n < READS; n++) {
                    const int j = from + n * TEAM;
                    sum = fma(j < M ? dout[j] : (REAL)0, number[n], sum);
                }
            }
        for (int distance = TEAM / 2; distance > 0; distance /= 2)
            sum += __shfl_xor_sync(ALL_LANES, sum, distance);
        if (i < D && lane == 0)
            dz[i] = shared_dz[i] = gradient_before(activation_before, sum, y);
    }
}

// Forward and backward to dz of every layer, a block per row of the batch.
extern "C" __global__ void __launch_bounds__(THREADS, 1) step_rows(Size *run_table, const Size *layers)
{
    __shared__ REAL values[THREADS], sums[THREADS], gradients[2][THREADS];
    const Run run = run_of(run_table);
    const Size r = blockIdx.x, step = progress_of(run_table).done;
    const Label t = run.labels[run.order[step * run.batch + r]];
    for (Size k = 0; k < run.layers; k++) {
        const Layer l = layer_of(layers, k);
        const int M = (int)l.M, j = threadIdx.x;
        const REAL bias = j < M ? l.b[j] : (REAL)0;
        const REAL sum = k == 0 ? sum_by_groups(M, (int)((l.D + CHUNK - 1) / CHUNK), nullptr, run.products + r * M,
                                                run.batch * M, sums)
                                : sum_by_groups(M, (int)l.D, values, l.W, M, sums);
        if (j < M)
            l.out[r * M + j] = values[j] = activated(l.activation, sum + bias);
        __syncthreads();
    }
    {
        const Layer l = layer_of(layers, run.layers - 1);
        if (threadIdx.x < WARP)
            loss_and_gradient(WarpRow(), l.M, run.batch, values, t, gradients[0], &run.terms[r]);
        __syncthreads();
        if (threadIdx.x < l.M)
            l.dz[r * l.M + threadIdx.x] = gradients[0][threadIdx.x];
    }
    for (Size k = run.layers - 1, side = 0; k > 0; k--, side ^= 1) {
        const Layer l = layer_of(layers, k), before = layer_of(layers, k - 1);
        backward_row(l, before.activation, l.in + r * l.D, gradients[side], before.dz + r * before.M,
                     gradients[side ^ 1]);
        __syncthreads();
    }
    if (is_first_thread())
        progress_of(run_table).begun = step + 1;
}

enum { TILE_INPUTS = 4, ROW_READS = 9 }; // ROW_READS: samples under way, each with its dz and TILE_INPUTS inputs

// Of a layer's numbers [D+1,M], whose row D is the bias's, number e of the rows from `first` on, in W and b, in dW
// and db, or in states, which may be NULL.
__device__ inline REAL *number_in(const Layer &l, int first, int e, REAL *W, REAL *b)
{
    const Size at = (Size)first * l.M + e, of_bias = at - l.D * l.M;
    if (of_bias >= 0)
        return b ? b + of_bias : nullptr;
    return W ? W + at : nullptr;
}

// A block takes TILE_INPUTS rows of the gradients of a layer, [D+1,M], whose last row is db; the last block has the
// loss. A group of threads, one for each column, adds up a part of the batch; then the parts are added in order, and
// the parameter is updated, unless gradients are clipped: then the squares of the norm are added up.
extern "C" __global__ void __launch_bounds__(THREADS, 1) step_gradients(Size *run_table, const Size *layers)
{
    __shared__ REAL sums[TILE_INPUTS][THREADS];
    __shared__ double shared[WARPS];
    const Run run = run_of(run_table);
    const Size begun = progress_of(run_table).begun;
    Size tile = blockIdx.x, k = 0;
    for (; k < run.layers; k++) {
        const Size of_layer = (layer_of(layers, k).D + TILE_INPUTS) / TILE_INPUTS;
        if (tile < of_layer)
            break;
        tile -= of_layer;
    }
    if (k == run.layers) {
        if (run.squares)
            return; // step_update ends the step
        store_loss(run, run.terms, begun - 1);
        if (threadIdx.x == 0)
            progress_of(run_table).done = begun;
        return;
    }
    const Layer l = layer_of(layers, k);
    const Rule rule = rule_of(run, begun - 1);
    const int D = (int)l.D, M = (int)l.M, batch = (int)run.batch, first = (int)tile * TILE_INPUTS;
    const int width = (M + WARP - 1) / WARP * WARP, groups = THREADS / width;
    const int group = threadIdx.x / width, j = threadIdx.x % width, each = (batch + groups - 1) / groups;
    REAL sum[TILE_INPUTS] = {};
    if (j < M && group < groups) {
        const REAL *in = l.in + first, *dz = l.dz + j;
        const int end = (group + 1) * each < batch ? (group + 1) * each : batch;
        for (int from = group * each; from < end; from += ROW_READS) {
            REAL d[ROW_READS], x[ROW_READS][TILE_INPUTS];
#pragma unroll
            for (int n = 0; n < ROW_READS; n++) {
                const int r = from + n;
                d[n] = r < end ? dz[r * M] : (REAL)0;
#pragma unroll
                for (int i = 0; i < TILE_INPUTS; i++)
                    x[n][i] = first + i >= D ? (REAL)1 : r < end ? in[(Size)r * D + i] : (REAL)0;
            }
#pragma unroll
            for (int n = 0; n < ROW_READS; n++)
#pragma unroll
                for (int i = 0; i < TILE_INPUTS; i++)
                    sum[i] = fma(x[n][i], d[n], sum[i]);
        }
    }
    // The parameters that this thread updates: number e of the tile, e + THREADS, ...
    const int numbers = (first + TILE_INPUTS <= D + 1 ? TILE_INPUTS : D + 1 - first) * M;
    REAL p[TILE_INPUTS];
#pragma unroll
    for (int n = 0; n < TILE_INPUTS; n++) {
        const int e = threadIdx.x + n * THREADS;
        p[n] = e < numbers && !run.squares ? *number_in(l, first, e, l.W, l.b) : (REAL)0;
    }
#pragma unroll
    for (int i = 0; i < TILE_INPUTS; i++)
        sums[i][threadIdx.x] = sum[i];
    __syncthreads();
    double squares = 0;
#pragma unroll
    for (int n = 0; n < TILE_INPUTS; n++) {
        const int e = threadIdx.x + n * THREADS;
        if (e >= numbers)
            break;
        const int i = e / M, column = e - i * M;
        REAL g = sums[i][column];
        for (int other = 1; other < groups; other++)
            g += sums[i][other * width + column];
        *number_in(l, first, e, l.dW, l.db) = g;
        if (run.squares) {
            squares += (double)g * (double)g;
        } else {
            update_number(rule, &p[n], g, number_in(l, first, e, l.W_state[0], l.b_state[0]),
                          number_in(l, first, e, l.W_state[1], l.b_state[1]));
            *number_in(l, first, e, l.W, l.b) = p[n];
        }
    }
    if (run.squares) {
        squares = block_sum(squares, shared);
        if (threadIdx.x == 0)
            run.squares[blockIdx.x] = squares;
    }
}

// ---- Block: all steps of a run by one block -------------------------------------------------------------
//
// Its numbers are in shared memory: the parameters, their gradients, the batch, and every layer's output and
// gradient. What the next steps need of the samples is read ahead, into registers.

enum { STORE = 40960 / sizeof(REAL), AHEAD = 4 }; // numbers in shared memory; of a batch that a thread reads ahead

struct ThreadRow { // a row of few numbers is a thread's
    __device__ int lane() const { return 0; }
    __device__ int lanes() const { return 1; }
    __device__ REAL sum(REAL x) const { return x; }
    __device__ REAL largest(REAL x) const { return x; }
};

// The numbers of coming batches that this thread brings: AHEAD of x, and a label if it has a sample.
struct Reader {
    int sample[AHEAD], column[AHEAD]; // of a number in its batch; sample -1: there is none
    Label rows[AHEAD], row;           // of the data; of the label
    REAL x[AHEAD];
    Label t;

    __device__ Reader(const Run &run, int D)
    {
#pragma unroll
        for (int n = 0; n < AHEAD; n++) {
            const int i = threadIdx.x + n * THREADS;
            sample[n] = i < (int)run.batch * D ? i / D : -1;
            column[n] = i % D;
        }
    }

    __device__ void read_rows(const Run &run, Size step)
    {
        const Label *order = run.order + step * run.batch;
#pragma unroll
        for (int n = 0; n < AHEAD; n++)
            if (sample[n] >= 0)
                rows[n] = order[sample[n]];
        if (threadIdx.x < run.batch)
            row = order[threadIdx.x];
    }

    __device__ void read_samples(const Run &run, int D)
    {
#pragma unroll
        for (int n = 0; n < AHEAD; n++)
            if (sample[n] >= 0)
                x[n] = number_at(run.data, run.data_type, rows[n] * D + column[n]);
        if (threadIdx.x < run.batch)
            t = run.labels[row];
    }

    __device__ void store_samples(REAL *batch_x) const
    {
#pragma unroll
        for (int n = 0; n < AHEAD; n++)
            if (sample[n] >= 0)
                batch_x[threadIdx.x + n * THREADS] = x[n];
    }
};

// A parameter, by its place e among all: W and b of the first layer, of the second, ...; row D of [D+1,M] is b.
struct Place {
    Size layer;
    int at, row, column; // of the layer's numbers
};

__device__ inline Place place_of(const Size *layers, int e)
{
    Place place{ 0, e, 0, 0 };
    for (;; place.layer++) {
        const Layer &l = layer_of(layers, place.layer);
        const int M = (int)l.M, numbers = ((int)l.D + 1) * M;
        if (place.at < numbers) {
            place.row = place.at / M;
            place.column = place.at - place.row * M;
            return place;
        }
        place.at -= numbers;
    }
}

// out[batch,M] = activation(in[batch,D] W + b), a thread per number
__device__ inline void forward_numbers(int batch, int D, int M, Size activation, const REAL *in, const REAL *W,
                                       const REAL *b, REAL *out)
{
    for (int e = threadIdx.x; e < batch * M; e += THREADS) {
        const int r = e / M, j = e - r * M;
        REAL sum = 0;
#pragma unroll 8
        for (int k = 0; k < D; k++)
            sum = fma(in[r * D + k], W[k * M + j], sum);
        out[e] = activated(activation, sum + b[j]);
    }
}

// dz[batch,D] of the layer before, whose output is in, from dout[batch,M]; a thread per number
__device__ inline void backward_numbers(int batch, int D, int M, Size activation_before, const REAL *in,
                                        const REAL *W, const REAL *dout, REAL *dz)
{
    for (int e = threadIdx.x; e < batch * D; e += THREADS) {
        const int r = e / D, i = e - r * D;
        REAL sum = 0;
#pragma unroll 8
        for (int j = 0; j < M; j++)
            sum = fma(dout[r * M + j], W[i * M + j], sum);
        dz[e] = gradient_before(activation_before, sum, in[e]);
    }
}

enum { PARTS = 4, NUMBERS = THREADS / PARTS }; // of the batch; parameters whose gradients are added up at a time

// A parameter's gradient over the rows [first, end) of the batch, from its input in[r * D] (NULL: 1) and dz[r * M].
__device__ inline REAL gradient_of(const REAL *in, int D, const REAL *dz, int M, int first, int end)
{
    REAL g = 0;
#pragma unroll 8
    for (int r = first; r < end; r++)
        g = fma(in ? in[r * D] : (REAL)1, dz[r * M], g);
    return g;
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) step_block(Size *run_table, const Size *layers)
{
    __shared__ REAL store[STORE], sums[THREADS];
    __shared__ double terms[THREADS], shared[WARPS];
    const Run run = run_of(run_table);
    const Size steps = progress_of(run_table).steps;
    const int batch = (int)run.batch, parameters = (int)run.parameters, first_D = (int)layer_of(layers, 0).D;
    // store: p, g, x; then out and dz of every layer
    REAL *const p = store, *const g = p + parameters, *const x = g + parameters, *const first_out = x + batch * first_D;

    for (int e = threadIdx.x; e < parameters; e += THREADS) {
        const Place place = place_of(layers, e);
        const Layer &l = layer_of(layers, place.layer);
        p[e] = *number_in(l, 0, place.at, l.W, l.b);
    }
    Reader reader(run, first_D);
    reader.read_rows(run, 0);
    reader.read_samples(run, first_D);
    reader.read_rows(run, steps > 1 ? 1 : 0);
    double rate = run.rates[0];
    const double a = run.numbers[0], b = run.numbers[1], c = run.numbers[2];

    for (Size step = 0; step < steps; step++) {
        reader.store_samples(x);
        const Label t = reader.t;
        const Rule rule = make_rule(run.optimizer, rate, a, b, c);
        __syncthreads();
        reader.read_samples(run, first_D);
        reader.read_rows(run, step + 2 < steps ? step + 2 : step);
        rate = run.rates[step + 1 < steps ? step + 1 : step];

        REAL *in = x, *out = first_out, *W = p;
        int M = 0;
        for (Size k = 0; k < run.layers; k++) {
            const Layer &l = layer_of(layers, k);
            const int D = (int)l.D;
            M = (int)l.M;
            forward_numbers(batch, D, M, l.activation, in, W, W + D * M, out);
            __syncthreads();
            in = out;
            W += (D + 1) * M;
            out += 2 * batch * M;
        }
        // in is now the last layer's output, and its gradient stands behind it
        REAL *dz = in + batch * M;
        if (threadIdx.x < batch)
            loss_and_gradient(ThreadRow(), M, batch, in + threadIdx.x * M, t, dz + threadIdx.x * M,
                              &terms[threadIdx.x]);
        __syncthreads();
        store_loss(run, terms, step);
        for (Size k = run.layers - 1; k > 0; k--) {
            const Layer &l = layer_of(layers, k), &before = layer_of(layers, k - 1);
            const int D = (int)l.D, M = (int)l.M;
            W -= (D + 1) * M;
            REAL *const dz_before = dz - batch * M - batch * D, *const out_before = dz_before - batch * D;
            backward_numbers(batch, D, M, before.activation, out_before, W, dz, dz_before);
            __syncthreads();
            dz = dz_before;
        }

        const int each = (batch + PARTS - 1) / PARTS, part = threadIdx.x / NUMBERS, own = threadIdx.x % NUMBERS;
        const int row = part * each, end = row + each < batch ? row + each : batch;
        double squares = 0;
        for (int first = 0; first < parameters; first += NUMBERS) {
            const int e = first + own;
            const Place place = place_of(layers, e < parameters ? e : 0);
            const Layer &l = layer_of(layers, place.layer);
            const int D = (int)l.D, M = (int)l.M;
            REAL *out = first_out; // of the parameter's layer
            const REAL *in = x;
            for (Size k = 0; k < place.layer; k++) {
                in = out;
                out += 2 * batch * (int)layer_of(layers, k).M;
            }
            sums[threadIdx.x] = gradient_of(place.row < D ? in + place.row : nullptr, D,
                                            out + batch * M + place.column, M, row, end);
            __syncthreads();
            if (part == 0 && e < parameters) {
                REAL sum = sums[own];
                for (int other = 1; other < PARTS; other++)
                    sum += sums[other * NUMBERS + own];
                g[e] = sum;
                if (run.squares)
                    squares += (double)sum * (double)sum;
                else
                    update_number(rule, p + e, sum, number_in(l, 0, place.at, l.W_state[0], l.b_state[0]),
                                  number_in(l, 0, place.at, l.W_state[1], l.b_state[1]));
            }
            __syncthreads(); // before sums is written again, and x for the next step
        }
        if (run.squares) {
            const double norm = sqrt(block_sum(squares, shared)), most = run.numbers[3] / (norm + 1e-6);
            for (int e = threadIdx.x; e < parameters; e += THREADS) {
                const Place place = place_of(layers, e);
                const Layer &l = layer_of(layers, place.layer);
                clip_and_update(rule, most, p + e, g + e, number_in(l, 0, place.at, l.W_state[0], l.b_state[0]),
                                number_in(l, 0, place.at, l.W_state[1], l.b_state[1]));
            }
        }
    }
    __syncthreads();
    for (int e = threadIdx.x; e < parameters; e += THREADS) {
        const Place place = place_of(layers, e);
        const Layer &l = layer_of(layers, place.layer);
        *number_in(l, 0, place.at, l.W, l.b) = p[e];
        *number_in(l, 0, place.at, l.dW, l.db) = g[e];
    }
}

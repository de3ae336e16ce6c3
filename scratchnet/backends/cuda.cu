// cuda.cu: everything that a GPU runs but whole steps (cuda_steps.cu), compiled at first use: once with REAL=float,
// once with REAL=double.
//
// The formulas are those of backends/reference.py, operation by operation, so that elementwise results have
// the reference's bits: the file is compiled with -fmad=false, and a fused multiply-add stands where it is
// wanted, as fma(). (CuPy compiles with -ftz=true: float results below the normal numbers become 0.)
//
//   arrays      C-contiguous, checked by the caller (cuda.py); x[N,D] is N rows of D numbers
//   sizes, codes, labels   long long, which is what a Python int becomes as an argument
//   numbers     double, which is what a Python float becomes; cast to REAL here, in one place for each kernel
//   outputs     overwritten in full, never accumulated into
//   sums        in an order that depends on sizes alone, without atomic additions: two runs agree to the bit
//   labels      are not checked again: with one outside [0, C) nothing is read or written. It matches no class,
//               and the loss that it belongs to becomes NaN; a row index out of range yields a row of NaN, and
//               what would be added there is added nowhere
//
// Every block has THREADS threads in one row of blocks. No #include: no header has to be installed.

#define THREADS 256
#define WARP 32
#define WARPS (THREADS / WARP)
#define ALL_LANES 0xffffffffu

typedef long long Size;  // number of rows, columns or elements
typedef long long Label; // class or row index
typedef unsigned char Bool; // NumPy's: any byte but 0 is true

// The thread's place in the grid, and the step to its next element.
__device__ inline Size first_element() { return (Size)blockIdx.x * THREADS + threadIdx.x; }
__device__ inline Size element_step() { return (Size)gridDim.x * THREADS; }

__device__ inline REAL not_a_number() { return (REAL)nan(""); }

// ---- Sums and maxima over a warp and a block: every thread gets the result ---------------------

template <typename T> __device__ T warp_sum(T x)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}

__device__ inline REAL warp_largest(REAL x)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        x = fmax(x, __shfl_xor_sync(ALL_LANES, x, distance));
    return x;
}

// shared[WARPS]
template <typename T> __device__ T block_sum(T x, T *shared)
{
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0)
        shared[threadIdx.x / WARP] = x;
    __syncthreads();
    T sum = shared[0];
    for (int warp = 1; warp < WARPS; warp++)
        sum += shared[warp];
    __syncthreads(); // before shared is written again
    return sum;
}

// shared[WARPS]
__device__ inline REAL block_largest(REAL x, REAL *shared)
{
    x = warp_largest(x);
    if (threadIdx.x % WARP == 0)
        shared[threadIdx.x / WARP] = x;
    __syncthreads();
    REAL largest = shared[0];
    for (int warp = 1; warp < WARPS; warp++)
        largest = fmax(largest, shared[warp]);
    __syncthreads(); // before shared is written again
    return largest;
}

// Sum of terms[n], the same in every thread; shared[WARPS].
__device__ inline double sum_of_terms(const double *terms, Size n, double *shared)
{
    double sum = 0;
    for (Size i = threadIdx.x; i < n; i += THREADS)
        sum += terms[i];
    return block_sum(sum, shared);
}

// Of a block whose lanes are columns and whose warps have added up some rows each: the sum over all, to every
// thread of the column. sums[WARPS][WARP]
__device__ inline REAL column_sum(REAL sum, REAL (*sums)[WARP])
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    sums[warp][lane] = sum;
    __syncthreads();
    sum = sums[0][lane];
    for (int other = 1; other < WARPS; other++)
        sum += sums[other][lane];
    __syncthreads(); // before sums is written again
    return sum;
}

// The threads that work on one row: a warp for short rows, a block for long ones.

struct WarpRow {
    __device__ int lane() const { return threadIdx.x % WARP; }
    __device__ int lanes() const { return WARP; }
    __device__ REAL sum(REAL x) const { return warp_sum(x); }
    __device__ REAL largest(REAL x) const { return warp_largest(x); }
};

struct BlockRow {
    REAL *shared; // [WARPS]
    __device__ int lane() const { return threadIdx.x; }
    __device__ int lanes() const { return THREADS; }
    __device__ REAL sum(REAL x) const { return block_sum(x, shared); }
    __device__ REAL largest(REAL x) const { return block_largest(x, shared); }
};

// The row of a warp, where warps take rows.
__device__ inline Size row_of_warp() { return (Size)blockIdx.x * WARPS + threadIdx.x / WARP; }

// ---- Activations -------------------------------------------------------------------------------

enum { NO_ACTIVATION, SIGMOID, RELU, TANH };

// The exponent is never positive, so nothing overflows.
__device__ inline REAL sigmoid(REAL x)
{
    const REAL z = exp(-fabs(x));
    return (x < 0 ? z : (REAL)1) / (1 + z);
}

__device__ inline REAL activated(Size activation, REAL x)
{
    if (activation == SIGMOID)
        return sigmoid(x);
    if (activation == RELU)
        return x <= 0 ? (REAL)0 : x;
    if (activation == TANH)
        return tanh(x);
    return x;
}

// The gradient before an activation whose output was y.
__device__ inline REAL gradient_before(Size activation, REAL dout, REAL y)
{
    if (activation == SIGMOID)
        return dout * (1 - y) * y;
    if (activation == RELU)
        return y <= 0 ? (REAL)0 : dout;
    if (activation == TANH)
        return dout * (1 - y * y);
    return dout;
}

// out[n] = activation(x[n]); may be in place.
extern "C" __global__ void __launch_bounds__(THREADS)
activation_forward(const REAL *x, REAL *out, Size n, Size activation)
{
    for (Size i = first_element(); i < n; i += element_step())
        out[i] = activated(activation, x[i]);
}

// out[N,M] = activation(out + b[M]): what is left of a layer whose product another library made. b may be NULL.
extern "C" __global__ void __launch_bounds__(THREADS)
add_bias_and_activate(REAL *out, const REAL *b, Size n, Size M, Size activation)
{
    for (Size i = first_element(); i < n; i += element_step())
        out[i] = activated(activation, b ? out[i] + b[i % M] : out[i]);
}

// dx[n] = gradient before the activation; may be in place of dout.
extern "C" __global__ void __launch_bounds__(THREADS)
activation_backward(const REAL *dout, const REAL *y, REAL *dx, Size n, Size activation)
{
    for (Size i = first_element(); i < n; i += element_step())
        dx[i] = gradient_before(activation, dout[i], y[i]);
}

// mask[n] = x <= 0, out[n] = 0 where it is set, else x
extern "C" __global__ void __launch_bounds__(THREADS)
relu_forward_with_mask(const REAL *x, REAL *out, Bool *mask, Size n)
{
    for (Size i = first_element(); i < n; i += element_step()) {
        const REAL number = x[i];
        mask[i] = number <= 0;
        out[i] = number <= 0 ? (REAL)0 : number;
    }
}

// dx[n] = 0 where the mask is set, else dout
extern "C" __global__ void __launch_bounds__(THREADS)
relu_backward_by_mask(const REAL *dout, const Bool *mask, REAL *dx, Size n)
{
    for (Size i = first_element(); i < n; i += element_step())
        dx[i] = mask[i] ? (REAL)0 : dout[i];
}

// ---- Products ----------------------------------------------------------------------------------
//
// A block computes TILE x TILE numbers of the output, a thread (TILE/16) x (TILE/16) of them, 16 apart in both
// directions. Panels of a and b, DEPTH numbers deep, pass through shared memory. Every number is one chain
// fma(a_k, b_k, ... fma(a_0, b_0, 0)) over k = 0, 1, ..., whatever the tile.

#define SIDE 16 // of the square of threads

struct Matrix { // element (i, j) of image n at data[n * image + i * row + j * column]
    const REAL *data;
    Size row, column, image;
};

struct Product {             // out[N,M] = activation(a[N,K] b[K,M] + bias), or the gradient before y's activation
    Matrix a, b;
    Size N, K, M;
    REAL *out;               // [N,M]
    const REAL *bias = nullptr;      // [M]
    Size activation = NO_ACTIVATION; // of out
    const REAL *y = nullptr;         // [N,M]: out = gradient before the activation that gave y
    Size y_activation = NO_ACTIVATION;
    REAL *column_sums = nullptr;     // [M]: sums of b's columns, as if a had one more row, of ones
    Size images = 1;                 // the products of so many images are added up
    const REAL *row_bias = nullptr;  // [N]: added to every column of out
    bool adds = false;               // to what out holds
};

template <int TILE> struct Panels { // an odd pitch: a column of a panel lies in different banks
    enum { DEPTH = 1024 / TILE, PITCH = TILE + 1, NUMBERS = DEPTH * PITCH };
};

__device__ inline Size tiles(Size N, Size M, int tile)
{
    return ((N + tile - 1) / tile) * ((M + tile - 1) / tile);
}

// panel[k][i] = data[(i0 + i) * i_stride + (k0 + k) * k_stride], 0 outside [count, K]; with ones, row `count` is
// 1. Threads side by side read along the direction that is contiguous.
template <int TILE>
__device__ void load_panel(const REAL *data, Size i_stride, Size k_stride, Size i0, Size count, Size k0, Size K,
                           bool ones, REAL *panel)
{
    const int DEPTH = Panels<TILE>::DEPTH, PITCH = Panels<TILE>::PITCH;
#pragma unroll
    for (int e = threadIdx.x; e < TILE * DEPTH; e += THREADS) {
        const int i = i_stride == 1 ? e % TILE : e / DEPTH;
        const int k = i_stride == 1 ? e / TILE : e % DEPTH;
        REAL value = 0;
        if (k0 + k < K) {
            if (i0 + i < count)
                value = data[(i0 + i) * i_stride + (k0 + k) * k_stride];
            else if (ones && i0 + i == count)
                value = 1;
        }
        panel[k * PITCH + i] = value;
    }
}

// panels[2 * Panels<TILE>::NUMBERS], shared
template <int TILE> __device__ void product_tile(const Product &p, Size tile, REAL *panels)
{
    const int EACH = TILE / SIDE, DEPTH = Panels<TILE>::DEPTH, PITCH = Panels<TILE>::PITCH;
    const int row = threadIdx.x / SIDE, column = threadIdx.x % SIDE;
    const Size across = (p.M + TILE - 1) / TILE;
    const Size i0 = tile / across * TILE, j0 = tile % across * TILE;
    REAL *left_panel = panels, *right_panel = panels + Panels<TILE>::NUMBERS;
    REAL sum[EACH][EACH] = {};
    for (Size n = 0; n < p.images; n++)
        for (Size k0 = 0; k0 < p.K; k0 += DEPTH) {
            const REAL *a = p.a.data + n * p.a.image, *b = p.b.data + n * p.b.image;
            load_panel<TILE>(a, p.a.row, p.a.column, i0, p.N, k0, p.K, p.column_sums != nullptr, left_panel);
            load_panel<TILE>(b, p.b.column, p.b.row, j0, p.M, k0, p.K, false, right_panel);
            __syncthreads();
#pragma unroll
            for (int k = 0; k < DEPTH; k++) {
                REAL left[EACH], right[EACH];
#pragma unroll
                for (int i = 0; i < EACH; i++) {
                    left[i] = left_panel[k * PITCH + row + i * SIDE];
                    right[i] = right_panel[k * PITCH + column + i * SIDE];
                }
#pragma unroll
                for (int i = 0; i < EACH; i++)
#pragma unroll
                    for (int j = 0; j < EACH; j++)
                        sum[i][j] = fma(left[i], right[j], sum[i][j]);
            }
            __syncthreads(); // before the panels are written again
        }
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const Size to_row = i0 + row + i * SIDE, to_column = j0 + column + j * SIDE;
            if (to_column >= p.M)
                continue;
            if (to_row < p.N) {
                const Size at = to_row * p.M + to_column;
                REAL value = activated(p.activation, p.bias ? sum[i][j] + p.bias[to_column] : sum[i][j]);
                if (p.row_bias)
                    value += p.row_bias[to_row];
                if (p.adds)
                    value += p.out[at];
                if (p.y)
                    value = gradient_before(p.y_activation, value, p.y[at]);
                p.out[at] = value;
            } else if (to_row == p.N && p.column_sums) {
                p.column_sums[to_column] = sum[i][j];
            }
        }
}

// out[N,M] = activation(x[N,D] W[D,M] + b[M]); b may be NULL. A block per tile.
template <int TILE>
__device__ void affine_forward(const REAL *x, const REAL *W, const REAL *b, REAL *out, Size N, Size D, Size M,
                               Size activation, REAL *panels)
{
    Product product = { { x, D, 1 }, { W, M, 1 }, N, D, M, out };
    product.bias = b;
    product.activation = activation;
    product_tile<TILE>(product, blockIdx.x, panels);
}

extern "C" __global__ void __launch_bounds__(THREADS)
affine_forward_32(const REAL *x, const REAL *W, const REAL *b, REAL *out, Size N, Size D, Size M, Size activation)
{
    __shared__ REAL panels[2 * Panels<32>::NUMBERS];
    affine_forward<32>(x, W, b, out, N, D, M, activation, panels);
}

extern "C" __global__ void __launch_bounds__(THREADS)
affine_forward_64(const REAL *x, const REAL *W, const REAL *b, REAL *out, Size N, Size D, Size M, Size activation)
{
    __shared__ REAL panels[2 * Panels<64>::NUMBERS];
    affine_forward<64>(x, W, b, out, N, D, M, activation, panels);
}

// dx[N,D] = dout[N,M] W' (the gradient before x_activation, whose output was x); dW[D,M] = x' dout; db[M] = sum
// of dout's rows. dx and db may be NULL. A block per tile: first those of dx, then those of dW with db below it.
template <int TILE>
__device__ void affine_backward(const REAL *dout, const REAL *x, const REAL *W, REAL *dx, REAL *dW, REAL *db,
                                Size N, Size D, Size M, Size x_activation, REAL *panels)
{
    const Size of_dx = dx ? tiles(N, D, TILE) : 0;
    if (blockIdx.x < of_dx) {
        Product product = { { dout, M, 1 }, { W, 1, M }, N, M, D, dx };
        product.y = x;
        product.y_activation = x_activation;
        product_tile<TILE>(product, blockIdx.x, panels);
    } else {
        Product product = { { x, 1, D }, { dout, M, 1 }, D, N, M, dW };
        product.column_sums = db;
        product_tile<TILE>(product, blockIdx.x - of_dx, panels);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
affine_backward_32(const REAL *dout, const REAL *x, const REAL *W, REAL *dx, REAL *dW, REAL *db, Size N, Size D,
                   Size M, Size x_activation)
{
    __shared__ REAL panels[2 * Panels<32>::NUMBERS];
    affine_backward<32>(dout, x, W, dx, dW, db, N, D, M, x_activation, panels);
}

extern "C" __global__ void __launch_bounds__(THREADS)
affine_backward_64(const REAL *dout, const REAL *x, const REAL *W, REAL *dx, REAL *dW, REAL *db, Size N, Size D,
                   Size M, Size x_activation)
{
    __shared__ REAL panels[2 * Panels<64>::NUMBERS];
    affine_backward<64>(dout, x, W, dx, dW, db, N, D, M, x_activation, panels);
}

// out[N,M] = x[N,D] W, or out += x W; W's element (i, j) at i * row + j * column. A block per tile.
template <int TILE>
__device__ void matmul(const REAL *x, const REAL *W, Size row, Size column, REAL *out, Size N, Size D, Size M,
                       Size adds, REAL *panels)
{
    Product product = { { x, D, 1 }, { W, row, column }, N, D, M, out };
    product.adds = adds != 0;
    product_tile<TILE>(product, blockIdx.x, panels);
}

extern "C" __global__ void __launch_bounds__(THREADS)
matmul_32(const REAL *x, const REAL *W, Size row, Size column, REAL *out, Size N, Size D, Size M, Size adds)
{
    __shared__ REAL panels[2 * Panels<32>::NUMBERS];
    matmul<32>(x, W, row, column, out, N, D, M, adds, panels);
}

extern "C" __global__ void __launch_bounds__(THREADS)
matmul_64(const REAL *x, const REAL *W, Size row, Size column, REAL *out, Size N, Size D, Size M, Size adds)
{
    __shared__ REAL panels[2 * Panels<64>::NUMBERS];
    matmul<64>(x, W, row, column, out, N, D, M, adds, panels);
}

// ---- Rows --------------------------------------------------------------------------------------

// out[D] = x[0,:] + x[1,:] + ...: a block per WARP columns; warp w adds rows w, w + WARPS, ..., then the warps'
// sums are added in order.
extern "C" __global__ void __launch_bounds__(THREADS) sum_rows(const REAL *x, REAL *out, Size N, Size D)
{
    __shared__ REAL sums[WARPS][WARP];
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const Size j = (Size)blockIdx.x * WARP + lane;
    REAL sum = 0;
    if (j < D)
#pragma unroll 8
        for (Size i = warp; i < N; i += WARPS)
            sum += x[i * D + j];
    sum = column_sum(sum, sums);
    if (warp == 0 && j < D)
        out[j] = sum;
}

// out[N,D]: N copies of x[D]
extern "C" __global__ void __launch_bounds__(THREADS) repeat_rows(const REAL *x, REAL *out, Size N, Size D)
{
    for (Size i = first_element(); i < N * D; i += element_step())
        out[i] = x[i % D];
}

// out[B,D] = x[index[B],:] of x[N,D]
extern "C" __global__ void __launch_bounds__(THREADS)
gather_rows(const REAL *x, const Label *index, REAL *out, Size N, Size B, Size D)
{
    for (Size i = first_element(); i < B * D; i += element_step()) {
        const Label row = index[i / D];
        out[i] = 0 <= row && row < N ? x[row * D + i % D] : not_a_number();
    }
}

// out[N,D] = 0, then out[index[k],:] += dout[k,:] for k = 0, 1, ... of dout[B,D]. A warp looks through all indices
// for one row of out and ROW_PART of its columns, each lane having some of them, 32 apart: so a row is summed in
// the order of k, by nobody else. Made for the few thousand words of a batch; many more would have to be sorted.
#define ROW_EACH 4 // columns of a lane
#define ROW_PART (ROW_EACH * WARP)
extern "C" __global__ void __launch_bounds__(THREADS)
scatter_add_rows(const REAL *dout, const Label *index, REAL *out, Size N, Size B, Size D)
{
    const Size parts = (D + ROW_PART - 1) / ROW_PART, task = row_of_warp();
    if (task >= N * parts) // all threads of a warp alike
        return;
    const int lane = threadIdx.x % WARP;
    const Size row = task / parts, first = task % parts * ROW_PART + lane;
    REAL sum[ROW_EACH] = {};
    for (Size k0 = 0; k0 < B; k0 += WARP) {
        unsigned found = __ballot_sync(ALL_LANES, k0 + lane < B && index[k0 + lane] == row);
        for (; found; found &= found - 1) {
            const REAL *from = dout + (k0 + __ffs(found) - 1) * D;
#pragma unroll
            for (int e = 0; e < ROW_EACH; e++)
                if (first + e * WARP < D)
                    sum[e] += from[first + e * WARP];
        }
    }
#pragma unroll
    for (int e = 0; e < ROW_EACH; e++)
        if (first + e * WARP < D)
            out[row * D + first + e * WARP] = sum[e];
}

// ---- Softmax and the losses ---------------------------------------------------------------------

// y[C] = exp(x - largest) / sum. A NaN may be passed over by the maximum: exp(x - largest) brings it back.
template <typename Row> __device__ void softmax_row(const Row &row, Size C, const REAL *x, REAL *y)
{
    REAL largest = x[0];
    for (Size j = row.lane(); j < C; j += row.lanes())
        largest = fmax(largest, x[j]);
    largest = row.largest(largest);
    REAL sum = 0;
    for (Size j = row.lane(); j < C; j += row.lanes()) {
        y[j] = exp(x[j] - largest);
        sum += y[j];
    }
    sum = row.sum(sum);
    for (Size j = row.lane(); j < C; j += row.lanes())
        y[j] = y[j] / sum;
}

// What whole steps add to the probability, as the books do, so that 0 does not cost infinity.
#define DELTA 1e-7

// -log(p + delta), p being the probability, in [clip, 1 - clip] where clip > 0
__device__ inline double loss_of(REAL probability, double delta, double clip)
{
    double p = (double)probability;
    if (clip > 0)
        p = p < clip ? clip : p > 1 - clip ? 1 - clip : p;
    return -log(p + delta);
}

// The row's loss in term, by the thread of the row that wrote y_t.
template <typename Row>
__device__ void row_loss(const Row &row, Size C, const REAL *y, Label t, double delta, double clip, double *term)
{
    const bool known = 0 <= t && t < C;
    if (row.lane() == (known ? t % row.lanes() : 0))
        *term = known ? loss_of(y[t], delta, clip) : (double)not_a_number();
}

// (y - onehot) dout / N
__device__ inline REAL loss_gradient(REAL y, bool is_label, REAL dout, REAL N)
{
    return (y - (is_label ? (REAL)1 : (REAL)0)) * dout / N;
}

// y[N,C] = softmax(x); with labels also terms[N] = each row's loss. t and terms are NULL together.
template <typename Row>
__device__ void softmax_forward(const Row &row, Size i, const REAL *x, const Label *t, double delta, double clip,
                                REAL *y, double *terms, Size C)
{
    softmax_row(row, C, x + i * C, y + i * C);
    if (t)
        row_loss(row, C, y + i * C, t[i], delta, clip, &terms[i]);
}

extern "C" __global__ void __launch_bounds__(THREADS)
softmax_forward_warp(const REAL *x, const Label *t, double delta, double clip, REAL *y, double *terms, Size N,
                     Size C)
{
    const Size i = row_of_warp();
    if (i < N) // all threads of a warp alike
        softmax_forward(WarpRow(), i, x, t, delta, clip, y, terms, C);
}

extern "C" __global__ void __launch_bounds__(THREADS)
softmax_forward_block(const REAL *x, const Label *t, double delta, double clip, REAL *y, double *terms, Size N,
                      Size C)
{
    __shared__ REAL shared[WARPS];
    softmax_forward(BlockRow{ shared }, blockIdx.x, x, t, delta, clip, y, terms, C);
}

// dx[N,C] = y (dout - sum over the row of dout y)
template <typename Row>
__device__ void softmax_backward(const Row &row, Size i, const REAL *dout, const REAL *y, REAL *dx, Size C)
{
    dout += i * C;
    y += i * C;
    dx += i * C;
    REAL sum = 0;
    for (Size j = row.lane(); j < C; j += row.lanes())
        sum += dout[j] * y[j];
    sum = row.sum(sum);
    for (Size j = row.lane(); j < C; j += row.lanes())
        dx[j] = y[j] * (dout[j] - sum);
}

extern "C" __global__ void __launch_bounds__(THREADS)
softmax_backward_warp(const REAL *dout, const REAL *y, REAL *dx, Size N, Size C)
{
    const Size i = row_of_warp();
    if (i < N) // all threads of a warp alike
        softmax_backward(WarpRow(), i, dout, y, dx, C);
}

extern "C" __global__ void __launch_bounds__(THREADS)
softmax_backward_block(const REAL *dout, const REAL *y, REAL *dx, Size N, Size C)
{
    __shared__ REAL shared[WARPS];
    softmax_backward(BlockRow{ shared }, blockIdx.x, dout, y, dx, C);
}

// terms[N] = loss of each row of y[N,C]
extern "C" __global__ void __launch_bounds__(THREADS)
cross_entropy_terms(const REAL *y, const Label *t, double delta, double clip, double *terms, Size N, Size C)
{
    for (Size i = first_element(); i < N; i += element_step())
        terms[i] = 0 <= t[i] && t[i] < C ? loss_of(y[i * C + t[i]], delta, clip) : (double)not_a_number();
}

// dx[N,C] = (y - onehot(t)) dout / N
extern "C" __global__ void __launch_bounds__(THREADS)
softmax_cross_entropy_backward(const REAL *y, const Label *t, double dout, REAL *dx, Size N, Size C)
{
    const REAL d = (REAL)dout, rows = (REAL)N;
    for (Size i = first_element(); i < N * C; i += element_step())
        dx[i] = loss_gradient(y[i], i % C == t[i / C], d, rows);
}

__device__ inline double binary_loss(REAL y, Label t, double delta, double clip)
{
    return loss_of(t == 1 ? y : t == 0 ? 1 - y : not_a_number(), delta, clip);
}

// y[n] = sigmoid(x); terms[n] = the losses
extern "C" __global__ void __launch_bounds__(THREADS)
sigmoid_cross_entropy_forward(const REAL *x, const Label *t, double delta, double clip, REAL *y, double *terms,
                              Size n)
{
    for (Size i = first_element(); i < n; i += element_step()) {
        y[i] = sigmoid(x[i]);
        terms[i] = binary_loss(y[i], t[i], delta, clip);
    }
}

// terms[n] = the losses of the probabilities y
extern "C" __global__ void __launch_bounds__(THREADS)
binary_cross_entropy_terms(const REAL *y, const Label *t, double delta, double clip, double *terms, Size n)
{
    for (Size i = first_element(); i < n; i += element_step())
        terms[i] = binary_loss(y[i], t[i], delta, clip);
}

// dx[n] = (y - t) dout / n
extern "C" __global__ void __launch_bounds__(THREADS)
sigmoid_cross_entropy_backward(const REAL *y, const Label *t, double dout, REAL *dx, Size n)
{
    const REAL d = (REAL)dout, rows = (REAL)n;
    for (Size i = first_element(); i < n; i += element_step())
        dx[i] = (y[i] - (REAL)t[i]) * d / rows;
}

// dx[N,C] = (y - t) dout / N
extern "C" __global__ void __launch_bounds__(THREADS)
squared_error_backward(const REAL *y, const REAL *t, double dout, REAL *dx, Size N, Size C)
{
    const REAL d = (REAL)dout, rows = (REAL)N;
    for (Size i = first_element(); i < N * C; i += element_step())
        dx[i] = (y[i] - t[i]) * d / rows;
}

// out[1] = sum of terms[n] / divisor. One block.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_terms(const double *terms, Size n, double divisor, double *out)
{
    __shared__ double shared[WARPS];
    const double sum = sum_of_terms(terms, n, shared);
    if (threadIdx.x == 0)
        out[0] = sum / divisor;
}

// terms[n] = (y - t)^2
extern "C" __global__ void __launch_bounds__(THREADS)
squared_error_terms(const REAL *y, const REAL *t, double *terms, Size n)
{
    for (Size i = first_element(); i < n; i += element_step()) {
        const double d = (double)y[i] - (double)t[i];
        terms[i] = d * d;
    }
}

// The sum of w[N], to every thread of the block; shared[WARPS].
__device__ inline double sum_of_weights(const REAL *w, Size N, double *shared)
{
    double sum = 0;
    for (Size i = threadIdx.x; i < N; i += THREADS)
        sum += (double)w[i];
    return block_sum(sum, shared);
}

// out[1] = sum of w[i] terms[i,C] / (divisor times the sum of w[N]); 0 if that is 0. One block.
extern "C" __global__ void __launch_bounds__(THREADS)
weighted_sum_of_terms(const double *terms, const REAL *w, double divisor, double *out, Size N, Size C)
{
    __shared__ double shared[WARPS];
    double sum = 0;
    for (Size i = threadIdx.x; i < N * C; i += THREADS)
        sum += (double)w[i / C] * terms[i];
    sum = block_sum(sum, shared);
    const double weights = sum_of_weights(w, N, shared);
    if (threadIdx.x == 0)
        out[0] = weights != 0 ? sum / weights / divisor : 0;
}

// dx[N,C] *= w N / sum of w[N]; 0 if that is 0
extern "C" __global__ void __launch_bounds__(THREADS) weight_rows(REAL *dx, const REAL *w, Size N, Size C)
{
    __shared__ double shared[WARPS];
    const double weights = sum_of_weights(w, N, shared);
    const double factor = weights != 0 ? (double)N / weights : 0;
    for (Size i = first_element(); i < N * C; i += element_step())
        dx[i] *= (REAL)((double)w[i / C] * factor);
}

// ---- Images ---------------------------------------------------------------------------------------
//
// A plane is one channel of one image. A window of P x Q has Y x X places in it, `stride` apart; `pad` zeros lie
// round the plane.

// col[planes,P,Q,Y,X] = x[planes,H,W] at (i stride + p - pad, j stride + q - pad), 0 outside of it
extern "C" __global__ void __launch_bounds__(THREADS)
im2col(const REAL *x, REAL *col, Size planes, Size H, Size W, Size P, Size Q, Size Y, Size X, Size stride,
       Size pad)
{
    for (Size e = first_element(); e < planes * P * Q * Y * X; e += element_step()) {
        const Size line = e / X, element = line / Y, line_of_window = element / Q, plane = line_of_window / P;
        const Size j = e - line * X, i = line - element * Y;
        const Size q = element - line_of_window * Q, p = line_of_window - plane * P;
        const Size row = i * stride + p - pad, column = j * stride + q - pad;
        const bool inside = 0 <= row && row < H && 0 <= column && column < W;
        col[e] = inside ? x[(plane * H + row) * W + column] : (REAL)0;
    }
}

// The last of `places` places whose window may see the number at `at`, counted from the padding's edge.
__device__ inline Size last_place(Size at, Size stride, Size places)
{
    const Size place = at / stride;
    return place < places ? place : places - 1;
}

// dx[planes,H,W] = the sum of col[planes,P,Q,Y,X] where im2col reads it, in the order of p and q: from place to
// place back, a number is seen by an element of the window that lies further on.
extern "C" __global__ void __launch_bounds__(THREADS)
col2im(const REAL *col, REAL *dx, Size planes, Size H, Size W, Size P, Size Q, Size Y, Size X, Size stride,
       Size pad)
{
    for (Size e = first_element(); e < planes * H * W; e += element_step()) {
        const Size left = e % W + pad, top = e / W % H + pad, plane = e / W / H;
        const Size first_i = last_place(top, stride, Y), first_j = last_place(left, stride, X);
        REAL sum = 0;
        for (Size i = first_i, p = top - i * stride; i >= 0 && p < P; i--, p += stride)
            for (Size j = first_j, q = left - j * stride; j >= 0 && q < Q; j--, q += stride)
                sum += col[(((plane * P + p) * Q + q) * Y + i) * X + j];
        dx[e] = sum;
    }
}

// out[n] = W[A,B] in[n] + b for images in[N,B,L], out[N,A,L]; W's element (i, j) at i * row + j * column; b[A] may
// be NULL. A block per image and tile.
template <int TILE>
__device__ void convolve(const REAL *W, Size row, Size column, const REAL *in, const REAL *b, REAL *out, Size A,
                         Size B, Size L, REAL *panels)
{
    const Size each = tiles(A, L, TILE), n = blockIdx.x / each;
    Product product = { { W, row, column }, { in + n * B * L, L, 1 }, A, B, L, out + n * A * L };
    product.row_bias = b;
    product_tile<TILE>(product, blockIdx.x % each, panels);
}

extern "C" __global__ void __launch_bounds__(THREADS)
convolve_32(const REAL *W, Size row, Size column, const REAL *in, const REAL *b, REAL *out, Size A, Size B, Size L)
{
    __shared__ REAL panels[2 * Panels<32>::NUMBERS];
    convolve<32>(W, row, column, in, b, out, A, B, L, panels);
}

extern "C" __global__ void __launch_bounds__(THREADS)
convolve_64(const REAL *W, Size row, Size column, const REAL *in, const REAL *b, REAL *out, Size A, Size B, Size L)
{
    __shared__ REAL panels[2 * Panels<64>::NUMBERS];
    convolve<64>(W, row, column, in, b, out, A, B, L, panels);
}

// parts[blocks / tiles,K+1,M]: part s is the sum over the images [s each, s each + each) of col[n] dout[n]', which
// is a part of dW transposed, and in row K that of dout[n], a part of db; of dout[N,M,L], col[N,K,L].
extern "C" __global__ void __launch_bounds__(THREADS)
filter_gradient_parts(const REAL *dout, const REAL *col, REAL *parts, Size N, Size M, Size K, Size L, Size each)
{
    __shared__ REAL panels[2 * Panels<32>::NUMBERS];
    const Size of_part = tiles(K + 1, M, 32), part = blockIdx.x / of_part, first = part * each;
    const Size images = N - first < each ? N - first : each;
    REAL *out = parts + part * (K + 1) * M;
    const Matrix a = { col + first * K * L, L, 1, K * L }, b = { dout + first * M * L, 1, L, M * L };
    Product product = { a, b, K, L, M, out };
    product.column_sums = out + K * M;
    product.images = images;
    product_tile<32>(product, blockIdx.x % of_part, panels);
}

// dW[M,K] and db[M] += the sum of parts[count,K+1,M], in order
extern "C" __global__ void __launch_bounds__(THREADS)
add_filter_gradient_parts(const REAL *parts, REAL *dW, REAL *db, Size count, Size M, Size K)
{
    const Size numbers = (K + 1) * M;
    for (Size e = first_element(); e < numbers; e += element_step()) {
        REAL sum = 0;
        for (Size part = 0; part < count; part++)
            sum += parts[part * numbers + e];
        const Size k = e / M, m = e % M;
        *(k < K ? dW + m * K + k : db + m) += sum;
    }
}

// out[planes,Y,X] = the largest of each window of P x Q in x[planes,H,W], argmax = its place row W + column, the
// first of equals. A NaN is the largest: no comparison with it is true.
extern "C" __global__ void __launch_bounds__(THREADS)
max_pool_forward(const REAL *x, REAL *out, Label *argmax, Size planes, Size H, Size W, Size P, Size Q, Size Y,
                 Size X, Size stride)
{
    for (Size e = first_element(); e < planes * Y * X; e += element_step()) {
        const Size row = e / X, image = row / Y; // of places; each division is a call
        const Size corner = (row - image * Y) * stride * W + (e - row * X) * stride;
        const REAL *plane = x + image * H * W;
        Size best = corner;
        REAL most = plane[corner];
        for (Size p = 0; p < P; p++)
            for (Size q = 0; q < Q; q++) {
                const REAL value = plane[corner + p * W + q];
                if (!(value <= most) && most == most) {
                    most = value;
                    best = corner + p * W + q;
                }
            }
        out[e] = most;
        argmax[e] = best;
    }
}

// dx[planes,HW] = the sum of dout[planes,L] where argmax points to, in the order of L. A warp per plane, 32
// windows at a time: each of the lanes that point to one place adds up all, so they write the same.
extern "C" __global__ void __launch_bounds__(THREADS)
max_pool_backward(const REAL *dout, const Label *argmax, REAL *dx, Size planes, Size L, Size HW)
{
    const Size plane = row_of_warp();
    if (plane >= planes) // all threads of a warp alike
        return;
    const int lane = threadIdx.x % WARP;
    dout += plane * L;
    argmax += plane * L;
    dx += plane * HW;
    for (Size i = lane; i < HW; i += WARP)
        dx[i] = 0;
    __syncwarp();
    for (Size first = 0; first < L; first += WARP) {
        const bool is_window = first + lane < L;
        const Label given = is_window ? argmax[first + lane] : -1;
        const Label place = 0 <= given && given < HW ? given : -1;
        const REAL value = is_window ? dout[first + lane] : (REAL)0;
        REAL sum = place >= 0 ? dx[place] : (REAL)0;
        for (int other = 0; other < WARP; other++) {
            const Label its_place = __shfl_sync(ALL_LANES, place, other);
            const REAL its_value = __shfl_sync(ALL_LANES, value, other);
            if (its_place == place)
                sum += its_value;
        }
        if (place >= 0)
            dx[place] = sum;
        __syncwarp();
    }
}

// ---- Batch normalization --------------------------------------------------------------------------
//
// Of x[N,D] a block takes WARP columns, warp w of it the rows w, w + WARPS, ... No rows have mean and variance 0.

// mean, var, std = sqrt(var + eps), each [D]; xhat = (x - mean) / std; out = gamma xhat + beta
extern "C" __global__ void __launch_bounds__(THREADS)
batch_normalization_forward(const REAL *x, const REAL *gamma, const REAL *beta, double eps, REAL *mean, REAL *var,
                            REAL *std, REAL *xhat, REAL *out, Size N, Size D)
{
    __shared__ REAL sums[WARPS][WARP];
    const int warp = threadIdx.x / WARP;
    const Size j = (Size)blockIdx.x * WARP + threadIdx.x % WARP, last = j < D ? N : 0;
    const REAL rows = (REAL)(N ? N : 1);
    REAL sum = 0;
    for (Size i = warp; i < last; i += WARPS)
        sum += x[i * D + j];
    const REAL m = column_sum(sum, sums) / rows;
    sum = 0;
    for (Size i = warp; i < last; i += WARPS) {
        const REAL d = x[i * D + j] - m;
        sum += d * d;
    }
    const REAL v = column_sum(sum, sums) / rows, s = sqrt(v + (REAL)eps);
    if (warp == 0 && j < D) {
        mean[j] = m;
        var[j] = v;
        std[j] = s;
    }
    if (j >= D)
        return;
    const REAL g = gamma[j], b = beta[j];
    for (Size i = warp; i < N; i += WARPS) {
        const REAL h = (x[i * D + j] - m) / s;
        xhat[i * D + j] = h;
        out[i * D + j] = g * h + b;
    }
}

// out = gamma (x - mean) / sqrt(var + eps) + beta. Several blocks share the rows of some columns.
extern "C" __global__ void __launch_bounds__(THREADS)
batch_normalization_inference(const REAL *x, const REAL *gamma, const REAL *beta, const REAL *mean,
                              const REAL *var, double eps, REAL *out, Size N, Size D)
{
    const Size across = (D + WARP - 1) / WARP, shares = gridDim.x / across;
    const Size j = blockIdx.x % across * WARP + threadIdx.x % WARP;
    if (j >= D)
        return;
    const REAL m = mean[j], s = sqrt(var[j] + (REAL)eps), g = gamma[j], b = beta[j];
    for (Size i = blockIdx.x / across * WARPS + threadIdx.x / WARP; i < N; i += shares * WARPS)
        out[i * D + j] = g * ((x[i * D + j] - m) / s) + b;
}

// dbeta[D] = rows' sum of dout; dgamma[D] = rows' sum of dout xhat;
// dx = gamma / std (dout - (dbeta + xhat dgamma) / N)
extern "C" __global__ void __launch_bounds__(THREADS)
batch_normalization_backward(const REAL *dout, const REAL *xhat, const REAL *gamma, const REAL *std, REAL *dx,
                             REAL *dgamma, REAL *dbeta, Size N, Size D)
{
    __shared__ REAL sums[WARPS][WARP];
    const int warp = threadIdx.x / WARP;
    const Size j = (Size)blockIdx.x * WARP + threadIdx.x % WARP, last = j < D ? N : 0;
    const REAL rows = (REAL)(N ? N : 1);
    REAL of_beta = 0, of_gamma = 0;
    for (Size i = warp; i < last; i += WARPS) {
        of_beta += dout[i * D + j];
        of_gamma += dout[i * D + j] * xhat[i * D + j];
    }
    of_beta = column_sum(of_beta, sums);
    of_gamma = column_sum(of_gamma, sums);
    if (warp == 0 && j < D) {
        dbeta[j] = of_beta;
        dgamma[j] = of_gamma;
    }
    if (j >= D)
        return;
    const REAL slope = gamma[j] / std[j], mean_of_beta = of_beta / rows, mean_of_gamma = of_gamma / rows;
    for (Size i = warp; i < N; i += WARPS) {
        const Size e = i * D + j;
        dx[e] = slope * (dout[e] - (mean_of_beta + xhat[e] * mean_of_gamma));
    }
}

// ---- Gated cells and dropout ----------------------------------------------------------------------
//
// A row of A and of the gates holds the gates one after another, D numbers each; everything is element by element.

// out[n] = x mask; may be in place.
extern "C" __global__ void __launch_bounds__(THREADS)
multiply_by_mask(const REAL *x, const REAL *mask, REAL *out, Size n)
{
    for (Size i = first_element(); i < n; i += element_step())
        out[i] = x[i] * mask[i];
}

// gates[N,4D] = f, g, i, o = sigmoid(A), of g tanh(A); c[N,D] = f c_prev + g i; h[N,D] = o tanh(c)
extern "C" __global__ void __launch_bounds__(THREADS)
lstm_forward(const REAL *c_prev, const REAL *A, REAL *gates, REAL *c, REAL *h, Size N, Size D)
{
    for (Size e = first_element(); e < N * D; e += element_step()) {
        const Size at = e / D * 4 * D + e % D;
        const REAL f = sigmoid(A[at]), g = tanh(A[at + D]), i = sigmoid(A[at + 2 * D]), o = sigmoid(A[at + 3 * D]);
        const REAL memory = f * c_prev[e] + g * i;
        gates[at] = f;
        gates[at + D] = g;
        gates[at + 2 * D] = i;
        gates[at + 3 * D] = o;
        c[e] = memory;
        h[e] = o * tanh(memory);
    }
}

// s = dc + dh o (1 - tanh(c)^2); dc_prev[N,D] = s f;
// dA[N,4D] = s c_prev f (1 - f), s i (1 - g^2), s g i (1 - i), dh tanh(c) o (1 - o)
extern "C" __global__ void __launch_bounds__(THREADS)
lstm_backward(const REAL *dh, const REAL *dc, const REAL *c_prev, const REAL *c, const REAL *gates, REAL *dA,
              REAL *dc_prev, Size N, Size D)
{
    for (Size e = first_element(); e < N * D; e += element_step()) {
        const Size at = e / D * 4 * D + e % D;
        const REAL f = gates[at], g = gates[at + D], i = gates[at + 2 * D], o = gates[at + 3 * D];
        const REAL tanh_c = tanh(c[e]);
        const REAL s = dc[e] + dh[e] * o * (1 - tanh_c * tanh_c);
        dA[at] = s * c_prev[e] * f * (1 - f);
        dA[at + D] = s * i * (1 - g * g);
        dA[at + 2 * D] = s * g * i * (1 - i);
        dA[at + 3 * D] = dh[e] * tanh_c * o * (1 - o);
        dc_prev[e] = s * f;
    }
}

// gates[N,2D] = z, r = sigmoid(A); rh[N,D] = r h_prev
extern "C" __global__ void __launch_bounds__(THREADS)
gru_gates_forward(const REAL *h_prev, const REAL *A, REAL *gates, REAL *rh, Size N, Size D)
{
    for (Size e = first_element(); e < N * D; e += element_step()) {
        const Size at = e / D * 2 * D + e % D;
        const REAL r = sigmoid(A[at + D]);
        gates[at] = sigmoid(A[at]);
        gates[at + D] = r;
        rh[e] = r * h_prev[e];
    }
}

// h_hat[N,D] = tanh(A); h[N,D] = (1 - z) h_prev + z h_hat
extern "C" __global__ void __launch_bounds__(THREADS)
gru_forward(const REAL *h_prev, const REAL *gates, const REAL *A, REAL *h_hat, REAL *h, Size N, Size D)
{
    for (Size e = first_element(); e < N * D; e += element_step()) {
        const REAL z = gates[e / D * 2 * D + e % D], candidate = tanh(A[e]);
        h_hat[e] = candidate;
        h[e] = (1 - z) * h_prev[e] + z * candidate;
    }
}

// dA[N,D] = dh z (1 - h_hat^2)
extern "C" __global__ void __launch_bounds__(THREADS)
gru_backward(const REAL *dh, const REAL *gates, const REAL *h_hat, REAL *dA, Size N, Size D)
{
    for (Size e = first_element(); e < N * D; e += element_step())
        dA[e] = dh[e] * gates[e / D * 2 * D + e % D] * (1 - h_hat[e] * h_hat[e]);
}

// dA[N,2D] = dh (h_hat - h_prev) z (1 - z), drh h_prev r (1 - r); dh_prev[N,D] = dh (1 - z) + drh r
extern "C" __global__ void __launch_bounds__(THREADS)
gru_gates_backward(const REAL *dh, const REAL *drh, const REAL *h_prev, const REAL *gates, const REAL *h_hat,
                   REAL *dA, REAL *dh_prev, Size N, Size D)
{
    for (Size e = first_element(); e < N * D; e += element_step()) {
        const Size at = e / D * 2 * D + e % D;
        const REAL z = gates[at], r = gates[at + D];
        dA[at] = dh[e] * (h_hat[e] - h_prev[e]) * z * (1 - z);
        dA[at + D] = drh[e] * h_prev[e] * r * (1 - r);
        dh_prev[e] = dh[e] * (1 - z) + drh[e] * r;
    }
}

// ---- Optimizers -----------------------------------------------------------------------------------

enum { SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM };

struct Rule { // an optimizer with its numbers in REAL
    Size optimizer;
    REAL rate;        // lr
    REAL keep;        // momentum or decay_rate
    REAL take, take2; // 1 - decay_rate or 1 - beta1; 1 - beta2
    REAL ahead, step; // Nesterov: momentum^2, (1 + momentum) lr
    REAL tiny;        // what is added to a root: Adam's epsilon, the books' 1e-7
};

// a, b, c: the numbers after lr, in the order of the optimizer's kernel.
__device__ inline Rule make_rule(Size optimizer, double lr, double a, double b, double c)
{
    return Rule{ optimizer,     (REAL)lr,      (REAL)a,               (REAL)(1 - a),
                 (REAL)(1 - b), (REAL)(a * a), (REAL)((1 + a) * lr), (REAL)(optimizer == ADAM ? c : 1e-7) };
}

// One number of a parameter with its states (those that the optimizer has) and its gradient.
__device__ inline void update_number(const Rule &rule, REAL *p, REAL g, REAL *first, REAL *second)
{
    REAL slope, square; // of the optimizers that divide a slope by the root of a sum of squares
    switch (rule.optimizer) {
    case SGD:
        *p -= rule.rate * g;
        return;
    case MOMENTUM: {
        const REAL v = rule.keep * *first - rule.rate * g;
        *first = v;
        *p += v;
        return;
    }
    case NESTEROV: {
        const REAL v = *first;
        *p = (*p + rule.ahead * v) - rule.step * g;
        *first = rule.keep * v - rule.rate * g;
        return;
    }
    case ADAGRAD:
        slope = g;
        *first = square = *first + g * g;
        break;
    case RMSPROP:
        slope = g;
        *first = square = rule.keep * *first + rule.take * g * g;
        break;
    default: // ADAM
        *first = slope = *first + rule.take * (g - *first);
        *second = square = *second + rule.take2 * (g * g - *second);
    }
    *p -= rule.rate * slope / (sqrt(square) + rule.tiny);
}

// p[n] and the states change in place; first and second are NULL where the optimizer has no such state.
extern "C" __global__ void __launch_bounds__(THREADS)
update(REAL *p, const REAL *g, REAL *first, REAL *second, Size n, Size optimizer, double lr, double a, double b,
       double c)
{
    const Rule rule = make_rule(optimizer, lr, a, b, c);
    for (Size i = first_element(); i < n; i += element_step())
        update_number(rule, p + i, g[i], first ? first + i : nullptr, second ? second + i : nullptr);
}

// The block's part of the sum of g[n] squared, to every thread; shared[WARPS].
__device__ inline double squares_of(const REAL *g, Size n, double *shared)
{
    double sum = 0;
    for (Size i = first_element(); i < n; i += element_step())
        sum += (double)g[i] * (double)g[i];
    return block_sum(sum, shared);
}

// parts[blocks]: their sum is the sum of g[n] squared.
extern "C" __global__ void __launch_bounds__(THREADS) squared_norm_parts(const REAL *g, double *parts, Size n)
{
    __shared__ double shared[WARPS];
    const double sum = squares_of(g, n, shared);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

// parts[blocks]: their sum is the sum of (y[n] - t[n]) squared.
extern "C" __global__ void __launch_bounds__(THREADS)
squared_error_parts(const REAL *y, const REAL *t, double *parts, Size n)
{
    __shared__ double shared[WARPS];
    double sum = 0;
    for (Size i = first_element(); i < n; i += element_step()) {
        const double d = (double)y[i] - (double)t[i];
        sum += d * d;
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

// x[n] *= factor
extern "C" __global__ void __launch_bounds__(THREADS) scale(REAL *x, double factor, Size n)
{
    const REAL f = (REAL)factor;
    for (Size i = first_element(); i < n; i += element_step())
        x[i] *= f;
}

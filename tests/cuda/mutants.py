"""Planted bugs: replacements in cuda.cu and cuda_steps.cu, each of which the kernels' tests must notice.

`before` stands in the file exactly once, so that a bug cannot go unplanted when the file changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A bug, and the kernels of the contract in which it must show, or the ways of whole steps."""

    bug: str
    before: str
    after: str
    kernels: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()

    def planted(self, source: str) -> str:
        """The source with the bug.

        Raises
        ------
        AssertionError
            The place is not there, or not unique.
        """
        assert source.count(self.before) == 1, (
            f"{self.bug}: {source.count(self.before)} places for {self.before!r}"
        )
        return source.replace(self.before, self.after)


PRODUCTS = ("affine_forward", "affine_backward")

MUTANTS = (
    # Barriers
    Mutant(
        "block_sum: no barrier between write and read",
        "        shared[threadIdx.x / WARP] = x;\n    __syncthreads();\n    T sum",
        "        shared[threadIdx.x / WARP] = x;\n    T sum",
        ("squared_norm", "softmax_forward"),
    ),
    Mutant(
        "block_largest: no barrier before the memory is used again",
        "        largest = fmax(largest, shared[warp]);\n    __syncthreads(); // before shared is written again\n",
        "        largest = fmax(largest, shared[warp]);\n",
        ("softmax_forward",),
    ),
    Mutant(
        "product: no barrier after the panels are loaded",
        "false, right_panel);\n            __syncthreads();\n",
        "false, right_panel);\n",
        PRODUCTS,
    ),
    Mutant(
        "product: no barrier before the panels are loaded again",
        "        __syncthreads(); // before the panels are written again\n",
        "",
        PRODUCTS,
    ),
    Mutant(
        "column_sum: no barrier",
        "    sums[warp][lane] = sum;\n    __syncthreads();\n",
        "    sums[warp][lane] = sum;\n",
        ("sum_rows",),
    ),
    Mutant(
        "column_sum: a barrier that only some threads reach",
        "    sums[warp][lane] = sum;\n    __syncthreads();\n",
        "    sums[warp][lane] = sum;\n    if (lane < 9)\n        __syncthreads();\n",
        ("sum_rows",),
    ),
    Mutant(
        "column_sum: no barrier before the memory is used again",
        "    __syncthreads(); // before sums is written again\n    return sum;",
        "    return sum;",
        ("batch_normalization_forward", "batch_normalization_backward"),
    ),
    Mutant(
        "softmax: rows beyond the last leave a warp in pieces",
        "return (Size)blockIdx.x * WARPS + threadIdx.x / WARP;",
        "return ((Size)blockIdx.x * THREADS + threadIdx.x + 1) / WARP;",
        ("softmax_forward",),
    ),
    # Guards
    Mutant(
        "product: rows of the panel unguarded",
        "            if (i0 + i < count)\n",
        "            if (i0 + i <= count)\n",
        PRODUCTS,
    ),
    Mutant(
        "product: one column too many is written",
        "            if (to_column >= p.M)\n",
        "            if (to_column > p.M)\n",
        PRODUCTS,
    ),
    Mutant(
        "product: one row too many is written",
        "            if (to_row < p.N) {\n",
        "            if (to_row <= p.N) {\n",
        ("affine_forward",),
    ),
    Mutant("product: the tail of K unguarded", "        if (k0 + k < K) {\n", "        {\n", PRODUCTS),
    Mutant(
        "product: the last of K left out",
        "        if (k0 + k < K) {\n",
        "        if (k0 + k + 1 < K) {\n",
        PRODUCTS,
    ),
    Mutant(
        "activation: one element too many",
        "i < n; i += element_step())\n        out[i] = activated(activation, x[i]);",
        "i <= n; i += element_step())\n        out[i] = activated(activation, x[i]);",
        ("sigmoid_forward", "relu_forward"),
    ),
    Mutant(
        "elements beyond one round of the grid are left out",
        "return (Size)gridDim.x * THREADS; }",
        "return (Size)1 << 40; }",
        ("sgd_update", "repeat_rows"),
    ),
    Mutant(
        "sum_rows: columns unguarded",
        "    if (warp == 0 && j < D)\n        out[j]",
        "    if (warp == 0)\n        out[j]",
        ("sum_rows",),
    ),
    Mutant(
        "cross_entropy: labels unguarded",
        "        terms[i] = 0 <= t[i] && t[i] < C ? ",
        "        terms[i] = true ? ",
        ("cross_entropy_forward",),
    ),
    Mutant(
        "softmax loss: label C taken for one",
        "    const bool known = 0 <= t && t < C;\n",
        "    const bool known = 0 <= t && t <= C;\n",
        ("softmax_cross_entropy_forward",),
    ),
    Mutant(
        "gather_rows: index unguarded from below",
        "0 <= row && row < N ?",
        "row < N ?",
        ("gather_rows",),
    ),
    Mutant(
        "every block takes the first one's elements",
        "return (Size)blockIdx.x * THREADS + threadIdx.x;",
        "return threadIdx.x;",
        ("lstm_backward",),
    ),
    # Reductions
    Mutant(
        "warp_sum: half of the lanes",
        "    for (int distance = WARP / 2; distance > 0; distance /= 2)\n        x += ",
        "    for (int distance = WARP / 4; distance > 0; distance /= 2)\n        x += ",
        ("softmax_forward", "squared_norm"),
    ),
    Mutant(
        "warp_largest: the shuffle's mask names half a warp",
        "fmax(x, __shfl_xor_sync(ALL_LANES, x, distance))",
        "fmax(x, __shfl_xor_sync(0xffffu, x, distance))",
        ("softmax_forward",),
    ),
    Mutant(
        "block_sum: shared memory read that nobody has written",
        "    for (int warp = 1; warp < WARPS; warp++)\n        sum += shared[warp];",
        "    for (int warp = 1; warp <= WARPS; warp++)\n        sum += shared[warp];",
        ("squared_norm",),
    ),
    Mutant(
        "softmax: the maximum is not subtracted",
        "        y[j] = exp(x[j] - largest);",
        "        y[j] = exp(x[j]);",
        ("softmax_forward",),
    ),
    Mutant(
        "squared_norm: all blocks write one part",
        "squares_of(g, n, shared);\n    if (threadIdx.x == 0)\n        parts[blockIdx.x] = sum;",
        "squares_of(g, n, shared);\n    if (threadIdx.x == 0)\n        parts[0] = sum;",
        ("squared_norm",),
    ),
    # Arithmetic
    Mutant(
        "affine_backward: W is not transposed",
        "{ { dout, M, 1 }, { W, 1, M }, N, M, D,",
        "{ { dout, M, 1 }, { W, D, 1 }, N, M, D,",
        ("affine_backward",),
    ),
    Mutant(
        "affine_backward: x is not transposed",
        "{ { x, 1, D }, { dout, M, 1 }, D, N, M,",
        "{ { x, N, 1 }, { dout, M, 1 }, D, N, M,",
        ("affine_backward",),
    ),
    Mutant(
        "affine_backward: the tiles of dW begin one too late",
        "product_tile<TILE>(product, blockIdx.x - of_dx, panels);",
        "product_tile<TILE>(product, blockIdx.x - of_dx + 1, panels);",
        ("affine_backward",),
    ),
    Mutant(
        "an output accumulated into",
        "                p.out[at] = value;",
        "                p.out[at] += value;",
        PRODUCTS,
    ),
    Mutant(
        "sigmoid: the wrong branch for NaN and negative numbers",
        "(x < 0 ? z :",
        "(x > 0 ? z :",
        ("sigmoid_forward",),
    ),
    Mutant(
        "the loss is not clipped from above",
        "p > 1 - clip ? 1 - clip : p",
        "p",
        ("softmax_cross_entropy_forward",),
    ),
    Mutant(
        "the books' loss has no 1e-7",
        "return -log(p + delta);",
        "return -log(p);",
        ("softmax_cross_entropy_forward",),
    ),
    Mutant(
        "the loss's gradient divided before it is multiplied",
        "* dout / N;",
        "* (dout / N);",
        ("softmax_cross_entropy_backward",),
    ),
    Mutant(
        "fused multiply-add in an update", "*p -= rule.rate * g;", "*p = fma(-rule.rate, g, *p);", ("sgd_update",)
    ),
    Mutant(
        "Nesterov: the velocity before the parameter",
        "        *p = (*p + rule.ahead * v) - rule.step * g;",
        "        *p = *p + (rule.ahead * v - rule.step * g);",
        ("nesterov_update",),
    ),
    # Whole steps
    Mutant(
        "rows: no barrier after the samples are gathered",
        "    x[i][k] = value;\n    __syncthreads();\n",
        "    x[i][k] = value;\n",
        ways=("rows",),
    ),
    Mutant(
        "rows: a block computes only some of its rows",
        "first_row + own < run.batch; own += groups)",
        "first_row + own < run.batch; own += TILE_ROWS)",
        ways=("rows",),
    ),
    Mutant(
        "rows: only the first chunk of the products",
        "(int)((l.D + CHUNK - 1) / CHUNK), nullptr,",
        "1, nullptr,",
        ways=("rows",),
    ),
    Mutant(
        "rows: no barrier before the groups' sums are added",
        "    sums[threadIdx.x] = sum;\n    __syncthreads();\n",
        "    sums[threadIdx.x] = sum;\n",
        ways=("rows",),
    ),
    Mutant(
        "rows: no barrier between a layer and the next",
        "activated(l.activation, sum + bias);\n        __syncthreads();\n",
        "activated(l.activation, sum + bias);\n",
        ways=("rows",),
    ),
    Mutant(
        "rows: no barrier between a layer's gradient and the one before",
        "                     gradients[side ^ 1]);\n        __syncthreads();\n",
        "                     gradients[side ^ 1]);\n",
        ways=("rows",),
    ),
    Mutant(
        "rows: a team adds up half of its lanes",
        "for (int distance = TEAM / 2;",
        "for (int distance = TEAM / 4;",
        ways=("rows",),
    ),
    Mutant(
        "rows: no barrier between the loss and its gradient",
        "gradients[0], &run.terms[r]);\n        __syncthreads();\n",
        "gradients[0], &run.terms[r]);\n",
        ways=("rows",),
    ),
    Mutant(
        "gradients: no barrier before the parts are added up",
        "        sums[i][threadIdx.x] = sum[i];\n    __syncthreads();\n",
        "        sums[i][threadIdx.x] = sum[i];\n",
        ways=("rows",),
    ),
    Mutant(
        "gradients: rows of the next part",
        "d[n] = r < end ? dz[r * M] : (REAL)0;",
        "d[n] = r < batch ? dz[r * M] : (REAL)0;",
        ways=("rows",),
    ),
    Mutant(
        "gradients: the last row of a tile that is not whole",
        "(first + TILE_INPUTS <= D + 1 ? TILE_INPUTS : D + 1 - first) * M;",
        "(first + TILE_INPUTS <= D + 1 ? TILE_INPUTS : D - first) * M;",
        ways=("rows",),
    ),
    Mutant(
        "block: no barrier before the parts are added up",
        "M, row, end);\n            __syncthreads();\n",
        "M, row, end);\n",
        ways=("block",),
    ),
    Mutant(
        "block: no barrier before the next parameters' parts",
        "            __syncthreads(); // before sums is written again, and x for the next step\n",
        "",
        ways=("block",),
    ),
    Mutant(
        "block: the samples of the step before",
        "        reader.read_rows(run, step + 2 < steps ? step + 2 : step);\n",
        "        reader.read_rows(run, step + 1 < steps ? step + 1 : step);\n",
        ways=("block",),
    ),
    Mutant(
        "block: the learning rate of the step before",
        "        rate = run.rates[step + 1 < steps ? step + 1 : step];\n",
        "        rate = run.rates[step];\n",
        ways=("block",),
    ),
    Mutant(
        "block: only the first numbers of a batch that a thread reads",
        "            sample[n] = i < (int)run.batch * D ? i / D : -1;",
        "            sample[n] = i < (int)run.batch * D && n == 0 ? i / D : -1;",
        ways=("block",),
    ),
    Mutant(
        "block: no barrier after the samples are gathered",
        "make_rule(run.optimizer, rate, a, b, c);\n        __syncthreads();\n",
        "make_rule(run.optimizer, rate, a, b, c);\n",
        ways=("block",),
    ),
    Mutant(
        "block: no barrier between a layer and the next",
        "W + D * M, out);\n            __syncthreads();\n",
        "W + D * M, out);\n",
        ways=("block",),
    ),
    Mutant(
        "block: no barrier between the loss and the gradients",
        "&terms[threadIdx.x]);\n        __syncthreads();\n",
        "&terms[threadIdx.x]);\n",
        ways=("block",),
    ),
    Mutant(
        "block: the first layer's gradient before its activation",
        "backward_numbers(batch, D, M, before.activation,",
        "backward_numbers(batch, D, M, l.activation,",
        ways=("block",),
    ),
    Mutant(
        "all biases in the place of the first",
        "        return b ? b + of_bias : nullptr;",
        "        return b ? b : nullptr;",
        ways=("rows", "block"),
    ),
    Mutant(
        "the bias's gradient multiplied with an input",
        "x[n][i] = first + i >= D ? (REAL)1 :",
        "x[n][i] = first + i > D ? (REAL)1 :",
        ways=("rows",),
    ),
    Mutant(
        "gradients clipped, but not the ones that the user sees",
        "        *g *= (REAL)rate;\n    update_number(rule, p, *g, first, second);",
        "        update_number(rule, p, *g * (REAL)rate, first, second);\n    else\n"
        "        update_number(rule, p, *g, first, second);",
        ways=("layers", "rows", "block"),
    ),
    Mutant(
        "squares of the second array of parameters in the place of the first",
        "squares[first + blockIdx.x] = sum;",
        "squares[blockIdx.x] = sum;",
        ways=("layers",),
    ),
    Mutant(
        "a step that does not count itself",
        "        gather(run, layer_of(layers, 0).D, begun);\n    if (is_first_thread())\n"
        "        progress_of(run_table).done = begun;\n",
        "        gather(run, layer_of(layers, 0).D, begun);\n",
        ways=("layers",),
    ),
    Mutant(
        "the batch of this step gathered again",
        "        gather(run, layer_of(layers, 0).D, begun);\n    if",
        "        gather(run, layer_of(layers, 0).D, begun - 1);\n    if",
        ways=("layers",),
    ),
)

# Bugs that one kernel alone meets. One of each kernel is planted at a time, which is compiled once.
IN_ONE_KERNEL = (
    Mutant(
        "max_pool_backward: zeros that other lanes have yet to write",
        "        dx[i] = 0;\n    __syncwarp();\n",
        "        dx[i] = 0;\n",
        ("max_pool_backward",),
    ),
    Mutant(
        "max_pool_backward: sums that other lanes have yet to write",
        "            dx[place] = sum;\n        __syncwarp();\n",
        "            dx[place] = sum;\n",
        ("max_pool_backward",),
    ),
    Mutant(
        "max_pool_backward: a place out of range",
        "0 <= given && given < HW ? given : -1;",
        "0 <= given ? given : -1;",
        ("max_pool_backward",),
    ),
    Mutant(
        "max_pool_backward: a lane adds only its own window",
        "            if (its_place == place)\n",
        "            if (its_place == place && other == lane)\n",
        ("max_pool_backward",),
    ),
    Mutant(
        "batch normalization: the last columns' statistics unguarded",
        "    if (warp == 0 && j < D) {\n        mean[j]",
        "    if (warp == 0) {\n        mean[j]",
        ("batch_normalization_forward",),
    ),
    Mutant(
        "batch normalization: the variance round 0",
        "const REAL d = x[i * D + j] - m;",
        "const REAL d = x[i * D + j];",
        ("batch_normalization_forward",),
    ),
    Mutant(
        "batch normalization: columns unguarded where there is nothing to learn",
        "    if (j >= D)\n        return;\n    const REAL m = mean[j]",
        "    if (j > D)\n        return;\n    const REAL m = mean[j]",
        ("batch_normalization_inference",),
    ),
    Mutant(
        "batch normalization: a block takes only its first rows",
        "i < N; i += shares * WARPS)",
        "i < N; i += N)",
        ("batch_normalization_inference",),
    ),
    Mutant("im2col: the image's edge unguarded", "0 <= column && column < W;", "0 <= column;", ("im2col",)),
    Mutant("im2col: no stride", "row = i * stride + p - pad,", "row = i + p - pad,", ("im2col",)),
    Mutant(
        "col2im: places beyond the last",
        "return place < places ? place : places - 1;",
        "return place;",
        ("col2im",),
    ),
    Mutant("col2im: the window's edge unguarded", "j >= 0 && q < Q; j--", "j >= 0; j--", ("col2im",)),
    Mutant(
        "max pooling: the last of equals",
        "if (!(value <= most) && most == most) {",
        "if (!(value < most) && most == most) {",
        ("max_pool_forward",),
    ),
    Mutant(
        "max pooling: a NaN is passed over",
        "if (!(value <= most) && most == most) {",
        "if (value > most) {",
        ("max_pool_forward",),
    ),
    Mutant(
        "convolution: the bias of the columns",
        "value += p.row_bias[to_row];",
        "value += p.row_bias[to_column % p.N];",
        ("convolution_forward",),
    ),
    Mutant(
        "convolution: all blocks take the first image",
        "const Size each = tiles(A, L, TILE), n = blockIdx.x / each;",
        "const Size each = tiles(A, L, TILE), n = 0;",
        ("convolution_forward",),
    ),
    Mutant(
        "convolution: only the first image of a part",
        "n * p.a.image, *b = p.b.data + n * p.b.image;",
        "0, *b = p.b.data;",
        ("convolution_backward",),
    ),
    Mutant(
        "convolution: the last part goes on beyond the last image",
        "images = N - first < each ? N - first : each;",
        "images = each;",
        ("convolution_backward",),
    ),
    Mutant(
        "convolution: the filters' gradient overwritten",
        "*(k < K ? dW + m * K + k : db + m) += sum;",
        "*(k < K ? dW + m * K + k : db + m) = sum;",
        ("convolution_backward",),
    ),
    Mutant(
        "scatter_add_rows: one row too many",
        "    if (task >= N * parts)",
        "    if (task > N * parts)",
        ("scatter_add_rows",),
    ),
    Mutant(
        "scatter_add_rows: one index too many",
        "k0 + lane < B && index",
        "k0 + lane <= B && index",
        ("scatter_add_rows",),
    ),
    Mutant(
        "scatter_add_rows: columns unguarded",
        "        if (first + e * WARP < D)\n            out[",
        "        if (first < D)\n            out[",
        ("scatter_add_rows",),
    ),
    Mutant(
        "scatter_add_rows: only the first of a warp's finds",
        "for (; found; found &= found - 1)",
        "for (; found; found = 0)",
        ("scatter_add_rows",),
    ),
    Mutant(
        "scatter_add_rows: the lane beside the one that found the row",
        "(k0 + __ffs(found) - 1) * D",
        "(k0 + __ffs(found) % WARP) * D",
        ("scatter_add_rows",),
    ),
    Mutant(
        "scatter_add_rows: all parts of a row are its first",
        "first = task % parts * ROW_PART + lane;",
        "first = lane;",
        ("scatter_add_rows",),
    ),
    Mutant(
        "scatter_add_rows: added to what was there",
        "out[row * D + first + e * WARP] = sum[e];",
        "out[row * D + first + e * WARP] += sum[e];",
        ("scatter_add_rows",),
    ),
    Mutant(
        "matmul: added to what is there, or not, unasked",
        "                if (p.adds)\n",
        "                if (!p.adds)\n",
        ("matmul_accumulate",),
    ),
    Mutant(
        "batch normalization: the sums of the gradient not divided",
        "mean_of_gamma = of_gamma / rows;",
        "mean_of_gamma = of_gamma;",
        ("batch_normalization_backward",),
    ),
    Mutant("tanh taken for sigmoid", "        return tanh(x);", "        return sigmoid(x);", ("tanh_forward",)),
    Mutant(
        "tanh's gradient in another order",
        "return dout * (1 - y * y);",
        "return dout * (1 - y) * (1 + y);",
        ("tanh_backward",),
    ),
    Mutant(
        "a mask that does not scale",
        "out[i] = x[i] * mask[i];",
        "out[i] = mask[i] != 0 ? x[i] : (REAL)0;",
        ("multiply_by_mask",),
    ),
    Mutant(
        "LSTM: input gate and new memory exchanged",
        "g = tanh(A[at + D]), i = sigmoid(A[at + 2 * D])",
        "g = tanh(A[at + 2 * D]), i = sigmoid(A[at + D])",
        ("lstm_forward",),
    ),
    Mutant("LSTM: the state without tanh", "h[e] = o * tanh(memory);", "h[e] = o * memory;", ("lstm_forward",)),
    Mutant(
        "LSTM: the gradient of the memory without that of the state",
        "s = dc[e] + dh[e] * o * (1 - tanh_c * tanh_c);",
        "s = dc[e];",
        ("lstm_backward",),
    ),
    Mutant(
        "LSTM: the new memory's gradient as if it were a sigmoid",
        "dA[at + D] = s * i * (1 - g * g);",
        "dA[at + D] = s * i * g * (1 - g);",
        ("lstm_backward",),
    ),
    Mutant("LSTM: dc_prev without the forget gate", "dc_prev[e] = s * f;", "dc_prev[e] = s;", ("lstm_backward",)),
    Mutant(
        "GRU: the update gate taken for the reset gate",
        "rh[e] = r * h_prev[e];",
        "rh[e] = gates[at] * h_prev[e];",
        ("gru_gates_forward",),
    ),
    Mutant(
        "GRU: old and new state exchanged",
        "h[e] = (1 - z) * h_prev[e] + z * candidate;",
        "h[e] = z * h_prev[e] + (1 - z) * candidate;",
        ("gru_forward",),
    ),
    Mutant(
        "GRU: the reset gate in the new memory's gradient",
        "dA[e] = dh[e] * gates[e / D * 2 * D + e % D] *",
        "dA[e] = dh[e] * gates[e / D * 2 * D + D + e % D] *",
        ("gru_backward",),
    ),
    Mutant(
        "GRU: dh_prev without what comes through the reset gate",
        "dh_prev[e] = dh[e] * (1 - z) + drh[e] * r;",
        "dh_prev[e] = dh[e] * (1 - z);",
        ("gru_gates_backward",),
    ),
)


def planted_together(mutant: Mutant) -> list[Mutant]:
    """The mutants that share a source: of each kernel the one that has as many of its kernel before it."""
    if mutant not in IN_ONE_KERNEL:
        return [mutant]

    def place(other: Mutant) -> int:
        return [m for m in IN_ONE_KERNEL if m.kernels == other.kernels].index(other)

    return [other for other in IN_ONE_KERNEL if place(other) == place(mutant)]

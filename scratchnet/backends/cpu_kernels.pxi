# written by tools/generate_bindings.py from backends/contract.py: change that, not this.

# What `bind` compares a call's arrays with; an axis is the place of its letter in LETTERS

cdef extern from *:
    """
    static const Contract contract_affine_forward = {4, {
        /* x[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* W[D,M] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {3, 6}, .times = {1, 1}},
        /* b[M]? */
        {.kind = KIND_REAL, .optional = 1, .ndim = 1, .axis = {6}, .times = {1}},
        /* >out[N,M] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 6}, .times = {1, 1}},
    }};
    static const Contract contract_affine_backward = {6, {
        /* dout[N,M] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 6}, .times = {1, 1}},
        /* x[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* W[D,M] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {3, 6}, .times = {1, 1}},
        /* >dx[N,D]? */
        {.kind = KIND_REAL, .optional = 1, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >dW[D,M] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {3, 6}, .times = {1, 1}},
        /* >db[M]? */
        {.kind = KIND_REAL, .optional = 1, .written = 1, .alias = -1, .ndim = 1, .axis = {6}, .times = {1}},
    }};
    static const Contract contract_matmul_accumulate = {3, {
        /* x[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* W[D,M] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {3, 6}, .times = {1, 1}},
        /* =out[N,M] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 6}, .times = {1, 1}},
    }};
    static const Contract contract_matmul_transposed = {3, {
        /* dout[N,M] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 6}, .times = {1, 1}},
        /* W[D,M] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {3, 6}, .times = {1, 1}},
        /* >dx[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_sum_rows = {2, {
        /* x[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >out[D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {3}, .times = {1}},
    }};
    static const Contract contract_repeat_rows = {2, {
        /* x[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* >out[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_gather_rows = {3, {
        /* x[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* index[B]<N */
        {.kind = KIND_LABEL, .ndim = 1, .axis = {1}, .times = {1}, .limited = 1, .limit = 1,
         .limit_letter = {0, -1}},
        /* >out[B,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {1, 3}, .times = {1, 1}},
    }};
    static const Contract contract_scatter_add_rows = {3, {
        /* dout[B,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {1, 3}, .times = {1, 1}},
        /* index[B]<N */
        {.kind = KIND_LABEL, .ndim = 1, .axis = {1}, .times = {1}, .limited = 1, .limit = 1,
         .limit_letter = {0, -1}},
        /* >out[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_sigmoid_forward = {2, {
        /* x[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* >out[...]~x */
        {.kind = KIND_REAL, .written = 1, .alias = 0, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_sigmoid_backward = {3, {
        /* dout[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* y[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* >dx[...]~dout */
        {.kind = KIND_REAL, .written = 1, .alias = 0, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_relu_forward = {2, {
        /* x[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* >out[...]~x */
        {.kind = KIND_REAL, .written = 1, .alias = 0, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_relu_backward = {3, {
        /* dout[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* y[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* >dx[...]~dout */
        {.kind = KIND_REAL, .written = 1, .alias = 0, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_relu_forward_with_mask = {3, {
        /* x[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* >out[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
        /* >mask[...]:bool */
        {.kind = KIND_BOOL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_relu_backward_by_mask = {3, {
        /* dout[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* mask[...]:bool */
        {.kind = KIND_BOOL, .ndim = ANY_SHAPE},
        /* >dx[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_tanh_forward = {2, {
        /* x[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* >out[...]~x */
        {.kind = KIND_REAL, .written = 1, .alias = 0, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_tanh_backward = {3, {
        /* dout[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* y[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* >dx[...]~dout */
        {.kind = KIND_REAL, .written = 1, .alias = 0, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_multiply_by_mask = {3, {
        /* x[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* mask[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* >out[...]~x */
        {.kind = KIND_REAL, .written = 1, .alias = 0, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_softmax_forward = {2, {
        /* x[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* >y[N,C] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
    }};
    static const Contract contract_softmax_backward = {3, {
        /* dout[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* y[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* >dx[N,C] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
    }};
    static const Contract contract_cross_entropy_forward = {2, {
        /* y[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* t[N]<C */
        {.kind = KIND_LABEL, .ndim = 1, .axis = {0}, .times = {1}, .limited = 1, .limit = 1,
         .limit_letter = {2, -1}},
    }};
    static const Contract contract_softmax_cross_entropy_forward = {3, {
        /* x[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* t[N]<C */
        {.kind = KIND_LABEL, .ndim = 1, .axis = {0}, .times = {1}, .limited = 1, .limit = 1,
         .limit_letter = {2, -1}},
        /* >y[N,C] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
    }};
    static const Contract contract_softmax_cross_entropy_backward = {3, {
        /* y[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* t[N]<C */
        {.kind = KIND_LABEL, .ndim = 1, .axis = {0}, .times = {1}, .limited = 1, .limit = 1,
         .limit_letter = {2, -1}},
        /* >dx[N,C] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
    }};
    static const Contract contract_sigmoid_cross_entropy_forward = {3, {
        /* x[n] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {13}, .times = {1}},
        /* t[n]<2 */
        {.kind = KIND_LABEL, .ndim = 1, .axis = {13}, .times = {1}, .limited = 1, .limit = 2,
         .limit_letter = {-1, -1}},
        /* >y[n] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {13}, .times = {1}},
    }};
    static const Contract contract_sigmoid_cross_entropy_backward = {3, {
        /* y[n] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {13}, .times = {1}},
        /* t[n]<2 */
        {.kind = KIND_LABEL, .ndim = 1, .axis = {13}, .times = {1}, .limited = 1, .limit = 2,
         .limit_letter = {-1, -1}},
        /* >dx[n] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {13}, .times = {1}},
    }};
    static const Contract contract_squared_error_forward = {2, {
        /* y[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* t[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
    }};
    static const Contract contract_squared_error_backward = {3, {
        /* y[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* t[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* >dx[N,C] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
    }};
    static const Contract contract_weighted_cross_entropy_forward = {3, {
        /* y[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* t[N]<C */
        {.kind = KIND_LABEL, .ndim = 1, .axis = {0}, .times = {1}, .limited = 1, .limit = 1,
         .limit_letter = {2, -1}},
        /* w[N] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {0}, .times = {1}},
    }};
    static const Contract contract_weighted_binary_cross_entropy_forward = {3, {
        /* y[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* t[N,C]<2 */
        {.kind = KIND_LABEL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}, .limited = 1, .limit = 2,
         .limit_letter = {-1, -1}},
        /* w[N] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {0}, .times = {1}},
    }};
    static const Contract contract_weighted_squared_error_forward = {3, {
        /* y[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* t[N,C] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* w[N] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {0}, .times = {1}},
    }};
    static const Contract contract_weight_rows = {2, {
        /* =dx[N,C] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 2}, .times = {1, 1}},
        /* w[N] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {0}, .times = {1}},
    }};
    static const Contract contract_im2col = {2, {
        /* x[N,C,H,W] */
        {.kind = KIND_REAL, .ndim = 4, .axis = {0, 2, 7, 8}, .times = {1, 1, 1, 1}},
        /* >col[N,C,P,Q,Y,X] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 6, .axis = {0, 2, 9, 10, 11, 12},
         .times = {1, 1, 1, 1, 1, 1}},
    }};
    static const Contract contract_col2im = {2, {
        /* col[N,C,P,Q,Y,X] */
        {.kind = KIND_REAL, .ndim = 6, .axis = {0, 2, 9, 10, 11, 12}, .times = {1, 1, 1, 1, 1, 1}},
        /* >dx[N,C,H,W] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 4, .axis = {0, 2, 7, 8}, .times = {1, 1, 1, 1}},
    }};
    static const Contract contract_convolution_forward = {4, {
        /* col[N,K,L] */
        {.kind = KIND_REAL, .ndim = 3, .axis = {0, 4, 5}, .times = {1, 1, 1}},
        /* W[M,K] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {6, 4}, .times = {1, 1}},
        /* b[M] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {6}, .times = {1}},
        /* >out[N,M,L] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 3, .axis = {0, 6, 5}, .times = {1, 1, 1}},
    }};
    static const Contract contract_convolution_backward = {6, {
        /* dout[N,M,L] */
        {.kind = KIND_REAL, .ndim = 3, .axis = {0, 6, 5}, .times = {1, 1, 1}},
        /* col[N,K,L] */
        {.kind = KIND_REAL, .ndim = 3, .axis = {0, 4, 5}, .times = {1, 1, 1}},
        /* W[M,K] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {6, 4}, .times = {1, 1}},
        /* >dcol[N,K,L] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 3, .axis = {0, 4, 5}, .times = {1, 1, 1}},
        /* =dW[M,K] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {6, 4}, .times = {1, 1}},
        /* =db[M] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {6}, .times = {1}},
    }};
    static const Contract contract_max_pool_forward = {3, {
        /* x[N,C,H,W] */
        {.kind = KIND_REAL, .ndim = 4, .axis = {0, 2, 7, 8}, .times = {1, 1, 1, 1}},
        /* >out[N,C,Y,X] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 4, .axis = {0, 2, 11, 12}, .times = {1, 1, 1, 1}},
        /* >argmax[N,C,Y,X]<H*W */
        {.kind = KIND_LABEL, .written = 1, .alias = -1, .ndim = 4, .axis = {0, 2, 11, 12}, .times = {1, 1, 1, 1}},
    }};
    static const Contract contract_max_pool_backward = {3, {
        /* dout[N,C,Y,X] */
        {.kind = KIND_REAL, .ndim = 4, .axis = {0, 2, 11, 12}, .times = {1, 1, 1, 1}},
        /* argmax[N,C,Y,X]<H*W */
        {.kind = KIND_LABEL, .ndim = 4, .axis = {0, 2, 11, 12}, .times = {1, 1, 1, 1}, .limited = 1, .limit = 1,
         .limit_letter = {7, 8}},
        /* >dx[N,C,H,W] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 4, .axis = {0, 2, 7, 8}, .times = {1, 1, 1, 1}},
    }};
    static const Contract contract_batch_normalization_forward = {8, {
        /* x[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* gamma[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* beta[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* >mean[D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {3}, .times = {1}},
        /* >var[D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {3}, .times = {1}},
        /* >std[D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {3}, .times = {1}},
        /* >xhat[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >out[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_batch_normalization_inference = {6, {
        /* x[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* gamma[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* beta[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* mean[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* var[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* >out[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_batch_normalization_backward = {7, {
        /* dout[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* xhat[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* gamma[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* std[D] */
        {.kind = KIND_REAL, .ndim = 1, .axis = {3}, .times = {1}},
        /* >dx[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >dgamma[D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {3}, .times = {1}},
        /* >dbeta[D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 1, .axis = {3}, .times = {1}},
    }};
    static const Contract contract_lstm_forward = {5, {
        /* c_prev[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* A[N,4D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 4}},
        /* >gates[N,4D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 4}},
        /* >c[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >h[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_lstm_backward = {7, {
        /* dh[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* dc[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* c_prev[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* c[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* gates[N,4D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 4}},
        /* >dA[N,4D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 4}},
        /* >dc_prev[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_gru_gates_forward = {4, {
        /* h_prev[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* A[N,2D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 2}},
        /* >gates[N,2D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 2}},
        /* >rh[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_gru_forward = {5, {
        /* h_prev[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* gates[N,2D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 2}},
        /* A[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >h_hat[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >h[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_gru_backward = {4, {
        /* dh[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* gates[N,2D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 2}},
        /* h_hat[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >dA[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_gru_gates_backward = {7, {
        /* dh[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* drh[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* h_prev[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* gates[N,2D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 2}},
        /* h_hat[N,D] */
        {.kind = KIND_REAL, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
        /* >dA[N,2D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 2}},
        /* >dh_prev[N,D] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = 2, .axis = {0, 3}, .times = {1, 1}},
    }};
    static const Contract contract_sgd_update = {2, {
        /* =p[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
        /* g[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_momentum_update = {3, {
        /* =p[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
        /* g[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* =v[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_nesterov_update = {3, {
        /* =p[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
        /* g[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* =v[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_adagrad_update = {3, {
        /* =p[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
        /* g[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* =h[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_rmsprop_update = {3, {
        /* =p[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
        /* g[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* =h[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_adam_update = {4, {
        /* =p[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
        /* g[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
        /* =m[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
        /* =v[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_squared_norm = {1, {
        /* g[...] */
        {.kind = KIND_REAL, .ndim = ANY_SHAPE},
    }};
    static const Contract contract_scale = {1, {
        /* =x[...] */
        {.kind = KIND_REAL, .written = 1, .alias = -1, .ndim = ANY_SHAPE},
    }};
    """
    const Contract _affine_forward "contract_affine_forward"
    const Contract _affine_backward "contract_affine_backward"
    const Contract _matmul_accumulate "contract_matmul_accumulate"
    const Contract _matmul_transposed "contract_matmul_transposed"
    const Contract _sum_rows "contract_sum_rows"
    const Contract _repeat_rows "contract_repeat_rows"
    const Contract _gather_rows "contract_gather_rows"
    const Contract _scatter_add_rows "contract_scatter_add_rows"
    const Contract _sigmoid_forward "contract_sigmoid_forward"
    const Contract _sigmoid_backward "contract_sigmoid_backward"
    const Contract _relu_forward "contract_relu_forward"
    const Contract _relu_backward "contract_relu_backward"
    const Contract _relu_forward_with_mask "contract_relu_forward_with_mask"
    const Contract _relu_backward_by_mask "contract_relu_backward_by_mask"
    const Contract _tanh_forward "contract_tanh_forward"
    const Contract _tanh_backward "contract_tanh_backward"
    const Contract _multiply_by_mask "contract_multiply_by_mask"
    const Contract _softmax_forward "contract_softmax_forward"
    const Contract _softmax_backward "contract_softmax_backward"
    const Contract _cross_entropy_forward "contract_cross_entropy_forward"
    const Contract _softmax_cross_entropy_forward "contract_softmax_cross_entropy_forward"
    const Contract _softmax_cross_entropy_backward "contract_softmax_cross_entropy_backward"
    const Contract _sigmoid_cross_entropy_forward "contract_sigmoid_cross_entropy_forward"
    const Contract _sigmoid_cross_entropy_backward "contract_sigmoid_cross_entropy_backward"
    const Contract _squared_error_forward "contract_squared_error_forward"
    const Contract _squared_error_backward "contract_squared_error_backward"
    const Contract _weighted_cross_entropy_forward "contract_weighted_cross_entropy_forward"
    const Contract _weighted_binary_cross_entropy_forward "contract_weighted_binary_cross_entropy_forward"
    const Contract _weighted_squared_error_forward "contract_weighted_squared_error_forward"
    const Contract _weight_rows "contract_weight_rows"
    const Contract _im2col "contract_im2col"
    const Contract _col2im "contract_col2im"
    const Contract _convolution_forward "contract_convolution_forward"
    const Contract _convolution_backward "contract_convolution_backward"
    const Contract _max_pool_forward "contract_max_pool_forward"
    const Contract _max_pool_backward "contract_max_pool_backward"
    const Contract _batch_normalization_forward "contract_batch_normalization_forward"
    const Contract _batch_normalization_inference "contract_batch_normalization_inference"
    const Contract _batch_normalization_backward "contract_batch_normalization_backward"
    const Contract _lstm_forward "contract_lstm_forward"
    const Contract _lstm_backward "contract_lstm_backward"
    const Contract _gru_gates_forward "contract_gru_gates_forward"
    const Contract _gru_forward "contract_gru_forward"
    const Contract _gru_backward "contract_gru_backward"
    const Contract _gru_gates_backward "contract_gru_gates_backward"
    const Contract _sgd_update "contract_sgd_update"
    const Contract _momentum_update "contract_momentum_update"
    const Contract _nesterov_update "contract_nesterov_update"
    const Contract _adagrad_update "contract_adagrad_update"
    const Contract _rmsprop_update "contract_rmsprop_update"
    const Contract _adam_update "contract_adam_update"
    const Contract _squared_norm "contract_squared_norm"
    const Contract _scale "contract_scale"

cdef dict _UPDATES = {"sgd_update": SN_SGD, "momentum_update": SN_MOMENTUM, "nesterov_update": SN_NESTEROV,
                      "adagrad_update": SN_ADAGRAD, "rmsprop_update": SN_RMSPROP, "adam_update": SN_ADAM}


# Products and sums over rows

def affine_forward(x, W, b, out):
    """x[N,D], W[D,M], b[M]?, >out[N,M]: out = x W + b. Accuracy: sum(D+2)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_affine_forward, [<PyObject *>x, <PyObject *>W, <PyObject *>b, <PyObject *>out], &call):
        return affine_forward(*_prepared("affine_forward", x, W, b, out))
    state = release(<double>call.size[N] * call.size[M] * (call.size[D] + 2))
    sn_affine_forward(call.type, call.size[N], call.size[D], call.size[M], call.data[0], call.data[1],
                      call.data[2], call.data[3])
    restore(state)


def affine_backward(dout, x, W, dx, dW, db):
    """dout[N,M], x[N,D], W[D,M], >dx[N,D]?, >dW[D,M], >db[M]?: dx = dout W';  dW = x' dout;  db = rows' sum.
    Accuracy: dx sum(M+2), dW sum(N+2), db sum(N+2).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_affine_backward, [<PyObject *>dout, <PyObject *>x, <PyObject *>W, <PyObject *>dx, <PyObject *>dW,
                                    <PyObject *>db], &call):
        return affine_backward(*_prepared("affine_backward", dout, x, W, dx, dW, db))
    state = release(<double>call.size[N] * call.size[D] * (call.size[M] + 2) + <double>call.size[D] * call.size[M]
                    * (call.size[N] + 2) + <double>call.size[M] * (call.size[N] + 2))
    sn_affine_backward(call.type, call.size[N], call.size[D], call.size[M], call.data[0], call.data[1],
                       call.data[2], call.data[3], call.data[4], call.data[5])
    restore(state)


def matmul_accumulate(x, W, out):
    """x[N,D], W[D,M], =out[N,M]: out += x W. Accuracy: sum(D+3)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_matmul_accumulate, [<PyObject *>x, <PyObject *>W, <PyObject *>out], &call):
        return matmul_accumulate(*_prepared("matmul_accumulate", x, W, out))
    state = release(<double>call.size[N] * call.size[M] * (call.size[D] + 3))
    sn_matmul_accumulate(call.type, call.size[N], call.size[D], call.size[M], call.data[0], call.data[1],
                         call.data[2])
    restore(state)


def matmul_transposed(dout, W, dx):
    """dout[N,M], W[D,M], >dx[N,D]: dx = dout W'. Accuracy: sum(M+2)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_matmul_transposed, [<PyObject *>dout, <PyObject *>W, <PyObject *>dx], &call):
        return matmul_transposed(*_prepared("matmul_transposed", dout, W, dx))
    state = release(<double>call.size[N] * call.size[D] * (call.size[M] + 2))
    sn_matmul_transposed(call.type, call.size[N], call.size[D], call.size[M], call.data[0], call.data[1],
                         call.data[2])
    restore(state)


def sum_rows(x, out):
    """x[N,D], >out[D]: out = x[0] + x[1] + ... Accuracy: sum(N)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_sum_rows, [<PyObject *>x, <PyObject *>out], &call):
        return sum_rows(*_prepared("sum_rows", x, out))
    state = release(<double>call.size[D] * call.size[N])
    sn_sum_rows(call.type, call.size[N], call.size[D], call.data[0], call.data[1])
    restore(state)


def repeat_rows(x, out):
    """x[D], >out[N,D]: out[i] = x. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_repeat_rows, [<PyObject *>x, <PyObject *>out], &call):
        return repeat_rows(*_prepared("repeat_rows", x, out))
    state = release(<double>call.size[N] * call.size[D])
    sn_repeat_rows(call.type, call.size[N], call.size[D], call.data[0], call.data[1])
    restore(state)


def gather_rows(x, index, out):
    """x[N,D], index[B]<N, >out[B,D]: out[i] = x[index[i]]. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gather_rows, [<PyObject *>x, <PyObject *>index, <PyObject *>out], &call):
        return gather_rows(*_prepared("gather_rows", x, index, out))
    state = release(call.size[B] + <double>call.size[B] * call.size[D])
    sn_gather_rows(call.type, call.size[N], call.size[B], call.size[D], call.data[0], <sn_label *>call.data[1],
                   call.data[2])
    restore(state)


def scatter_add_rows(dout, index, out):
    """dout[B,D], index[B]<N, >out[N,D]: out = 0;  out[index[i]] += dout[i], in order. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_scatter_add_rows, [<PyObject *>dout, <PyObject *>index, <PyObject *>out], &call):
        return scatter_add_rows(*_prepared("scatter_add_rows", dout, index, out))
    state = release(call.size[B] + <double>call.size[N] * call.size[D])
    sn_scatter_add_rows(call.type, call.size[N], call.size[B], call.size[D], call.data[0],
                        <sn_label *>call.data[1], call.data[2])
    restore(state)


# Activations

def sigmoid_forward(x, out):
    """x[...], >out[...]~x: out = 1 / (1 + exp(-x)). Accuracy: 3 ulp."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_sigmoid_forward, [<PyObject *>x, <PyObject *>out], &call):
        return sigmoid_forward(*_prepared("sigmoid_forward", x, out))
    state = release(call.size[n])
    sn_sigmoid_forward(call.type, call.size[n], call.data[0], call.data[1])
    restore(state)


def sigmoid_backward(dout, y, dx):
    """dout[...], y[...], >dx[...]~dout: dx = dout (1 - y) y. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_sigmoid_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
        return sigmoid_backward(*_prepared("sigmoid_backward", dout, y, dx))
    state = release(call.size[n])
    sn_sigmoid_backward(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
    restore(state)


def relu_forward(x, out):
    """x[...], >out[...]~x: out = 0 where x <= 0, else x. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_relu_forward, [<PyObject *>x, <PyObject *>out], &call):
        return relu_forward(*_prepared("relu_forward", x, out))
    state = release(call.size[n])
    sn_relu_forward(call.type, call.size[n], call.data[0], call.data[1])
    restore(state)


def relu_backward(dout, y, dx):
    """dout[...], y[...], >dx[...]~dout: dx = 0 where y <= 0, else dout. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_relu_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
        return relu_backward(*_prepared("relu_backward", dout, y, dx))
    state = release(call.size[n])
    sn_relu_backward(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
    restore(state)


def relu_forward_with_mask(x, out, mask):
    """x[...], >out[...], >mask[...]:bool: mask = x <= 0;  out = 0 where mask, else x. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_relu_forward_with_mask, [<PyObject *>x, <PyObject *>out, <PyObject *>mask], &call):
        return relu_forward_with_mask(*_prepared("relu_forward_with_mask", x, out, mask))
    state = release(call.size[n])
    sn_relu_forward_with_mask(call.type, call.size[n], call.data[0], call.data[1], <sn_bool *>call.data[2])
    restore(state)


def relu_backward_by_mask(dout, mask, dx):
    """dout[...], mask[...]:bool, >dx[...]: dx = 0 where mask, else dout. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_relu_backward_by_mask, [<PyObject *>dout, <PyObject *>mask, <PyObject *>dx], &call):
        return relu_backward_by_mask(*_prepared("relu_backward_by_mask", dout, mask, dx))
    state = release(call.size[n])
    sn_relu_backward_by_mask(call.type, call.size[n], call.data[0], <sn_bool *>call.data[1], call.data[2])
    restore(state)


def tanh_forward(x, out):
    """x[...], >out[...]~x: out = tanh(x). Accuracy: 3 ulp."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_tanh_forward, [<PyObject *>x, <PyObject *>out], &call):
        return tanh_forward(*_prepared("tanh_forward", x, out))
    state = release(call.size[n])
    sn_tanh_forward(call.type, call.size[n], call.data[0], call.data[1])
    restore(state)


def tanh_backward(dout, y, dx):
    """dout[...], y[...], >dx[...]~dout: dx = dout (1 - y^2). Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_tanh_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
        return tanh_backward(*_prepared("tanh_backward", dout, y, dx))
    state = release(call.size[n])
    sn_tanh_backward(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
    restore(state)


def multiply_by_mask(x, mask, out):
    """x[...], mask[...], >out[...]~x: out = x mask. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_multiply_by_mask, [<PyObject *>x, <PyObject *>mask, <PyObject *>out], &call):
        return multiply_by_mask(*_prepared("multiply_by_mask", x, mask, out))
    state = release(call.size[n])
    sn_multiply_by_mask(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
    restore(state)


def softmax_forward(x, y):
    """x[N,C], >y[N,C]: y = exp(x) / sum over the row of exp(x)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_softmax_forward, [<PyObject *>x, <PyObject *>y], &call):
        return softmax_forward(*_prepared("softmax_forward", x, y))
    state = release(<double>call.size[N] * call.size[C])
    sn_softmax_forward(call.type, call.size[N], call.size[C], call.data[0], call.data[1])
    restore(state)


def softmax_backward(dout, y, dx):
    """dout[N,C], y[N,C], >dx[N,C]: dx = y (dout - sum over the row of dout y)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_softmax_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
        return softmax_backward(*_prepared("softmax_backward", dout, y, dx))
    state = release(<double>call.size[N] * call.size[C])
    sn_softmax_backward(call.type, call.size[N], call.size[C], call.data[0], call.data[1], call.data[2])
    restore(state)


# Losses

def cross_entropy_forward(y, t, delta, clip):
    """y[N,C], t[N]<C, delta, clip: p = y_t, in [clip, 1 - clip] where clip > 0; mean of -log(p + delta)."""
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_cross_entropy_forward, [<PyObject *>y, <PyObject *>t], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return cross_entropy_forward(*_prepared("cross_entropy_forward", y, t, delta, clip))
    state = release(call.size[N])
    result = sn_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                      <sn_label *>call.data[1], delta_, clip_)
    restore(state)
    return result


def softmax_cross_entropy_forward(x, t, delta, clip, y):
    """x[N,C], t[N]<C, delta, clip, >y[N,C]: y = softmax(x);  mean of -log(p + delta), p = y_t, in [clip, 1 - clip]
    where clip > 0.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_softmax_cross_entropy_forward, [<PyObject *>x, <PyObject *>t, <PyObject *>y], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return softmax_cross_entropy_forward(*_prepared("softmax_cross_entropy_forward", x, t, delta, clip, y))
    state = release(call.size[N] + <double>call.size[N] * call.size[C])
    result = sn_softmax_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                              <sn_label *>call.data[1], delta_, clip_, call.data[2])
    restore(state)
    return result


def softmax_cross_entropy_backward(y, t, dout, dx):
    """y[N,C], t[N]<C, dout, >dx[N,C]: dx = (y - onehot(t)) dout / N. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double dout_
    if not (bind(&_softmax_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &call)
            and real(dout, &dout_)):
        return softmax_cross_entropy_backward(*_prepared("softmax_cross_entropy_backward", y, t, dout, dx))
    state = release(call.size[N] + <double>call.size[N] * call.size[C])
    sn_softmax_cross_entropy_backward(call.type, call.size[N], call.size[C], call.data[0],
                                      <sn_label *>call.data[1], dout_, call.data[2])
    restore(state)


def sigmoid_cross_entropy_forward(x, t, delta, clip, y):
    """x[n], t[n]<2, delta, clip, >y[n]: y = sigmoid(x);  mean of -log(p + delta), p = y where t is 1, else 1 - y,
    in [clip, 1 - clip] where clip > 0.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_sigmoid_cross_entropy_forward, [<PyObject *>x, <PyObject *>t, <PyObject *>y], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return sigmoid_cross_entropy_forward(*_prepared("sigmoid_cross_entropy_forward", x, t, delta, clip, y))
    state = release(call.size[n])
    result = sn_sigmoid_cross_entropy_forward(call.type, call.size[n], call.data[0], <sn_label *>call.data[1],
                                              delta_, clip_, call.data[2])
    restore(state)
    return result


def sigmoid_cross_entropy_backward(y, t, dout, dx):
    """y[n], t[n]<2, dout, >dx[n]: dx = (y - t) dout / n. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double dout_
    if not (bind(&_sigmoid_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &call)
            and real(dout, &dout_)):
        return sigmoid_cross_entropy_backward(*_prepared("sigmoid_cross_entropy_backward", y, t, dout, dx))
    state = release(call.size[n])
    sn_sigmoid_cross_entropy_backward(call.type, call.size[n], call.data[0], <sn_label *>call.data[1], dout_,
                                      call.data[2])
    restore(state)


def squared_error_forward(y, t):
    """y[N,C], t[N,C]: 0.5 sum of (y - t)^2 / N."""
    cdef Call call
    cdef PyThreadState *state
    cdef double result
    if not bind(&_squared_error_forward, [<PyObject *>y, <PyObject *>t], &call):
        return squared_error_forward(*_prepared("squared_error_forward", y, t))
    state = release(<double>call.size[N] * call.size[C])
    result = sn_squared_error_forward(call.type, call.size[N], call.size[C], call.data[0], call.data[1])
    restore(state)
    return result


def squared_error_backward(y, t, dout, dx):
    """y[N,C], t[N,C], dout, >dx[N,C]: dx = (y - t) dout / N. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double dout_
    if not (bind(&_squared_error_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &call)
            and real(dout, &dout_)):
        return squared_error_backward(*_prepared("squared_error_backward", y, t, dout, dx))
    state = release(<double>call.size[N] * call.size[C])
    sn_squared_error_backward(call.type, call.size[N], call.size[C], call.data[0], call.data[1], dout_,
                              call.data[2])
    restore(state)


def weighted_cross_entropy_forward(y, t, w, delta, clip):
    """y[N,C], t[N]<C, w[N], delta, clip: sum of w l / sum of w, 0 if that is 0, of the rows' losses l as in
    cross_entropy_forward.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_weighted_cross_entropy_forward, [<PyObject *>y, <PyObject *>t, <PyObject *>w], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return weighted_cross_entropy_forward(*_prepared("weighted_cross_entropy_forward", y, t, w, delta, clip))
    state = release(call.size[N])
    result = sn_weighted_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                               <sn_label *>call.data[1], call.data[2], delta_, clip_)
    restore(state)
    return result


def weighted_binary_cross_entropy_forward(y, t, w, delta, clip):
    """y[N,C], t[N,C]<2, w[N], delta, clip: the same of l = mean over a row of the losses as in
    sigmoid_cross_entropy_forward.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_weighted_binary_cross_entropy_forward, [<PyObject *>y, <PyObject *>t, <PyObject *>w], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return weighted_binary_cross_entropy_forward(*_prepared("weighted_binary_cross_entropy_forward", y, t, w,
                                                                delta, clip))
    state = release(<double>call.size[N] * call.size[C])
    result = sn_weighted_binary_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                                      <sn_label *>call.data[1], call.data[2], delta_, clip_)
    restore(state)
    return result


def weighted_squared_error_forward(y, t, w):
    """y[N,C], t[N,C], w[N]: the same of l = 0.5 sum over the row of (y - t)^2."""
    cdef Call call
    cdef PyThreadState *state
    cdef double result
    if not bind(&_weighted_squared_error_forward, [<PyObject *>y, <PyObject *>t, <PyObject *>w], &call):
        return weighted_squared_error_forward(*_prepared("weighted_squared_error_forward", y, t, w))
    state = release(call.size[N])
    result = sn_weighted_squared_error_forward(call.type, call.size[N], call.size[C], call.data[0], call.data[1],
                                               call.data[2])
    restore(state)
    return result


def weight_rows(dx, w):
    """=dx[N,C], w[N]: dx[i] *= w[i] N / sum of w, 0 if that is 0."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_weight_rows, [<PyObject *>dx, <PyObject *>w], &call):
        return weight_rows(*_prepared("weight_rows", dx, w))
    state = release(<double>call.size[N] * call.size[C])
    sn_weight_rows(call.type, call.size[N], call.size[C], call.data[0], call.data[1])
    restore(state)


# Windows of images

def im2col(x, stride, pad, col):
    """x[N,C,H,W], stride:1, pad:0, >col[N,C,P,Q,Y,X]: col[n,c,p,q,y,x] = x[n,c, y stride + p - pad, x stride + q -
    pad], 0 outside of x. Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef Py_ssize_t stride_, pad_
    if not (bind(&_im2col, [<PyObject *>x, <PyObject *>col], &call)
            and whole(stride, 1, &stride_)
            and whole(pad, 0, &pad_)
            and windows_fit(&call, call.size[P], call.size[Q], stride_, pad_)):
        return im2col(*_prepared("im2col", x, stride, pad, col))
    state = release(<double>call.size[N] * call.size[C] * call.size[P] * call.size[Q] * call.size[Y] *
                    call.size[X])
    sn_im2col(call.type, call.size[N], call.size[C], call.size[H], call.size[W], call.size[P], call.size[Q],
              call.size[Y], call.size[X], call.data[0], stride_, pad_, call.data[1])
    restore(state)


def col2im(col, stride, pad, dx):
    """col[N,C,P,Q,Y,X], stride:1, pad:0, >dx[N,C,H,W]: dx = the sum of col where im2col reads x. Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef Py_ssize_t stride_, pad_
    if not (bind(&_col2im, [<PyObject *>col, <PyObject *>dx], &call)
            and whole(stride, 1, &stride_)
            and whole(pad, 0, &pad_)
            and windows_fit(&call, call.size[P], call.size[Q], stride_, pad_)):
        return col2im(*_prepared("col2im", col, stride, pad, dx))
    state = release(<double>call.size[N] * call.size[C] * call.size[H] * call.size[W])
    sn_col2im(call.type, call.size[N], call.size[C], call.size[H], call.size[W], call.size[P], call.size[Q],
              call.size[Y], call.size[X], call.data[0], stride_, pad_, call.data[1])
    restore(state)


def convolution_forward(col, W, b, out):
    """col[N,K,L], W[M,K], b[M], >out[N,M,L]: out[n] = W col[n] + b. Accuracy: sum(K+2)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_convolution_forward, [<PyObject *>col, <PyObject *>W, <PyObject *>b, <PyObject *>out], &call):
        return convolution_forward(*_prepared("convolution_forward", col, W, b, out))
    state = release(<double>call.size[N] * call.size[M] * call.size[L] * (call.size[K] + 2))
    sn_convolution_forward(call.type, call.size[N], call.size[K], call.size[L], call.size[M], call.data[0],
                           call.data[1], call.data[2], call.data[3])
    restore(state)


def convolution_backward(dout, col, W, dcol, dW, db):
    """dout[N,M,L], col[N,K,L], W[M,K], >dcol[N,K,L], =dW[M,K], =db[M]: dcol[n] = W' dout[n]; dW += sum of dout[n]
    col[n]'; db += sum of dout over n and l. Accuracy: dcol sum(M+2), dW sum(N*L+3), db sum(N*L+3).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_convolution_backward, [<PyObject *>dout, <PyObject *>col, <PyObject *>W, <PyObject *>dcol,
                                         <PyObject *>dW, <PyObject *>db], &call):
        return convolution_backward(*_prepared("convolution_backward", dout, col, W, dcol, dW, db))
    state = release(<double>call.size[N] * call.size[K] * call.size[L] * (call.size[M] + 2) + <double>call.size[M]
                    * call.size[K] * (call.size[N] * call.size[L] + 3) + <double>call.size[M] * (call.size[N] *
                    call.size[L] + 3))
    sn_convolution_backward(call.type, call.size[N], call.size[K], call.size[L], call.size[M], call.data[0],
                            call.data[1], call.data[2], call.data[3], call.data[4], call.data[5])
    restore(state)


def max_pool_forward(x, P, Q, stride, out, argmax):
    """x[N,C,H,W], P:1, Q:1, stride:1, >out[N,C,Y,X], >argmax[N,C,Y,X]<H*W: out = the largest x of each window of P
    x Q; argmax = its place y W + x, first of equals. Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef Py_ssize_t P_, Q_, stride_
    if not (bind(&_max_pool_forward, [<PyObject *>x, <PyObject *>out, <PyObject *>argmax], &call)
            and whole(P, 1, &P_)
            and whole(Q, 1, &Q_)
            and whole(stride, 1, &stride_)
            and windows_fit(&call, P_, Q_, stride_, 0)
            and <double>(P_ - 1) * call.size[W] + Q_ <= LARGEST):
        return max_pool_forward(*_prepared("max_pool_forward", x, P, Q, stride, out, argmax))
    state = release(<double>call.size[N] * call.size[C] * call.size[Y] * call.size[X])
    sn_max_pool_forward(call.type, call.size[N], call.size[C], call.size[H], call.size[W], call.size[Y],
                        call.size[X], call.data[0], P_, Q_, stride_, call.data[1], <sn_label *>call.data[2])
    restore(state)


def max_pool_backward(dout, argmax, dx):
    """dout[N,C,Y,X], argmax[N,C,Y,X]<H*W, >dx[N,C,H,W]: dx = the sum of dout where argmax points to x. Accuracy:
    exact.
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_max_pool_backward, [<PyObject *>dout, <PyObject *>argmax, <PyObject *>dx], &call):
        return max_pool_backward(*_prepared("max_pool_backward", dout, argmax, dx))
    state = release(<double>call.size[N] * call.size[C] * call.size[Y] * call.size[X] + <double>call.size[N] *
                    call.size[C] * call.size[H] * call.size[W])
    sn_max_pool_backward(call.type, call.size[N], call.size[C], call.size[H], call.size[W], call.size[Y],
                         call.size[X], call.data[0], <sn_label *>call.data[1], call.data[2])
    restore(state)


# Batch normalization

def batch_normalization_forward(x, gamma, beta, eps, mean, var, std, xhat, out):
    """x[N,D], gamma[D], beta[D], eps, >mean[D], >var[D], >std[D], >xhat[N,D], >out[N,D]: std = sqrt(var + eps);
    xhat = (x - mean) / std; out = gamma xhat + beta.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double eps_
    if not (bind(&_batch_normalization_forward, [<PyObject *>x, <PyObject *>gamma, <PyObject *>beta,
                                                 <PyObject *>mean, <PyObject *>var, <PyObject *>std,
                                                 <PyObject *>xhat, <PyObject *>out], &call)
            and real(eps, &eps_)):
        return batch_normalization_forward(*_prepared("batch_normalization_forward", x, gamma, beta, eps, mean,
                                                      var, std, xhat, out))
    state = release(call.size[D] + <double>call.size[N] * call.size[D])
    sn_batch_normalization_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2],
                                   eps_, call.data[3], call.data[4], call.data[5], call.data[6], call.data[7])
    restore(state)


def batch_normalization_inference(x, gamma, beta, mean, var, eps, out):
    """x[N,D], gamma[D], beta[D], mean[D], var[D], eps, >out[N,D]: out = gamma xhat + beta, by mean and var.
    Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double eps_
    if not (bind(&_batch_normalization_inference, [<PyObject *>x, <PyObject *>gamma, <PyObject *>beta,
                                                   <PyObject *>mean, <PyObject *>var, <PyObject *>out], &call)
            and real(eps, &eps_)):
        return batch_normalization_inference(*_prepared("batch_normalization_inference", x, gamma, beta, mean, var,
                                                        eps, out))
    state = release(<double>call.size[N] * call.size[D])
    sn_batch_normalization_inference(call.type, call.size[N], call.size[D], call.data[0], call.data[1],
                                     call.data[2], call.data[3], call.data[4], eps_, call.data[5])
    restore(state)


def batch_normalization_backward(dout, xhat, gamma, std, dx, dgamma, dbeta):
    """dout[N,D], xhat[N,D], gamma[D], std[D], >dx[N,D], >dgamma[D], >dbeta[D]: dbeta = rows' sum of dout; dgamma =
    rows' sum of dout xhat; dx = gamma / std times (dout - (dbeta + xhat dgamma) / N).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_batch_normalization_backward, [<PyObject *>dout, <PyObject *>xhat, <PyObject *>gamma,
                                                 <PyObject *>std, <PyObject *>dx, <PyObject *>dgamma,
                                                 <PyObject *>dbeta], &call):
        return batch_normalization_backward(*_prepared("batch_normalization_backward", dout, xhat, gamma, std, dx,
                                                       dgamma, dbeta))
    state = release(<double>call.size[N] * call.size[D] + call.size[D])
    sn_batch_normalization_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1],
                                    call.data[2], call.data[3], call.data[4], call.data[5], call.data[6])
    restore(state)


# Recurrent cells

def lstm_forward(c_prev, A, gates, c, h):
    """c_prev[N,D], A[N,4D], >gates[N,4D], >c[N,D], >h[N,D]: gates = f, g, i, o = sigmoid(A), of g tanh(A); c = f
    c_prev + g i;  h = o tanh(c).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_lstm_forward, [<PyObject *>c_prev, <PyObject *>A, <PyObject *>gates, <PyObject *>c,
                                 <PyObject *>h], &call):
        return lstm_forward(*_prepared("lstm_forward", c_prev, A, gates, c, h))
    state = release(<double>call.size[N] * call.size[D] * 4 + <double>call.size[N] * call.size[D])
    sn_lstm_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2], call.data[3],
                    call.data[4])
    restore(state)


def lstm_backward(dh, dc, c_prev, c, gates, dA, dc_prev):
    """dh[N,D], dc[N,D], c_prev[N,D], c[N,D], gates[N,4D], >dA[N,4D], >dc_prev[N,D]: s = dc + dh o (1 - tanh(c)^2);
    dc_prev = s f; dA = s c_prev f (1 - f), s i (1 - g^2), s g i (1 - i), dh tanh(c) o (1 - o).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_lstm_backward, [<PyObject *>dh, <PyObject *>dc, <PyObject *>c_prev, <PyObject *>c,
                                  <PyObject *>gates, <PyObject *>dA, <PyObject *>dc_prev], &call):
        return lstm_backward(*_prepared("lstm_backward", dh, dc, c_prev, c, gates, dA, dc_prev))
    state = release(<double>call.size[N] * call.size[D] * 4 + <double>call.size[N] * call.size[D])
    sn_lstm_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2], call.data[3],
                     call.data[4], call.data[5], call.data[6])
    restore(state)


def gru_gates_forward(h_prev, A, gates, rh):
    """h_prev[N,D], A[N,2D], >gates[N,2D], >rh[N,D]: gates = z, r = sigmoid(A);  rh = r h_prev."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gru_gates_forward, [<PyObject *>h_prev, <PyObject *>A, <PyObject *>gates,
                                      <PyObject *>rh], &call):
        return gru_gates_forward(*_prepared("gru_gates_forward", h_prev, A, gates, rh))
    state = release(<double>call.size[N] * call.size[D] * 2 + <double>call.size[N] * call.size[D])
    sn_gru_gates_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2],
                         call.data[3])
    restore(state)


def gru_forward(h_prev, gates, A, h_hat, h):
    """h_prev[N,D], gates[N,2D], A[N,D], >h_hat[N,D], >h[N,D]: h_hat = tanh(A);  h = (1 - z) h_prev + z h_hat."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gru_forward, [<PyObject *>h_prev, <PyObject *>gates, <PyObject *>A, <PyObject *>h_hat,
                                <PyObject *>h], &call):
        return gru_forward(*_prepared("gru_forward", h_prev, gates, A, h_hat, h))
    state = release(<double>call.size[N] * call.size[D])
    sn_gru_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2], call.data[3],
                   call.data[4])
    restore(state)


def gru_backward(dh, gates, h_hat, dA):
    """dh[N,D], gates[N,2D], h_hat[N,D], >dA[N,D]: dA = dh z (1 - h_hat^2). Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gru_backward, [<PyObject *>dh, <PyObject *>gates, <PyObject *>h_hat, <PyObject *>dA], &call):
        return gru_backward(*_prepared("gru_backward", dh, gates, h_hat, dA))
    state = release(<double>call.size[N] * call.size[D])
    sn_gru_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2], call.data[3])
    restore(state)


def gru_gates_backward(dh, drh, h_prev, gates, h_hat, dA, dh_prev):
    """dh[N,D], drh[N,D], h_prev[N,D], gates[N,2D], h_hat[N,D], >dA[N,2D], >dh_prev[N,D]: dA = dh (h_hat - h_prev)
    z (1 - z), drh h_prev r (1 - r); dh_prev = dh (1 - z) + drh r. Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gru_gates_backward, [<PyObject *>dh, <PyObject *>drh, <PyObject *>h_prev, <PyObject *>gates,
                                       <PyObject *>h_hat, <PyObject *>dA, <PyObject *>dh_prev], &call):
        return gru_gates_backward(*_prepared("gru_gates_backward", dh, drh, h_prev, gates, h_hat, dA, dh_prev))
    state = release(<double>call.size[N] * call.size[D] * 2 + <double>call.size[N] * call.size[D])
    sn_gru_gates_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2],
                          call.data[3], call.data[4], call.data[5], call.data[6])
    restore(state)


# Optimizers

def sgd_update(p, g, lr):
    """=p[...], g[...], lr: p -= lr g. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_
    if not (bind(&_sgd_update, [<PyObject *>p, <PyObject *>g], &call)
            and real(lr, &lr_)):
        return sgd_update(*_prepared("sgd_update", p, g, lr))
    state = release(call.size[n])
    sn_sgd_update(call.type, call.size[n], call.data[0], call.data[1], lr_)
    restore(state)


def momentum_update(p, g, v, lr, momentum):
    """=p[...], g[...], =v[...], lr, momentum: v = momentum v - lr g;  p += v. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_, momentum_
    if not (bind(&_momentum_update, [<PyObject *>p, <PyObject *>g, <PyObject *>v], &call)
            and real(lr, &lr_)
            and real(momentum, &momentum_)):
        return momentum_update(*_prepared("momentum_update", p, g, v, lr, momentum))
    state = release(call.size[n])
    sn_momentum_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], lr_, momentum_)
    restore(state)


def nesterov_update(p, g, v, lr, momentum):
    """=p[...], g[...], =v[...], lr, momentum: p += momentum^2 v - (1 + momentum) lr g; v = momentum v - lr g.
    Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_, momentum_
    if not (bind(&_nesterov_update, [<PyObject *>p, <PyObject *>g, <PyObject *>v], &call)
            and real(lr, &lr_)
            and real(momentum, &momentum_)):
        return nesterov_update(*_prepared("nesterov_update", p, g, v, lr, momentum))
    state = release(call.size[n])
    sn_nesterov_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], lr_, momentum_)
    restore(state)


def adagrad_update(p, g, h, lr):
    """=p[...], g[...], =h[...], lr: h += g^2;  p -= lr g / (sqrt(h) + 1e-7). Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_
    if not (bind(&_adagrad_update, [<PyObject *>p, <PyObject *>g, <PyObject *>h], &call)
            and real(lr, &lr_)):
        return adagrad_update(*_prepared("adagrad_update", p, g, h, lr))
    state = release(call.size[n])
    sn_adagrad_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], lr_)
    restore(state)


def rmsprop_update(p, g, h, lr, decay_rate):
    """=p[...], g[...], =h[...], lr, decay_rate: h = decay_rate h + (1 - decay_rate) g^2; p -= lr g / (sqrt(h) +
    1e-7). Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_, decay_rate_
    if not (bind(&_rmsprop_update, [<PyObject *>p, <PyObject *>g, <PyObject *>h], &call)
            and real(lr, &lr_)
            and real(decay_rate, &decay_rate_)):
        return rmsprop_update(*_prepared("rmsprop_update", p, g, h, lr, decay_rate))
    state = release(call.size[n])
    sn_rmsprop_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], lr_, decay_rate_)
    restore(state)


def adam_update(p, g, m, v, lr, beta1, beta2, epsilon):
    """=p[...], g[...], =m[...], =v[...], lr, beta1, beta2, epsilon: m += (1 - beta1)(g - m); v += (1 - beta2)(g^2
    - v); p -= lr m / (sqrt(v) + epsilon). Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_, beta1_, beta2_, epsilon_
    if not (bind(&_adam_update, [<PyObject *>p, <PyObject *>g, <PyObject *>m, <PyObject *>v], &call)
            and real(lr, &lr_)
            and real(beta1, &beta1_)
            and real(beta2, &beta2_)
            and real(epsilon, &epsilon_)):
        return adam_update(*_prepared("adam_update", p, g, m, v, lr, beta1, beta2, epsilon))
    state = release(call.size[n])
    sn_adam_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], call.data[3], lr_, beta1_,
                   beta2_, epsilon_)
    restore(state)


def squared_norm(g):
    """g[...]: sum of g^2."""
    cdef Call call
    cdef PyThreadState *state
    cdef double result
    if not bind(&_squared_norm, [<PyObject *>g], &call):
        return squared_norm(*_prepared("squared_norm", g))
    state = release(call.size[n])
    result = sn_squared_norm(call.type, call.size[n], call.data[0])
    restore(state)
    return result


def scale(x, factor):
    """=x[...], factor: x *= factor. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double factor_
    if not (bind(&_scale, [<PyObject *>x], &call)
            and real(factor, &factor_)):
        return scale(*_prepared("scale", x, factor))
    state = release(call.size[n])
    sn_scale(call.type, call.size[n], call.data[0], factor_)
    restore(state)

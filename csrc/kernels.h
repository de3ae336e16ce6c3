/* kernels.h: written by tools/generate_bindings.py from backends/contract.py: change that, not this.
 *
 * Included by scratchnet.h, which says what the types and the accuracy are. */

/* ---- Products and sums over rows: gemm.inc, affine.inc ------------------------------------------------------ */

/* x[N,D], W[D,M], b[M]?, >out[N,M]: out = x W + b. Accuracy: sum(D+2). */
void sn_affine_forward(sn_type type, sn_size N, sn_size D, sn_size M, const void *x, const void *W, const void *b,
                       void *out);

/* dout[N,M], x[N,D], W[D,M], >dx[N,D]?, >dW[D,M], >db[M]?: dx = dout W';  dW = x' dout;  db = rows' sum. Accuracy:
 * dx sum(M+2), dW sum(N+2), db sum(N+2). */
void sn_affine_backward(sn_type type, sn_size N, sn_size D, sn_size M, const void *dout, const void *x,
                        const void *W, void *dx, void *dW, void *db);

/* x[N,D], W[D,M], =out[N,M]: out += x W. Accuracy: sum(D+3). */
void sn_matmul_accumulate(sn_type type, sn_size N, sn_size D, sn_size M, const void *x, const void *W, void *out);

/* dout[N,M], W[D,M], >dx[N,D]: dx = dout W'. Accuracy: sum(M+2). */
void sn_matmul_transposed(sn_type type, sn_size N, sn_size D, sn_size M, const void *dout, const void *W,
                          void *dx);

/* x[N,D], >out[D]: out = x[0] + x[1] + ... Accuracy: sum(N). */
void sn_sum_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out);

/* x[D], >out[N,D]: out[i] = x. Accuracy: exact. */
void sn_repeat_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out);

/* x[N,D], index[B]<N, >out[B,D]: out[i] = x[index[i]]. Accuracy: exact. */
void sn_gather_rows(sn_type type, sn_size N, sn_size B, sn_size D, const void *x, const sn_label *index,
                    void *out);

/* dout[B,D], index[B]<N, >out[N,D]: out = 0;  out[index[i]] += dout[i], in order. Accuracy: exact. */
void sn_scatter_add_rows(sn_type type, sn_size N, sn_size B, sn_size D, const void *dout, const sn_label *index,
                         void *out);

/* ---- Activations: activation.inc ---------------------------------------------------------------------------- */

/* x[...], >out[...]~x: out = 1 / (1 + exp(-x)). Accuracy: 3 ulp. */
void sn_sigmoid_forward(sn_type type, sn_size n, const void *x, void *out);

/* dout[...], y[...], >dx[...]~dout: dx = dout (1 - y) y. Accuracy: exact. */
void sn_sigmoid_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx);

/* x[...], >out[...]~x: out = 0 where x <= 0, else x. Accuracy: exact. */
void sn_relu_forward(sn_type type, sn_size n, const void *x, void *out);

/* dout[...], y[...], >dx[...]~dout: dx = 0 where y <= 0, else dout. Accuracy: exact. */
void sn_relu_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx);

/* x[...], >out[...], >mask[...]:bool: mask = x <= 0;  out = 0 where mask, else x. Accuracy: exact. */
void sn_relu_forward_with_mask(sn_type type, sn_size n, const void *x, void *out, sn_bool *mask);

/* dout[...], mask[...]:bool, >dx[...]: dx = 0 where mask, else dout. Accuracy: exact. */
void sn_relu_backward_by_mask(sn_type type, sn_size n, const void *dout, const sn_bool *mask, void *dx);

/* x[...], >out[...]~x: out = tanh(x). Accuracy: 3 ulp. */
void sn_tanh_forward(sn_type type, sn_size n, const void *x, void *out);

/* dout[...], y[...], >dx[...]~dout: dx = dout (1 - y^2). Accuracy: exact. */
void sn_tanh_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx);

/* x[...], mask[...], >out[...]~x: out = x mask. Accuracy: exact. */
void sn_multiply_by_mask(sn_type type, sn_size n, const void *x, const void *mask, void *out);

/* x[N,C], >y[N,C]: y = exp(x) / sum over the row of exp(x). */
void sn_softmax_forward(sn_type type, sn_size N, sn_size C, const void *x, void *y);

/* dout[N,C], y[N,C], >dx[N,C]: dx = y (dout - sum over the row of dout y). */
void sn_softmax_backward(sn_type type, sn_size N, sn_size C, const void *dout, const void *y, void *dx);

/* ---- Losses: loss.inc --------------------------------------------------------------------------------------- */

/* y[N,C], t[N]<C, delta, clip: p = y_t, in [clip, 1 - clip] where clip > 0; mean of -log(p + delta). */
double sn_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t, double delta,
                                double clip);

/* x[N,C], t[N]<C, delta, clip, >y[N,C]: y = softmax(x);  mean of -log(p + delta), p = y_t, in [clip, 1 - clip]
 * where clip > 0. */
double sn_softmax_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *x, const sn_label *t,
                                        double delta, double clip, void *y);

/* y[N,C], t[N]<C, dout, >dx[N,C]: dx = (y - onehot(t)) dout / N. Accuracy: exact. */
void sn_softmax_cross_entropy_backward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t,
                                       double dout, void *dx);

/* x[n], t[n]<2, delta, clip, >y[n]: y = sigmoid(x);  mean of -log(p + delta), p = y where t is 1, else 1 - y, in
 * [clip, 1 - clip] where clip > 0. */
double sn_sigmoid_cross_entropy_forward(sn_type type, sn_size n, const void *x, const sn_label *t, double delta,
                                        double clip, void *y);

/* y[n], t[n]<2, dout, >dx[n]: dx = (y - t) dout / n. Accuracy: exact. */
void sn_sigmoid_cross_entropy_backward(sn_type type, sn_size n, const void *y, const sn_label *t, double dout,
                                       void *dx);

/* y[N,C], t[N,C]: 0.5 sum of (y - t)^2 / N. */
double sn_squared_error_forward(sn_type type, sn_size N, sn_size C, const void *y, const void *t);

/* y[N,C], t[N,C], dout, >dx[N,C]: dx = (y - t) dout / N. Accuracy: exact. */
void sn_squared_error_backward(sn_type type, sn_size N, sn_size C, const void *y, const void *t, double dout,
                               void *dx);

/* y[N,C], t[N]<C, w[N], delta, clip: sum of w l / sum of w, 0 if that is 0, of the rows' losses l as in
 * cross_entropy_forward. */
double sn_weighted_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t,
                                         const void *w, double delta, double clip);

/* y[N,C], t[N,C]<2, w[N], delta, clip: the same of l = mean over a row of the losses as in
 * sigmoid_cross_entropy_forward. */
double sn_weighted_binary_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y,
                                                const sn_label *t, const void *w, double delta, double clip);

/* y[N,C], t[N,C], w[N]: the same of l = 0.5 sum over the row of (y - t)^2. */
double sn_weighted_squared_error_forward(sn_type type, sn_size N, sn_size C, const void *y, const void *t,
                                         const void *w);

/* =dx[N,C], w[N]: dx[i] *= w[i] N / sum of w, 0 if that is 0. */
void sn_weight_rows(sn_type type, sn_size N, sn_size C, void *dx, const void *w);

/* ---- Windows of images: convolution.inc --------------------------------------------------------------------- */

/* x[N,C,H,W], stride:1, pad:0, >col[N,C,P,Q,Y,X]: col[n,c,p,q,y,x] = x[n,c, y stride + p - pad, x stride + q -
 * pad], 0 outside of x. Accuracy: exact. */
void sn_im2col(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size P, sn_size Q, sn_size Y,
               sn_size X, const void *x, sn_size stride, sn_size pad, void *col);

/* col[N,C,P,Q,Y,X], stride:1, pad:0, >dx[N,C,H,W]: dx = the sum of col where im2col reads x. Accuracy: exact. */
void sn_col2im(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size P, sn_size Q, sn_size Y,
               sn_size X, const void *col, sn_size stride, sn_size pad, void *dx);

/* col[N,K,L], W[M,K], b[M], >out[N,M,L]: out[n] = W col[n] + b. Accuracy: sum(K+2). */
void sn_convolution_forward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M, const void *col,
                            const void *W, const void *b, void *out);

/* dout[N,M,L], col[N,K,L], W[M,K], >dcol[N,K,L], =dW[M,K], =db[M]: dcol[n] = W' dout[n]; dW += sum of dout[n]
 * col[n]'; db += sum of dout over n and l. Accuracy: dcol sum(M+2), dW sum(N*L+3), db sum(N*L+3). */
void sn_convolution_backward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M, const void *dout,
                             const void *col, const void *W, void *dcol, void *dW, void *db);

/* x[N,C,H,W], P:1, Q:1, stride:1, >out[N,C,Y,X], >argmax[N,C,Y,X]<H*W: out = the largest x of each window of P x
 * Q; argmax = its place y W + x, first of equals. Accuracy: exact. */
void sn_max_pool_forward(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size Y, sn_size X,
                         const void *x, sn_size P, sn_size Q, sn_size stride, void *out, sn_label *argmax);

/* dout[N,C,Y,X], argmax[N,C,Y,X]<H*W, >dx[N,C,H,W]: dx = the sum of dout where argmax points to x. Accuracy:
 * exact. */
void sn_max_pool_backward(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size Y, sn_size X,
                          const void *dout, const sn_label *argmax, void *dx);

/* ---- Batch normalization: normalization.inc ----------------------------------------------------------------- */

/* x[N,D], gamma[D], beta[D], eps, >mean[D], >var[D], >std[D], >xhat[N,D], >out[N,D]: std = sqrt(var + eps); xhat =
 * (x - mean) / std; out = gamma xhat + beta. */
void sn_batch_normalization_forward(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                    const void *beta, double eps, void *mean, void *var, void *std, void *xhat,
                                    void *out);

/* x[N,D], gamma[D], beta[D], mean[D], var[D], eps, >out[N,D]: out = gamma xhat + beta, by mean and var. Accuracy:
 * exact. */
void sn_batch_normalization_inference(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                      const void *beta, const void *mean, const void *var, double eps, void *out);

/* dout[N,D], xhat[N,D], gamma[D], std[D], >dx[N,D], >dgamma[D], >dbeta[D]: dbeta = rows' sum of dout; dgamma =
 * rows' sum of dout xhat; dx = gamma / std times (dout - (dbeta + xhat dgamma) / N). */
void sn_batch_normalization_backward(sn_type type, sn_size N, sn_size D, const void *dout, const void *xhat,
                                     const void *gamma, const void *std, void *dx, void *dgamma, void *dbeta);

/* ---- Recurrent cells: recurrent.inc ------------------------------------------------------------------------- */

/* c_prev[N,D], A[N,4D], >gates[N,4D], >c[N,D], >h[N,D]: gates = f, g, i, o = sigmoid(A), of g tanh(A); c = f
 * c_prev + g i;  h = o tanh(c). */
void sn_lstm_forward(sn_type type, sn_size N, sn_size D, const void *c_prev, const void *A, void *gates, void *c,
                     void *h);

/* dh[N,D], dc[N,D], c_prev[N,D], c[N,D], gates[N,4D], >dA[N,4D], >dc_prev[N,D]: s = dc + dh o (1 - tanh(c)^2);
 * dc_prev = s f; dA = s c_prev f (1 - f), s i (1 - g^2), s g i (1 - i), dh tanh(c) o (1 - o). */
void sn_lstm_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *dc, const void *c_prev,
                      const void *c, const void *gates, void *dA, void *dc_prev);

/* h_prev[N,D], A[N,2D], >gates[N,2D], >rh[N,D]: gates = z, r = sigmoid(A);  rh = r h_prev. */
void sn_gru_gates_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *A, void *gates,
                          void *rh);

/* h_prev[N,D], gates[N,2D], A[N,D], >h_hat[N,D], >h[N,D]: h_hat = tanh(A);  h = (1 - z) h_prev + z h_hat. */
void sn_gru_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *gates, const void *A,
                    void *h_hat, void *h);

/* dh[N,D], gates[N,2D], h_hat[N,D], >dA[N,D]: dA = dh z (1 - h_hat^2). Accuracy: exact. */
void sn_gru_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *gates, const void *h_hat,
                     void *dA);

/* dh[N,D], drh[N,D], h_prev[N,D], gates[N,2D], h_hat[N,D], >dA[N,2D], >dh_prev[N,D]: dA = dh (h_hat - h_prev) z (1
 * - z), drh h_prev r (1 - r); dh_prev = dh (1 - z) + drh r. Accuracy: exact. */
void sn_gru_gates_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *drh, const void *h_prev,
                           const void *gates, const void *h_hat, void *dA, void *dh_prev);

/* ---- Optimizers: update.inc, reductions.inc ----------------------------------------------------------------- */

/* =p[...], g[...], lr: p -= lr g. Accuracy: exact. */
void sn_sgd_update(sn_type type, sn_size n, void *p, const void *g, double lr);

/* =p[...], g[...], =v[...], lr, momentum: v = momentum v - lr g;  p += v. Accuracy: exact. */
void sn_momentum_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum);

/* =p[...], g[...], =v[...], lr, momentum: p += momentum^2 v - (1 + momentum) lr g; v = momentum v - lr g.
 * Accuracy: exact. */
void sn_nesterov_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum);

/* =p[...], g[...], =h[...], lr: h += g^2;  p -= lr g / (sqrt(h) + 1e-7). Accuracy: exact. */
void sn_adagrad_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr);

/* =p[...], g[...], =h[...], lr, decay_rate: h = decay_rate h + (1 - decay_rate) g^2; p -= lr g / (sqrt(h) + 1e-7).
 * Accuracy: exact. */
void sn_rmsprop_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr, double decay_rate);

/* =p[...], g[...], =m[...], =v[...], lr, beta1, beta2, epsilon: m += (1 - beta1)(g - m); v += (1 - beta2)(g^2 -
 * v); p -= lr m / (sqrt(v) + epsilon). Accuracy: exact. */
void sn_adam_update(sn_type type, sn_size n, void *p, const void *g, void *m, void *v, double lr, double beta1,
                    double beta2, double epsilon);

/* g[...]: sum of g^2. */
double sn_squared_norm(sn_type type, sn_size n, const void *g);

/* =x[...], factor: x *= factor. Accuracy: exact. */
void sn_scale(sn_type type, sn_size n, void *x, double factor);

/* The optimizers' kernels, in the order of the contract. */
typedef enum { SN_SGD, SN_MOMENTUM, SN_NESTEROV, SN_ADAGRAD, SN_RMSPROP, SN_ADAM } sn_optimizer;

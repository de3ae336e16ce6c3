/* scratchnet.h: every kernel that Python may call, each declared once.
 *
 * Arrays are C-contiguous, in native byte order; `type` says what `void` is. Shapes stand in brackets:
 * x[N,D] is N rows of D numbers. The caller allocates and checks; a kernel reads its const arguments,
 * overwrites its outputs (never accumulates into them), keeps nothing, allocates nothing and cannot fail.
 * An output overlaps another argument only where `in place` is said. Sizes may be 0: outputs are still
 * fully written, and what takes no memory takes no time, however large the other sizes are. Any number of
 * threads may call kernels at once: the only state is the pool in threads.c, which serves one caller at a
 * time and leaves the others to work alone.
 *
 * Accuracy, u = one unit in the last place of the type:
 *   exact     the same bits as the formula evaluated operation by operation in the type
 *   n ulp     at most n units in the last place from the true value, over the whole range
 *   sum(K)    a sum of K terms added one after another: at most K u times the sum of the terms' magnitudes
 *
 * The formulas are those of backends/reference.py; the loops are in the .inc files named on the right.
 */
#ifndef SCRATCHNET_H
#define SCRATCHNET_H

#include <stddef.h>
#include <stdint.h>

typedef enum { SN_FLOAT32, SN_FLOAT64 } sn_type;
typedef ptrdiff_t sn_size;  /* number of rows, columns or elements */
typedef int64_t sn_label;   /* class or row index */
typedef uint8_t sn_bool;    /* a NumPy bool: 0 or not */

/* The instruction set whose loops run: "avx512", "avx2" or "baseline" on x86-64, "neon" on 64-bit Arm. */
const char *sn_isa(void);
/* The i-th one that this processor has, the best first; NULL behind the last. */
const char *sn_isa_available(int i);
/* Run the loops of one from now on, NULL: the best. Returns 0 if the processor does not have it. Not while
 * kernels run. */
int sn_use_isa(const char *name);

/* Large work is split over at most this many threads, this one included; results do not depend on it. */
int sn_threads(void);
void sn_set_threads(int n);

/* Position of the first of t[n] outside [0, limit), or -1. Kernels that take labels rely on it. */
sn_size sn_find_label_outside(sn_size n, const sn_label *t, sn_size limit);

/* ---- product.inc, affine.inc: products and sums over rows ----------------------------------- */

/* out[N,M] = x[N,D] W[D,M] + b[M]; b may be NULL. sum(D). */
void sn_affine_forward(sn_type type, sn_size N, sn_size D, sn_size M,
                       const void *x, const void *W, const void *b, void *out);
/* dx[N,D] = dout[N,M] W', sum(M); dW[D,M] = x' dout, sum(N); db[M] = sum of dout's rows, sum(N).
 * dx and db may be NULL: then they are not computed. */
void sn_affine_backward(sn_type type, sn_size N, sn_size D, sn_size M,
                        const void *dout, const void *x, const void *W, void *dx, void *dW, void *db);
/* out[N,M] += x[N,D] W[D,M], the sum going on from out. sum(D + 1). */
void sn_matmul_accumulate(sn_type type, sn_size N, sn_size D, sn_size M, const void *x, const void *W, void *out);
/* dx[N,D] = dout[N,M] W[D,M]'. sum(M). */
void sn_matmul_transposed(sn_type type, sn_size N, sn_size D, sn_size M, const void *dout, const void *W, void *dx);
/* out[D] = x[0,:] + x[1,:] + ... from the first row on. sum(N). */
void sn_sum_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out);
/* out[N,D]: N copies of x[D]. exact. */
void sn_repeat_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out);
/* out[B,D] = x[index[B],:]; every index in [0, N). exact. */
void sn_gather_rows(sn_type type, sn_size B, sn_size D, const void *x, const sn_label *index, void *out);

/* ---- activation.inc: element by element, or row by row ------------------------------------- */

/* out[n] = 1 / (1 + exp(-x)), without overflow at either end; may be in place. 3 ulp. */
void sn_sigmoid_forward(sn_type type, sn_size n, const void *x, void *out);
/* dx[n] = dout (1 - y) y; may be in place of dout. exact. */
void sn_sigmoid_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx);
/* out[n] = 0 where x <= 0, else x (NaN passes); may be in place. exact. */
void sn_relu_forward(sn_type type, sn_size n, const void *x, void *out);
/* dx[n] = 0 where y <= 0, else dout; y may be relu's input or its output; may be in place of dout. exact. */
void sn_relu_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx);
/* The same in one pass for a layer that keeps where its input was not positive, as the books' does: a byte for each
 * number, mask[n] = x <= 0; and back, dx[n] = 0 where mask is not 0, else dout. No overlap. exact. */
void sn_relu_forward_with_mask(sn_type type, sn_size n, const void *x, void *out, sn_bool *mask);
void sn_relu_backward_by_mask(sn_type type, sn_size n, const void *dout, const sn_bool *mask, void *dx);
/* y[N,C] = exp(x - max) / sum over each row. (C + 6 + |x - max|) ulp: the difference is rounded before exp. */
void sn_softmax_forward(sn_type type, sn_size N, sn_size C, const void *x, void *y);
/* dx[N,C] = y (dout - sum over the row of dout y). sum(C). */
void sn_softmax_backward(sn_type type, sn_size N, sn_size C, const void *dout, const void *y, void *dx);

/* ---- loss.inc: labels are in range; the logarithm and the mean are taken in double ---------- */

/* Returns the mean over the rows of -log(y[i, t[i]] + 1e-7); 0 for no rows. sum(N). */
double sn_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t);
/* y[N,C] = softmax of x's rows; returns the cross entropy of y. */
double sn_softmax_cross_entropy_forward(sn_type type, sn_size N, sn_size C,
                                        const void *x, const sn_label *t, void *y);
/* dx[N,C] = (y - onehot(t)) dout / N. exact. */
void sn_softmax_cross_entropy_backward(sn_type type, sn_size N, sn_size C,
                                       const void *y, const sn_label *t, double dout, void *dx);
/* y[n] = sigmoid(x); returns the mean of -log(y + 1e-7) where t is 1, -log(1 - y + 1e-7) where it is 0. */
double sn_sigmoid_cross_entropy_forward(sn_type type, sn_size n, const void *x, const sn_label *t, void *y);
/* dx[n] = (y - t) dout / n. exact. */
void sn_sigmoid_cross_entropy_backward(sn_type type, sn_size n,
                                       const void *y, const sn_label *t, double dout, void *dx);

/* ---- convolution.inc: windows of P x Q over images x[N,C,H,W], `stride` apart, zeros for `pad` around; they
 * have Y x X places: Y = (H + 2 pad - P) / stride + 1 where the window fits, else 0 --------------- */

/* col[N,C,P,Q,Y,X]: what each element of the window sees from each place. exact. */
void sn_im2col(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size P, sn_size Q, sn_size Y, sn_size X,
               const void *x, sn_size stride, sn_size pad, void *col);
/* dx[N,C,H,W] = the sum of col where im2col reads, in the order of P and Q. exact. */
void sn_col2im(sn_type type, sn_size N, sn_size C, sn_size P, sn_size Q, sn_size Y, sn_size X, sn_size H, sn_size W,
               const void *col, sn_size stride, sn_size pad, void *dx);
/* out[N,M,L] = W[M,K] col[n] + b[M], with col[N,K,L]. sum(K). */
void sn_convolution_forward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M,
                            const void *col, const void *W, const void *b, void *out);
/* dcol[N,K,L] = W' dout[n], sum(M); dW[M,K] += sum of dout[n] col[n]', db[M] += sum of dout[N,M,L], sum(N L). */
void sn_convolution_backward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M, const void *dout,
                             const void *col, const void *W, void *dcol, void *dW, void *db);
/* out[N,C,Y,X] = the largest of each window, or NaN if there is one, no padding; argmax = its place in the image,
 * y W + x, the first of equals. exact. */
void sn_max_pool_forward(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size Y, sn_size X,
                         const void *x, sn_size P, sn_size Q, sn_size stride, void *out, sn_label *argmax);
/* dx[N,C,H,W] = the sum of dout[N,C,Y,X] where argmax points, in the order of the windows. exact. */
void sn_max_pool_backward(sn_type type, sn_size N, sn_size C, sn_size Y, sn_size X, sn_size H, sn_size W,
                          const void *dout, const sn_label *argmax, void *dx);

/* ---- normalization.inc: over the rows of x[N,D]; without rows mean and var are 0 ------------- */

/* mean[D], var[D] of the columns; std[D] = sqrt(var + eps); xhat[N,D] = (x - mean) / std; out = gamma xhat + beta.
 * mean, var: sum(N). */
void sn_batch_normalization_forward(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                    const void *beta, double eps, void *mean, void *var, void *std, void *xhat,
                                    void *out);
/* out[N,D] = gamma (x - mean) / sqrt(var + eps) + beta, operation by operation. exact. */
void sn_batch_normalization_inference(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                      const void *beta, const void *mean, const void *var, double eps, void *out);
/* dbeta[D] = sum of dout[N,D], dgamma[D] = sum of dout xhat, sum(N);
 * dx[N,D] = gamma / std (dout - (dbeta + xhat dgamma) / N). */
void sn_batch_normalization_backward(sn_type type, sn_size N, sn_size D, const void *dout, const void *xhat,
                                     const void *gamma, const void *std, void *dx, void *dgamma, void *dbeta);

/* ---- update.inc: optimizers, all exact; p[n] and the state change in place ------------------- */

/* p -= lr g */
void sn_sgd_update(sn_type type, sn_size n, void *p, const void *g, double lr);
/* v = momentum v - lr g;  p += v */
void sn_momentum_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum);
/* p += momentum^2 v - (1 + momentum) lr g, then v = momentum v - lr g */
void sn_nesterov_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum);
/* h += g g;  p -= lr g / (sqrt(h) + 1e-7) */
void sn_adagrad_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr);
/* h = decay_rate h + (1 - decay_rate) g g;  p -= lr g / (sqrt(h) + 1e-7) */
void sn_rmsprop_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr, double decay_rate);
/* m += (1 - beta1)(g - m);  v += (1 - beta2)(g g - v);  p -= lr m / (sqrt(v) + 1e-7); the caller corrects lr */
void sn_adam_update(sn_type type, sn_size n, void *p, const void *g, void *m, void *v,
                    double lr, double beta1, double beta2);
/* Returns the sum of g[n] squared, added in double. */
double sn_squared_norm(sn_type type, sn_size n, const void *g);
/* x[n] *= factor */
void sn_scale(sn_type type, sn_size n, void *x, double factor);

/* ---- language models: affine.inc, activation.inc, loss.inc; recurrent.inc for the cells, whose gates are as
 * exact as sigmoid and tanh ----------------------------------------------------------------------- */

/* out[N,D] = 0, then dout[i,:] of dout[B,D] added to out[index[i],:], i = 0, 1, ...; every index in [0, N). exact. */
void sn_scatter_add_rows(sn_type type, sn_size B, sn_size N, sn_size D, const void *dout, const sn_label *index,
                 void *out);
/* out[n] = tanh(x); may be in place. 3 ulp. */
void sn_tanh_forward(sn_type type, sn_size n, const void *x, void *out);
/* dx[n] = dout (1 - y y); may be in place of dout. exact. */
void sn_tanh_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx);
/* out[n] = x mask; may be in place of x. exact. */
void sn_multiply_by_mask(sn_type type, sn_size n, const void *x, const void *mask, void *out);
/* y[N,C] = softmax of x's rows; returns the mean over the rows of -log(y[i, t[i]]), taken in double; 0 for no rows. */
double sn_softmax_log_loss_forward(sn_type type, sn_size N, sn_size C, const void *x, const sn_label *t, void *y);
/* gates[N,4D] = f, g, i, o = sigmoid of A[N,4D], of g tanh; c[N,D] = f c_prev + g i; h[N,D] = o tanh(c). */
void sn_lstm_forward(sn_type type, sn_size N, sn_size D, const void *c_prev, const void *A, void *gates, void *c,
                     void *h);
/* With s = dc + dh o (1 - tanh(c)^2): dc_prev[N,D] = s f, dA[N,4D] = s c_prev f (1 - f), s i (1 - g g),
 * s g i (1 - i), dh tanh(c) o (1 - o). */
void sn_lstm_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *dc, const void *c_prev,
                      const void *c, const void *gates, void *dA, void *dc_prev);
/* gates[N,2D] = z, r = sigmoid of A[N,2D]; rh[N,D] = r h_prev. */
void sn_gru_gates_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *A, void *gates,
                          void *rh);
/* h_hat[N,D] = tanh of A[N,D]; h[N,D] = (1 - z) h_prev + z h_hat. */
void sn_gru_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *gates, const void *A,
                    void *h_hat, void *h);
/* dA[N,D] = dh z (1 - h_hat h_hat). exact. */
void sn_gru_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *gates, const void *h_hat,
                     void *dA);
/* dA[N,2D] = dh (h_hat - h_prev) z (1 - z), drh h_prev r (1 - r); dh_prev[N,D] = dh (1 - z) + drh r. exact. */
void sn_gru_gates_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *drh, const void *h_prev,
                           const void *gates, const void *h_hat, void *dA, void *dh_prev);

/* ---- shuffle.c: the order of an epoch ------------------------------------------------------- */

/* Put order[n] into another order, that of NumPy's legacy `shuffle` for the same random bits, of which next(state)
 * gives 32; n <= 2^32. */
void sn_shuffle(uint32_t (*next)(void *state), void *state, sn_size n, sn_label *order);

/* ---- plan.c: whole training steps of a chain of layers -------------------------------------- */

typedef enum { SN_NO_ACTIVATION, SN_SIGMOID, SN_RELU } sn_activation;
typedef enum { SN_SGD, SN_MOMENTUM, SN_NESTEROV, SN_ADAGRAD, SN_RMSPROP, SN_ADAM } sn_optimizer;
typedef enum {
    SN_DATA_BOOL,                    /* a byte; any but 0 is 1 */
    SN_DATA_U8, SN_DATA_I8, SN_DATA_I16, SN_DATA_I32, SN_DATA_I64, SN_DATA_F32, SN_DATA_F64
} sn_data;

typedef struct {                     /* out = activation(x W + b), with x the layer before or the batch */
    sn_size D, M;
    sn_activation activation;
    const void *W, *b;               /* [D,M], [M] */
    void *dW, *db;                   /* likewise */
    void *out;                       /* [batch,M] */
} sn_layer;

typedef struct {                     /* a stretch of parameters that lie side by side */
    sn_size n;
    void *p, *g, *state[2];          /* [n]; the states that the optimizer has, in its kernel's order */
} sn_parameter;

/* The optimizer's kernel on one parameter; numbers are the kernel's. */
void sn_update(sn_type type, sn_optimizer optimizer, const sn_parameter *parameter, const double numbers[3]);

typedef struct {
    sn_type type;
    sn_size batch;
    int layers, parameters;
    sn_layer *layer;                 /* the last one has no activation: softmax and cross entropy follow */
    sn_parameter *parameter;
    sn_optimizer optimizer;
    double numbers[3];               /* of its kernel; Adam's lr is uncorrected */
    int64_t updates;                 /* Adam: steps made before */
    double max_grad;                 /* largest norm of all gradients, or negative: no clipping */
    void *x;                         /* [batch, first D]: the gathered samples */
    sn_label *t;                     /* [batch] */
    void *y;                         /* [batch, last M]: probabilities */
    void *dout, *dx;                 /* [batch, largest M]: gradients of the layer at hand and of its input */
} sn_plan;

/* Make `steps` training steps, each on the next `batch` entries of order[steps * batch], which index the rows
 * of data (`row_bytes` apart, numbers of type `data_type`, cast on the way) and labels; loss[steps] = the mean
 * loss of each batch before its update. The same kernels in the same order as the layers' own calls. */
void sn_plan_run(sn_plan *plan, sn_size steps, const sn_label *order, const void *data, sn_data data_type,
                 sn_size row_bytes, const sn_label *labels, double *loss);

#endif

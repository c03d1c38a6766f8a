/* f = sum_k a_k tanh(sum_j W_kj x_j), 64 inputs, 32 hidden units, a batch of 32. Lanes over the hidden units.

   Both products (batch x inputs times W, and its transpose times the errors) in tiles of four rows and TILE vectors that
   stay in registers: sixteen of the 32 with AVX-512, eight of the 16 with AVX2. W is kept transposed, 16 KB. */

#include "common.h"
#include <string.h>

#define INPUTS 64
#define HIDDEN 32
#define VECTORS (HIDDEN / LANES)
#define TILE (LANES / 2)
#define BATCH 32
#define ROWS (INPUTS + 1) /* of the state: one for each input, and a */
#define SIZE (ROWS * HIDDEN)
#define EACH_TILE UNROLL for (int q = 0; q < 4; q++) UNROLL for (int v = 0; v < TILE; v++)

typedef struct {
    vec theta[ROWS][VECTORS], first[ROWS][VECTORS], second[ROWS][VECTORS];
    vec errors[BATCH][VECTORS]; /* tanh, then eta/B (f - label) (1 - tanh^2) */
    const double *x[BATCH]; /* rows of the data */
    uint64_t codes[BATCH];
} work;

/* The units of a tile for the samples b to b+3; adds to their f. */
INLINE void hidden(work *w, const tanh_table *table, int b, int tile, vec *f) {
    vec z[4][TILE], *a = w->theta[INPUTS] + tile;
    EACH_TILE z[q][v] = all(0.0);
    _Pragma("GCC unroll 2") for (int j = 0; j < INPUTS; j++)
        UNROLL for (int q = 0; q < 4; q++) {
            vec x = all(w->x[b + q][j]);
            UNROLL for (int v = 0; v < TILE; v++) z[q][v] = fmadd(x, w->theta[j][tile + v], z[q][v]);
        }
    UNROLL for (int q = 0; q < 4; q++)
        UNROLL for (int v = 0; v < TILE; v += 2) {
            tanh_two(table, z[q][v], z[q][v + 1], &z[q][v], &z[q][v + 1]);
            f[q] = fmadd(a[v + 1], z[q][v + 1], fmadd(a[v], z[q][v], f[q]));
        }
    EACH_TILE w->errors[b + q][tile + v] = z[q][v];
}

INLINE void forward(work *w, const tanh_table *table, const double *y, double sigma, double scale, vec *gradient) {
    for (int b = 0; b < BATCH; b += 4) {
        vec f[4] = {all(0.0), all(0.0), all(0.0), all(0.0)};
        double labels[4];
        for (int tile = 0; tile < VECTORS; tile += TILE) hidden(w, table, b, tile, f);
        UNROLL for (int q = 0; q < 4; q++) {
            uint64_t code = w->codes[b + q];
            labels[q] = y[code >> 1] + (code & 1 ? -sigma : sigma);
        }
        __m256d r = _mm256_sub_pd(reduce_four(f[0], f[1], f[2], f[3]), _mm256_loadu_pd(labels));
        r = _mm256_mul_pd(r, _mm256_set1_pd(scale));
        UNROLL for (int q = 0; q < 4; q++) {
            vec residual = spread(r, q), *z = w->errors[b + q];
            UNROLL for (int v = 0; v < VECTORS; v++) {
                gradient[v] = fmadd(residual, z[v], gradient[v]);
                z[v] = mul(residual, fnmadd(z[v], z[v], all(1.0)));
            }
        }
    }
}

INLINE void move(work *w, int row, int v, vec change) {
    vec theta = w->theta[row][v];
    if (STATISTICS) {
        w->first[row][v] = add(w->first[row][v], theta);
        w->second[row][v] = fmadd(theta, theta, w->second[row][v]);
    }
    w->theta[row][v] = sub(theta, change);
}

INLINE void backward(work *w) {
    vec *a = w->theta[INPUTS];
    for (int j = 0; j < INPUTS; j += 4)
        for (int tile = 0; tile < VECTORS; tile += TILE) {
            vec g[4][TILE];
            EACH_TILE g[q][v] = all(0.0);
            _Pragma("GCC unroll 2") for (int b = 0; b < BATCH; b++)
                UNROLL for (int q = 0; q < 4; q++) {
                    vec x = all(w->x[b][j + q]);
                    UNROLL for (int v = 0; v < TILE; v++) g[q][v] = fmadd(x, w->errors[b][tile + v], g[q][v]);
                }
            EACH_TILE move(w, j + q, tile + v, mul(a[tile + v], g[q][v]));
        }
}

/* theta as a, W row by row; the state as W transposed, a. */
static void transpose(double *theta, double *state, int back) {
    for (int k = 0; k < HIDDEN; k++)
        for (int j = 0; j < ROWS; j++) {
            double *outside = j < INPUTS ? theta + HIDDEN + k * INPUTS + j : theta + k;
            double *inside = state + HIDDEN * j + k;
            if (back)
                *outside += *inside;
            else
                *inside = *outside;
        }
}

void mlp(double *theta, uint64_t *words, const double *x, const double *y, double eta, double sigma, long n, long batch,
         long replicas, long first, long last, long steps, double *sums) {
    static _Thread_local work w;
    tanh_table table = make_tanh();
    for (long r = first; r < last; r++) {
        memset(&w, 0, sizeof w);
        transpose(theta + SIZE * r, (double *)w.theta, 0);
        lanes generator = load_lanes(words + 4 * LANES * r, LANES);
        for (long t = 0; t < steps; t++) {
            vec gradient[VECTORS];
            UNROLL for (int v = 0; v < VECTORS; v++) gradient[v] = all(0.0);
            draw(&generator, all_words(n), w.codes, BATCH);
            for (int b = 0; b < BATCH; b++) w.x[b] = x + INPUTS * (w.codes[b] >> 1);
            forward(&w, &table, y, sigma, eta / BATCH, gradient);
            backward(&w);
            UNROLL for (int v = 0; v < VECTORS; v++) move(&w, INPUTS, v, gradient[v]);
        }
        store_lanes(words + 4 * LANES * r, LANES, &generator);
        memset(theta + SIZE * r, 0, SIZE * sizeof(double));
        transpose(theta + SIZE * r, (double *)w.theta, 1);
        transpose(sums, (double *)w.first, 1);
        transpose(sums + SIZE, (double *)w.second, 1);
    }
}

/* f = u v, one sample. Lanes over replicas, W1_GROUPS vectors of eight replicas interleaved.

   A step is s = eta (u v - y - noise), u -= s v, v -= s u. One word of the generator serves 64 steps: its low three
   bits are the index of a permutation, and bit k of an index picks +-sigma in table k, so that a shift is due only
   every third step. Eight replicas take 10.5 operations of the vector units for a step: 4 for the update, 5 for the
   sums, 1.3 for the noise, and 0.2 for the generator. */

#include "common.h"

#ifndef W1_GROUPS
#define W1_GROUPS 4
#endif
#define EACH UNROLL for (int g = 0; g < W1_GROUPS; g++)

typedef struct {
    vec u[W1_GROUPS], v[W1_GROUPS], sum[5];
    word bits[W1_GROUPS];
} state;

INLINE void step(state *s, vec table, vec eta) {
    EACH {
        vec u = s->u[g], v = s->v[g], f = _mm512_mul_pd(u, v);
        vec change = _mm512_fmadd_pd(f, eta, _mm512_permutexvar_pd(s->bits[g], table));
        if (STATISTICS) {
            s->sum[0] = _mm512_add_pd(s->sum[0], u);
            s->sum[1] = _mm512_add_pd(s->sum[1], v);
            s->sum[2] = _mm512_fmadd_pd(u, u, s->sum[2]);
            s->sum[3] = _mm512_add_pd(s->sum[3], f);
            s->sum[4] = _mm512_fmadd_pd(v, v, s->sum[4]);
        }
        s->u[g] = _mm512_fnmadd_pd(change, v, u);
        s->v[g] = _mm512_fnmadd_pd(change, u, v);
    }
}

void uv(double *theta, uint64_t *words, const double *x, const double *y, double eta, double sigma, long n, long batch,
        long replicas, long first, long last, long steps, double *sums) {
    vec tables[3], rate = all(eta), total[5];
    for (int k = 0; k < 3; k++) {
        double entries[8];
        for (int j = 0; j < 8; j++) entries[j] = -eta * (y[0] + ((j >> k & 1) ? -sigma : sigma));
        tables[k] = _mm512_loadu_pd(entries);
    }
    for (int k = 0; k < 5; k++) total[k] = all(0.0);
    for (long r = first; r < last; r += 8 * W1_GROUPS) {
        state s;
        lanes generators[W1_GROUPS];
        EACH s.u[g] = _mm512_loadu_pd(theta + r + 8 * g);
        EACH s.v[g] = _mm512_loadu_pd(theta + replicas + r + 8 * g);
        EACH generators[g] = load_lanes(words + r + 8 * g, replicas);
        for (int k = 0; k < 5; k++) s.sum[k] = all(0.0);
        for (long t = 0; t < steps; t += 64) {
            EACH s.bits[g] = next_word(&generators[g]);
            for (int third = 0; third < 21; third++) {
                UNROLL for (int k = 0; k < 3; k++) step(&s, tables[k], rate);
                EACH s.bits[g] = _mm512_srli_epi64(s.bits[g], 3);
            }
            step(&s, tables[0], rate);
        }
        EACH _mm512_storeu_pd(theta + r + 8 * g, s.u[g]);
        EACH _mm512_storeu_pd(theta + replicas + r + 8 * g, s.v[g]);
        EACH store_lanes(words + r + 8 * g, replicas, &generators[g]);
        for (int k = 0; k < 5; k++) total[k] = _mm512_add_pd(total[k], s.sum[k]);
    }
    for (int k = 0; k < 5; k++) sums[k] += _mm512_reduce_add_pd(total[k]);
}

/* f = u v, one sample. Lanes over replicas, W1_GROUPS vectors of replicas interleaved.

   A step is s = eta (u v - y - noise), u -= s v, v -= s u. One word of the generator serves 64 steps. With AVX-512 its low
   three bits are the index of a permutation, and bit k of an index picks +-sigma in table k, so that a shift is due only
   every third step: a vector of replicas takes 10.5 operations for a step, 4 for the update, 5 for the sums, 1.3 for the
   noise, and 0.2 for the generator. With AVX2 the sign bit picks. */

#include "common.h"

#ifndef W1_GROUPS
#define W1_GROUPS 4
#endif
#define EACH UNROLL for (int g = 0; g < W1_GROUPS; g++)

typedef struct {
    vec u[W1_GROUPS], v[W1_GROUPS], sum[5];
    word bits[W1_GROUPS];
} state;

INLINE void step(state *s, choice table, int k, vec eta) {
    EACH {
        vec u = s->u[g], v = s->v[g], f = mul(u, v);
        vec change = fmadd(f, eta, CHOSEN(table, s->bits[g], k));
        if (STATISTICS) {
            s->sum[0] = add(s->sum[0], u);
            s->sum[1] = add(s->sum[1], v);
            s->sum[2] = fmadd(u, u, s->sum[2]);
            s->sum[3] = add(s->sum[3], f);
            s->sum[4] = fmadd(v, v, s->sum[4]);
        }
        s->u[g] = fnmadd(change, v, u);
        s->v[g] = fnmadd(change, u, v);
    }
}

void uv(double *theta, uint64_t *words, const double *x, const double *y, double eta, double sigma, long n, long batch,
        long replicas, long first, long last, long steps, double *sums) {
    choice tables[3];
    vec rate = all(eta), total[5];
    for (int k = 0; k < 3; k++) tables[k] = make_choice(k, -eta * (y[0] + sigma), -eta * (y[0] - sigma));
    for (int k = 0; k < 5; k++) total[k] = all(0.0);
    for (long r = first; r < last; r += LANES * W1_GROUPS) {
        state s;
        lanes generators[W1_GROUPS];
        EACH s.u[g] = load(theta + r + LANES * g);
        EACH s.v[g] = load(theta + replicas + r + LANES * g);
        EACH generators[g] = load_lanes(words + r + LANES * g, replicas);
        for (int k = 0; k < 5; k++) s.sum[k] = all(0.0);
        for (long t = 0; t < steps; t += 64) {
            EACH s.bits[g] = next_word(&generators[g]);
            for (int third = 0; third < 21; third++) {
                UNROLL for (int k = 0; k < 3; k++) step(&s, tables[k], k, rate);
                EACH s.bits[g] = next_three(s.bits[g]);
            }
            step(&s, tables[0], 0, rate);
        }
        EACH store(theta + r + LANES * g, s.u[g]);
        EACH store(theta + replicas + r + LANES * g, s.v[g]);
        EACH store_lanes(words + r + LANES * g, replicas, &generators[g]);
        for (int k = 0; k < 5; k++) total[k] = add(total[k], s.sum[k]);
    }
    for (int k = 0; k < 5; k++) sums[k] += total_of(total[k]);
}

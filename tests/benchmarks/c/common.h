/* What the C reference shares: xoshiro256++ in eight lanes, and a branch-free tanh of eight doubles.

   A function works on replicas first..last-1 for `steps` steps; theta and the words of the generators go on, the sums
   are added to. STATISTICS=0 compiles the sums away. */

#include <immintrin.h>
#include <stdint.h>

#ifndef STATISTICS
#define STATISTICS 1
#endif

typedef __m512d vec;
typedef __m512i word;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE vec all(double value) { return _mm512_set1_pd(value); }

typedef struct {
    word a, b, c, d;
} lanes;

INLINE lanes load_lanes(const uint64_t *words, long stride) {
    return (lanes){_mm512_loadu_si512(words), _mm512_loadu_si512(words + stride),
                   _mm512_loadu_si512(words + 2 * stride), _mm512_loadu_si512(words + 3 * stride)};
}

INLINE void store_lanes(uint64_t *words, long stride, const lanes *s) {
    _mm512_storeu_si512(words, s->a);
    _mm512_storeu_si512(words + stride, s->b);
    _mm512_storeu_si512(words + 2 * stride, s->c);
    _mm512_storeu_si512(words + 3 * stride, s->d);
}

/* xoshiro256++ (Blackman, Vigna 2021): one 64-bit word for each lane. */
INLINE word next_word(lanes *s) {
    word result = _mm512_add_epi64(_mm512_rol_epi64(_mm512_add_epi64(s->a, s->d), 23), s->a);
    word shifted = _mm512_slli_epi64(s->b, 17);
    word c = _mm512_xor_si512(s->c, s->a), d = _mm512_xor_si512(s->d, s->b);
    s->b = _mm512_ternarylogic_epi64(s->b, s->c, s->a, 0x96);
    s->a = _mm512_xor_si512(s->a, d);
    s->c = _mm512_xor_si512(c, shifted);
    s->d = _mm512_rol_epi64(d, 45);
    return result;
}

/* tanh(w) = 1 - 1/D, D = (exp(2w) + 1)/2, absolute error below 8e-16, so that the caller can share an inverse.
   With k = round(32 w/log 2): exp(2w) = 2^(k/16) exp(2r), r = w - k log(2)/32, |r| < 0.011; 2^(k/16) is an entry of a
   table of sixteen, halved, with the rest of k added to the exponent. */
#define TANH_LIMIT 20.0
#define TANH_MAGIC 0x1.8p52
static const double TANH_P[] = {
    0x1.0000000000000p+0, 0x1.000000000000ap+1, 0x1.0000000000006p+1, 0x1.555555540526dp+0,
    0x1.5555555465343p-1, 0x1.11126eecc014bp-2, 0x1.6c1851427a2f8p-4};
static const double TANH_POWERS[] = {
    0x1.0000000000000p+0, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0, 0x1.2387a6e756238p+0,
    0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0, 0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0,
    0x1.6a09e667f3bcdp+0, 0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
    0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0, 0x1.ea4afa2a490dap+0};

typedef struct {
    word low, high;
} tanh_table;

INLINE tanh_table make_tanh(void) {
    uint64_t entries[16];
    for (int j = 0; j < 16; j++) {
        union {
            double value;
            uint64_t bits;
        } entry = {0.5 * TANH_POWERS[j]};
        entries[j] = entry.bits - ((uint64_t)j << 48);
    }
    return (tanh_table){_mm512_loadu_si512(entries), _mm512_loadu_si512(entries + 8)};
}

INLINE vec tanh_denominator(const tanh_table *k, vec w) {
    w = _mm512_range_pd(w, all(TANH_LIMIT), 2); /* the smaller magnitude, the sign of w */
    vec t = _mm512_fmadd_pd(w, all(0x1.71547652b82fep+5), all(TANH_MAGIC));
    vec r = _mm512_fnmadd_pd(_mm512_sub_pd(t, all(TANH_MAGIC)), all(0x1.62e42fefa39efp-6), w);
    word bits = _mm512_castpd_si512(t), shifted = _mm512_slli_epi64(bits, 48);
    vec s = _mm512_castsi512_pd(_mm512_add_epi64(_mm512_permutex2var_epi64(k->low, bits, k->high), shifted));
    vec p = all(TANH_P[6]);
    UNROLL for (int j = 5; j >= 0; j--) p = _mm512_fmadd_pd(p, r, all(TANH_P[j]));
    return _mm512_fmadd_pd(s, p, all(0.5));
}

/* 1/d: the estimate r has a relative error e below 2^-14, and 1/d = r (1 + e + e^2 + e^3 + ...). */
INLINE vec inverse(vec d) {
    vec r = _mm512_rcp14_pd(d), e = _mm512_fnmadd_pd(d, r, all(1.0));
    return _mm512_fmadd_pd(r, _mm512_fmadd_pd(e, _mm512_fmadd_pd(e, e, e), e), r);
}

/* tanh of two vectors with one inverse; a division would be slower. */
INLINE void tanh_two(const tanh_table *k, vec w1, vec w2, vec *t1, vec *t2) {
    vec d1 = tanh_denominator(k, w1), d2 = tanh_denominator(k, w2), both = inverse(_mm512_mul_pd(d1, d2));
    *t1 = _mm512_fnmadd_pd(d2, both, all(1.0));
    *t2 = _mm512_fnmadd_pd(d1, both, all(1.0));
}

/* The draws of a batch with replacement: 2 times the sample plus the sign of its noise, from a 64-bit word each. */
INLINE void draw(lanes *generator, word n, uint64_t *codes, long count) {
    for (long b = 0; b < count; b += 8) {
        word drawn = next_word(generator);
        word index = _mm512_srli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(drawn, 32), n), 32);
        word sign = _mm512_and_si512(drawn, _mm512_set1_epi64(1));
        _mm512_storeu_si512(codes + b, _mm512_add_epi64(_mm512_add_epi64(index, index), sign));
    }
}

/* The sums of four vectors. */
INLINE __m256d reduce_four(vec a, vec b, vec c, vec d) {
    vec ab = _mm512_add_pd(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
    vec cd = _mm512_add_pd(_mm512_unpacklo_pd(c, d), _mm512_unpackhi_pd(c, d));
    vec half = _mm512_add_pd(_mm512_shuffle_f64x2(ab, cd, 0x88), _mm512_shuffle_f64x2(ab, cd, 0xdd));
    vec even = _mm512_permutexvar_pd(_mm512_setr_epi64(0, 1, 4, 5, 0, 1, 4, 5), half);
    vec odd = _mm512_permutexvar_pd(_mm512_setr_epi64(2, 3, 6, 7, 2, 3, 6, 7), half);
    return _mm512_castpd512_pd256(_mm512_add_pd(even, odd));
}

/* Component k of four, in all lanes. */
INLINE vec spread(__m256d values, int k) {
    return _mm512_permutexvar_pd(_mm512_set1_epi64(k), _mm512_castpd256_pd512(values));
}

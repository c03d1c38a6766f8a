/* Vectors of eight doubles with AVX-512, of four with AVX2, under one set of names; LANES is their length. */

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

#if defined(__AVX512F__) && defined(__AVX512DQ__)

#define LANES 8
typedef __m512d vec;
typedef __m512i word;

INLINE vec all(double value) { return _mm512_set1_pd(value); }
INLINE vec load(const double *from) { return _mm512_loadu_pd(from); }
INLINE void store(double *to, vec a) { _mm512_storeu_pd(to, a); }
INLINE vec add(vec a, vec b) { return _mm512_add_pd(a, b); }
INLINE vec sub(vec a, vec b) { return _mm512_sub_pd(a, b); }
INLINE vec mul(vec a, vec b) { return _mm512_mul_pd(a, b); }
INLINE vec fmadd(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
INLINE vec fmsub(vec a, vec b, vec c) { return _mm512_fmsub_pd(a, b, c); }
INLINE vec fnmadd(vec a, vec b, vec c) { return _mm512_fnmadd_pd(a, b, c); }
INLINE vec divided(vec a, vec b) { return _mm512_div_pd(a, b); }
INLINE vec smaller(vec a, vec b) { return _mm512_min_pd(a, b); }
INLINE double total_of(vec a) { return _mm512_reduce_add_pd(a); }

INLINE word all_words(uint64_t value) { return _mm512_set1_epi64(value); }
INLINE word load_words(const uint64_t *from) { return _mm512_loadu_si512(from); }
INLINE void store_words(uint64_t *to, word a) { _mm512_storeu_si512(to, a); }
INLINE word add_words(word a, word b) { return _mm512_add_epi64(a, b); }
INLINE word both(word a, word b) { return _mm512_and_si512(a, b); }
INLINE word differing(word a, word b) { return _mm512_xor_si512(a, b); }
INLINE word differing_three(word a, word b, word c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
INLINE word times_low(word a, word b) { return _mm512_mul_epu32(a, b); } /* 32-bit factors, 64-bit products */
#define LEFT(a, by) _mm512_slli_epi64(a, by)
#define RIGHT(a, by) _mm512_srli_epi64(a, by)
#define ROTATED(a, by) _mm512_rol_epi64(a, by)

INLINE word as_words(vec a) { return _mm512_castpd_si512(a); }
INLINE vec as_vec(word a) { return _mm512_castsi512_pd(a); }

/* The smaller magnitude of w and limit, with the sign of w. */
INLINE vec limited(vec w, double limit) { return _mm512_range_pd(w, all(limit), 2); }

/* Entry `index` (its low three bits) of a table of eight. */
typedef vec eight;
INLINE eight load_eight(const double *from) { return load(from); }
INLINE vec pick(eight table, word index) { return _mm512_permutexvar_pd(index, table); }

/* One of two values by a bit of a word that changes at each step: bit k (0, 1, 2), then the next three. */
typedef vec choice;
INLINE choice make_choice(int k, double clear, double set) {
    double entries[8];
    for (int j = 0; j < 8; j++) entries[j] = (j >> k & 1) ? set : clear;
    return load(entries);
}
#define CHOSEN(table, bits, k) _mm512_permutexvar_pd(bits, table)
INLINE word next_three(word bits) { return _mm512_srli_epi64(bits, 3); }

/* 1/d: the estimate r has a relative error e below 2^-14, and 1/d = r (1 + e + e^2 + e^3 + ...). */
INLINE vec inverse(vec d) {
    vec r = _mm512_rcp14_pd(d), e = fnmadd(d, r, all(1.0));
    return fmadd(r, fmadd(e, fmadd(e, e, e), e), r);
}

/* a/b, right to 1 ulp. */
INLINE vec quotient(vec a, vec b) {
    vec r = _mm512_rcp14_pd(b);
    r = fmadd(r, fnmadd(b, r, all(1.0)), r);
    vec q = mul(a, r);
    return fnmadd(fmsub(b, q, a), r, q);
}

/* The sums of four vectors. */
INLINE __m256d reduce_four(vec a, vec b, vec c, vec d) {
    vec ab = add(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
    vec cd = add(_mm512_unpacklo_pd(c, d), _mm512_unpackhi_pd(c, d));
    vec half = add(_mm512_shuffle_f64x2(ab, cd, 0x88), _mm512_shuffle_f64x2(ab, cd, 0xdd));
    vec even = _mm512_permutexvar_pd(_mm512_setr_epi64(0, 1, 4, 5, 0, 1, 4, 5), half);
    vec odd = _mm512_permutexvar_pd(_mm512_setr_epi64(2, 3, 6, 7, 2, 3, 6, 7), half);
    return _mm512_castpd512_pd256(add(even, odd));
}

/* Component k of four, in all lanes. */
INLINE vec spread(__m256d values, int k) {
    return _mm512_permutexvar_pd(_mm512_set1_epi64(k), _mm512_castpd256_pd512(values));
}

#else

#define LANES 4
typedef __m256d vec;
typedef __m256i word;

INLINE vec all(double value) { return _mm256_set1_pd(value); }
INLINE vec load(const double *from) { return _mm256_loadu_pd(from); }
INLINE void store(double *to, vec a) { _mm256_storeu_pd(to, a); }
INLINE vec add(vec a, vec b) { return _mm256_add_pd(a, b); }
INLINE vec sub(vec a, vec b) { return _mm256_sub_pd(a, b); }
INLINE vec mul(vec a, vec b) { return _mm256_mul_pd(a, b); }
INLINE vec fmadd(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
INLINE vec fmsub(vec a, vec b, vec c) { return _mm256_fmsub_pd(a, b, c); }
INLINE vec fnmadd(vec a, vec b, vec c) { return _mm256_fnmadd_pd(a, b, c); }
INLINE vec divided(vec a, vec b) { return _mm256_div_pd(a, b); }
INLINE vec smaller(vec a, vec b) { return _mm256_min_pd(a, b); }
INLINE double total_of(vec a) { return a[0] + a[1] + a[2] + a[3]; }

INLINE word all_words(uint64_t value) { return _mm256_set1_epi64x(value); }
INLINE word load_words(const uint64_t *from) { return _mm256_loadu_si256((const word *)from); }
INLINE void store_words(uint64_t *to, word a) { _mm256_storeu_si256((word *)to, a); }
INLINE word add_words(word a, word b) { return _mm256_add_epi64(a, b); }
INLINE word both(word a, word b) { return _mm256_and_si256(a, b); }
INLINE word differing(word a, word b) { return _mm256_xor_si256(a, b); }
INLINE word differing_three(word a, word b, word c) { return differing(differing(a, b), c); }
INLINE word times_low(word a, word b) { return _mm256_mul_epu32(a, b); }
#define LEFT(a, by) _mm256_slli_epi64(a, by)
#define RIGHT(a, by) _mm256_srli_epi64(a, by)
#define ROTATED(a, by) _mm256_or_si256(LEFT(a, by), RIGHT(a, 64 - (by)))

INLINE word as_words(vec a) { return _mm256_castpd_si256(a); }
INLINE vec as_vec(word a) { return _mm256_castsi256_pd(a); }

INLINE vec limited(vec w, double limit) {
    return _mm256_max_pd(_mm256_min_pd(w, all(limit)), all(-limit));
}

/* A table of eight: the low halves and the high halves of its entries, each in one register of eight 32-bit numbers. */
typedef struct {
    __m256 low, high;
} eight;

INLINE eight load_eight(const double *from) {
    union {
        double entries[8];
        float halves[16];
    } table;
    float low[8], high[8];
    for (int j = 0; j < 8; j++) table.entries[j] = from[j];
    for (int j = 0; j < 8; j++) low[j] = table.halves[2 * j], high[j] = table.halves[2 * j + 1];
    return (eight){_mm256_loadu_ps(low), _mm256_loadu_ps(high)};
}

INLINE vec pick(eight table, word index) {
    word twice = _mm256_shuffle_epi32(index, 0xa0); /* the low half of each lane in both halves */
    __m256 low = _mm256_permutevar8x32_ps(table.low, twice), high = _mm256_permutevar8x32_ps(table.high, twice);
    return _mm256_castps_pd(_mm256_blend_ps(low, high, 0xaa));
}

/* The sign bit chooses: k, the number of the bit from the top, is the shift that brings it there. */
typedef struct {
    vec clear, set;
} choice;

INLINE choice make_choice(int k, double clear, double set) { return (choice){all(clear), all(set)}; }
#define CHOSEN(table, bits, k) _mm256_blendv_pd((table).clear, (table).set, as_vec(LEFT(bits, k)))
INLINE word next_three(word bits) { return _mm256_slli_epi64(bits, 3); }

INLINE vec inverse(vec d) { return divided(all(1.0), d); }
INLINE vec quotient(vec a, vec b) { return divided(a, b); }

INLINE __m256d reduce_four(vec a, vec b, vec c, vec d) {
    vec ab = _mm256_hadd_pd(a, b), cd = _mm256_hadd_pd(c, d);
    return add(_mm256_permute2f128_pd(ab, cd, 0x21), _mm256_blend_pd(ab, cd, 0xc));
}

INLINE vec spread(__m256d values, int k) {
    switch (k) {
    case 0: return _mm256_permute4x64_pd(values, 0x00);
    case 1: return _mm256_permute4x64_pd(values, 0x55);
    case 2: return _mm256_permute4x64_pd(values, 0xaa);
    default: return _mm256_permute4x64_pd(values, 0xff);
    }
}

#endif

// Kernels with and without a defect, for race_test.cpp: each is right with `right`, and lacks what its name says
// without.
#pragma once

namespace dropforge::simt::race_kernels {

/// Rotates a row of 64 through shared memory twice. Lacks the barrier between writing and reading, or the one between
/// reading and the next round's writing.
void barrier_before_reading(float* out, bool right);
void barrier_before_writing(float* out, bool right);
extern const int kLineOfWriting, kLineOfReading;
/// What lets a lane read what another lane has written.
enum class Between : int { nothing, shuffle, vote, syncwarp_of_half, syncwarp };
/// Each lane takes the number of the lane `distance` (a power of two) away.
void exchange_in_warp(float* out, int distance, Between between);
/// All of 4 blocks of 32 threads add 1 to a word.
void atomic_addition(int* sum, bool right);
/// Each of 4 blocks writes a partial sum; the one that finds itself the last by an atomic counter adds them up.
void fence_before_counting(float* partials, unsigned* counter, float* total, bool right);
/// A flag is set atomically by one thread, read plainly by another.
void atomic_reading(int* flag, bool right);
/// A block of 64 writes all or half of a shared array, then sums it.
void writing_of_shared_memory(float* out, bool right);
/// Copies rows of 8 floats in packs; neighbours write the same row, or not.
void rows_of_their_own(const float* from, float* to, bool right);
/// out[i] += 1, then out[i] = in[i].
void add_one(float* out, int n);
void copy(const float* in, float* out, int n);

}  // namespace dropforge::simt::race_kernels

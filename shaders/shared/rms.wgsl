// 1/rms of args.n_cols elements of x, whose first four are at `first`, for all THREADS of a workgroup.
var<workgroup> rms_partial: array<f32, THREADS>;

fn inverse_rms(thread: u32, first: u32) -> f32 {
    var sum = 0.0;
    for (var i = thread; i < args.n_cols / 4u; i += THREADS) {
        sum += dot(x[first + i], x[first + i]);
    }
    rms_partial[thread] = sum;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            rms_partial[thread] += rms_partial[thread + half];
        }
        workgroupBarrier();
    }
    return inverseSqrt(rms_partial[0] / f32(args.n_cols) + args.eps);
}

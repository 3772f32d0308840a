// 1/rms of args.n_cols elements of x from `first`, for all THREADS of a workgroup.
var<workgroup> rms_partial: array<f32, THREADS>;

fn inverse_rms(thread: u32, first: u32) -> f32 {
    var sum = 0.0;
    for (var i = thread; i < args.n_cols; i += THREADS) {
        sum += x[first + i] * x[first + i];
    }
    rms_partial[thread] = sum;
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < THREADS; i++) {
        total += rms_partial[i];
    }
    return inverseSqrt(total / f32(args.n_cols) + args.eps);
}

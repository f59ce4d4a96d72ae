//! Any numbers as a program of cones: refused, a certificate, or an answer of finite numbers with finite derivatives.

use gleaner::conic::{Cone, ConicOptions, ConicProgram, Outcome, Pattern, Upstream, Values};

use crate::bytes::Bytes;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let n = 1 + bytes.choice(4);
    let cone = |bytes: &mut Bytes| match bytes.choice(6) {
        0 => Cone::Zero(bytes.choice(3)),
        1 => Cone::Nonnegative(bytes.choice(4)),
        2 => Cone::SecondOrder(bytes.choice(4)),
        3 => Cone::Exponential,
        4 => Cone::Power(bytes.number()),
        _ => Cone::Semidefinite(bytes.choice(4)),
    };
    let cones: Vec<Cone> = (0..bytes.choice(4)).map(|_| cone(&mut bytes)).collect();
    let rows = cones.iter().map(Cone::rows).sum();
    let (quadratic, constraints) = (Pattern::upper_triangle(n), Pattern::dense(rows, n));
    let Ok(program) = ConicProgram::new(quadratic, constraints, cones) else { return };
    let mut p = vec![0.0; program.quadratic().len()];
    if bytes.is() {
        // A diagonal is convex where it is not negative.
        for ((i, j), entry) in program.quadratic().places().zip(&mut p) {
            *entry = if i == j { bytes.number() } else { 0.0 };
        }
    } else if bytes.is() {
        p = bytes.numbers(p.len());
    }
    let (q, a, b) = (bytes.numbers(n), bytes.numbers(rows * n), bytes.numbers(rows));
    let values = Values { quadratic: &p, linear: &q, constraints: &a, right: &b };
    let Ok(Outcome::Solved(solution)) = program.solve(values, &ConicOptions::default()) else {
        return;
    };
    let everything = solution.x().iter().chain(solution.s()).chain(solution.z());
    assert!(everything.clone().all(|number| number.is_finite()));
    let ones = vec![1.0; n];
    if let Ok(gradients) = solution.pullback(Upstream { x: Some(&ones), ..Default::default() }) {
        let all =
            [&gradients.quadratic, &gradients.linear, &gradients.constraints, &gradients.right];
        assert!(all.into_iter().flatten().all(|g| g.is_finite()));
    }
}

//! Gradients against central differences.

use gleaner::conic::{ConicOptions, Status, Upstream};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::draw::{self, Direction, Drawn, normals};

/// What came of one program.
#[derive(Debug, PartialEq)]
enum Checked {
    /// Regular, and the relative error.
    Right(f64),
    /// The diagnostics say that there is no derivative to compare.
    Flagged,
    /// Differences with two steps disagree: a kink within reach.
    Kink,
    /// A neighbour was not solved.
    Unsolved,
}

fn check(seed: u64, drawn: &Drawn) -> Checked {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x9e37_79b9);
    let (n, m) = (drawn.x.len(), drawn.s.len());
    let [g_x, g_s, g_z] = [n, m, m].map(|size| normals(&mut rng, size));
    let options = ConicOptions::default();
    let outcome = drawn.program.solve(drawn.values(), &options).unwrap();
    let Some(solution) = outcome.as_solution().filter(|_| outcome.status() == Status::Solved)
    else {
        return Checked::Unsolved;
    };
    let upstream = Upstream { x: Some(&g_x), s: Some(&g_s), z: Some(&g_z) };
    let gradients = solution.pullback(upstream).unwrap();
    let parts = [&gradients.quadratic, &gradients.linear, &gradients.constraints, &gradients.right];
    assert!(parts.iter().all(|part| part.iter().all(|g| g.is_finite())), "seed {seed}");
    let diagnostics = gradients.diagnostics;
    if !(diagnostics.is_regular() && diagnostics.primal_unique) {
        return Checked::Flagged;
    }
    let mut along = |size: usize| normals(&mut rng, size);
    let mut direction =
        Direction { p: along(drawn.p.len()), q: along(n), a: along(drawn.a.len()), b: along(m) };
    if !drawn.curved {
        direction.p.fill(0.0);
    }
    let directions = [&direction.p, &direction.q, &direction.a, &direction.b];
    let pairs = || parts.iter().zip(directions).flat_map(|(g, d)| g.iter().zip(d));
    let analytic: f64 = pairs().map(|(g, d)| g * d).sum();
    let typical = pairs().map(|(g, d)| (g * d).powi(2)).sum::<f64>().sqrt();
    let loss = |h: f64| {
        let moved = drawn.moved(&direction, h);
        let outcome = drawn.program.solve(moved.values(), &options).ok()?;
        let s = outcome.as_solution().filter(|_| outcome.status() == Status::Solved)?;
        let parts = [(&g_x, s.x()), (&g_s, s.s()), (&g_z, s.z())];
        let terms = parts.into_iter().flat_map(|(g, v)| g.iter().zip(v));
        Some(terms.map(|(g, v)| g * v).sum::<f64>())
    };
    let central = |h: f64| {
        let [far, near] = [2.0 * h, h].map(|h| Some(loss(h)? - loss(-h)?));
        Some((8.0 * near? - far?) / (12.0 * h))
    };
    // A program that is badly conditioned moves fast: the step shrinks until two differences agree.
    let mut last: Option<f64> = None;
    for h in [1e-3, 1e-4, 1e-5, 1e-6, 1e-7] {
        let Some(numeric) = central(h) else { return Checked::Unsolved };
        let size = typical.max(numeric.abs()).max(analytic.abs());
        if let Some(last) = last
            && f64::abs(numeric - last) <= 2e-7 * size
        {
            let error = f64::abs(analytic - numeric).min(f64::abs(analytic - last));
            return Checked::Right(error / size);
        }
        last = Some(numeric);
    }
    Checked::Kink
}

fn all(kinds: &[&str], least: u64) {
    let count = crate::count(least);
    let (mut right, mut worst, mut flagged, mut kinks, mut unsolved) = (0, (0.0, 0), 0, 0, 0);
    for seed in 0..count {
        match check(seed, &draw::program(seed, kinds)) {
            Checked::Right(error) => {
                right += 1;
                if error > worst.0 {
                    worst = (error, seed);
                }
            }
            Checked::Flagged => flagged += 1,
            Checked::Kink => kinks += 1,
            Checked::Unsolved => unsolved += 1,
        }
    }
    println!(
        "{kinds:?}: {right} compared, worst {worst:?}; {flagged} flagged, {kinks} kinks, {unsolved} unsolved"
    );
    assert!(worst.0 <= 1e-6, "worst {worst:?}");
    assert!(kinks * 50 <= count && unsolved * 50 <= count, "{kinks} kinks, {unsolved} unsolved");
    assert!(right * 3 >= count, "{right} of {count} compared");
}

#[test]
fn symmetric_cones() {
    all(draw::SMOOTH, 200);
}

#[test]
fn exponential_and_power_cones() {
    all(draw::CURVED, 200);
}

#[test]
fn all_cones() {
    all(draw::ALL, 100);
}

#[test]
fn every_cone_by_itself() {
    for kind in draw::ALL {
        all(&[kind], 40);
    }
}

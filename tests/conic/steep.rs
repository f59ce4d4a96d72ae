//! Numbers out of all proportion in the objective: solved as if they were near, or not called solved.

use gleaner::conic::{
    Cone, ConicOptions, ConicProgram, Gradients, Outcome, Pattern, Upstream, Values,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::draw::{self, Drawn};

/// Curved programs with a known answer, and a variable of each.
fn curved(least: u64) -> impl Iterator<Item = (u64, Drawn, usize)> {
    let drawn = |seed| {
        let drawn = draw::program(seed, &["zero", "nonnegative"]);
        let variable = ChaCha8Rng::seed_from_u64(seed).random_range(0..drawn.x.len());
        (seed, drawn, variable)
    };
    (0..crate::count(least)).map(drawn).filter(|(_, drawn, _)| drawn.curved)
}

fn solve(drawn: &Drawn) -> Outcome {
    drawn.program.solve(drawn.values(), &ConicOptions::default()).unwrap()
}

fn off(outcome: &Outcome, drawn: &Drawn) -> f64 {
    let found = outcome.as_solution().unwrap().x();
    found.iter().zip(&drawn.x).fold(0.0, |off, (found, known)| (found - known).abs().max(off))
}

/// The same with `x_j >= x_j*` as its last row, which `slope` presses it against.
fn pressed(drawn: &Drawn, j: usize, slope: f64) -> Drawn {
    let rows = drawn.b.len();
    let mut places: Vec<_> = drawn.program.constraints().places().collect();
    places.push((rows, j));
    let (pattern, order) = Pattern::from_places(rows + 1, drawn.x.len(), &places).unwrap();
    let mut a = vec![0.0; places.len()];
    drawn.a.iter().chain(&[-1.0]).zip(&order).for_each(|(value, entry)| a[*entry] = *value);
    let mut cones = drawn.program.cones().to_vec();
    cones.push(Cone::Nonnegative(1));
    let program = ConicProgram::new(drawn.program.quadratic().clone(), pattern, cones).unwrap();
    let with = |values: &[f64], last: f64| [values, &[last]].concat();
    let mut q = drawn.q.clone();
    q[j] += slope;
    let (b, s, z) = (with(&drawn.b, -drawn.x[j]), with(&drawn.s, 0.0), with(&drawn.z, slope));
    Drawn { program, p: drawn.p.clone(), q, a, b, x: drawn.x.clone(), s, z, curved: true }
}

/// Whatever a variable at its bound would cost: the same answer, the multiplier that goes with it, the same derivative.
#[test]
fn a_slope_against_a_bound_may_be_as_steep_as_it_likes() {
    let (mut regular, mut all) = (0, 0);
    for (seed, drawn, j) in curved(60) {
        let pull = |slope: f64| {
            let drawn = pressed(&drawn, j, slope);
            let outcome = solve(&drawn);
            assert!(matches!(outcome, Outcome::Solved(_)), "seed {seed}, {slope:e}: {outcome:?}");
            let off = off(&outcome, &drawn);
            assert!(off < 1e-7, "seed {seed}, {slope:e}: off by {off:e}");
            let solution = outcome.solution().unwrap();
            let diagnostics = solution.diagnostics();
            if diagnostics.dual_unique && diagnostics.weakly_active == 0 {
                let multiplier = solution.z().last().unwrap() / slope;
                assert!((multiplier - 1.0).abs() < 1e-6, "seed {seed}, {slope:e}: {multiplier}");
            }
            let by_hand: f64 = drawn.q.iter().zip(&drawn.x).map(|(q, x)| q * x).sum();
            let size = drawn.q.iter().zip(&drawn.x).map(|(q, x)| (q * x).abs()).sum::<f64>();
            if slope > 1e9 {
                let objective = solution.verdict().objective;
                assert!((objective - by_hand).abs() <= 1e-6 * size, "seed {seed}: {objective:e}");
            }
            let ones = vec![1.0; drawn.x.len()];
            solution.pullback(Upstream { x: Some(&ones), ..Default::default() }).unwrap()
        };
        // Less than `is_regular`, which also wants the only multipliers.
        let exact = |of: &Gradients| {
            let told = of.diagnostics;
            told.weakly_active == 0 && told.undetermined == 0.0 && told.backward_residual < 1e-8
        };
        let near = pull(1e3);
        for power in [6, 9, 12, 18, 30, 100, 250] {
            let steep = pull(10f64.powi(power));
            // Where another row holds this variable by itself, neither multiplier is the only one.
            let places = || drawn.program.constraints().places();
            let alone = |i: usize| places().filter(|place| place.0 == i).all(|place| place.1 == j);
            let doubly = (0..drawn.z.len()).any(|i| drawn.z[i] != 0.0 && alone(i));
            if doubly || !exact(&near) {
                continue;
            }
            all += 1;
            if !exact(&steep) {
                continue;
            }
            regular += 1;
            let parts = [
                (&near.linear, &steep.linear),
                (&near.right, &steep.right),
                (&near.constraints, &steep.constraints),
            ];
            for (near, steep) in parts {
                for (near, steep) in near.iter().zip(steep) {
                    let apart = (near - steep).abs() / near.abs().max(1.0);
                    assert!(apart < 1e-6, "seed {seed}, 1e{power}: {near} and {steep}");
                }
            }
        }
    }
    // Elsewhere a multiplier is so small that beside what is left of the slope it counts as next to nothing, and is flagged.
    assert!(all > 100 && regular * 100 >= all * 95, "{regular} of {all} derivatives are exact");
}

/// Nothing takes a huge curvature in: beyond what digits allow the program is refused, and what is called solved is right.
#[test]
fn a_huge_curvature_is_no_allowance_for_other_variables() {
    let (mut solved, mut all) = (0, 0);
    for (seed, mut drawn, j) in curved(60) {
        let (q, p) = (drawn.q.clone(), drawn.p.clone());
        for power in [4, 8, 10, 12, 14, 16, 18, 22, 30, 60, 200] {
            let by = 10f64.powi(power);
            (drawn.q, drawn.p) = (q.clone(), p.clone());
            for (place, p) in drawn.program.quadratic().places().zip(&mut drawn.p) {
                *p += if place == (j, j) { by } else { 0.0 };
            }
            drawn.q[j] -= by * drawn.x[j];
            if power > 10 {
                // What is left of the rest says something else.
                drawn.q[j] = -by * drawn.x[j];
                for (place, p) in drawn.program.quadratic().places().zip(&mut drawn.p) {
                    *p = if place == (j, j) { by } else { *p };
                }
            }
            let outcome = solve(&drawn);
            if power <= 10 {
                all += 1;
                solved += u32::from(matches!(outcome, Outcome::Solved(_)));
            }
            let proved = matches!(outcome, Outcome::Unbounded { .. } | Outcome::Infeasible { .. });
            assert!(!proved, "seed {seed}, 1e{power}: {outcome:?}");
            if matches!(outcome, Outcome::Solved(_)) {
                let off = off(&outcome, &drawn);
                assert!(off < 1e-6, "seed {seed}, 1e{power}: off by {off:e}");
            }
        }
    }
    assert_eq!(solved, all, "up to 1e10 all are solved");
}

/// A multiplier that several variables share is rounded in all of them: refused where that is more than their curvature says.
#[test]
fn huge_slopes_that_one_row_takes_are_solved_or_refused() {
    for (seed, drawn, _) in curved(60) {
        let Some(row) = drawn.z.iter().position(|z| *z > 0.0) else { continue };
        for power in [4, 6, 8, 10, 12, 16, 30, 100] {
            let by = 10f64.powi(power);
            let mut steep = pressed(&drawn, 0, 1.0);
            for ((i, j), a) in steep.program.constraints().places().zip(&steep.a) {
                steep.q[j] -= if i == row { a * by } else { 0.0 };
            }
            let outcome = solve(&steep);
            let Outcome::Solved(solution) = &outcome else {
                assert!(power > 8, "seed {seed}, 1e{power}: {outcome:?}");
                continue;
            };
            // Against the numbers as they were rounded: what moves the answer is what is left of every slope.
            let mut left = steep.q.clone();
            for ((i, j), p) in steep.program.quadratic().places().zip(&steep.p) {
                left[i] += p * solution.x()[j];
                left[j] += if i == j { 0.0 } else { p * solution.x()[i] };
            }
            for ((i, j), a) in steep.program.constraints().places().zip(&steep.a) {
                left[j] += a * solution.z()[i];
            }
            let most = left.iter().fold(0.0f64, |most, left| most.max(left.abs()));
            assert!(most < 0.1 || power > 12, "seed {seed}, 1e{power}: {most:e} left");
        }
    }
}

/// `minimise sum x + eps/2 |x|^2, x >= 0, x_0 + x_1 = 1`: however little it is curved, there is an answer, and as long as digits
/// allow it is the middle.
#[test]
fn next_to_no_curvature_is_no_reason_to_fail() {
    let places = [(0, 0), (0, 1), (1, 0), (2, 1)];
    let (constraints, _) = Pattern::from_places(3, 2, &places).unwrap();
    let cones = vec![Cone::Zero(1), Cone::Nonnegative(2)];
    let program = ConicProgram::new(Pattern::diagonal(2), constraints, cones).unwrap();
    for power in (0..=40).step_by(2) {
        let eps = 10f64.powi(-power);
        let values = Values {
            quadratic: &[eps, eps],
            linear: &[1.0, 1.0],
            constraints: &[1.0, -1.0, 1.0, -1.0],
            right: &[1.0, 0.0, 0.0],
        };
        let outcome = program.solve(values, &ConicOptions::default()).unwrap();
        let x = outcome.as_solution().unwrap_or_else(|| panic!("1e-{power}: {outcome:?}")).x();
        assert!((x[0] + x[1] - 1.0).abs() < 1e-9 && x[0].min(x[1]) >= -1e-9, "{x:?}");
        if matches!(outcome, Outcome::Solved(_)) && power <= 10 {
            assert!((x[0] - 0.5).abs() < 1e-3, "1e-{power}: {x:?}");
        }
    }
}

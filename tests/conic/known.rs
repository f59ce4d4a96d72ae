//! Programs made from their solution are solved to it.

use gleaner::conic::{Cone, ConicOptions, ConicProgram, Pattern, Status, Upstream, Values};

use crate::draw::{self, Drawn};

/// Conditions of a program hold for the answer, without looking at what the solver says of itself.
fn check(seed: u64, drawn: &Drawn) -> (bool, f64) {
    let outcome = drawn.program.solve(drawn.values(), &ConicOptions::default()).unwrap();
    let status = outcome.status();
    let cones = drawn.program.cones();
    let Some(solution) = outcome.as_solution() else {
        panic!("seed {seed}: {outcome:?} for {cones:?}");
    };
    let objective = |x: &[f64]| {
        let mut total: f64 = drawn.q.iter().zip(x).map(|(q, x)| q * x).sum();
        for ((i, j), p) in drawn.program.quadratic().places().zip(&drawn.p) {
            total += p * x[i] * x[j] * if i == j { 0.5 } else { 1.0 };
        }
        total
    };
    let (found, known) = (objective(solution.x()), objective(&drawn.x));
    let size: f64 = drawn.q.iter().zip(&drawn.x).map(|(q, x)| (q * x).abs()).sum::<f64>().max(1.0);
    if status == Status::Solved {
        let gap = (found - known).abs();
        assert!(gap <= 1e-7 * size, "seed {seed}: objective off by {gap:.1e}, {cones:?}");
    }
    let diagnostics = solution.diagnostics();
    let off = |found: &[f64], known: &[f64]| {
        found.iter().zip(known).fold(0.0, |off: f64, (f, k)| off.max((f - k).abs()))
    };
    let mut worst = 0.0_f64;
    let unique = diagnostics.primal_unique && diagnostics.dual_unique;
    if unique && diagnostics.weakly_active == 0 && status == Status::Solved {
        worst = off(solution.x(), &drawn.x).max(off(solution.s(), &drawn.s));
        worst = worst.max(off(solution.z(), &drawn.z));
    }
    (status == Status::Solved, worst)
}

fn all(kinds: &[&str], least: u64, allowed: f64) {
    let (mut solved, mut worst) = (0, (0.0, 0));
    let count = crate::count(least);
    for seed in 0..count {
        let (done, off) = check(seed, &draw::program(seed, kinds));
        solved += u64::from(done);
        if off > worst.0 {
            worst = (off, seed);
        }
    }
    println!("{kinds:?}: {solved} of {count} solved; worst {worst:?}");
    assert!(worst.0 < allowed, "worst {worst:?}");
    assert!(solved * 100 >= count * 99, "{solved} of {count} solved");
}

#[test]
fn symmetric_cones() {
    all(draw::SMOOTH, 300, 1e-6);
}

#[test]
fn exponential_and_power_cones() {
    all(draw::CURVED, 300, 1e-6);
}

#[test]
fn all_cones() {
    all(draw::ALL, 150, 1e-6);
}

proptest::proptest! {
    /// Any program, any kinds of cones.
    #[test]
    fn any_program(seed: u64, kinds in 1..=draw::ALL.len()) {
        check(seed, &draw::program(seed, &draw::ALL[draw::ALL.len() - kinds..]));
    }
}

/// A feasible set without an inside: splitting crawls, and gets there.
#[test]
fn a_program_with_one_feasible_point_is_solved() {
    let (solved, off) = check(7820, &draw::program(7820, draw::ALL));
    assert!(solved && off < 1e-8, "solved {solved}, off by {off:.1e}");
}

/// A cone along whose ray the answer may move; here that direction is nearly all the cone's extra variable.
#[test]
fn a_face_of_answers_is_said_wherever_it_is_met() {
    for (seed, kinds) in [(5942, draw::SMOOTH), (16705, draw::CURVED)] {
        let (solved, off) = check(seed, &draw::program(seed, kinds));
        assert!(solved && off < 1e-8, "seed {seed}: said to be unique, off by {off:.1e}");
    }
}

/// `minimise (x - 1/2)^2 + y, -1 <= y <= 2, x <= far`: however far that is, the same bits, and the derivative in it is zero.
#[test]
fn an_inequality_that_is_far_away_changes_nothing() {
    let (constraints, _) = Pattern::from_places(3, 2, &[(0, 1), (1, 1), (2, 0)]).unwrap();
    let program =
        ConicProgram::new(Pattern::diagonal(2), constraints, vec![Cone::Nonnegative(3)]).unwrap();
    let solved = |far: f64| {
        let values = Values {
            quadratic: &[2.0, 0.0],
            linear: &[-1.0, 1.0],
            // In the order of the columns.
            constraints: &[1.0, -1.0, 1.0],
            right: &[1.0, 2.0, far],
        };
        program.solve(values, &Default::default()).unwrap().solution().unwrap()
    };
    for power in (3..=300).step_by(9) {
        let far = 10f64.powi(power);
        let solution = solved(far);
        let (x, y) = (solution.x()[0], solution.x()[1]);
        assert!((x - 0.5).abs() < 1e-12 && (y + 1.0).abs() < 1e-12, "{far}: {x} {y}");
        assert!((solution.s()[2] / far - 1.0).abs() < 1e-2 && solution.z()[2] == 0.0, "{far}");
        let upstream = Upstream { x: Some(&[1.0, 1.0]), ..Default::default() };
        let gradients = solution.pullback(upstream).unwrap();
        assert!((gradients.right[0] + 1.0).abs() < 1e-9 && gradients.right[2] == 0.0, "{far}");
    }
    // Where the farthest is what holds the answer, it does.
    let values = Values {
        quadratic: &[0.0, 0.0],
        linear: &[-1.0, 1.0],
        constraints: &[1.0, -1.0, 1.0],
        right: &[1.0, 2.0, 1e9],
    };
    let solution = program.solve(values, &Default::default()).unwrap().solution().unwrap();
    assert!((solution.x()[0] / 1e9 - 1.0).abs() < 1e-9, "{:?}", solution.x());
}

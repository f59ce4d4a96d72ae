//! Named programs: doors, statuses, empty parts, degenerate points, scales, repeatability.

use gleaner::Error;
use gleaner::conic::{
    Cone, ConicOptions, ConicProgram, Method, Outcome, Pattern, Status, Upstream, Values,
};

use crate::draw;

fn default() -> ConicOptions {
    ConicOptions::default()
}

/// `minimise 1/2 p x^2 + q x  subject to  x <= high, x >= low`: one variable, two rows.
fn interval() -> ConicProgram {
    let (a, _) = Pattern::from_places(2, 1, &[(0, 0), (1, 0)]).unwrap();
    ConicProgram::new(Pattern::diagonal(1), a, vec![Cone::Nonnegative(2)]).unwrap()
}

fn between<'a>(p: &'a [f64], q: &'a [f64], right: &'a [f64]) -> Values<'a> {
    Values { quadratic: p, linear: q, constraints: &[1.0, -1.0], right }
}

#[test]
fn forms_are_refused_by_name() {
    let square = Pattern::diagonal(2);
    let new = |p: &Pattern, a: Pattern, cones: &[Cone]| {
        ConicProgram::new(p.clone(), a, cones.to_vec()).unwrap_err()
    };
    let wide = new(&square, Pattern::dense(1, 3), &[Cone::Zero(1)]);
    assert!(matches!(wide, Error::Shape { what: "A (columns)", .. }), "{wide}");
    let oblong = new(&Pattern::dense(3, 2), Pattern::dense(1, 2), &[Cone::Zero(1)]);
    assert!(matches!(oblong, Error::Shape { what: "P (rows)", .. }), "{oblong}");
    let few = new(&square, Pattern::dense(4, 2), &[Cone::Exponential]);
    assert!(matches!(few, Error::Shape { what: "rows of the cones", .. }), "{few}");
    let lower = new(&Pattern::dense(2, 2), Pattern::dense(1, 2), &[Cone::Zero(1)]);
    assert!(matches!(lower, Error::Pattern { column: 0, found: 1, .. }), "{lower}");
    for alpha in [0.0, 1.0, -1.0, f64::NAN] {
        let power = new(&square, Pattern::dense(3, 2), &[Cone::Power(alpha)]);
        assert!(matches!(power, Error::OutOfRange { .. }), "{power}");
    }
    let nothing = new(&Pattern::empty(0, 0), Pattern::empty(0, 0), &[]);
    assert!(matches!(nothing, Error::OutOfRange { .. }), "{nothing}");
}

#[test]
fn patterns_are_refused_by_name() {
    let cases: [(&str, usize, Vec<usize>, Vec<usize>); 6] = [
        ("starts begin", 2, vec![1, 1, 1], vec![]),
        ("starts ascend", 2, vec![0, 2, 1], vec![0]),
        ("starts end", 2, vec![0, 1, 1], vec![0, 1]),
        ("beyond the last row", 2, vec![0, 1, 2], vec![0, 2]),
        ("twice", 2, vec![0, 2, 2], vec![1, 1]),
        ("descending", 2, vec![0, 2, 2], vec![1, 0]),
    ];
    for (name, rows, starts, indices) in cases {
        let refused = Pattern::new(rows, 2, starts, indices);
        assert!(matches!(refused, Err(Error::Pattern { .. })), "{name}: {refused:?}");
    }
    assert!(matches!(Pattern::new(2, 2, vec![0], vec![]), Err(Error::Shape { .. })));
    assert!(matches!(Pattern::from_places(2, 2, &[(0, 2)]), Err(Error::Shape { .. })));
    assert!(matches!(Pattern::from_places(2, 2, &[(0, 1), (0, 1)]), Err(Error::Pattern { .. })));
}

#[test]
fn values_are_refused_by_name() {
    let program = interval();
    let refused = |values: Values| program.solve(values, &default()).unwrap_err();
    let short = refused(between(&[1.0], &[], &[1.0, 1.0]));
    assert!(matches!(short, Error::Shape { what: "q", .. }), "{short}");
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let found = refused(between(&[1.0], &[1.0], &[1.0, bad]));
        assert!(matches!(found, Error::NotFinite { what: "b", row: 1, .. }), "{found}");
    }
    let concave = refused(between(&[-1.0], &[1.0], &[1.0, 1.0]));
    assert!(matches!(concave, Error::NotConvex { variable: 0, .. }), "{concave}");
    for tolerance in [0.0, f64::NAN, 2.0] {
        let options = ConicOptions { tolerance, ..default() };
        let found = program.solve(between(&[1.0], &[1.0], &[1.0, 1.0]), &options).unwrap_err();
        assert!(matches!(found, Error::OutOfRange { what: "tolerance", .. }), "{found}");
    }
}

#[test]
fn curvature_is_judged_by_sign_not_by_rounding() {
    let a = Pattern::empty(0, 2);
    let program = ConicProgram::new(Pattern::upper_triangle(2), a, vec![]).unwrap();
    let solve = |p: [f64; 3], q: [f64; 2]| {
        let values = Values { quadratic: &p, linear: &q, ..Default::default() };
        program.solve(values, &default())
    };
    // Indefinite, of all scales; and zero on the diagonal with something beside it.
    for scale in [1e-12, 1.0, 1e12] {
        let p = [scale, 1.1 * scale, scale];
        assert!(matches!(solve(p, [1.0, 1.0]), Err(Error::NotConvex { .. })), "scale {scale}");
    }
    assert!(matches!(solve([0.0, 1.0, 1.0], [0.0; 2]), Err(Error::NotConvex { .. })));
    // Singular is convex: (x_0 + x_1)^2 / 2 - (x_0 + x_1).
    let flat = solve([1.0, 1.0, 1.0], [-1.0, -1.0]).unwrap().solution().unwrap();
    assert!((flat.x()[0] + flat.x()[1] - 1.0).abs() < 1e-9);
    assert!(!flat.diagnostics().primal_unique);
    // And along (1, -1) the objective falls for ever.
    assert_eq!(solve([1.0, 1.0, 1.0], [-1.0, 0.0]).unwrap().status(), Status::Unbounded);
}

#[test]
fn a_batch_has_a_status_each() {
    let program = interval();
    let batch = [
        between(&[1.0], &[-3.0], &[2.0, 1.0]),
        between(&[1.0], &[-3.0], &[-2.0, 1.0]),
        between(&[f64::NAN], &[-3.0], &[2.0, 1.0]),
        between(&[1.0], &[0.5], &[2.0, 1.0]),
    ];
    let outcomes = program.solve_batch(&batch, &default());
    let x = |k: usize| outcomes[k].as_ref().unwrap().as_solution().unwrap().x()[0];
    assert!((x(0) - 2.0).abs() < 1e-12 && (x(3) + 0.5).abs() < 1e-12);
    assert!(matches!(outcomes[2], Err(Error::NotFinite { what: "P", .. })));
    let Ok(Outcome::Infeasible { certificate: z }) = &outcomes[1] else {
        panic!("{:?}", outcomes[1])
    };
    // z >= 0, z_0 = z_1, -2 z_0 + z_1 = -1.
    assert!((z[0] - 1.0).abs() < 1e-6 && (z[1] - 1.0).abs() < 1e-6, "{z:?}");
    assert!(matches!(
        outcomes.into_iter().nth(1).unwrap().unwrap().solution(),
        Err(Error::NoSolution { .. })
    ));
}

#[test]
fn unbounded_programs_have_a_direction() {
    // minimise -x_0 + x_1 over x >= 0.
    let a = Pattern::diagonal(2);
    let program = ConicProgram::new(Pattern::empty(2, 2), a, vec![Cone::Nonnegative(2)]).unwrap();
    let values = Values {
        linear: &[-1.0, 1.0],
        constraints: &[-1.0, -1.0],
        right: &[0.0, 0.0],
        ..Default::default()
    };
    let Outcome::Unbounded { certificate: x } = program.solve(values, &default()).unwrap() else {
        panic!("not unbounded")
    };
    assert!((x[0] - x[1] - 1.0).abs() < 1e-9 && x.iter().all(|x| *x >= -1e-6), "{x:?}");
}

#[test]
fn semidefinite_programs_have_statuses_too() {
    // s = (b_0, √2 x, b_2): a 2 x 2 matrix whose diagonal is given; its determinant bounds x.
    let (a, _) = Pattern::from_places(3, 1, &[(1, 0)]).unwrap();
    let cones = vec![Cone::Semidefinite(2)];
    let program = ConicProgram::new(Pattern::empty(1, 1), a, cones).unwrap();
    let solve = |right: [f64; 3]| {
        let constraints = [-std::f64::consts::SQRT_2];
        let values =
            Values { linear: &[1.0], constraints: &constraints, right: &right, quadratic: &[] };
        program.solve(values, &default()).unwrap()
    };
    let solved = solve([4.0, 0.0, 9.0]).solution().unwrap();
    assert!((solved.x()[0] + 6.0).abs() < 1e-9, "{:?}", solved.x());
    assert_eq!(solved.verdict().method, Method::Splitting);
    // dx/db_0 = -1/2 sqrt(b_2 / b_0).
    let pull = Upstream { x: Some(&[1.0]), ..Default::default() };
    let gradients = solved.pullback(pull).unwrap();
    assert!((gradients.right[0] + 0.75).abs() < 1e-9, "{:?}", gradients.right);
    assert!((gradients.right[2] + 1.0 / 3.0).abs() < 1e-9, "{:?}", gradients.right);
    assert_eq!(solve([-1.0, 0.0, 1.0]).status(), Status::Infeasible);

    // A free diagonal: s = (x_0, √2 x_1, 1) with x_0 as large as it takes; minimise x_1.
    let (a, _) = Pattern::from_places(3, 2, &[(0, 0), (1, 1)]).unwrap();
    let free = ConicProgram::new(Pattern::empty(2, 2), a, vec![Cone::Semidefinite(2)]).unwrap();
    let values = Values {
        quadratic: &[],
        linear: &[-1.0, 0.0],
        constraints: &[-1.0, -std::f64::consts::SQRT_2],
        right: &[0.0, 0.0, 1.0],
    };
    assert_eq!(free.solve(values, &default()).unwrap().status(), Status::Unbounded);
}

/// One variable in one row of a cone whose other rows cannot lie in it: `z` must prove that, and each is known.
#[test]
fn curved_cones_have_certificates() {
    let cases = [
        (Cone::SecondOrder(2), 1, vec![-1.0, 0.0], vec![1.0, 0.0]),
        (Cone::Power(0.3), 1, vec![-1.0, 0.0, 0.0], vec![1.0, 0.0, 0.0]),
        (Cone::Semidefinite(2), 2, vec![-1.0, 0.0, 0.0], vec![1.0, 0.0, 0.0]),
    ];
    let solve = |cone: Cone, place: usize, right: &[f64], linear: f64| {
        let (a, _) = Pattern::from_places(cone.rows(), 1, &[(place, 0)]).unwrap();
        let program = ConicProgram::new(Pattern::empty(1, 1), a, vec![cone]).unwrap();
        let values = Values { linear: &[linear], constraints: &[-1.0], right, quadratic: &[] };
        program.solve(values, &default()).unwrap()
    };
    for (cone, place, right, expected) in cases {
        let Outcome::Infeasible { certificate: z } = solve(cone, place, &right, 0.0) else {
            panic!("{cone:?} is not infeasible")
        };
        let off = z.iter().zip(&expected).fold(0.0_f64, |off, (a, b)| off.max((a - b).abs()));
        assert!(off < 1e-6, "{cone:?}: {z:?}");
    }
    // e^{x_0} <= -1: z = (0, v, v + 1) with v >= 0.
    let found = solve(Cone::Exponential, 0, &[0.0, 1.0, -1.0], 0.0);
    let Outcome::Infeasible { certificate: z } = found else { panic!("{found:?}") };
    assert!(z[0].abs() < 1e-6 && z[1] > -1e-6 && (z[2] - z[1] - 1.0).abs() < 1e-6, "{z:?}");
    // x_0 as large as one likes: |1| <= x_0, e^1 <= x_0, x_0^.3 >= 1, x_0 >= 1.
    let free = [
        (Cone::SecondOrder(2), 0, vec![0.0, 1.0]),
        (Cone::Exponential, 2, vec![1.0, 1.0, 0.0]),
        (Cone::Power(0.3), 0, vec![0.0, 1.0, 1.0]),
        (Cone::Semidefinite(2), 0, vec![0.0, 0.0, 1.0]),
    ];
    for (cone, place, right) in free {
        let found = solve(cone, place, &right, -2.0);
        let Outcome::Unbounded { certificate: x } = found else { panic!("{cone:?}: {found:?}") };
        assert!((x[0] - 0.5).abs() < 1e-9, "{cone:?}: {x:?}");
    }
}

#[test]
fn empty_parts_are_fine() {
    // No constraints at all.
    let free = ConicProgram::new(Pattern::diagonal(1), Pattern::empty(0, 1), vec![]).unwrap();
    let values = Values { quadratic: &[2.0], linear: &[-3.0], ..Default::default() };
    let solution = free.solve(values, &default()).unwrap().solution().unwrap();
    assert!((solution.x()[0] - 1.5).abs() < 1e-12);
    let pull = Upstream { x: Some(&[1.0]), ..Default::default() };
    let gradients = solution.pullback(pull).unwrap();
    assert!((gradients.linear[0] + 0.5).abs() < 1e-12);
    assert!((gradients.quadratic[0] + 0.75).abs() < 1e-12);

    // Cones of no rows, cones of one row, rows without entries (one of them a true constraint on nothing).
    let empty = [Cone::Zero(0), Cone::Nonnegative(0), Cone::SecondOrder(0), Cone::Semidefinite(0)];
    let one = [Cone::SecondOrder(1), Cone::Semidefinite(1), Cone::Nonnegative(1)];
    let (a, _) = Pattern::from_places(3, 1, &[(0, 0), (1, 0)]).unwrap();
    let cones = empty.iter().chain(&one).chain(&empty).copied().collect();
    let program = ConicProgram::new(Pattern::diagonal(1), a, cones).unwrap();
    let solve = |last: f64| {
        let right = [1.0, 5.0, last];
        let values =
            Values { quadratic: &[1.0], linear: &[-3.0], constraints: &[1.0, -1.0], right: &right };
        program.solve(values, &default()).unwrap()
    };
    let solution = solve(7.0).solution().unwrap();
    assert!((solution.x()[0] - 1.0).abs() < 1e-12 && (solution.s()[2] - 7.0).abs() < 1e-12);
    assert!(solution.pullback(pull).unwrap().diagnostics.is_regular());
    assert_eq!(solve(-7.0).status(), Status::Infeasible);

    // A program of zeros: everything is a solution.
    let zero = ConicProgram::new(Pattern::empty(2, 2), Pattern::empty(0, 2), vec![]).unwrap();
    let values = Values { linear: &[0.0, 0.0], ..Default::default() };
    let solution = zero.solve(values, &default()).unwrap().solution().unwrap();
    assert!(solution.x().iter().all(|x| x.is_finite()));
    let pull = Upstream { x: Some(&[1.0, 2.0]), ..Default::default() };
    let gradients = solution.pullback(pull).unwrap();
    assert!(gradients.linear.iter().all(|g| g.is_finite()));
    assert!(!gradients.diagnostics.primal_unique && !gradients.diagnostics.is_regular());
}

#[test]
fn repeated_constraints_share_and_say_so() {
    // minimise 1/2 (x - 3)^2 subject to x <= 1, twice over: the multipliers may be split in any way.
    let (a, _) = Pattern::from_places(2, 1, &[(0, 0), (1, 0)]).unwrap();
    let program = ConicProgram::new(Pattern::diagonal(1), a, vec![Cone::Zero(2)]).unwrap();
    let values =
        Values { quadratic: &[1.0], linear: &[-3.0], constraints: &[1.0, 1.0], right: &[1.0, 1.0] };
    let solution = program.solve(values, &default()).unwrap().solution().unwrap();
    let of_x = solution.pullback(Upstream { x: Some(&[1.0]), ..Default::default() }).unwrap();
    assert!(!of_x.diagnostics.dual_unique && of_x.diagnostics.primal_unique);
    assert!((of_x.right[0] - 0.5).abs() < 1e-6 && (of_x.right[1] - 0.5).abs() < 1e-6);
    // Their difference is not determined: it is taken away, and said.
    let of_z = solution.pullback(Upstream { z: Some(&[1.0, -1.0]), ..Default::default() }).unwrap();
    assert!(of_z.diagnostics.undetermined > 0.9, "{:?}", of_z.diagnostics);
    assert!(of_z.right.iter().all(|g| g.abs() < 1e-6), "{:?}", of_z.right);
}

#[test]
fn twin_bounds_are_a_kink_and_say_so() {
    // minimise 1/2 (x - 3)^2 subject to x <= b_0 and x <= b_1, both 1: x is the smaller of the two.
    let (a, _) = Pattern::from_places(2, 1, &[(0, 0), (1, 0)]).unwrap();
    let program = ConicProgram::new(Pattern::diagonal(1), a, vec![Cone::Nonnegative(2)]).unwrap();
    let values =
        Values { quadratic: &[1.0], linear: &[-3.0], constraints: &[1.0, 1.0], right: &[1.0, 1.0] };
    let solution = program.solve(values, &default()).unwrap().solution().unwrap();
    let of_x = solution.pullback(Upstream { x: Some(&[1.0]), ..Default::default() }).unwrap();
    assert!(!of_x.diagnostics.is_regular() && !of_x.diagnostics.dual_unique);
    assert!((of_x.right[0] + of_x.right[1] - 1.0).abs() < 1e-9, "{:?}", of_x.right);
}

#[test]
fn a_degenerate_vertex_is_finite_and_flagged() {
    // Three constraints through one point of the plane, and a face of equally good answers.
    let places: Vec<_> = (0..3).flat_map(|i| [(i, 0), (i, 1)]).collect();
    let (a, entries) = Pattern::from_places(3, 2, &places).unwrap();
    let program = ConicProgram::new(Pattern::empty(2, 2), a, vec![Cone::Nonnegative(3)]).unwrap();
    let given = [-1.0, 0.0, 0.0, -1.0, -1.0, -1.0];
    let mut constraints = [0.0; 6];
    entries.iter().zip(given).for_each(|(&k, value)| constraints[k] = value);
    for linear in [[1.0, 1.0], [2.0, 1.0], [1.0, 0.0]] {
        let values =
            Values { quadratic: &[], linear: &linear, constraints: &constraints, right: &[0.0; 3] };
        let solution = program.solve(values, &default()).unwrap().solution().unwrap();
        let pull =
            Upstream { x: Some(&[1.0, -2.0]), s: Some(&[1.0; 3]), z: Some(&[1.0, 2.0, 3.0]) };
        let gradients = solution.pullback(pull).unwrap();
        let all = [&gradients.linear, &gradients.constraints, &gradients.right];
        assert!(all.iter().all(|part| part.iter().all(|g| g.is_finite() && g.abs() < 1e6)));
        let diagnostics = gradients.diagnostics;
        let flagged = !(diagnostics.is_regular() && diagnostics.primal_unique);
        assert!(flagged, "{linear:?}: {diagnostics:?}, {solution:?}");
    }
}

#[test]
fn a_weakly_active_constraint_is_counted() {
    // The free minimum sits on the bound.
    let solution = interval().solve(between(&[1.0], &[-2.0], &[2.0, 1.0]), &default()).unwrap();
    let solution = solution.solution().unwrap();
    let pull = Upstream { x: Some(&[1.0]), ..Default::default() };
    let gradients = solution.pullback(pull).unwrap();
    assert_eq!(gradients.diagnostics.weakly_active, 1);
    // One of the one-sided derivatives, or something between them.
    assert!((-1.0 - 1e-9..=1e-9).contains(&gradients.linear[0]), "{:?}", gradients.linear);
}

#[test]
fn units_do_not_matter() {
    // x in other units, the objective in others, b in others: the same program.
    for seed in 0..60 {
        let drawn = draw::program(seed, draw::CURVED);
        let plain = drawn.program.solve(drawn.values(), &default()).unwrap().solution().unwrap();
        for (objective, right) in [(1e-6, 1.0), (1e6, 1.0), (1.0, 1e-6), (1.0, 1e6), (1e4, 1e-4)] {
            let times = |values: &[f64], by: f64| {
                values.iter().map(|value| value * by).collect::<Vec<f64>>()
            };
            // x and s scale with b; P / right keeps P x at the size of q.
            let (p, q) = (times(&drawn.p, objective / right), times(&drawn.q, objective));
            let b = times(&drawn.b, right);
            let values = Values { quadratic: &p, linear: &q, constraints: &drawn.a, right: &b };
            let outcome = drawn.program.solve(values, &default()).unwrap();
            let status = outcome.status();
            assert_eq!(status, Status::Solved, "seed {seed}: {objective}, {right}: {outcome:?}");
            let scaled = outcome.solution().unwrap();
            let (one, other) = (plain.verdict().objective, scaled.verdict().objective);
            let off = (other / (objective * right) - one).abs() / one.abs().max(1.0);
            assert!(off < 1e-7, "seed {seed}: off by {off:.1e} at {objective}, {right}");
        }
    }
}

#[test]
fn answers_do_not_depend_on_threads_or_history() {
    for seed in 0..12 {
        let drawn = draw::program(seed, draw::ALL);
        let batch: Vec<Vec<f64>> = (0..24)
            .map(|k| drawn.q.iter().map(|q| q * (1.0 + 0.01 * f64::from(k))).collect())
            .collect();
        let values: Vec<Values> =
            batch.iter().map(|q| Values { linear: q, ..drawn.values() }).collect();
        let bits = |program: &ConicProgram, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let outcomes = pool.install(|| program.solve_batch(&values, &default()));
            let x = |outcome: gleaner::Result<Outcome>| {
                let solution = outcome.unwrap().solution().ok()?;
                let pull = vec![1.0; solution.x().len()];
                let pull = Upstream { x: Some(&pull), ..Default::default() };
                let gradients = solution.pullback(pull).unwrap();
                let all = solution.x().iter().chain(solution.z()).chain(&gradients.right);
                Some(all.map(|x| x.to_bits()).collect::<Vec<_>>())
            };
            outcomes.into_iter().map(x).collect::<Vec<_>>()
        };
        let fresh = || {
            let program = &drawn.program;
            let (p, a) = (program.quadratic().clone(), program.constraints().clone());
            ConicProgram::new(p, a, program.cones().to_vec()).unwrap()
        };
        let (one, four) = (bits(&fresh(), 1), bits(&fresh(), 4));
        assert_eq!(one, four, "seed {seed}: threads");
        assert_eq!(one, bits(&drawn.program, 2), "seed {seed}: history");
        // Each with a workspace of its own.
        for (k, &values) in values.iter().enumerate().step_by(7) {
            let alone = fresh().solve(values, &default()).unwrap();
            let x = alone.as_solution().map(|s| s.x().iter().map(|x| x.to_bits()).collect());
            let x: Option<Vec<u64>> = x;
            let n = drawn.x.len();
            assert_eq!(x, one[k].as_ref().map(|all| all[..n].to_vec()), "seed {seed}: alone");
        }
    }
}

#[test]
fn a_start_next_to_the_answer_needs_no_interior_point() {
    let (mut warm, mut all) = (0, 0);
    for seed in 0..100 {
        let drawn = draw::program(seed, draw::CURVED);
        let first = drawn.program.solve(drawn.values(), &default()).unwrap().solution().unwrap();
        let q: Vec<f64> = drawn.q.iter().map(|q| q * 1.001).collect();
        let values = Values { linear: &q, ..drawn.values() };
        let cold = drawn.program.solve(values, &default()).unwrap();
        let from = drawn.program.solve_from(&first, values, &default()).unwrap();
        assert_eq!(cold.status(), from.status(), "seed {seed}");
        let (Some(cold), Some(from)) = (cold.as_solution(), from.as_solution()) else { continue };
        let (one, other) = (cold.verdict().objective, from.verdict().objective);
        assert!((one - other).abs() <= 1e-7 * one.abs().max(1.0), "seed {seed}: {one} {other}");
        all += 1;
        warm += u32::from(from.verdict().method == Method::Warm);
    }
    println!("{warm} of {all} warm");
    assert!(warm * 10 >= all * 8, "{warm} of {all}");
}

#[test]
fn perturbing_tends_to_the_derivative() {
    let mut compared = 0;
    for seed in 0..60 {
        let drawn = draw::program(seed, draw::ALL);
        let solution = drawn.program.solve(drawn.values(), &default()).unwrap().solution().unwrap();
        let (n, m) = (drawn.x.len(), drawn.s.len());
        let part = |size: usize| (0..size).map(|k| (k as f64).sin() + 0.3).collect::<Vec<_>>();
        let (g_x, g_s, g_z) = (part(n), part(m), part(m));
        let upstream = Upstream { x: Some(&g_x), s: Some(&g_s), z: Some(&g_z) };
        let exact = solution.pullback(upstream).unwrap();
        let diagnostics = exact.diagnostics;
        if !(diagnostics.is_regular() && diagnostics.primal_unique && diagnostics.dual_unique) {
            continue;
        }
        let Ok(moved) = solution.pullback_perturbed(upstream, 1e-5) else { continue };
        let parts = [
            (&exact.quadratic, &moved.quadratic),
            (&exact.linear, &moved.linear),
            (&exact.constraints, &moved.constraints),
            (&exact.right, &moved.right),
        ];
        let size = parts.iter().flat_map(|(e, _)| e.iter()).fold(1.0, |s: f64, e| s.max(e.abs()));
        // A program that bends fast needs a smaller step than this one.
        if size > 100.0 {
            continue;
        }
        compared += 1;
        for (exact, moved) in parts {
            for (e, m) in exact.iter().zip(moved) {
                assert!((e - m).abs() < 1e-4 * size, "seed {seed}: {e} {m} of {size}");
            }
        }
    }
    assert!(compared > 15, "{compared} compared");
}

#[test]
fn perturbing_a_vertex_says_which_way_to_go() {
    // The simplex: minimise q'x. The loss wants x_1, which is dearer by a little.
    let (a, _) = Pattern::from_places(3, 2, &[(0, 0), (0, 1), (1, 0), (2, 1)]).unwrap();
    let cones = vec![Cone::Zero(1), Cone::Nonnegative(2)];
    let program = ConicProgram::new(Pattern::empty(2, 2), a, cones).unwrap();
    let values = Values {
        quadratic: &[],
        linear: &[0.50, 0.55],
        constraints: &[1.0, -1.0, 1.0, -1.0],
        right: &[1.0, 0.0, 0.0],
    };
    let solution = program.solve(values, &default()).unwrap().solution().unwrap();
    let pull = Upstream { x: Some(&[1.0, 0.0]), ..Default::default() };
    assert!(solution.pullback(pull).unwrap().linear.iter().all(|g| g.abs() < 1e-9));
    let moved = solution.pullback_perturbed(pull, 0.5).unwrap();
    // Making x_0 dearer lowers the loss.
    assert!(moved.linear[0] < -0.1 && moved.linear[1] > 0.1, "{:?}", moved.linear);
}

#[test]
fn one_factor_serves_all_pullbacks() {
    let drawn = draw::program(3, draw::CURVED);
    let solution = drawn.program.solve(drawn.values(), &default()).unwrap().solution().unwrap();
    let n = drawn.x.len();
    let unit = |k: usize| (0..n).map(|j| f64::from(u8::from(j == k))).collect::<Vec<_>>();
    // Linear in the upstream gradient.
    let linear = |g: &[f64]| {
        solution.pullback(Upstream { x: Some(g), ..Default::default() }).unwrap().linear
    };
    let all = linear(&vec![1.0; n]);
    let mut sum = vec![0.0; n];
    (0..n).for_each(|k| sum.iter_mut().zip(linear(&unit(k))).for_each(|(s, g)| *s += g));
    let size = all.iter().fold(1.0, |size: f64, g| size.max(g.abs()));
    assert!(all.iter().zip(&sum).all(|(a, s)| (a - s).abs() < 1e-8 * size), "{all:?} {sum:?}");
}

//! Any numbers as a selection program: refused, or an answer that keeps to its rows and budget, with finite derivatives.

use gleaner::program::{
    Budget, BudgetRow, Norm, ProgramOptions, Regulariser, SelectionProgram, SolveOptions, Upstream,
};
use nalgebra::DMatrix;

use crate::bytes::Bytes;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (n, remembered) = (1 + bytes.choice(6), bytes.choice(4));
    let budget = match bytes.choice(3) {
        0 => Budget::Fraction(bytes.number()),
        1 => Budget::Absolute(bytes.number()),
        _ => {
            let row = |bytes: &mut Bytes| BudgetRow {
                coefficients: bytes.numbers(n),
                limit: bytes.number(),
            };
            Budget::Rows((0..1 + bytes.choice(2)).map(|_| row(&mut bytes)).collect())
        }
    };
    let options = ProgramOptions {
        norm: [Norm::One, Norm::Two, Norm::Infinity][bytes.choice(3)],
        regulariser: match bytes.choice(3) {
            0 => Regulariser::None,
            1 => Regulariser::Quadratic(bytes.number()),
            _ => Regulariser::Entropic(bytes.number()),
        },
        column_costs: bytes.is().then(|| bytes.numbers(n)),
        row_masses: bytes.is().then(|| bytes.numbers(n)),
        groups: bytes.is().then(|| (0..n).map(|_| bytes.choice(3)).collect()),
        allowed: bytes.is().then(|| DMatrix::from_fn(n, n + remembered, |_, _| !bytes.is())),
    };
    let costs = DMatrix::from_iterator(n, n + remembered, bytes.numbers(n * (n + remembered)));
    let Ok(program) = SelectionProgram::new(costs, budget, options) else { return };
    let Ok(answer) = program.solve(SolveOptions::default()) else { return };
    for (row, mass) in answer.assignment().row_iter().zip(program.row_masses().iter()) {
        assert!(
            (row.sum() - mass).abs() <= 1e-6 * mass.abs().max(1e-300),
            "row {} of {mass}",
            row.sum()
        );
        assert!(row.iter().all(|z| z.is_finite() && *z >= -1e-9 * mass), "{row}");
    }
    let upstream = DMatrix::from_element(n, n + remembered, 1.0);
    let upstream = Upstream { assignment: Some(&upstream), ..Default::default() };
    if let Ok(gradients) = answer.pullback(upstream) {
        assert!(gradients.costs.iter().all(|g| g.is_finite()) && gradients.eps.is_finite());
    }
}

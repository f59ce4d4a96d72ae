//! The problems, and the files through which every system gets the same ones.
//!
//! A folder holds `cases.csv` (one line a case) and, a case, raw little-endian `f64` in row-major order:
//! `NAME-costs` (n x (n + m)), `NAME-upstream` (dL/dZ, then dL/dw) and, where the solution moves with the
//! costs, `NAME-directions` (16 x n (n + m), each of length one). `solve` adds `NAME-slopes`: the
//! derivative of the loss along each direction.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gleaner::program::{
    Budget, Method, Norm, ProgramOptions, Regulariser, SelectionProgram, SolveOptions,
};
use nalgebra::{DMatrix, DVector};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Dimension of the points.
const DIMENSION: usize = 16;
/// eps as a share of the median cost.
const SMOOTHING: f64 = 0.1;
/// Budget as a share of n.
const BUDGET: f64 = 0.2;
/// Directions along one entry, on the support of the solution; as many dense ones follow.
pub const SPARSE: usize = 8;

/// What a case is made from.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub n: usize,
    pub m: usize,
    pub norm: Norm,
    pub smooth: bool,
}

impl Case {
    pub fn p(&self) -> &'static str {
        match self.norm {
            Norm::One => "1",
            Norm::Two => "2",
            Norm::Infinity => "inf",
        }
    }
}

const fn case(name: &'static str, n: usize, m: usize, norm: Norm, smooth: bool) -> Case {
    Case { name, n, m, norm, smooth }
}

/// What all systems get.
pub const SHARED: [Case; 6] = [
    case("p1-40", 40, 40, Norm::One, true),
    case("p2-40", 40, 40, Norm::Two, true),
    case("pinf-40", 40, 40, Norm::Infinity, true),
    case("p1-40-eps0", 40, 40, Norm::One, false),
    case("p1-128", 128, 128, Norm::One, true),
    case("pinf-128", 128, 128, Norm::Infinity, true),
];

/// What only we and clarabel get.
pub const LARGE: [Case; 5] = [
    case("p2-128", 128, 128, Norm::Two, true),
    case("p1-400", 400, 400, Norm::One, true),
    case("p2-400", 400, 400, Norm::Two, true),
    case("pinf-400", 400, 400, Norm::Infinity, true),
    case("pinf-1000", 1000, 1000, Norm::Infinity, true),
];

/// Forward only, in a process of its own.
pub const LARGEST: Case = case("pinf-1000-20000", 1000, 20_000, Norm::Infinity, true);

/// A case with its numbers.
pub struct Problem {
    pub case: Case,
    pub costs: DMatrix<f64>,
    pub eps: f64,
    pub budget: f64,
    pub upstream_assignment: DMatrix<f64>,
    pub upstream_weights: DVector<f64>,
    pub directions: Vec<DMatrix<f64>>,
}

impl Problem {
    /// Uniform points, squared Euclidean costs; a Gaussian upstream gradient.
    pub fn make(case: Case) -> Self {
        let Case { n, m, .. } = case;
        let draw = |purpose: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
            rng.set_stream(purpose);
            rng
        };
        let mut rng = draw(0);
        let points = DMatrix::from_fn(DIMENSION, n + m, |_, _| rng.random::<f64>());
        let costs = DMatrix::from_fn(n, n + m, |i, j| {
            let (a, b) = (points.column(i), points.column(j));
            a.iter().zip(b.iter()).map(|(a, b)| (a - b) * (a - b)).sum()
        });
        let mut sorted = costs.as_slice().to_vec();
        let middle = sorted.len() / 2;
        let median = *sorted.select_nth_unstable_by(middle, f64::total_cmp).1;
        let mut rng = draw(1);
        Self {
            case,
            costs,
            eps: if case.smooth { SMOOTHING * median } else { 0.0 },
            budget: BUDGET * n as f64,
            upstream_assignment: DMatrix::from_fn(n, n + m, |_, _| rng.sample(StandardNormal)),
            upstream_weights: DVector::from_fn(n, |_, _| rng.sample(StandardNormal)),
            directions: Vec::new(),
        }
    }

    /// Half of the directions change one cost of the support (elsewhere the derivative is zero), half
    /// change all costs.
    fn choose_directions(&mut self) -> Result<()> {
        let selection = self.program(self.costs.clone())?.solve(Method::Auto)?;
        let assignment = selection.assignment();
        let support: Vec<usize> = (0..assignment.len())
            .filter(|&k| assignment[k] > 1e-3 && assignment[k] < 0.999)
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.case.n as u64);
        rng.set_stream(2);
        let (rows, columns) = self.costs.shape();
        for &k in support.choose_multiple(&mut rng, SPARSE) {
            let mut direction = DMatrix::zeros(rows, columns);
            direction[k] = 1.0;
            self.directions.push(direction);
        }
        ensure!(self.directions.len() == SPARSE, "{}: too few shared rows", self.case.name);
        for _ in 0..SPARSE {
            let direction =
                DMatrix::<f64>::from_fn(rows, columns, |_, _| rng.sample(StandardNormal));
            self.directions.push(direction.normalize());
        }
        Ok(())
    }

    /// The program with these costs.
    pub fn program(&self, costs: DMatrix<f64>) -> Result<SelectionProgram> {
        let regulariser = match self.case.smooth {
            true => Regulariser::Quadratic(self.eps),
            false => Regulariser::None,
        };
        let options = ProgramOptions { norm: self.case.norm, regulariser, ..Default::default() };
        Ok(SelectionProgram::new(costs, Budget::Absolute(self.budget), options)?)
    }

    /// `<dL/dZ, Z> + <dL/dw, w>` at the solution for these costs, solved as exactly as rounding allows.
    pub fn loss(&self, costs: DMatrix<f64>) -> Result<f64> {
        let exactly =
            SolveOptions { method: Method::Structured, tolerance: 1e-14, ..Default::default() };
        let selection = self.program(costs)?.solve(exactly)?;
        Ok(self.upstream_assignment.dot(selection.assignment())
            + self.upstream_weights.dot(selection.weights()))
    }

    pub fn upstream_norm(&self) -> f64 {
        self.upstream_assignment.norm().hypot(self.upstream_weights.norm())
    }
}

/// Makes the shared problems and writes them into `folder`.
pub fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut lines = Vec::new();
    for case in SHARED {
        let mut problem = Problem::make(case);
        let file = |what: &str| folder.join(format!("{}-{what}", case.name));
        if case.smooth {
            problem.choose_directions()?;
            let by_rows: Vec<f64> = problem.directions.iter().flat_map(by_rows).collect();
            write_numbers(&file("directions"), &by_rows)?;
        }
        write_numbers(&file("costs"), &by_rows(&problem.costs))?;
        let mut upstream = by_rows(&problem.upstream_assignment);
        upstream.extend_from_slice(problem.upstream_weights.as_slice());
        write_numbers(&file("upstream"), &upstream)?;
        lines.push(vec![
            case.name.to_owned(),
            case.n.to_string(),
            case.m.to_string(),
            case.p().to_owned(),
            problem.eps.to_string(),
            problem.budget.to_string(),
        ]);
    }
    let header = ["case", "n", "m", "p", "eps", "budget"];
    gleaner::report::write_csv(folder.join("cases.csv"), &header, lines.into_iter())?;
    println!("wrote {} problems to {}", SHARED.len(), folder.display());
    Ok(())
}

/// Reads a shared problem back; its scalars come from `cases.csv` too.
pub fn read(folder: &Path, case: Case) -> Result<Problem> {
    let (n, width) = (case.n, case.n + case.m);
    let file = |what: &str| folder.join(format!("{}-{what}", case.name));
    let table = folder.join("cases.csv");
    let cases =
        fs::read_to_string(&table).with_context(|| format!("reading {}", table.display()))?;
    let line = cases.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let line = line.clone().find(|cells| cells.first() == Some(&case.name) && cells.len() == 6);
    let line = line.with_context(|| format!("no line for {} in {}", case.name, table.display()))?;
    let upstream = read_numbers(&file("upstream"), n * width + n)?;
    let directions = match case.smooth {
        true => read_numbers(&file("directions"), 2 * SPARSE * n * width)?,
        false => Vec::new(),
    };
    let matrix = |numbers: &[f64]| DMatrix::from_row_slice(n, width, numbers);
    Ok(Problem {
        case,
        costs: matrix(&read_numbers(&file("costs"), n * width)?),
        eps: line[4].parse()?,
        budget: line[5].parse()?,
        upstream_assignment: matrix(&upstream[..n * width]),
        upstream_weights: DVector::from_column_slice(&upstream[n * width..]),
        directions: directions.chunks(n * width).map(matrix).collect(),
    })
}

fn by_rows(matrix: &DMatrix<f64>) -> Vec<f64> {
    matrix.transpose().as_slice().to_vec()
}

pub fn write_numbers(path: &Path, numbers: &[f64]) -> Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

fn read_numbers(path: &Path, count: usize) -> Result<Vec<f64>> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(bytes.len() == 8 * count, "{}: {} bytes", path.display(), bytes.len());
    let number = |bytes: &[u8]| f64::from_le_bytes(std::array::from_fn(|k| bytes[k]));
    Ok(bytes.chunks_exact(8).map(number).collect())
}

//! The convex programs that the conic layer is compared on, with their parameters, and as files for the other side.
//!
//! Every case has a stream of its own of one seed, so that a new one does not move the others.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use gleaner::conic::model::*;
use gleaner::conic::{Cone, ConicOptions, Pattern};
use nalgebra::DMatrix;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Programs in a batch.
pub const BATCH: usize = 128;

/// Named numbers: a parameter's, a batch of them, row by row; or a constant's.
pub struct Given {
    pub name: String,
    pub dims: Vec<usize>,
    pub numbers: Vec<f64>,
}

impl Given {
    /// Those of one program.
    pub fn of(&self, k: usize) -> &[f64] {
        let length: usize = self.dims.iter().product();
        &self.numbers[k * length..(k + 1) * length]
    }

    /// The parameter of the first programs as a tensor; without a batch's dimension for `None`.
    pub fn tensor(&self, count: Option<usize>) -> Result<Tensor> {
        let length: usize = self.dims.iter().product();
        let numbers = self.numbers[..count.unwrap_or(1) * length].to_vec();
        let dims: Vec<usize> = count.into_iter().chain(self.dims.iter().copied()).collect();
        Ok(Tensor::from_vec(numbers, dims, &Device::Cpu)?)
    }
}

/// A problem with the numbers of its programs, and a fixed upstream gradient.
pub struct Case {
    pub name: &'static str,
    pub model: Model,
    /// In the model's order; gradients are asked for in all of them.
    pub parameters: Vec<Given>,
    /// What else the other side needs.
    constants: Vec<Given>,
    /// Programs that there are.
    pub batch: usize,
    /// `dL/d` all outputs, a row a program.
    pub upstream: Vec<f64>,
}

impl Case {
    /// Numbers of all outputs of a program.
    pub fn width(&self) -> usize {
        self.model.outputs().iter().map(|slot| slot.range.len()).sum()
    }

    /// All parameters of program `k` in a row.
    pub fn theta(&self, k: usize) -> Vec<f64> {
        self.parameters.iter().flat_map(|given| given.of(k)).copied().collect()
    }

    /// `<upstream, outputs>` of the first program at other parameters, solved as exactly as rounding allows.
    pub fn loss(&self, theta: &[f64]) -> Result<f64> {
        let answer = self.answer(theta)?;
        Ok(answer.iter().zip(&self.upstream).map(|(x, u)| x * u).sum())
    }

    /// All outputs at other parameters.
    pub fn answer(&self, theta: &[f64]) -> Result<Vec<f64>> {
        let exactly =
            ConicOptions { tolerance: 1e-13, interior_tolerance: 1e-9, ..Default::default() };
        let parameters: Vec<&[f64]> =
            self.model.parameters().iter().map(|slot| &theta[slot.range.clone()]).collect();
        let answer = self.model.solve(&parameters, &exactly)?;
        Ok((0..self.model.outputs().len()).flat_map(|k| answer.output(k)).copied().collect())
    }
}

/// Numbers of a case.
struct Draw(ChaCha8Rng);

impl Draw {
    fn normals(&mut self, n: usize, size: f64) -> Vec<f64> {
        (0..n).map(|_| size * self.0.sample::<f64, _>(StandardNormal)).collect()
    }

    fn uniform(&mut self, n: usize, low: f64, high: f64) -> Vec<f64> {
        (0..n).map(|_| self.0.random_range(low..high)).collect()
    }
}

/// One program's numbers, in the order of the parameters.
type Program = dyn Fn(&mut Draw) -> Vec<Vec<f64>>;

/// What a case says; the rest follows.
struct Written {
    problem: Problem,
    parameters: Vec<Parameter>,
    variables: Vec<Variable>,
    draw: Box<Program>,
    constants: Vec<Given>,
}

fn constant(name: &str, dims: &[usize], numbers: &[f64]) -> Given {
    Given { name: name.into(), dims: dims.to_vec(), numbers: numbers.to_vec() }
}

/// Name, problem, programs, part of the quick run.
type Entry = (&'static str, fn(&mut Draw) -> Written, usize, bool);

const CASES: [Entry; 15] = [
    ("markowitz-12", markowitz, BATCH, true),
    ("qp-100", quadratic, BATCH, true),
    ("ball-5", ball, BATCH, true),
    ("least-squares-100x20", least_squares, BATCH, false),
    ("logistic-30x2", logistic_regression, BATCH, true),
    ("entropy-50", entropy, BATCH, false),
    ("top-k-100", top_k, BATCH, true),
    ("policy-4", policy, BATCH, false),
    ("control-8", control, BATCH, true),
    ("isotonic-100", isotonic, BATCH, false),
    ("denoise-100", denoise, BATCH, false),
    ("transport-10x10", transport, BATCH, true),
    ("sdp-3", semidefinite, BATCH, true),
    ("lp-1000", capped_simplex, BATCH, false),
    ("sparse-10000", sparse, 1, true),
];

/// All cases, or those of the quick run.
pub fn all(quick: bool) -> Result<Vec<Case>> {
    let entries = CASES.iter().enumerate().filter(|(_, entry)| entry.3 || !quick);
    entries.map(|(stream, entry)| make(stream, *entry)).collect()
}

fn make(stream: usize, (name, write, batch, _): Entry) -> Result<Case> {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    rng.set_stream(stream as u64);
    let mut draw = Draw(rng);
    let written = write(&mut draw);
    let parameters: Vec<&Parameter> = written.parameters.iter().collect();
    let variables: Vec<&Variable> = written.variables.iter().collect();
    let model = written.problem.compile(&parameters, &variables)?;
    let mut given: Vec<Given> =
        model.parameters().iter().map(|slot| constant(&slot.name, &slot.dims, &[])).collect();
    for _ in 0..batch {
        for (given, numbers) in given.iter_mut().zip((written.draw)(&mut draw)) {
            given.numbers.extend(numbers);
        }
    }
    let width: usize = model.outputs().iter().map(|slot| slot.range.len()).sum();
    let upstream = draw.normals(batch * width, 1.0);
    let constants = written.constants;
    Ok(Case { name, model, parameters: given, constants, batch, upstream })
}

/// A portfolio with trading costs: forecasts, factors, risks of their own and what is held before.
fn markowitz(_: &mut Draw) -> Written {
    let (n, f) = (12, 3);
    let hold = Variable::vector("hold", n);
    let forecast = Parameter::vector("forecast", n);
    let factors = Parameter::matrix("factors", f, n);
    let (own, before) = (Parameter::vector("own_risk", n), Parameter::vector("before", n));
    let risk = sum_squares(&factors * &hold) + sum_squares(own.times(&hold));
    let trade = &hold - &before;
    let costs = 0.002 * norm1(&trade) + 0.02 * power(abs(&trade), 1.5).sum();
    let problem = Problem::maximise(forecast.dot(&hold) - 5.0 * risk - costs)
        .subject_to([hold.sum().equals(1.0), hold.ge(0.0)]);
    let draw = move |draw: &mut Draw| {
        let mut before = draw.uniform(n, 0.0, 1.0);
        let total: f64 = before.iter().sum();
        before.iter_mut().for_each(|b| *b /= total);
        vec![
            draw.uniform(n, 0.0, 0.12),
            draw.uniform(f * n, -0.1, 0.25),
            draw.uniform(n, 0.05, 0.2),
            before,
        ]
    };
    let parameters = vec![forecast, factors, own, before];
    Written { problem, parameters, variables: vec![hold], draw: Box::new(draw), constants: vec![] }
}

/// A dense quadratic program in a box, its entries adding up: `1/2 x'P x + q'x`, `0 <= x <= 1`, `sum x = 10`.
fn quadratic(draw: &mut Draw) -> Written {
    let n = 100;
    let root = DMatrix::from_row_slice(n, n, &draw.normals(n * n, 1.0));
    let p = root.transpose() * &root / n as f64 + DMatrix::identity(n, n) * 0.1;
    let (x, q) = (Variable::vector("x", n), Parameter::vector("q", n));
    let problem = Problem::minimise(0.5 * quad_form(&x, p.clone()) + q.dot(&x)).subject_to([
        x.ge(0.0),
        x.le(1.0),
        x.sum().equals(10.0),
    ]);
    let constants = vec![constant("P", &[n, n], p.as_slice())];
    Written {
        problem,
        parameters: vec![q],
        variables: vec![x],
        draw: Box::new(move |draw| vec![draw.normals(n, 1.0)]),
        constants,
    }
}

/// `1/2 |R x|^2 + p'x` in a ball.
fn ball(_: &mut Draw) -> Written {
    let n = 5;
    let x = Variable::vector("x", n);
    let (root, p) = (Parameter::matrix("root", n, n), Parameter::vector("p", n));
    let radius = Parameter::scalar("radius");
    let problem = Problem::minimise(0.5 * sum_squares(&root * &x) + p.dot(&x))
        .subject_to([norm2(&x).le(&radius)]);
    let draw = move |draw: &mut Draw| {
        vec![draw.normals(n * n, 1.0), draw.normals(n, 3.0), draw.uniform(1, 0.3, 0.7)]
    };
    let parameters = vec![root, p, radius];
    Written { problem, parameters, variables: vec![x], draw: Box::new(draw), constants: vec![] }
}

fn least_squares(_: &mut Draw) -> Written {
    let (m, n) = (100, 20);
    let x = Variable::vector("x", n);
    let (a, b) = (Parameter::matrix("a", m, n), Parameter::vector("b", m));
    let weight = Parameter::scalar("weight").nonnegative();
    let problem = Problem::minimise(sum_squares(&a * &x - &b) + &weight * sum_squares(&x));
    let draw = move |draw: &mut Draw| {
        vec![draw.normals(m * n, 1.0), draw.normals(m, 1.0), draw.uniform(1, 0.5, 1.5)]
    };
    let parameters = vec![a, b, weight];
    Written { problem, parameters, variables: vec![x], draw: Box::new(draw), constants: vec![] }
}

/// The data are the parameter.
fn logistic_regression(draw: &mut Draw) -> Written {
    let (m, n) = (30, 2);
    let w = Variable::vector("w", n);
    let points = Parameter::matrix("points", m, n);
    let labels: Vec<f64> = draw.normals(m, 1.0).iter().map(|v| v.signum()).collect();
    let margins = (&points * &w).times(&labels);
    let problem = Problem::minimise(logistic(-margins).sum() / m as f64 + 0.05 * sum_squares(&w));
    let constants = vec![constant("labels", &[m], &labels)];
    let of = move |draw: &mut Draw| {
        // Those of a label lie half a unit to its side.
        let mut points = draw.normals(m * n, 1.0);
        points.iter_mut().enumerate().for_each(|(k, p)| *p += 0.5 * labels[k / n]);
        vec![points]
    };
    Written { problem, parameters: vec![points], variables: vec![w], draw: Box::new(of), constants }
}

/// The distribution of largest entropy whose means stay within limits.
fn entropy(_: &mut Draw) -> Written {
    let (m, n) = (5, 50);
    let x = Variable::vector("x", n);
    let (f, g) = (Parameter::matrix("f", m, n), Parameter::vector("g", m));
    let problem =
        Problem::maximise(entr(&x).sum()).subject_to([(&f * &x).le(&g), x.sum().equals(1.0)]);
    let draw = move |draw: &mut Draw| {
        let f = draw.normals(m * n, 1.0);
        // Below the means of the uniform distribution, so that some bind.
        let mean = |row: &[f64]| row.iter().sum::<f64>() / n as f64;
        let g = f.chunks(n).zip(draw.uniform(m, -0.2, 0.1)).map(|(row, by)| mean(row) + by);
        let g = g.collect();
        vec![f, g]
    };
    let parameters = vec![f, g];
    Written { problem, parameters, variables: vec![x], draw: Box::new(draw), constants: vec![] }
}

/// The soft choice of ten of a hundred.
fn top_k(_: &mut Draw) -> Written {
    let n = 100;
    let (x, p) = (Variable::vector("x", n), Parameter::vector("p", n));
    let objective = p.dot(&x) + entr(&x).sum() + entr(1.0 - &x).sum();
    let problem = Problem::maximise(objective).subject_to([x.sum().equals(10.0)]);
    Written {
        problem,
        parameters: vec![p],
        variables: vec![x],
        draw: Box::new(move |draw| vec![draw.normals(n, 1.0)]),
        constants: vec![],
    }
}

/// One step of a regulator's policy: four states, two controls; the square root of what comes after is learned.
fn policy(draw: &mut Draw) -> Written {
    regulator(draw, 4, 2, None)
}

/// The same with eight states and bounded controls.
fn control(draw: &mut Draw) -> Written {
    regulator(draw, 8, 2, Some(0.3))
}

fn regulator(draw: &mut Draw, n: usize, m: usize, bound: Option<f64>) -> Written {
    let b = DMatrix::from_row_slice(n, m, &draw.normals(n * m, 1.0));
    let (u, next) = (Variable::vector("u", m), Variable::vector("next", n));
    let (root, free) = (Parameter::matrix("root", n, n), Parameter::vector("free", n));
    let problem = Problem::minimise(sum_squares(&u) + sum_squares(&root * &next))
        .subject_to([next.equals(&free + Expression::from(b.clone()) * &u)])
        .subject_to(bound.map(|bound| norm_inf(&u).le(bound)));
    let constants = vec![constant("b", &[n, m], b.transpose().as_slice())];
    Written {
        problem,
        parameters: vec![root, free],
        variables: vec![u, next],
        draw: Box::new(move |draw| vec![draw.normals(n * n, 1.0), draw.normals(n, 1.0)]),
        constants,
    }
}

fn isotonic(_: &mut Draw) -> Written {
    let n = 100;
    let (x, p) = (Variable::vector("x", n), Parameter::vector("p", n));
    let problem =
        Problem::minimise(sum_squares(&x - &p)).subject_to([x.rows(1..n).ge(x.rows(0..n - 1))]);
    let draw = move |draw: &mut Draw| {
        let noise = draw.normals(n, 1.0);
        vec![noise.iter().enumerate().map(|(k, e)| 0.03 * k as f64 + e).collect()]
    };
    Written {
        problem,
        parameters: vec![p],
        variables: vec![x],
        draw: Box::new(draw),
        constants: vec![],
    }
}

/// A step under noise, found again by total variation; how much of it is a parameter too.
fn denoise(_: &mut Draw) -> Written {
    let n = 100;
    let (x, p) = (Variable::vector("x", n), Parameter::vector("p", n));
    let weight = Parameter::scalar("weight").nonnegative();
    let jumps = norm1(x.rows(1..n) - x.rows(0..n - 1));
    let problem = Problem::minimise(sum_squares(&x - &p) + &weight * jumps);
    let draw = move |draw: &mut Draw| {
        let noise = draw.normals(n, 0.1).into_iter().enumerate();
        let noisy = noise.map(|(k, e)| f64::from(u8::from(k > 40)) + e).collect();
        vec![noisy, draw.uniform(1, 0.3, 0.7)]
    };
    let parameters = vec![p, weight];
    Written { problem, parameters, variables: vec![x], draw: Box::new(draw), constants: vec![] }
}

/// Entropic transport between uniform masses.
fn transport(_: &mut Draw) -> Written {
    let n = 10;
    let (t, c) = (Variable::matrix("t", n, n), Parameter::matrix("c", n, n));
    let problem = Problem::minimise(c.times(&t).sum() - 0.2 * entr(&t).sum())
        .subject_to([t.row_sums().equals(1.0), t.column_sums().equals(1.0)]);
    Written {
        problem,
        parameters: vec![c],
        variables: vec![t],
        draw: Box::new(move |draw| vec![draw.uniform(n * n, 0.0, 1.0)]),
        constants: vec![],
    }
}

/// `trace(C X)` over positive semidefinite matrices of trace one.
fn semidefinite(_: &mut Draw) -> Written {
    let n = 3;
    let (x, c) = (Variable::semidefinite("x", n), Parameter::matrix("c", n, n));
    let problem = Problem::minimise((&c * &x).trace()).subject_to([x.trace().equals(1.0)]);
    let draw = move |draw: &mut Draw| {
        let half = DMatrix::from_row_slice(n, n, &draw.normals(n * n, 1.0));
        vec![(&half + half.transpose()).as_slice().to_vec()]
    };
    Written {
        problem,
        parameters: vec![c],
        variables: vec![x],
        draw: Box::new(draw),
        constants: vec![],
    }
}

/// The hundred cheapest of a thousand, as a linear program.
fn capped_simplex(_: &mut Draw) -> Written {
    let n = 1000;
    let (x, c) = (Variable::vector("x", n), Parameter::vector("c", n));
    let problem =
        Problem::minimise(c.dot(&x)).subject_to([x.sum().equals(100.0), x.ge(0.0), x.le(1.0)]);
    Written {
        problem,
        parameters: vec![c],
        variables: vec![x],
        draw: Box::new(move |draw| vec![draw.normals(n, 1.0)]),
        constants: vec![],
    }
}

/// Ten thousand variables in a box, three thousand equalities of four near ones each.
fn sparse(draw: &mut Draw) -> Written {
    let (n, m, reach) = (10_000, 3000, 30);
    let (mut entries, mut feasible) = (Vec::new(), vec![0.0; m]);
    for (i, total) in feasible.iter_mut().enumerate() {
        let first = i * (n - reach) / m;
        for place in rand::seq::index::sample(&mut draw.0, reach, 4) {
            let value: f64 = draw.0.sample(StandardNormal);
            entries.push((i, first + place, value));
            *total += value * 0.5;
        }
    }
    let (x, q) = (Variable::vector("x", n), Parameter::vector("q", n));
    let b = Parameter::vector("b", m);
    let a = Expression::sparse(m, n, &entries);
    let problem = Problem::minimise(0.5 * sum_squares(&x) + q.dot(&x)).subject_to([
        (a * &x).equals(&b),
        x.ge(0.0),
        x.le(1.0),
    ]);
    let triplets: Vec<f64> =
        entries.iter().flat_map(|&(i, j, v)| [i as f64, j as f64, v]).collect();
    Written {
        problem,
        parameters: vec![q, b],
        variables: vec![x],
        draw: Box::new(move |draw| vec![draw.normals(n, 1.0), feasible.clone()]),
        constants: vec![constant("a", &[4 * m, 3], &triplets)],
    }
}

/// Writes every case into `folder`: numbers little-endian, row by row, and `conic-cases.csv` that names them.
pub fn write(folder: &Path, cases: &[Case]) -> Result<()> {
    let mut lines = Vec::new();
    for case in cases {
        let mut line = |kind: &str, name: &str, dims: &[usize]| {
            let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
            let cells = [case.name, &case.batch.to_string(), kind, name, &dims.join("x")];
            lines.push(cells.map(str::to_owned).to_vec());
        };
        for (kind, all) in [("parameter", &case.parameters), ("constant", &case.constants)] {
            for given in all {
                line(kind, &given.name, &given.dims);
                write_numbers(folder, case.name, &given.name, &given.numbers)?;
            }
        }
        case.model.outputs().iter().for_each(|slot| line("variable", &slot.name, &slot.dims));
        write_numbers(folder, case.name, "upstream", &case.upstream)?;
        write_program(folder, case)?;
    }
    let header = ["case", "batch", "kind", "name", "dims"];
    Ok(gleaner::report::write_csv(folder.join("conic-cases.csv"), &header, lines.into_iter())?)
}

pub fn write_numbers(folder: &Path, case: &str, what: &str, numbers: &[f64]) -> Result<()> {
    let path = folder.join(format!("{case}-{what}"));
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// The compiled program, for those who take no modelling language: patterns, cones, and `P, q, A, b` as a constant and
/// a sparse matrix times the parameters.
fn write_program(folder: &Path, case: &Case) -> Result<()> {
    let program = case.model.program();
    let write = |what: &str, numbers: &[f64]| write_numbers(folder, case.name, what, numbers);
    let whole = |numbers: &[usize]| numbers.iter().map(|&k| k as f64).collect::<Vec<f64>>();
    let pattern = |what: &str, pattern: &Pattern| {
        write(&format!("{what}-starts"), &whole(pattern.starts()))?;
        write(&format!("{what}-indices"), &whole(pattern.indices()))
    };
    pattern("quadratic", program.quadratic())?;
    pattern("constraints", program.constraints())?;
    let cones: Vec<f64> = program.cones().iter().flat_map(|&cone| numbered(cone)).collect();
    write("cones", &cones)?;
    let mut theta = vec![0.0; case.theta(0).len()];
    let data = |theta: &[f64]| -> Result<Vec<f64>> {
        let data = case.model.data(theta)?;
        let values = data.values();
        Ok([values.quadratic, values.linear, values.constraints, values.right].concat())
    };
    let constant = data(&theta)?;
    let mut map = Vec::new();
    for from in 0..theta.len() {
        theta[from] = 1.0;
        let moved = data(&theta)?;
        theta[from] = 0.0;
        for (to, (now, before)) in moved.iter().zip(&constant).enumerate() {
            if now != before {
                map.extend([to as f64, from as f64, now - before]);
            }
        }
    }
    write("data", &constant)?;
    write("map", &map)?;
    write("columns", &whole(&columns(case)?))
}

fn numbered(cone: Cone) -> [f64; 2] {
    match cone {
        Cone::Zero(rows) => [0.0, rows as f64],
        Cone::Nonnegative(rows) => [1.0, rows as f64],
        Cone::SecondOrder(rows) => [2.0, rows as f64],
        Cone::Exponential => [3.0, 3.0],
        Cone::Power(alpha) => [4.0, alpha],
        Cone::Semidefinite(order) => [5.0, order as f64],
        _ => [f64::NAN; 2],
    }
}

/// Which variable of the program each output is: the first not yet taken, if there is one, that has its value in all
/// programs.
fn columns(case: &Case) -> Result<Vec<usize>> {
    let (mut outputs, mut answers) = (Vec::new(), Vec::new());
    for k in 0..case.batch.min(8) {
        let data = case.model.data(&case.theta(k))?;
        let solution =
            case.model.program().solve(data.values(), &Default::default())?.solution()?;
        outputs.push(case.model.read(&solution));
        answers.push(solution.x().to_vec());
    }
    let n = case.model.program().variables();
    let mut taken = vec![false; n];
    let column = |output: usize| -> Result<usize> {
        let same = |&j: &usize| outputs.iter().zip(&answers).all(|(out, x)| out[output] == x[j]);
        let found = (0..n).filter(|&j| !taken[j]).find(same).or_else(|| (0..n).find(same));
        let found = found.with_context(|| format!("{}: output {output}", case.name))?;
        taken[found] = true;
        Ok(found)
    };
    (0..case.width()).map(column).collect()
}

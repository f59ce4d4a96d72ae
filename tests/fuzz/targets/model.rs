//! Any expression: refused by a rule, or its value at the answer is finite and its parameters have finite derivatives.

use gleaner::conic::ConicOptions;
use gleaner::conic::model::*;

use crate::bytes::Bytes;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (x, y) = (Variable::vector("x", 3), Variable::scalar("y"));
    let (p, q) = (Parameter::vector("p", 3), Parameter::scalar("q").nonnegative());
    let mut stack: Vec<Expression> = vec![(&x).into(), (&p).into(), (&y).into(), (&q).into()];
    for _ in 0..bytes.choice(12) {
        let first = stack[bytes.choice(stack.len())].clone();
        let second = stack[bytes.choice(stack.len())].clone();
        let made = match bytes.choice(36) {
            0 => first + second,
            1 => first - second,
            2 => first * second,
            3 => -first,
            4 => first * bytes.number(),
            5 => first.sum(),
            6 => first.t(),
            7 => first.times(second),
            8 => first.at(bytes.choice(3)),
            9 => first.dot(second),
            10 => abs(first),
            11 => norm1(first),
            12 => norm2(first),
            13 => norm_inf(first),
            14 => square(first),
            15 => sum_squares(first),
            16 => quad_over_lin(first, second),
            17 => max(first),
            18 => min(first),
            19 => maximum([first, second]),
            20 => minimum([first, second]),
            21 => pos(first),
            22 => huber(first, bytes.number()),
            23 => exp(first),
            24 => log(first),
            25 => log_sum_exp(first),
            26 => entr(first),
            27 => rel_entr(first, second),
            28 => kl_div(first, second),
            29 => logistic(first),
            30 => power(first, bytes.number()),
            31 => sqrt(first),
            32 => inv_pos(first),
            33 => geo_mean(first),
            34 => vstack([first, second]),
            _ => first.reshape(bytes.choice(4), bytes.choice(4)),
        };
        stack.push(made);
    }
    let objective = stack[stack.len() - 1].clone();
    let mut constraints =
        vec![stack[0].le(4.0), stack[0].ge(-4.0), stack[2].le(4.0), stack[2].ge(-4.0)];
    for _ in 0..bytes.choice(3) {
        let (left, right) =
            (stack[bytes.choice(stack.len())].clone(), stack[bytes.choice(stack.len())].clone());
        constraints.push(match bytes.choice(3) {
            0 => left.le(right),
            1 => left.ge(right),
            _ => left.equals(right),
        });
    }
    let problem = match bytes.is() {
        true => Problem::minimise(objective),
        false => Problem::maximise(objective),
    };
    let problem = problem.subject_to(constraints);
    let Ok(model) = problem.compile(&[&p, &q], &[&x, &y]) else { return };
    let (values, one) = (bytes.numbers(3), [bytes.number()]);
    let Ok(answer) = model.solve(&[&values, &one], &ConicOptions::default()) else { return };
    assert!(
        answer.variable(0).iter().chain(answer.variable(1)).all(|x| x.is_finite() && x.abs() < 4.1)
    );
    if let Ok(gradients) = answer.pullback(&[&[1.0; 3], &[1.0]], Derivative::Exact) {
        assert!(gradients.iter().flatten().all(|g| g.is_finite()));
    }
}

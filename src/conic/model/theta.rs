//! Numbers that are affine in the parameters: a sparse map there, and its transpose back.

/// `out = constant + M theta`, with an entry of `M` for each link.
#[derive(Clone, Debug, Default)]
pub(super) struct ThetaMap {
    constant: Vec<f64>,
    links: Vec<Link>,
}

/// `out[to] += value * theta[from]`.
#[derive(Clone, Copy, Debug)]
struct Link {
    to: usize,
    from: usize,
    value: f64,
}

impl ThetaMap {
    pub(super) fn zero(length: usize) -> Self {
        Self { constant: vec![0.0; length], links: Vec::new() }
    }

    /// Adds `value`, or `value` times a parameter (counted from one; zero is none).
    pub(super) fn add(&mut self, to: usize, parameter: usize, value: f64) {
        match parameter.checked_sub(1) {
            Some(from) => self.links.push(Link { to, from, value }),
            None => self.constant[to] += value,
        }
    }

    pub(super) fn apply(&self, theta: &[f64]) -> Vec<f64> {
        let mut out = self.constant.clone();
        for link in &self.links {
            out[link.to] += link.value * theta[link.from];
        }
        out
    }

    /// `theta += M' upstream`.
    pub(super) fn add_transposed(&self, upstream: &[f64], theta: &mut [f64]) {
        for link in &self.links {
            theta[link.from] += link.value * upstream[link.to];
        }
    }
}

//! A group of columns under a barrier: what [`interior`](super::interior) iterates on.
//!
//! What a step of `nu` and `lambda` does to a group has the form that [`prox`](super::prox) gives it,
//!
//! ```text
//! dZ = (diag(d) + rho u u') (dnu + right) - border u (G'dlambda - off)
//! ds = border u'(dnu + right) - corner (G'dlambda - off)
//! ```
//!
//! (for p = inf once the weight is solved for), and nothing cancels in `d`, `u`, `rho`, `border` and `corner`.

use super::prox::Block;
use super::{Norm, Regulariser};

/// An entry of the assignment with everything that belongs to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Variable {
    pub row: usize,
    pub column: usize,
    pub cost: f64,
    /// `Z`, and the multiplier of `Z >= 0`.
    pub z: f64,
    pub s: f64,
    /// p = inf: `s_g - Z`, and its multiplier.
    pub room: f64,
    pub y: f64,
    /// The entry's part of the block.
    pub d: f64,
    pub u: f64,
    /// What stationarity is off by, complementarity included.
    pub right: f64,
    pub step: Step,
}

/// An entry's part of a direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    pub z: f64,
    pub s: f64,
    pub room: f64,
    pub y: f64,
}

/// The columns of a group, or the remembered ones.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub group: Option<usize>,
    pub norm: Norm,
    pub variables: Vec<Variable>,
    pub block: Block,
    /// p = inf: the cap, and what `sum Y = tau` is off by, complementarity included.
    pub cap: f64,
    pub off: f64,
    /// How the direction changes the weight.
    pub step: f64,
}

const NO_BLOCK: Block = Block { norm: 0.0, rho: 0.0, border: 0.0, corner: 0.0 };

impl Part {
    pub fn new(group: Option<usize>, norm: Norm, variables: Vec<Variable>) -> Self {
        Self { group, norm, variables, block: NO_BLOCK, cap: 0.0, off: 0.0, step: 0.0 }
    }

    pub fn capped(&self) -> bool {
        self.norm == Norm::Infinity && self.group.is_some()
    }

    /// `s_g`.
    pub fn weight(&self) -> f64 {
        match self.norm {
            Norm::Infinity => self.cap,
            norm => norm.of(self.variables.iter().map(|x| x.z)),
        }
    }

    /// The block at the threshold `tau`, with `bend = eps phi''`.
    pub fn bend(&mut self, tau: f64, bend: impl Fn(f64) -> f64) {
        let own = |x: &Variable| x.s / x.z + bend(x.z);
        let weight = self.weight();
        self.block = match self.norm {
            _ if self.variables.is_empty() => NO_BLOCK,
            Norm::Infinity if self.capped() => self.bend_capped(own),
            Norm::Two if self.group.is_some() => self.bend_round(tau / weight, weight, own),
            _ => self.bend_plain(own),
        };
    }

    fn bend_plain(&mut self, own: impl Fn(&Variable) -> f64) -> Block {
        let mut corner = 0.0;
        for x in &mut self.variables {
            x.d = 1.0 / own(x);
            x.u = x.d;
            corner += x.d;
        }
        // Remembered columns have no weight.
        if self.group.is_some() { Block { border: 1.0, corner, ..NO_BLOCK } } else { NO_BLOCK }
    }

    fn bend_capped(&mut self, own: impl Fn(&Variable) -> f64) -> Block {
        let mut stiff = 0.0;
        for x in &mut self.variables {
            let (own, cap) = (own(x), x.y / x.room);
            x.d = 1.0 / (own + cap);
            x.u = cap * x.d;
            stiff += own * x.u;
        }
        Block { rho: 1.0 / stiff, border: 1.0 / stiff, corner: 1.0 / stiff, ..NO_BLOCK }
    }

    /// The inverse of `diag(own + turn) - turn v v'` with `v = Z / s`, by Sherman-Morrison.
    fn bend_round(&mut self, turn: f64, weight: f64, own: impl Fn(&Variable) -> f64) -> Block {
        // rest = 1 - turn v'u, summed without the cancellation.
        let (mut pull, mut rest) = (0.0, 0.0);
        for x in &mut self.variables {
            let (own, along) = (own(x), x.z / weight);
            x.d = 1.0 / (own + turn);
            x.u = x.d * along;
            pull += x.u * along;
            rest += along * along * own * x.d;
        }
        let rho = turn / rest;
        let border = 1.0 + rho * pull;
        Block { rho, border, corner: border * pull, ..NO_BLOCK }
    }

    /// Right sides of a direction towards products of `mu`, less a `share` of what the last direction's products came to;
    /// the steps of the multipliers begin with what follows from that alone.
    pub fn aim(
        &mut self,
        (mu, share): (f64, f64),
        (tau, nu): (f64, &[f64]),
        (eps, regulariser): (f64, Regulariser),
    ) {
        let (weight, capped) = (self.weight(), self.capped());
        self.step = 0.0;
        self.off = if capped { -tau } else { 0.0 };
        for x in &mut self.variables {
            let ds = (mu - share * x.step.z * x.step.s) / x.z - x.s;
            let dy =
                if capped { (mu - share * x.step.room * x.step.y) / x.room - x.y } else { 0.0 };
            let pull = match (self.group, self.norm) {
                (None, _) => 0.0,
                (_, Norm::One) => tau,
                (_, Norm::Two) => tau * x.z / weight,
                (_, Norm::Infinity) => x.y,
            };
            let slope = if eps > 0.0 { eps * regulariser.slope(x.z) } else { 0.0 };
            x.right = nu[x.row] + (x.s + ds) - (pull + dy) - x.cost - slope;
            x.step = Step { z: 0.0, s: ds, room: 0.0, y: dy };
            self.off += if capped { x.y + dy } else { 0.0 };
        }
    }

    /// Takes off the rows what the right sides alone do to them; returns what they do to the weight.
    pub fn promise(&self, rows: &mut [f64]) -> f64 {
        let along: f64 = self.variables.iter().map(|x| x.u * x.right).sum();
        let Block { rho, border, corner, .. } = self.block;
        let lift = rho * along + border * self.off;
        self.variables.iter().for_each(|x| rows[x.row] -= x.d * x.right + lift * x.u);
        border * along + corner * self.off
    }

    /// Adds what follows from steps of the rows' multipliers and of the threshold, and from a `share` of the right sides.
    pub fn follow(&mut self, rows: &[f64], threshold: f64, share: f64) {
        let paid = threshold - share * self.off;
        let along: f64 = self.variables.iter().map(|x| x.u * (rows[x.row] + share * x.right)).sum();
        let Block { rho, border, corner, .. } = self.block;
        let (lift, weight) = (rho * along - border * paid, border * along - corner * paid);
        let capped = self.capped();
        self.step += weight;
        for x in &mut self.variables {
            let z = x.d * (rows[x.row] + share * x.right) + lift * x.u;
            x.step.z += z;
            x.step.s -= x.s / x.z * z;
            if capped {
                x.step.room += weight - z;
                x.step.y -= x.y / x.room * (weight - z);
            }
        }
    }

    pub fn go(&mut self, [primal, dual]: [f64; 2]) {
        let capped = self.capped();
        self.cap += primal * self.step;
        for x in &mut self.variables {
            x.z += primal * x.step.z;
            x.s += dual * x.step.s;
            x.room += primal * x.step.room;
            x.y += dual * x.step.y;
            // Rounding leaves the sum off by digits of the cap as it was, which may be orders more than is left of it.
            match x.room < x.z {
                _ if !capped => {}
                true => x.z = self.cap - x.room,
                false => x.room = self.cap - x.z,
            }
        }
    }
}

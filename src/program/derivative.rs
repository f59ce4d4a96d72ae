//! What a solution says of its derivative, and the ways to it.

use super::gradients::{Gradients, Upstream};
use super::margins::Margins;
use super::selection::{Diagnostics, Face, Selection};
use super::{SolveOptions, adjoint, perturbed, vertex};
use crate::error::{Error, Result};

impl Selection {
    /// Live rows, weak activity and margin of the solution. `O(n (n + m))` the first time.
    pub fn diagnostics(&self) -> Diagnostics {
        let margins = self.margins.get_or_init(|| match &self.face {
            Face::Smooth(face) => Margins::of(&self.scaled, &face.0, Diagnostics::WEAK),
            Face::Vertex => vertex::margins(self, Diagnostics::WEAK),
        });
        Diagnostics {
            live_rows: self.live_rows(),
            weakly_active: margins.weak,
            margin: margins.smallest,
            backward_residual: 0.0,
            conditioning: 1.0,
        }
    }

    fn live_rows(&self) -> usize {
        let mut columns = vec![0u32; self.program().incoming()];
        match &self.face {
            Face::Smooth(face) => {
                let live = face.0.entries.iter().filter(|e| e.value > vertex::LIVE);
                live.for_each(|e| columns[e.row()] += 1);
            }
            Face::Vertex => {
                for column in self.assignment().column_iter() {
                    let rows = columns.iter_mut().zip(&column);
                    rows.for_each(|(count, &z)| *count += u32::from(z > vertex::LIVE));
                }
            }
        }
        columns.iter().filter(|&&count| count >= 2).count()
    }

    /// The gradient of a loss with respect to every parameter of the program, by implicit
    /// differentiation of the KKT conditions at the solution.
    ///
    /// With a regulariser the result is exact wherever the solution is strictly complementary, and an
    /// element of the generalised derivative elsewhere (see [`Diagnostics::weakly_active`]). Without
    /// one the solution moves with row masses and budgets but, almost everywhere, not with the costs
    /// (p = 1, inf): their gradient is then zero, exactly.
    ///
    /// # Cost
    /// A few solves with the forward pass's last factor, or one more factorisation, see
    /// [`SelectionProgram::solve`](super::SelectionProgram::solve); without a regulariser a dense singular value decomposition of the size
    /// of the support.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NotFinite`] for a bad upstream gradient; [`Error::NotFinite`] where a slope is beyond the
    /// largest number, as with `eps` near the smallest. What is returned is finite.
    pub fn pullback(&self, upstream: Upstream) -> Result<Gradients> {
        self.check(upstream)?;
        let told = self.diagnostics();
        match &self.face {
            Face::Smooth(face) => adjoint::pullback(told, &self.scaled, &face.0, &face.1, upstream),
            Face::Vertex => vertex::pullback(self, told, upstream),
        }?
        .checked()
    }

    /// A gradient by perturbing the program along the loss and solving it again, twice (LPGD): a second
    /// choice for linear programs and plateaus, where the exact gradient is zero. It is as exact as
    /// [`pullback`](Self::pullback) in the limit of small sizes; larger ones look further, across the
    /// changes of the active set that the exact derivative cannot see.
    ///
    /// `size` is the largest change of a cost, in units of the mean cost: 0.1 is a good start without a
    /// regulariser. The backward residual and conditioning in the diagnostics have no meaning here.
    ///
    /// # Cost
    /// Two solves, started from this solution's multipliers.
    ///
    /// # Errors
    /// As [`pullback`](Self::pullback) and [`SelectionProgram::solve`](super::SelectionProgram::solve); [`Error::OutOfRange`] for a size
    /// that is not positive; [`Error::OutOfRange`] where the upstream gradient pushes a cost out of reach.
    ///
    /// # Reference
    /// A. Paulus, G. Martius, V. Musil, *LPGD: A General Framework for Backpropagation through Embedded
    /// Optimization Layers*, ICML 2024, arXiv 2407.05920.
    ///
    /// # Example
    /// A linear program whose exact gradient is zero: the perturbed one knows which costs would matter.
    /// ```
    /// use gleaner::program::{Budget, Method, Norm, ProgramOptions, Regulariser, SelectionProgram, Upstream};
    /// use nalgebra::{DVector, dmatrix};
    ///
    /// let costs = dmatrix![0.0, 2.0, 1.0; 2.0, 0.0, 1.1];
    /// let (norm, regulariser) = (Norm::One, Regulariser::None);
    /// let options = ProgramOptions { norm, regulariser, ..Default::default() };
    /// let program = SelectionProgram::new(costs, Budget::Absolute(1.0), options)?;
    /// let selection = program.solve(Method::Auto)?;
    /// assert_eq!(selection.weights().as_slice(), [0.0, 1.0]); // the second is farther from memory
    ///
    /// let wish = DVector::from_vec(vec![-1.0, 1.0]); // the loss would rather have the first
    /// let upstream = Upstream { weights: Some(&wish), assignment: None };
    /// assert!(selection.pullback(upstream)?.costs.amax() < 1e-12);
    /// let gradient = selection.pullback_perturbed(upstream, 0.2, Method::Auto)?.costs;
    /// assert!(gradient[(0, 0)] > 0.0 && gradient[(0, 2)] < 0.0); // dearer in memory, cheaper by itself
    /// # Ok::<(), gleaner::Error>(())
    /// ```
    pub fn pullback_perturbed(
        &self,
        upstream: Upstream,
        size: f64,
        options: impl Into<SolveOptions>,
    ) -> Result<Gradients> {
        self.check(upstream)?;
        super::positive("perturbation size", size)?;
        let told = self.diagnostics();
        perturbed::pullback((self, told), &self.scaled, upstream, size, options.into())?.checked()
    }

    /// Shape and finiteness of an upstream gradient.
    fn check(&self, upstream: Upstream) -> Result<()> {
        if let Some(matrix) = upstream.assignment {
            let expected = self.program().costs.shape();
            if matrix.shape() != expected {
                let found = matrix.shape();
                return Err(Error::shape("upstream gradient of the assignment", expected, found));
            }
            super::finite("upstream gradient of the assignment", matrix)?;
        }
        if let Some(vector) = upstream.weights {
            if vector.len() != self.weights().len() {
                let (expected, found) = (self.weights().len(), vector.len());
                return Err(Error::shape("upstream gradient of the weights", expected, found));
            }
            super::finite_entries("upstream gradient of the weights", vector.as_slice())?;
        }
        Ok(())
    }
}

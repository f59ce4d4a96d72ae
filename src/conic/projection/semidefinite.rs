//! Symmetric positive semidefinite matrices, a cone that is its own dual.

use nalgebra::{DMatrix, SymmetricEigen};

use super::{Face, Small};

/// The symmetric matrix of a scaled triangle.
pub(in crate::conic) fn matrix(order: usize, triangle: &[f64]) -> DMatrix<f64> {
    let mut matrix = DMatrix::zeros(order, order);
    let mut entries = triangle.iter();
    for j in 0..order {
        for (i, &entry) in (0..=j).zip(&mut entries) {
            let value = if i == j { entry } else { entry * std::f64::consts::FRAC_1_SQRT_2 };
            matrix[(i, j)] = value;
            matrix[(j, i)] = value;
        }
    }
    matrix
}

/// The scaled triangle of a symmetric matrix.
pub(in crate::conic) fn triangle(matrix: &DMatrix<f64>, out: &mut [f64]) {
    let mut entries = out.iter_mut();
    for j in 0..matrix.ncols() {
        for (i, entry) in (0..=j).zip(&mut entries) {
            let scale = if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
            *entry = scale * 0.5 * (matrix[(i, j)] + matrix[(j, i)]);
        }
    }
}

fn eigen(order: usize, w: &[f64]) -> SymmetricEigen<f64, nalgebra::Dyn> {
    SymmetricEigen::new(matrix(order, w))
}

pub(super) fn project(order: usize, w: &[f64], z: &mut [f64]) {
    let eigen = eigen(order, w);
    let mut half = eigen.eigenvectors.clone();
    for (mut column, &value) in half.column_iter_mut().zip(&eigen.eigenvalues) {
        column.scale_mut(value.max(0.0));
    }
    triangle(&(half * eigen.eigenvectors.transpose()), z);
}

pub(super) fn face(order: usize, w: &[f64], small: Small) -> (Face, usize) {
    let eigen = eigen(order, w);
    let values: Vec<f64> = eigen.eigenvalues.iter().copied().collect();
    let weak = values.iter().filter(|&&value| small.either_side(value)).count();
    let face = if values.iter().all(|&value| value > 0.0) {
        Face::Whole
    } else if values.iter().all(|&value| value <= 0.0) {
        Face::Nothing
    } else {
        Face::Semidefinite(eigen.eigenvectors, values)
    };
    (face, weak)
}

//! Between candle tensors (row-major, any device, any float type) and nalgebra (column-major, `f64`),
//! both directions: a square matrix that goes across any other way comes out transposed, and a symmetric
//! cost hides it. And the plain numbers behind a tensor, for operations of our own.

use candle_core::{CpuStorage, DType, Device, Layout, Storage, Tensor, WithDType};
use nalgebra::{DMatrix, DVector};

use crate::error::Result;

/// A 2-d tensor as a matrix of the same shape.
///
/// # Errors
/// [`crate::Error::Tensor`] if the tensor is not 2-d.
pub fn to_matrix(tensor: &Tensor) -> Result<DMatrix<f64>> {
    let (rows, columns) = tensor.dims2()?;
    Ok(DMatrix::from_row_slice(rows, columns, &to_vec(tensor)?))
}

/// The two dimensions of a tensor that must be a matrix of floats.
pub(crate) fn dims2(what: &'static str, tensor: &Tensor) -> Result<(usize, usize)> {
    match tensor.dims() {
        &[rows, columns] if tensor.dtype().is_float() => Ok((rows, columns)),
        dims => Err(crate::Error::Shape {
            what,
            expected: "a matrix of floats".into(),
            found: format!("{dims:?} of {:?}", tensor.dtype()),
        }),
    }
}

/// Any tensor's entries in row-major order.
///
/// # Errors
/// [`crate::Error::Tensor`] if the entries cannot be read.
pub fn to_vec(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?)
}

/// The value of a scalar tensor.
///
/// # Errors
/// [`crate::Error::Shape`] if there is more or less than one entry.
pub fn to_scalar(tensor: &Tensor) -> Result<f64> {
    match to_vec(tensor)?.as_slice() {
        [value] => Ok(*value),
        other => Err(crate::Error::shape("scalar", 1, other.len())),
    }
}

/// A matrix as a 2-d tensor with the type and device of `like`.
///
/// # Errors
/// [`crate::Error::Tensor`] if the device refuses.
pub fn to_tensor(matrix: &DMatrix<f64>, like: &Tensor) -> Result<Tensor> {
    let by_rows = matrix.transpose().as_slice().to_vec();
    let tensor = Tensor::from_vec(by_rows, matrix.shape(), &Device::Cpu)?;
    Ok(tensor.to_dtype(like.dtype())?.to_device(like.device())?)
}

/// A vector as a 1-d tensor with the type and device of `like`.
///
/// # Errors
/// [`crate::Error::Tensor`] if the device refuses.
pub fn vector_to_tensor(vector: &DVector<f64>, like: &Tensor) -> Result<Tensor> {
    let tensor = Tensor::from_slice(vector.as_slice(), vector.len(), &Device::Cpu)?;
    Ok(tensor.to_dtype(like.dtype())?.to_device(like.device())?)
}

/// Whether our own operations serve the tensor's device and type.
pub(crate) fn is_plain(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// The storage of a tensor that lies on the CPU.
pub(crate) fn cpu(storage: &Storage) -> candle_core::Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        other => candle_core::bail!("an operation of the CPU on {:?}", other.device()),
    }
}

/// The numbers of a contiguous tensor.
pub(crate) fn slice<'a, T: WithDType>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&T::cpu_storage_as_slice(storage)?[from..to]),
        None => candle_core::bail!("a tensor that is not contiguous"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_that_is_not_square_goes_round() {
        let matrix = DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let like = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let tensor = to_tensor(&matrix, &like).unwrap();
        assert_eq!(tensor.to_vec2::<f32>().unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(to_matrix(&tensor).unwrap(), matrix);
        assert_eq!(to_vec(&tensor.t().unwrap()).unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}

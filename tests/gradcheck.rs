//! The check itself: it must find what is wrong, name it, and not blame kinks.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};
use gleaner::gradcheck::{GradcheckOptions, gradcheck};
use gleaner::{Error, Result};
use proptest::prelude::*;

fn row(values: &[f64]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

/// `x^3`, whose backward forgets what it is told to forget.
struct Cube {
    wrong: usize,
}

impl CustomOp1 for Cube {
    fn name(&self) -> &'static str {
        "cube"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let cubes = x.as_slice::<f64>()?.iter().map(|x| x.powi(3)).collect();
        Ok((CpuStorage::F64(cubes), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let mut slope = (x.sqr()? * 3.0)?.to_vec1::<f64>()?;
        if let Some(slope) = slope.get_mut(self.wrong) {
            *slope *= 1.001;
        }
        Ok(Some((Tensor::new(slope, x.device())? * upstream)?))
    }
}

proptest! {
    /// A wrong entry is found and named, whatever its place; right ones pass.
    #[test]
    fn one_wrong_entry_is_named(
        values in prop::collection::vec(prop_oneof![-3.0..-0.5f64, 0.5..3.0f64], 1..8),
        wrong in 0usize..8,
    ) {
        let report = gradcheck(
            |inputs| Ok(inputs[0].apply_op1(Cube { wrong })?.sum_all()?),
            &[row(&values)],
            GradcheckOptions::default(),
        ).unwrap();
        prop_assert_eq!(report.checked, values.len());
        prop_assert!(report.kinks.is_empty(), "{}", report);
        prop_assert_eq!(report.is_right(), wrong >= values.len(), "{}", report);
        if !report.is_right() {
            prop_assert_eq!(report.worst.unwrap().entry, wrong);
            let named = format!("entry {wrong}");
            prop_assert!(report.to_string().contains(&named));
        }
    }

    /// `|x|` at zero has no derivative; `x |x|` has one, zero.
    #[test]
    fn kinks_are_told_from_bends(slope in 0.1..10.0f64) {
        let check = |loss: &dyn Fn(&Tensor) -> candle_core::Result<Tensor>| gradcheck(
            |inputs| Ok(loss(&inputs[0])?.sum_all()?),
            &[row(&[0.0, 1.0])],
            GradcheckOptions::default(),
        ).unwrap();
        let kinked = check(&|x| x.abs()? * slope);
        prop_assert_eq!(kinked.kinks.iter().map(|kink| kink.entry).collect::<Vec<_>>(), [0]);
        prop_assert!(kinked.is_right(), "{}", kinked);
        let bent = check(&|x| x.sqr()? * slope);
        prop_assert!(bent.kinks.is_empty() && bent.is_right(), "{}", bent);
    }
}

#[test]
fn an_input_that_is_forgotten_is_found() -> Result<()> {
    let inputs = [row(&[1.0, 2.0]), row(&[3.0, 4.0])];
    let product =
        |inputs: &[Tensor]| -> Result<Tensor> { Ok((&inputs[0] * inputs[1].detach())?.sum_all()?) };
    let report = gradcheck(product, &inputs, GradcheckOptions::default())?;
    let worst = report.worst.unwrap();
    assert_eq!((worst.input, worst.analytic), (1, 0.0));
    assert!(!report.is_right());
    Ok(())
}

/// The square root's slope at zero: differences see a kink there, but NaN is no subgradient.
#[test]
fn no_number_is_wrong_even_at_a_kink() -> Result<()> {
    let root = |inputs: &[Tensor]| -> Result<Tensor> { Ok((inputs[0].sqr()?.sqrt()?).sum_all()?) };
    let report = gradcheck(root, &[row(&[0.0, 1.0])], GradcheckOptions::default())?;
    assert!(report.worst.unwrap().analytic.is_nan() && !report.is_right(), "{report}");
    Ok(())
}

#[test]
fn what_cannot_be_checked_is_refused() -> Result<()> {
    let options = GradcheckOptions::default();
    let sum = |inputs: &[Tensor]| -> Result<Tensor> { Ok(inputs[0].sum_all()?) };
    let single = row(&[1.0]).to_dtype(DType::F32)?;
    assert!(matches!(gradcheck(sum, &[single], options), Err(Error::Shape { .. })));
    let whole = |inputs: &[Tensor]| -> Result<Tensor> { Ok(inputs[0].clone()) };
    assert!(matches!(gradcheck(whole, &[row(&[1.0, 2.0])], options), Err(Error::Shape { .. })));
    let log = |inputs: &[Tensor]| -> Result<Tensor> { Ok(inputs[0].log()?.sum_all()?) };
    let refused = gradcheck(log, &[row(&[0.0])], options);
    assert!(matches!(refused, Err(Error::OutOfRange { what: "loss", .. })));
    let still = GradcheckOptions { step: 0.0, ..options };
    assert!(matches!(gradcheck(sum, &[row(&[1.0])], still), Err(Error::OutOfRange { .. })));
    assert_eq!(gradcheck(sum, &[row(&[])], options)?.checked, 0);
    Ok(())
}

/// An input that changes nothing is right, whatever rounding makes of it.
#[test]
fn an_input_without_influence_is_neither_wrong_nor_a_kink() {
    let report = gradcheck(
        |inputs| {
            let both = (&inputs[0] + &inputs[1])?.sum_all()?;
            Ok((both - inputs[1].sum_all()?)?)
        },
        &[row(&[0.3, 1.7]), row(&[0.1, 0.7])],
        GradcheckOptions::default(),
    )
    .unwrap();
    assert!(report.is_right() && report.kinks.is_empty(), "{report}");
}

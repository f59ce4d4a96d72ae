//! The selection model `h_phi`: from what is known about a point to its place among the others and its
//! column cost.

use candle_core::{DType, Device, Tensor, Var};
use rand::{RngCore, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};

/// Which parts of the program the selection model sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heads {
    /// Pairwise costs between learned embeddings (the HOST-CP paper).
    Embedding,
    /// A learned cost a column beside fixed pairwise costs: a direct grip on a single bad point.
    #[default]
    Unary,
    /// Both.
    Both,
}

impl Heads {
    /// Whether pairwise costs are learned.
    pub fn embeds(self) -> bool {
        self != Self::Unary
    }

    /// Whether column costs are learned.
    pub fn prices(self) -> bool {
        self != Self::Embedding
    }
}

/// The shape of the selection model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOptions {
    /// Which parts it sets.
    pub heads: Heads,
    /// Largest width of the embedding; wider inputs start from a random projection, which keeps
    /// distances approximately (Johnson, Lindenstrauss 1984), narrower ones from the identity.
    pub embedding: usize,
    /// The largest column cost, in units of the typical pairwise cost of the batch.
    pub ceiling: f64,
    /// The column cost of a point without evidence, as a share of the ceiling; small, so that the
    /// untrained model is (nearly) neutral.
    pub floor: f64,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { heads: Heads::default(), embedding: 64, ceiling: 1.0, floor: 0.02 }
    }
}

/// `v = f A + e B` and `c = ceiling * sigmoid(<l, w> + b)`: linear in the evidence `e`, so that a
/// hundred trusted points are enough to learn it. It starts neutral: `A` keeps the distances of the
/// cost features `f`, `B` and `w` are zero, `b` is fixed by the floor.
///
/// The unary head sees only the losses `l` (the last [`PRICED`](Self::PRICED) numbers of the
/// evidence). A point that is learned well has none, so on clean data all prices stay (nearly) equal
/// and the selection stays what the pairwise costs make it; labels or residuals would let a hundred
/// points price whole classes.
#[derive(Debug)]
pub struct SelectionModel {
    options: ModelOptions,
    variables: Vec<(String, Var)>,
    /// The fixed offset of the unary head.
    bias: f64,
}

const EMBED_FEATURES: usize = 0;
const EMBED_EVIDENCE: usize = 1;

impl SelectionModel {
    /// How many numbers of the evidence, from its end, the unary head sees.
    pub const PRICED: usize = 2;

    /// For points with `features` cost features and `evidence` evidence numbers.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a floor outside (0, 1), a ceiling that is not positive, an embedding of
    /// width zero or less than [`PRICED`](Self::PRICED) numbers of evidence.
    pub fn new(
        options: ModelOptions,
        features: usize,
        evidence: usize,
        dtype: DType,
        device: &Device,
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        let inside = options.floor > 0.0 && options.floor < 1.0;
        if !inside {
            let rule = "in (0, 1)";
            return Err(Error::range("column cost floor", rule, options.floor));
        }
        let positive = options.ceiling > 0.0 && options.ceiling.is_finite();
        if !positive {
            let rule = "> 0 and finite";
            return Err(Error::range("column cost ceiling", rule, options.ceiling));
        }
        if options.embedding == 0 {
            return Err(Error::range("embedding width", "> 0", 0.0));
        }
        if evidence < Self::PRICED {
            let found = evidence as f64;
            return Err(Error::range("numbers of evidence", "at least 2", found));
        }
        let mut variables = Vec::new();
        let mut add = |name: &str, tensor: Tensor| -> Result<()> {
            variables.push((name.to_string(), Var::from_tensor(&tensor.to_dtype(dtype)?)?));
            Ok(())
        };
        if options.heads.embeds() {
            let width = options.embedding.min(features);
            add("embedding.features", projection(features, width, device, rng)?)?;
            add("embedding.evidence", Tensor::zeros((evidence, width), DType::F64, device)?)?;
        }
        if options.heads.prices() {
            add("unary.evidence", Tensor::zeros((Self::PRICED, 1), DType::F64, device)?)?;
        }
        let bias = (options.floor / (1.0 - options.floor)).ln();
        Ok(Self { options, variables, bias })
    }

    /// What it was made from.
    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    /// Trainable variables, sorted by name.
    pub fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    /// Embeddings `v` (`n x width`) from cost features (`n x d`) and evidence (`n x k`); the features
    /// themselves without an embedding head.
    ///
    /// # Errors
    /// [`Error::Tensor`] for wrong widths.
    pub fn embed(&self, features: &Tensor, evidence: &Tensor) -> Result<Tensor> {
        if !self.options.heads.embeds() {
            return Ok(features.clone());
        }
        let along = features.matmul(&self.variables[EMBED_FEATURES].1)?;
        Ok((along + evidence.matmul(&self.variables[EMBED_EVIDENCE].1)?)?)
    }

    /// Column costs in `[0, ceiling]` (`n`), `None` without a unary head.
    ///
    /// # Errors
    /// [`Error::Tensor`] for evidence of the wrong width.
    pub fn column_costs(&self, evidence: &Tensor) -> Result<Option<Tensor>> {
        if !self.options.heads.prices() {
            return Ok(None);
        }
        // The unary head's only variable sorts behind the embedding's.
        let weights = &self.variables[self.variables.len() - 1].1;
        let losses = evidence.narrow(1, evidence.dim(1)? - Self::PRICED, Self::PRICED)?;
        let logits = (losses.contiguous()?.matmul(weights)?.squeeze(1)? + self.bias)?;
        Ok(Some((candle_nn::ops::sigmoid(&logits)? * self.options.ceiling)?))
    }
}

/// The identity, or a Gaussian projection that keeps squared lengths in expectation.
fn projection(
    features: usize,
    width: usize,
    device: &Device,
    rng: &mut dyn RngCore,
) -> Result<Tensor> {
    if features == width {
        return Ok(Tensor::eye(features, DType::F64, device)?);
    }
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(rng.next_u64());
    let scale = 1.0 / (width as f64).sqrt();
    let draw = |_| -> f64 { Distribution::<f64>::sample(&StandardNormal, &mut rng) };
    let values: Vec<f64> = (0..features * width).map(draw).map(|x| x * scale).collect();
    Ok(Tensor::from_vec(values, (features, width), device)?)
}

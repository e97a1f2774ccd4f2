//! What training changes of a model: LoRA matrices beside it, or all its parameters.

use candle_core::Var;
use candle_core::backprop::GradStore;
use fl_core::adapter::{Adapter, AdapterLayout, Matrix};
use fl_core::settings::LoraSettings;

use crate::dropout::Masking;
use crate::error::LearnerError;
use crate::model::{Active, BaseModel, Projection};
use crate::prompt::Cloze;
use crate::{Result, full, lora};

/// What training changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Tuning {
    /// LoRA matrices beside the frozen weights (Hu et al. 2021), as in LP-FL.
    Lora(LoraSettings),
    /// Every parameter, as in FP-FL, the baseline of LP-FL.
    ///
    /// The trained state is an [`Adapter`] of all parameters under their Hugging Face names:
    /// vectors are one row, tied weights are there once. Weight decay is on all of them, which is
    /// what `torch.optim.AdamW(model.parameters())` does.
    Full,
}

/// A model ready for a pass, and its head for the task's words.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) active: Active,
    pub(crate) head: Projection,
}

/// A model with variables in it.
pub(crate) struct Trainable {
    pub(crate) ready: Ready,
    pub(crate) variables: Vec<Variable>,
}

/// A variable of a pass, and the matrix that it stands for.
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) variable: Var,
    pub(crate) rows: Rows,
}

/// Which of a matrix's values a variable holds.
pub(crate) enum Rows {
    All,
    /// These rows, when the values are read as rows of `width`.
    Some {
        ids: Vec<u32>,
        width: usize,
    },
}

impl Tuning {
    /// Whether a model can be tuned so.
    pub(crate) fn check(&self, base: &BaseModel) -> Result<()> {
        let Self::Lora(lora) = self else {
            return full::check(base);
        };
        if lora.rank == 0 || lora.rank as usize > base.hidden() || !lora.scale().is_finite() {
            let expected = format!("1 to {}, with a finite alpha", base.hidden());
            let got = format!("{} with alpha {}", lora.rank, lora.alpha);
            return Err(LearnerError::argument("LoRA rank", expected, got));
        }
        if !(0.0..1.0).contains(&lora.dropout) {
            let expected = "from 0 to below 1";
            return Err(LearnerError::argument(
                "LoRA dropout",
                expected,
                lora.dropout,
            ));
        }
        check_layers(base, lora.top_layers)
    }

    /// The layer below which nothing is trained, if there is one: what goes into it is always the
    /// same.
    pub(crate) fn lowest_layer(&self, base: &BaseModel) -> Option<usize> {
        match self {
            Self::Lora(lora) => Some(lora.lowest_layer(base.layers())).filter(|layer| *layer > 0),
            Self::Full => None,
        }
    }

    /// Names and shapes of the trained state.
    pub(crate) fn layout(&self, base: &BaseModel) -> AdapterLayout {
        match self {
            Self::Lora(lora) => lora::layout(base, lora),
            Self::Full => full::layout(base),
        }
    }

    /// The state before training, which leaves the base model as it is.
    pub(crate) fn initial(&self, base: &BaseModel, seed: u32) -> Adapter {
        match self {
            Self::Lora(lora) => lora::initial(&lora::layout(base, lora), seed),
            Self::Full => full::initial(base),
        }
    }

    /// The model as trained, for scoring.
    pub(crate) fn ready(
        &self,
        base: &BaseModel,
        words: &[Vec<u32>],
        adapter: &Adapter,
    ) -> Result<Ready> {
        let active = match self {
            Self::Lora(lora) => lora::merged(base, lora, adapter)?,
            Self::Full => full::frozen(base, adapter)?,
        };
        Ready::new(active, words)
    }

    /// The model with its trained state as variables, for one batch; with dropout where `masking`
    /// says which.
    pub(crate) fn trainable(
        &self,
        base: &BaseModel,
        words: &[Vec<u32>],
        adapter: &Adapter,
        prompts: &[&Cloze],
        masking: Option<Masking>,
    ) -> Result<Trainable> {
        let (active, variables) = match self {
            Self::Lora(lora) => lora::trainable(base, lora, adapter, masking)?,
            Self::Full => {
                let ids = prompts.iter().flat_map(|prompt| prompt.ids());
                let used = ids.chain(words.iter().flatten()).copied().collect();
                full::trainable(base, adapter, used)?
            }
        };
        let ready = Ready::new(active, words)?;
        Ok(Trainable { ready, variables })
    }
}

/// Whether a model has so many layers that can be adapted apart from those below.
fn check_layers(base: &BaseModel, top_layers: Option<u32>) -> Result<()> {
    let Some(top) = top_layers else {
        return Ok(());
    };
    let expected = match base.shares_layers() {
        true => "none for all, as this model's layers share their weights".to_owned(),
        false if (1..=base.layers()).contains(&(top as usize)) => return Ok(()),
        false => format!("1 to {}, or none for all", base.layers()),
    };
    Err(LearnerError::argument("LoRA top layers", expected, top))
}

impl Ready {
    fn new(active: Active, words: &[Vec<u32>]) -> Result<Self> {
        let head = active.head(words)?;
        Ok(Self { active, head })
    }
}

impl Variable {
    /// The gradient of the matrix that this variable stands for.
    pub(crate) fn gradient(
        &self,
        gradients: &GradStore,
        (rows, columns): (usize, usize),
    ) -> Result<Matrix> {
        let values: Vec<f32> = match gradients.get(&self.variable) {
            Some(gradient) => gradient.flatten_all()?.to_vec1()?,
            None => vec![0.0; self.variable.elem_count()],
        };
        let values = match &self.rows {
            Rows::All => values,
            Rows::Some { ids, width } => {
                let mut all = vec![0.0; rows * columns];
                for (&id, row) in ids.iter().zip(values.chunks_exact(*width)) {
                    let start = id as usize * width;
                    all[start..start + width].copy_from_slice(row);
                }
                all
            }
        };
        Ok(Matrix {
            rows,
            columns,
            values,
        })
    }
}

#[cfg(test)]
mod tests;

//! The names by which PEFT finds the modules that LoRA adapts.

use std::collections::BTreeSet;

use fl_core::settings::LoraTarget;

use super::BaseModel;

impl BaseModel {
    /// The `target_modules` of an `adapter_config.json` for these targets.
    ///
    /// PEFT adapts every module whose path is one of the strings or ends with a dot and one of
    /// them. Each string here is the shortest end of a path that means no other module: `query`
    /// for BERT's queries, but `3.output.dense` for its feed-forward networks' outputs, as
    /// `output.dense` would also be `attention.output.dense`.
    pub fn target_modules(&self, targets: &[LoraTarget]) -> Vec<String> {
        let (wanted, others): (Vec<_>, Vec<_>) = self
            .parts()
            .projections
            .iter()
            .partition(|part| part.is_among(targets));
        let (norms, tables) = (&self.parts().norms, &self.parts().tables);
        let others = others.iter().map(|part| &part.path);
        let others = others.chain(norms.iter().map(|part| &part.path));
        let others: Vec<&String> = others.chain(tables.iter().map(|part| &part.path)).collect();
        let found: BTreeSet<&str> = wanted
            .iter()
            .map(|part| shortest_end(&part.path, &others))
            .collect();
        found.into_iter().map(str::to_owned).collect()
    }
}

/// The fewest last steps of `path` with which none of `others` ends.
fn shortest_end<'a>(path: &'a str, others: &[&String]) -> &'a str {
    let steps = path.rmatch_indices('.').map(|(dot, _)| &path[dot..]);
    let own = |end: &&str| !others.iter().any(|other| other.ends_with(*end));
    steps.into_iter().find(own).map_or(path, |end| &end[1..])
}

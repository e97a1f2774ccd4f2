//! The way from a fresh clone to the binary, in order.

use std::path::PathBuf;

use anyhow::Result;

use crate::report::Report;
use crate::workspace::Workspace;
use crate::{binary, page, wasm};

/// Builds the page, the browser client and the binary that carries them; returns its path.
pub fn build(workspace: &Workspace, report: &mut Report) -> Result<PathBuf> {
    page::check_node(workspace)?;
    page::install(workspace, report)?;
    page::declare(workspace, report)?;
    wasm::build(workspace, report)?;
    page::build(workspace, report)?;
    binary::build(workspace, report)
}

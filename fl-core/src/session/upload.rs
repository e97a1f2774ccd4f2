//! What of a trained adapter travels, and how, as the room's settings say.

use crate::adapter::Adapter;
use crate::codec::{encode_binary, encode_frame, encode_tensors};
use crate::compression::{Compression, Feedback};
use crate::protocol::{ClientHeader, Report};
use crate::settings::{RoomSettings, Rule};

/// The way of updates to the server.
#[derive(Debug, Default)]
pub(super) struct Upload {
    rule: Rule,
    compression: Compression,
    feedback: Feedback,
}

impl Upload {
    pub(super) fn configure(&mut self, settings: &RoomSettings) {
        self.rule = settings.aggregation.rule;
        self.compression = settings.compression;
    }

    /// A report's frame, and what it leaves out if it counts.
    pub(super) fn frame(
        &self,
        report: Report,
        adapter: &Adapter,
        global: &Adapter,
    ) -> (Vec<u8>, Feedback) {
        let trained = self.rule.trained(report.round);
        let (update, base) = (trained.part(adapter), trained.part(global));
        if self.compression == Compression::F32 {
            // It travels as it is: nothing to pack.
            let frame = encode_binary(&ClientHeader::Report(report), &update);
            return (frame, self.feedback.clone());
        }
        let (packed, feedback) = self.compression.packed(&update, &base, &self.feedback);
        let body = encode_tensors(&packed);
        (encode_frame(&ClientHeader::Report(report), &body), feedback)
    }

    pub(super) fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    /// The server counts the update that left this out.
    pub(super) fn counted(&mut self, feedback: Feedback) {
        self.feedback = feedback;
    }
}

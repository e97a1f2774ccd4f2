//! The words of every fault that the client itself finds.

use fl_core::error::{Blame, Fault, FaultCode};
use learner::LearnerError;

use crate::download::DownloadError;

/// The page said something that is no command.
pub fn unreadable_command(reason: &str) -> Fault {
    fault(
        FaultCode::Malformed,
        Blame::Client,
        format!("The page's command could not be read: {reason}."),
        "Reload the page; if it happens again, the page is at fault.",
    )
}

/// A second join, or a command before the first.
pub fn out_of_order(expected: &str) -> Fault {
    fault(
        FaultCode::Malformed,
        Blame::Client,
        format!("The command came out of order: expected {expected}."),
        "Reload the page; if it happens again, the page is at fault.",
    )
}

/// An address that is not a server's.
pub fn bad_origin(origin: &str) -> Fault {
    let shown: String = origin.chars().take(80).collect();
    fault(
        FaultCode::Malformed,
        Blame::Client,
        format!("Expected a server's address such as http://127.0.0.1:8080, got “{shown}”."),
        "Open the page from the server that has the room.",
    )
}

/// A download that did not come; `last` tells a failure for good from one that is tried again.
pub fn download(error: &DownloadError, next: NextTry) -> Fault {
    let mend = match next {
        NextTry::After(pause_ms) => {
            let seconds = pause_ms.div_ceil(1000).max(1);
            format!("It is tried again in {seconds} s.")
        }
        NextTry::Never if error.is_missing() => {
            "Ask the person who runs the server; it lacks a file that the room needs.".into()
        }
        NextTry::Never => "Check the connection and reload the page.".into(),
    };
    let blame = match error {
        DownloadError::Network { .. } => Blame::Nobody,
        _ => Blame::Server,
    };
    Fault {
        code: FaultCode::Internal,
        blame,
        message: format!("A download failed: {error}."),
        mend,
    }
}

/// What follows a failed download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTry {
    /// Another try after so many milliseconds.
    After(u64),
    /// Nothing.
    Never,
}

/// The base model's files are not a model, or not one for the room's task.
pub fn unusable_model(error: &LearnerError) -> Fault {
    fault(
        FaultCode::Internal,
        Blame::Server,
        format!("The room's model cannot be used: {error}."),
        "Ask the person who opened the room to choose another model or other label words.",
    )
}

/// The tab's own texts are no use.
pub fn unusable_texts(file: &str, error: &LearnerError) -> Fault {
    let shown: String = file.chars().take(80).collect();
    fault(
        FaultCode::BadSettings,
        Blame::Client,
        format!("The texts in “{shown}” cannot be used: {error}."),
        "Mend the file, or choose another one, and join again.",
    )
}

/// The room's clients bring their own texts, and this one has none.
pub fn texts_needed() -> Fault {
    fault(
        FaultCode::BadSettings,
        Blame::Client,
        "In this room everyone brings their own texts, and this client has none.".into(),
        "Choose a file of texts (CSV, TSV or JSONL) and join again.",
    )
}

/// Local work failed; the client waits for the next round.
pub fn work(error: &LearnerError) -> Fault {
    fault(
        FaultCode::Internal,
        Blame::Nobody,
        format!("This round's local work failed: {error}."),
        "This client waits for the next round.",
    )
}

/// The server's adapter does not fit the model.
pub fn unusable_adapter(error: &LearnerError) -> Fault {
    fault(
        FaultCode::Internal,
        Blame::Server,
        format!("The room's adapter does not fit its model: {error}."),
        "Ask the person who runs the server; the model may have been changed under the room.",
    )
}

/// A sentence could not be labelled.
pub fn classify(error: &LearnerError) -> Fault {
    fault(
        FaultCode::Internal,
        Blame::Client,
        format!("The sentence could not be labelled: {error}."),
        "Try another sentence, or reload the page.",
    )
}

/// The client's program broke off.
pub fn broken(reason: &str) -> Fault {
    fault(
        FaultCode::Internal,
        Blame::Client,
        format!("The client's program broke off: {reason}."),
        "Reload the page, and please report it.",
    )
}

fn fault(code: FaultCode, blame: Blame, message: String, mend: &str) -> Fault {
    Fault {
        code,
        blame,
        message,
        mend: mend.into(),
    }
}

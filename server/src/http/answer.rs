//! Answers: JSON, and faults with the status that fits them.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fl_core::codec;
use fl_core::error::{Blame, Fault, FaultCode};
use serde::Serialize;

/// A refused request: the fault as its body.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    fault: Fault,
}

impl Refusal {
    /// A refusal with a status of its own.
    pub(crate) fn new(status: StatusCode, fault: Fault) -> Self {
        Self { status, fault }
    }

    /// What kind of fault it is.
    pub(crate) fn code(&self) -> FaultCode {
        self.fault.code
    }

    /// Nothing is there.
    pub(crate) fn not_found(what: &str) -> Self {
        let fault = Fault {
            code: FaultCode::Malformed,
            blame: Blame::Client,
            message: format!("There is no {what}."),
            mend: "Check the address.".into(),
        };
        Self::new(StatusCode::NOT_FOUND, fault)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let status = match fault.code {
            FaultCode::UnknownRoom | FaultCode::UnknownClient => StatusCode::NOT_FOUND,
            FaultCode::PasswordNeeded => StatusCode::UNAUTHORIZED,
            FaultCode::NotOwner | FaultCode::Removed => StatusCode::FORBIDDEN,
            FaultCode::Oversized => StatusCode::PAYLOAD_TOO_LARGE,
            FaultCode::RoomFull
            | FaultCode::RoomFinished
            | FaultCode::TooFewClients
            | FaultCode::Replaced
            | FaultCode::StaleRound
            | FaultCode::WrongBase
            | FaultCode::DuplicateReport => StatusCode::CONFLICT,
            FaultCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            FaultCode::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            FaultCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            FaultCode::ProtocolVersion
            | FaultCode::Malformed
            | FaultCode::NonFinite
            | FaultCode::Misshapen
            | FaultCode::NotSelected
            | FaultCode::ExampleCount
            | FaultCode::BadSettings => StatusCode::BAD_REQUEST,
        };
        Self { status, fault }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json_text(codec::encode_text(&self.fault));
        *response.status_mut() = self.status;
        if self.status == StatusCode::UNAUTHORIZED {
            // Which every answer with this status has to name (RFC 9110, 15.5.2).
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// A value as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    json_text(codec::encode_text(value))
}

/// JSON that is text already. Never from a cache: it tells what is now.
pub(crate) fn json_text(text: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, text.into()).into_response()
}

/// A path under `/api` that leads nowhere.
pub(crate) async fn unknown_path() -> Refusal {
    Refusal::not_found("such path")
}

/// A path asked with a method that it does not have.
pub(crate) async fn wrong_method() -> Refusal {
    let fault = Fault {
        code: FaultCode::Malformed,
        blame: Blame::Client,
        message: "This path does not take this method.".into(),
        mend: "Use the method that the documentation names.".into(),
    };
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, fault)
}

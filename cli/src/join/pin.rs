//! Trust in one certificate that is named by its fingerprint: for servers that signed their own.
//!
//! Nothing is switched off: the server has to prove that it holds the certificate's key, as always.
//! What the fingerprint replaces is the signature of an authority, and the name in the certificate.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest as _, Sha256};

/// SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// 64 hexadecimal digits, with or without colons between pairs.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Vec<u8> = text
            .trim()
            .chars()
            .filter(|&character| character != ':')
            .map(|character| character.to_digit(16).map(|digit| digit as u8))
            .collect::<Option<_>>()
            .unwrap_or_default();
        let pairs: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[pair.len() - 1])
            .collect();
        match <[u8; 32]>::try_from(pairs) {
            Ok(bytes) if digits.len() == 64 => Ok(Self(bytes)),
            _ => Err("expected the 64 hexadecimal digits that lpfl serve printed".into()),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

/// TLS with the server that has this certificate, and no other.
///
/// # Errors
/// What rustls says about its own versions; never with the versions that are built in.
pub fn client_config(pin: Fingerprint) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier {
        pin,
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(builder.with_no_client_auth()))
}

#[derive(Debug)]
struct Verifier {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of(own);
        if found == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General(format!(
            "the server's certificate has the fingerprint {found}, not the one of --tls-fingerprint"
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_shown() {
        let shown = Fingerprint::of(&CertificateDer::from(vec![1, 2, 3])).to_string();
        let read: Fingerprint = shown.parse().unwrap();
        assert_eq!(read.to_string(), shown);
        let plain = shown.replace(':', "").to_lowercase();
        assert_eq!(plain.parse(), Ok(read));
    }

    #[test]
    fn other_texts_are_no_fingerprints() {
        let short = "AB".repeat(31);
        for text in ["", "xyz", &short, &(short.clone() + "A"), &"AB".repeat(33)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}

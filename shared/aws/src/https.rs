//! The HTTPS client of all clients.

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// What AWS's endpoints are signed by: the five roots of Amazon Trust Services (its repository lists them; from Mozilla's
/// collection). Reading the hundred or so of a system's collection from files takes longer than all else at a start.
const AMAZON: &[u8] = include_bytes!("roots.pem");

/// An HTTPS client, which takes plain HTTP too, for emulators. It trusts `roots`, or Amazon's.
pub(crate) fn https_client(roots: Option<&[u8]>) -> SharedHttpClient {
    let trusted = TrustStore::empty().with_pem_certificate(roots.unwrap_or(AMAZON));
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    match TlsContext::builder().with_trust_store(trusted).build() {
        Ok(context) => builder.tls_context(context).build_https(),
        // Nothing that is set here can be refused; the system's roots are slower and no worse.
        Err(_) => builder.build_https(),
    }
}

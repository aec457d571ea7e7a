//! The HTTPS client of all clients.

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::base64;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// An HTTPS client, which takes plain HTTP too, for emulators. It trusts `roots`, or all public ones.
pub(crate) fn https_client(roots: Option<&[u8]>) -> SharedHttpClient {
    let trusted = TrustStore::empty().with_pem_certificate(roots.map_or_else(public_roots, <[u8]>::to_vec));
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    match TlsContext::builder().with_trust_store(trusted).build() {
        Ok(context) => builder.tls_context(context).build_https(),
        // Nothing that is set here can be refused; the system's roots are slower and no worse.
        Err(_) => builder.build_https(),
    }
}

/// Mozilla's collection, in PEM, which is all that the client takes. Not Amazon's own roots alone: nothing promises that each
/// endpoint, in each partition, is signed by one of them for as long as this runs. Compiled in, because a system's
/// collection is read from files at each start.
fn public_roots() -> Vec<u8> {
    let pem =
        |root: &[u8]| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64::encode(root));
    TLS_SERVER_ROOT_CERTS.iter().map(|root| pem(root)).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    #[test]
    fn all_public_roots_are_trusted_whoever_signs_an_endpoint() {
        let pem = public_roots();
        let read: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().unwrap();
        assert_eq!(read, TLS_SERVER_ROOT_CERTS);
        let named = |name: &str| read.iter().any(|root| root.windows(name.len()).any(|part| part == name.as_bytes()));
        for authority in ["Amazon Root CA 1", "Starfield Services Root", "DigiCert Global Root G2", "ISRG Root X1"] {
            assert!(named(authority), "{authority}");
        }
    }
}

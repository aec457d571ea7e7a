//! AWS as an HTTP client: takes what the SDK would send, in AWS's own protocols, and answers by a script.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use evenkeel_aws::{Also, Aws, Settings};
use evenkeel_model::Timestamp;
use serde_json::{Map, Value, json};

/// One request: the action, and the body as JSON. Query protocols become an object of texts.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) action: String,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    /// The list under `field`: a JSON array, or `field.1`, `field.2` and so on.
    pub(crate) fn list(&self, field: &str) -> Vec<String> {
        if let Some(array) = self.body[field].as_array() {
            return array.iter().map(|value| value.as_str().unwrap_or_default().to_owned()).collect();
        }
        (1..).map_while(|number| self.body[format!("{field}.{number}")].as_str().map(str::to_owned)).collect()
    }
}

/// What comes back.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Json(Value),
    /// The inner part of a query protocol's answer.
    Xml(String),
    /// A map; `{"$time": n}` in it is a time.
    Cbor(Value),
    /// A code, a message and an HTTP status, in the protocol of the request.
    Error(&'static str, &'static str, u16),
    /// A JSON protocol's error with more than a code and a message.
    JsonError(Value),
    /// The connection breaks.
    Broken,
    /// No answer comes.
    Silence,
}

type Script = dyn FnMut(&Asked) -> Reply + Send;

/// What was asked, and what is answered.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Inner>);

struct Inner {
    asked: Mutex<Vec<Asked>>,
    script: Mutex<Box<Script>>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    pub(crate) fn new(script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self(Arc::new(Inner { asked: Mutex::default(), script: Mutex::new(Box::new(script)) }))
    }

    /// The adapters in front of this, which ask all that they can.
    pub(crate) fn aws(&self) -> Aws {
        self.aws_that_asks(Also { scaled_elsewhere: true, deregistration_delays: true, ..Also::NOTHING })
    }

    pub(crate) fn aws_that_asks(&self, also: Also) -> Aws {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "secret", None, None, "test")))
            .http_client(SharedHttpClient::new(self.clone()))
            .retry_config(Aws::retries())
            .timeout_config(Aws::timeouts())
            // So that large requests can be read.
            .disable_request_compression(true)
            .build();
        let queue = |name: &str| Some(format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{name}"));
        let settings = Settings {
            table: "evenkeel".to_owned(),
            beat_queue: queue("beats"),
            dead_letters: queue("dead"),
            roots: None,
            also,
        };
        Aws::new(&config, settings).with_clock(now)
    }

    /// Everything that was asked with `action`.
    pub(crate) fn asked(&self, action: &str) -> Vec<Asked> {
        let asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|asked| asked.action == action).cloned().collect()
    }

    /// How many requests there were.
    pub(crate) fn calls(&self) -> usize {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn forget(&self) {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// When all these tests happen.
pub(crate) fn now() -> Timestamp {
    "2026-01-05T00:10:07Z".parse().unwrap()
}

pub(crate) fn id<T: std::str::FromStr<Err = evenkeel_model::ids::InvalidId>>(text: &str) -> T {
    text.parse().unwrap()
}

/// The protocol of a request.
enum Protocol {
    Json,
    Query,
    Ec2,
    Cbor,
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (protocol, asked) = read(&request);
        record(&request);
        let reply = {
            let mut script = self.0.script.lock().unwrap_or_else(PoisonError::into_inner);
            script(&asked)
        };
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        match reply {
            Reply::Broken => HttpConnectorFuture::ready(Err(ConnectorError::io("connection reset".into()))),
            Reply::Silence => HttpConnectorFuture::new(std::future::pending()),
            Reply::Json(_) | Reply::Xml(_) | Reply::Cbor(_) | Reply::Error(..) | Reply::JsonError(_) => {
                HttpConnectorFuture::ready(Ok(write(&protocol, &asked.action, reply)))
            }
        }
    }
}

impl HttpClient for Fake {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// Adds a request to the file that `EVENKEEL_ADAPTERS_WIRE` names, as tests/end-to-end/world/recorder.py writes it: what AWS's
/// own models and limits say of it is said by `tests/end-to-end/run --judge`. Answers are left out, because many are odd on
/// purpose.
fn record(request: &HttpRequest) {
    let Some(file) = std::env::var_os("EVENKEEL_ADAPTERS_WIRE") else { return };
    let header = |name: &str| request.headers().get(name).unwrap_or_default();
    // AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …
    let signed = header("authorization").split_once("Credential=").unwrap().1;
    let [key, _, _, service] = signed.split('/').take(4).collect::<Vec<_>>()[..] else { panic!("{signed}") };
    let (_, rest) = request.uri().split_once("://").unwrap();
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let bytes = request.body().bytes().unwrap_or_default();
    let body =
        std::str::from_utf8(bytes).map_or_else(|_| json!({ "base64": base64::encode(bytes) }), |text| json!(text));
    let line = json!({
        "at": 0, "key": key, "service": service, "method": request.method(), "path": path, "query": query,
        "target": header("x-amz-target"), "kind": header("content-type"), "invocation": header("amz-sdk-invocation-id"),
        "body": body, "status": 0, "answer": null, "error": "", "asked": [],
    });
    // One write for each line, so that those of other tests stay whole.
    let mut file = File::options().create(true).append(true).open(file).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn read(request: &HttpRequest) -> (Protocol, Asked) {
    let bytes = request.body().bytes().unwrap_or_default();
    if let Some(target) = request.headers().get("x-amz-target") {
        let action = target.rsplit('.').next().unwrap_or_default().to_owned();
        return (Protocol::Json, Asked { action, body: serde_json::from_slice(bytes).unwrap_or_default() });
    }
    if let Some((_, action)) = request.uri().rsplit_once("/operation/") {
        let body: ciborium::Value = ciborium::from_reader(bytes).unwrap();
        return (Protocol::Cbor, Asked { action: action.to_owned(), body: from_cbor(&body) });
    }
    let mut body = Map::new();
    for pair in std::str::from_utf8(bytes).unwrap().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // `Names.member.1` of Auto Scaling is `Names.1` here, as EC2 has it.
        body.insert(unescape(name).replace(".member.", "."), Value::String(unescape(value)));
    }
    let action = body["Action"].as_str().unwrap_or_default().to_owned();
    let protocol = if request.uri().contains("ec2.") { Protocol::Ec2 } else { Protocol::Query };
    (protocol, Asked { action, body: Value::Object(body) })
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| (byte.unwrap_or(b'0') as char).to_digit(16).unwrap_or(0);
        bytes.push(match byte {
            b'%' => u8::try_from(hex(rest.next()) * 16 + hex(rest.next())).unwrap(),
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn write(protocol: &Protocol, action: &str, reply: Reply) -> HttpResponse {
    let (status, body) = match reply {
        Reply::Json(value) => (200, value.to_string().into_bytes()),
        Reply::JsonError(value) => (400, value.to_string().into_bytes()),
        Reply::Cbor(value) => (200, to_bytes(&value)),
        Reply::Xml(inner) => (200, xml(protocol, action, &inner).into_bytes()),
        Reply::Error(code, message, status) => (status, error(protocol, code, message)),
        Reply::Broken | Reply::Silence => unreachable!("answered elsewhere"),
    };
    let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
    if matches!(protocol, Protocol::Cbor) {
        response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
        response.headers_mut().insert("content-type", "application/cbor");
    }
    response
}

fn xml(protocol: &Protocol, action: &str, inner: &str) -> String {
    match protocol {
        Protocol::Ec2 => format!("<{action}Response><requestId>r</requestId>{inner}</{action}Response>"),
        Protocol::Query | Protocol::Json | Protocol::Cbor => {
            format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>")
        }
    }
}

fn error(protocol: &Protocol, code: &str, message: &str) -> Vec<u8> {
    let pair = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    match protocol {
        Protocol::Json => json!({ "__type": code, "message": message }).to_string().into_bytes(),
        Protocol::Cbor => to_bytes(&json!({ "__type": code, "message": message })),
        Protocol::Query => format!("<ErrorResponse>{pair}</ErrorResponse>").into_bytes(),
        Protocol::Ec2 => format!("<Response><Errors>{pair}</Errors></Response>").into_bytes(),
    }
}

fn to_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&to_cbor(value), &mut bytes).unwrap();
    bytes
}

fn to_cbor(value: &Value) -> ciborium::Value {
    match value {
        Value::Object(map) if map.contains_key("$time") => {
            ciborium::Value::Tag(1, Box::new(ciborium::Value::Float(map["$time"].as_f64().unwrap())))
        }
        Value::Object(map) => {
            let pair = |(name, value): (&String, &Value)| (ciborium::Value::Text(name.clone()), to_cbor(value));
            ciborium::Value::Map(map.iter().map(pair).collect())
        }
        Value::Array(array) => ciborium::Value::Array(array.iter().map(to_cbor).collect()),
        Value::String(text) => ciborium::Value::Text(text.clone()),
        Value::Bool(yes) => ciborium::Value::Bool(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => ciborium::Value::Integer(whole.into()),
            None => ciborium::Value::Float(number.as_f64().unwrap()),
        },
        Value::Null => ciborium::Value::Null,
    }
}

fn from_cbor(value: &ciborium::Value) -> Value {
    match value {
        ciborium::Value::Map(pairs) => {
            let pair = |(name, value): &(ciborium::Value, ciborium::Value)| {
                (name.as_text().unwrap().to_owned(), from_cbor(value))
            };
            Value::Object(pairs.iter().map(pair).collect())
        }
        ciborium::Value::Array(array) => Value::Array(array.iter().map(from_cbor).collect()),
        ciborium::Value::Text(text) => Value::String(text.clone()),
        ciborium::Value::Bool(yes) => Value::Bool(*yes),
        ciborium::Value::Integer(number) => json!(i64::try_from(*number).unwrap()),
        ciborium::Value::Float(number) => json!(number),
        ciborium::Value::Tag(_, inner) => from_cbor(inner),
        ciborium::Value::Bytes(_) | ciborium::Value::Null | _ => Value::Null,
    }
}
